"""What the command's exit codes mean, and which error leads to which."""

from __future__ import annotations

from typing import Final

__all__ = ["ALLOWED", "DENIED", "INTERRUPTED", "REFUSED", "UNANSWERED", "AwayError"]

ALLOWED: Final = 0
DENIED: Final = 1
REFUSED: Final = 2
UNANSWERED: Final = 3
INTERRUPTED: Final = 130


class AwayError(Exception):
    """Raised when the service that was asked cannot be reached, or could not answer."""
