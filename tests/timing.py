"""How long something took beside how late the event loop itself was, so that a busy machine fails no test."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

Result = TypeVar("Result")

GRACE_S = 0.010  # beyond the deadline, as promised
NAP_S = 0.001


class Lag:
    """The longest that the event loop was away from its work."""

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._asleep_since = time.monotonic()

    @property
    def worst_s(self) -> float:
        """The worst lateness so far in seconds, that of the sleep which is not over yet included."""
        return max(self._longest_s, time.monotonic() - self._asleep_since - NAP_S)

    async def watch(self) -> None:
        """Wake every millisecond, and note by how much that was late."""
        while True:
            self._asleep_since = time.monotonic()
            await asyncio.sleep(NAP_S)
            self._longest_s = self.worst_s

    def end(self) -> None:
        """Note the sleep that is not over yet, and no more."""
        self._longest_s, self._asleep_since = self.worst_s, math.inf


@asynccontextmanager
async def lag_watched() -> AsyncIterator[Lag]:
    """Watch the event loop's own lag."""
    lag = Lag()
    watching = asyncio.create_task(lag.watch())
    await asyncio.sleep(0)
    try:
        yield lag
    finally:
        watching.cancel()
        lag.end()


async def timed(awaitable: Awaitable[Result]) -> tuple[Result, float]:
    """Return what was awaited, and the seconds that it took."""
    before = time.monotonic()
    result = await awaitable
    return result, time.monotonic() - before
