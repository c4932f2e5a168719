"""Which key to forget first: the one that is nearest to having no state, found without looking at all.

Keys lie in buckets by the time at which their state will equal no state. A key stays in the bucket
in which it was put down; only when that bucket is opened is it looked at again, and put further
back if its state has grown meanwhile. So a decision on a known key never touches the order, and
no step looks at more keys than it is told.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ExpiryOrder"]

BUCKET_SHIFT = 16  # buckets of 2^16 microseconds, 0.07 s: the grain of "nearest"


class ExpiryOrder:
    """The keys of one table in the order of their expiry, to the grain of a bucket."""

    __slots__ = ("_buckets", "_order")

    def __init__(self) -> None:
        self._buckets: dict[int, list[str]] = {}
        self._order: list[int] = []  # a heap of the buckets that exist

    def add(self, name: str, expires_us: int) -> None:
        """Put down a key that was not there before."""
        number = expires_us >> BUCKET_SHIFT
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = [name]
            heappush(self._order, number)
        else:
            bucket.append(name)

    def pop(self, expires_of: Callable[[str], int | None]) -> str | None:
        """Take out the key that expires first.

        Args:
            expires_of: Tells a key's present expiry, or ``None`` when the key is gone.
        """
        while self._order:
            number = self._order[0]
            bucket = self._buckets[number]
            while bucket:
                name = bucket.pop()
                expires_us = expires_of(name)
                if expires_us is None:
                    continue
                if expires_us >> BUCKET_SHIFT <= number:
                    return name
                self.add(name, expires_us)
            del self._buckets[number]
            heappop(self._order)
        return None

    def take_due(self, now_us: int, most: int) -> list[str]:
        """Take out up to *most* keys whose buckets lie in the past; some of them may live on by now."""
        taken: list[str] = []
        while self._order and self._order[0] < now_us >> BUCKET_SHIFT and len(taken) < most:
            bucket = self._buckets[self._order[0]]
            cut = max(0, len(bucket) - most + len(taken))
            taken += bucket[cut:]
            del bucket[cut:]
            if not bucket:
                del self._buckets[heappop(self._order)]
        return taken
