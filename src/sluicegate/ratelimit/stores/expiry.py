"""Which key to forget first: the one that is nearest to having no state, found without looking at all.

Keys lie in buckets by the time at which their state will equal no state. A key stays in the bucket
in which it was put down; only when that bucket is opened is it looked at again, and put further
back if its state has grown meanwhile. So a decision on a known key never touches the order, and
no step looks at more keys than it is told.

What is held ends at an instant that moves with every renewal and that must be known exactly. For that
there is an order in which each name has its place, and changes it whenever its end does.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from heapq import heappop, heappush
from operator import itemgetter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EndOrder", "ExpiryOrder", "Name"]

Name = tuple[str, str]  # what stands before a key, and the key
Held = TypeVar("Held", str, Name)

BUCKET_SHIFT = 16  # buckets of 2^16 microseconds, 0.07 s: the grain of "nearest"
BLOCK_MAX = 512  # names that one step may have to shift: as few as there are blocks, where there are 100,000

_last_of = itemgetter(-1)
_end_of = itemgetter(0)


class ExpiryOrder:
    """The keys of one table in the order of their expiry, to the grain of a bucket."""

    __slots__ = ("_buckets", "_order")

    def __init__(self) -> None:
        self._buckets: dict[int, list[str]] = {}  # both parts of each name, one after the other: a pair is dearer
        self._order: list[int] = []  # a heap of the buckets that exist

    def add(self, name: Name, expires_us: int) -> None:
        """Put down a key that was not there before."""
        number = expires_us >> BUCKET_SHIFT
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = [*name]
            heappush(self._order, number)
        else:
            bucket += name

    def pop(self, expires_of: Callable[[Name], int | None]) -> Name | None:
        """Take out the key that expires first.

        Args:
            expires_of: Tells a key's present expiry, or ``None`` when the key is gone.
        """
        while self._order:
            number = self._order[0]
            bucket = self._buckets[number]
            while bucket:
                key = bucket.pop()
                name = bucket.pop(), key
                expires_us = expires_of(name)
                if expires_us is None:
                    continue
                if expires_us >> BUCKET_SHIFT <= number:
                    return name
                self.add(name, expires_us)
            del self._buckets[number]
            heappop(self._order)
        return None

    def take_due(self, now_us: int, most: int) -> list[Name]:
        """Take out up to *most* keys whose buckets lie in the past; some of them may live on by now."""
        taken: list[str] = []
        while self._order and self._order[0] < now_us >> BUCKET_SHIFT and len(taken) < 2 * most:
            bucket = self._buckets[self._order[0]]
            cut = max(0, len(bucket) - 2 * most + len(taken))
            taken += bucket[cut:]
            del bucket[cut:]
            if not bucket:
                del self._buckets[heappop(self._order)]
        return list(zip(taken[::2], taken[1::2], strict=True))


class EndOrder(Generic[Held]):
    """Names, each with the instant at which it ends, in exactly that order; any of them may move or leave.

    They lie in blocks of bounded size, so that no step shifts or looks at all of them.
    """

    __slots__ = ("_blocks", "_ends_us")

    def __init__(self) -> None:
        self._ends_us: dict[Held, int] = {}
        self._blocks: list[list[tuple[int, Held]]] = []  # none of them empty

    def __len__(self) -> int:
        return len(self._ends_us)

    def __contains__(self, name: Held) -> bool:
        return name in self._ends_us

    def put(self, name: Held, end_us: int) -> None:
        """Have *name* end at *end_us*, whether or not it was there before."""
        if name in self._ends_us:
            self.remove(name)
        self._ends_us[name] = end_us
        blocks, entry = self._blocks, (end_us, name)
        if not blocks:
            blocks.append([entry])
            return
        at = min(bisect_left(blocks, entry, key=_last_of), len(blocks) - 1)
        block = blocks[at]
        insort(block, entry)
        if len(block) > BLOCK_MAX:
            half = BLOCK_MAX // 2
            blocks.insert(at + 1, block[half:])
            del block[half:]

    def remove(self, name: Held) -> bool:
        """Take *name* out; say whether it was there."""
        end_us = self._ends_us.pop(name, None)
        if end_us is None:
            return False
        blocks, entry = self._blocks, (end_us, name)
        at = bisect_left(blocks, entry, key=_last_of)
        block = blocks[at]
        del block[bisect_left(block, entry)]
        if not block:
            del blocks[at]
        # Small neighbours become one, or many that come and go would leave a block each.
        for left in (at, at - 1):
            if 0 <= left < len(blocks) - 1 and len(blocks[left]) + len(blocks[left + 1]) <= BLOCK_MAX // 2:
                blocks[left] += blocks.pop(left + 1)
        return True

    def pop_ended(self, now_us: int) -> Held | None:
        """Take out the first name, if it has ended."""
        if not self._blocks or self._blocks[0][0][0] > now_us:
            return None
        name = self._blocks[0][0][1]
        self.remove(name)
        return name

    def last_us(self, otherwise_us: int) -> int:
        """Return when the last one ends, or *otherwise_us* when there is none."""
        return self._blocks[-1][-1][0] if self._blocks else otherwise_us

    def count_after(self, now_us: int) -> int:
        """Return how many end after *now_us*."""
        blocks = self._blocks
        at = bisect_right(blocks, now_us, key=lambda block: block[-1][0])
        if at == len(blocks):
            return 0
        ended = sum(map(len, blocks[:at])) + bisect_right(blocks[at], now_us, key=_end_of)
        return len(self._ends_us) - ended

    def bring_back(self, until_us: int) -> None:
        """Let nobody end later than at *until_us*."""
        while self.last_us(until_us) > until_us:
            self.put(self._blocks[-1][-1][1], until_us)
