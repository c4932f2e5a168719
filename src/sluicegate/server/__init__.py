"""The service: a limiter behind HTTP, for programs that are not written in Python, or not on one machine."""

from sluicegate.server.app import create_app
from sluicegate.server.running import serve

__all__ = ["create_app", "serve"]
