"""What the command's exit codes mean, and which error leads to which."""

from __future__ import annotations

from typing import Final

__all__ = ["ALLOWED", "BROKEN_PIPE", "DENIED", "FAILED", "INTERRUPTED", "REFUSED", "UNANSWERED", "AwayError"]

ALLOWED: Final = 0
DENIED: Final = 1
REFUSED: Final = 2
UNANSWERED: Final = 3  # also where a fallback answered: a script must be able to tell
FAILED: Final = 70  # by itself, as sysexits.h has it: Python's own 1 would be a denial
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141  # what a shell tells of a program that SIGPIPE ended


class AwayError(Exception):
    """Raised when the service that was asked cannot be reached, or could not answer."""
