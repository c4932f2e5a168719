"""The command, run as a shell runs it."""
