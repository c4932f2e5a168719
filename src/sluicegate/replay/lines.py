"""The lines of a log, plain or gzip, from a file or a pipe, in blocks and in bounded memory."""

from __future__ import annotations

import gzip
import sys
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, NamedTuple

from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LINE_LENGTH_MAX", "Block", "LogSource", "opened"]

LINE_LENGTH_MAX = 64 * 1024  # eight times what servers accept as a request line; longer is no log line
_CHUNK_BYTES = 256 * 1024  # some thousand lines: enough that a block's overhead is nothing
_GZIP_MAGIC = b"\x1f\x8b"


class Block(NamedTuple):
    """Consecutive lines.

    Attributes:
        first_number: The first line's number, from 1.
        lines: The lines without their ends; one that is too long is empty.
        bytes_read: How much of the file was read so far, as it lies on disk.
    """

    first_number: int
    lines: list[str]
    bytes_read: int


@dataclass(slots=True)
class LogSource:
    """An opened log.

    Attributes:
        name: What to call it in messages.
        size_bytes: Its size on disk; ``None`` for a pipe.
        ended_early: Why the rest could not be read; ``None`` while all is well.
    """

    name: str
    size_bytes: int | None
    _raw: IO[bytes] = field(repr=False)
    ended_early: str | None = None

    def blocks(self) -> Iterator[Block]:
        r"""Read on to the end. Bytes that are not UTF-8 are shown as ``\xNN``; no line is ever fatal."""
        carry = b""
        skipping = False  # within a line that is too long already
        number = 1
        for chunk in self._chunks():
            head, newline, tail = chunk.rpartition(b"\n")
            if newline:
                lines = _lines_of(_without_first_line(head) if skipping else carry + head)
                yield Block(number, lines, self._bytes_read())
                number += len(lines)
                carry, skipping = tail, False
            elif not skipping:
                carry += tail
            if len(carry) > LINE_LENGTH_MAX:
                carry, skipping = b"", True
        if carry or skipping:
            yield Block(number, _lines_of(carry), self._bytes_read())

    def _chunks(self) -> Iterator[bytes]:
        stream: IO[bytes] | gzip.GzipFile = self._raw
        # Compressed or not is told by the content: rotated logs are renamed in every way.
        if self._raw.peek(2)[:2] == _GZIP_MAGIC:  # type: ignore[attr-defined] # opened() gives buffered files
            stream = gzip.GzipFile(fileobj=self._raw)
        first = True
        while True:
            try:
                chunk = stream.read1(_CHUNK_BYTES)  # type: ignore[union-attr] # both kinds have it
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                self.ended_early = f"broken gzip: {error}"
                return
            except OSError as error:
                self.ended_early = error.strerror or str(error)
                return
            if not chunk:
                return
            yield chunk.removeprefix(b"\xef\xbb\xbf") if first else chunk
            first = False

    def _bytes_read(self) -> int:
        return self._raw.tell() if self.size_bytes is not None else 0


@contextmanager
def opened(log: str | Path | IO[bytes]) -> Iterator[LogSource]:
    """Open *log*: a path, ``-`` for standard input, or a buffered binary file.

    Raises:
        InvalidInputError: There is no such file, or it may not be read.
    """
    if not isinstance(log, str | Path):
        yield LogSource("the given file", None, log)
    elif str(log) == "-":
        yield LogSource("standard input", None, sys.stdin.buffer)
    else:
        path = Path(log)
        try:
            file = path.open("rb")
        except (OSError, ValueError) as error:
            found = getattr(error, "strerror", None) or str(error)
            raise InvalidInputError(ascii(str(path)), found, "a readable log file, or - for standard input") from None
        with file:
            status = path.stat()
            # A named pipe has neither a size nor a position.
            yield LogSource(str(path), status.st_size if S_ISREG(status.st_mode) else None, file)


def _without_first_line(content: bytes) -> bytes:
    # What is left of a line that is too long counts as an empty one.
    _, newline, rest = content.partition(b"\n")
    return newline + rest


def _lines_of(content: bytes) -> list[str]:
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").removesuffix(b"\r")
    lines = content.decode("utf-8", "backslashreplace").split("\n")
    if len(content) > LINE_LENGTH_MAX:
        return [line if len(line) <= LINE_LENGTH_MAX else "" for line in lines]
    return lines
