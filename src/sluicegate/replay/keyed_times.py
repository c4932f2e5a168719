"""When each key of one rule made its requests, in a form that can be gone through many times.

Looking for the limit that would have denied 1 % means deciding everything again for each limit that
is tried. Eight bytes a request, in memory up to a bound and in a temporary file beyond it.
"""

from __future__ import annotations

from array import array
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

__all__ = ["KeyedTimes"]

_IN_MEMORY_BYTES_MAX = 64 * 1024 * 1024  # eight million requests
_PIECE_TIMES = 8_192  # of one key; a key may have more requests than fit into memory
_WORD_BYTES = 8


class KeyedTimes:
    """A tape of keys, each a number of requests and their times; a context manager.

    Each key is one or more pieces: a word with the piece's length, negative when another piece of
    the same key follows, and as many times.
    """

    __slots__ = ("_end", "_tape", "keys", "requests", "requests_of_key_max")

    def __init__(self) -> None:
        self._tape = SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES_MAX, prefix="sluicegate-replay-")  # noqa: SIM115 - closed on exit
        self._end = 0
        self.keys = 0
        self.requests = 0
        self.requests_of_key_max = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tape.close()

    def add_key(self, times: Iterable[int]) -> int:
        """Append one key with the *times* of its requests in microseconds, in order; return its place."""
        place = self._end
        piece = array("q")
        count = 0
        for at_us in times:
            if len(piece) == _PIECE_TIMES:
                self._write(array("q", [-len(piece)]), piece)
                piece = array("q")
            piece.append(at_us)
            count += 1
        self._write(array("q", [len(piece)]), piece)
        self.keys += 1
        self.requests += count
        self.requests_of_key_max = max(self.requests_of_key_max, count)
        return place

    def places(self) -> Iterator[int]:
        """Yield the place of each key."""
        at = 0
        while at < self._end:
            yield at
            length = -1
            while length < 0:
                length = self._read(at, 1)[0]
                at += (1 + abs(length)) * _WORD_BYTES

    def is_within(self, place: int, count: int) -> bool:
        """Say whether the key at *place* made at most *count* requests, or ``False`` if that is not told at once."""
        return 0 <= self._read(place, 1)[0] <= count

    def pieces(self, place: int) -> Iterator[array[int]]:
        """Yield the times of the key at *place*, piece by piece."""
        length = -1
        while length < 0:
            length = self._read(place, 1)[0]
            yield self._read(place + _WORD_BYTES, abs(length))
            place += (1 + abs(length)) * _WORD_BYTES

    def _write(self, *words: array[int]) -> None:
        self._tape.seek(self._end)
        for part in words:
            self._end += self._tape.write(part.tobytes())

    def _read(self, place: int, count: int) -> array[int]:
        self._tape.seek(place)
        words = array("q")
        words.frombytes(self._tape.read(count * _WORD_BYTES))
        return words
