"""Puts what a log says into the order in which limits must see it, in bounded memory.

Logs are written when requests end, so they are out of order by time. What is kept of a request is
which rule covers it, under which key, when, and on which line; sorted by exactly that, each key's
requests stand together and in order of time, and those of one instant in the order of their lines.
Keys do not touch each other's state, so limits can be driven key by key, with one key in memory.

An external merge sort: what does not fit into memory is sorted in runs that are written to a
temporary file and merged while they are read back.
"""

from __future__ import annotations

import marshal
from heapq import merge
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Self

from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

__all__ = ["REQUESTS_IN_MEMORY_MAX", "Entry", "Ordering"]

REQUESTS_IN_MEMORY_MAX = 500_000  # about 100 MB with keys of 20 characters
_RUNS_MAX = 128  # read side by side, a piece of each in memory
_PIECE_ENTRIES = 1_000  # 128 pieces are a quarter of what a run holds
_LENGTH_BYTES = 8

Entry = tuple[int, str, int, int]  # index of the rule, key, at_us, line number


class Ordering:
    """Takes entries in any order and gives them back sorted; a context manager that cleans up its files.

    Args:
        in_memory_max: The most entries that are held in memory. Default 500,000.
    """

    __slots__ = ("_file", "_in_memory_max", "_pending", "_runs", "count")

    def __init__(self, *, in_memory_max: int = REQUESTS_IN_MEMORY_MAX) -> None:
        if type(in_memory_max) is not int or in_memory_max < 1:
            raise InvalidInputError("in_memory_max", shape_of(in_memory_max), "a whole number from 1")
        self.count = 0
        self._in_memory_max = in_memory_max
        self._pending: list[Entry] = []
        self._runs: list[tuple[int, int]] = []  # where each begins and ends in the file
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, entry: Entry) -> None:
        """Take one more entry."""
        self._pending.append(entry)
        self.count += 1
        if len(self._pending) >= self._in_memory_max:
            self._spill()

    def sorted(self) -> Iterator[Entry]:
        """Yield all entries in order; nothing may be added afterwards."""
        self._pending.sort()
        if not self._runs:
            return iter(self._pending)
        return merge(*(self._entries(*run) for run in self._runs), self._pending)

    def _spill(self) -> None:
        self._pending.sort()
        self._runs.append(self._written(self._pending))
        self._pending.clear()
        if len(self._runs) == _RUNS_MAX:
            # Their places in the file stay taken: disk is what this trades for memory.
            self._runs = [self._written(merge(*(self._entries(*run) for run in self._runs)))]

    def _written(self, entries: Iterable[Entry]) -> tuple[int, int]:
        if self._file is None:
            self._file = TemporaryFile(prefix="sluicegate-replay-")  # noqa: SIM115 - closed on exit
        file = self._file
        begin = file.seek(0, 2)
        end = begin
        for piece in _pieces(entries):
            content = marshal.dumps(piece)
            file.seek(end)  # a run that is merged is read from the same file
            end += file.write(len(content).to_bytes(_LENGTH_BYTES, "big"))
            end += file.write(content)
        return begin, end

    def _entries(self, begin: int, end: int) -> Iterator[Entry]:
        file = self._file
        assert file is not None
        at = begin
        while at < end:
            file.seek(at)
            length = int.from_bytes(file.read(_LENGTH_BYTES), "big")
            # Only this process has ever had this file: it is unlinked, so nobody could have put code there.
            yield from marshal.loads(file.read(length))  # noqa: S302
            at += _LENGTH_BYTES + length


def _pieces(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    piece: list[Entry] = []
    for entry in entries:
        piece.append(entry)
        if len(piece) == _PIECE_ENTRIES:
            yield piece
            piece = []
    if piece:
        yield piece
