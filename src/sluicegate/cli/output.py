"""Keeps what happens to the output from changing what an exit code means."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

__all__ = ["escape_what_cannot_be_written", "flush", "is_broken_pipe", "printable", "silence"]


def escape_what_cannot_be_written() -> None:
    """Let characters that the output's encoding lacks be written as escapes: a decision is not undone by its name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a process may have been started without them
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what is still held back, so that a failure shows here and not when the process is gone."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def is_broken_pipe(error: BaseException | None) -> bool:
    """Say whether *error* came of a reader that left: the parser and the console turn that into an exit."""
    while error is not None:
        if isinstance(error, BrokenPipeError):
            return True
        error = error.__context__
    return False


def silence() -> None:
    """Let what is still held back go nowhere, for Python writes it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def printable(text: str) -> str:
    """Return *text* so that what others wrote can do nothing to the terminal."""
    return text if text.isprintable() else ascii(text)
