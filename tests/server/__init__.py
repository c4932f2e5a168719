"""The service, talked to over HTTP."""
