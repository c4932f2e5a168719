"""How long something took beside how late the event loop itself was, so that a busy machine fails no test."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

Result = TypeVar("Result")

GRACE_S = 0.010  # beyond the deadline, as promised


class Lag:
    """The longest that the event loop was away from its work.

    Attributes:
        worst_s: In seconds.
    """

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def watch(self) -> None:
        """Wake every millisecond, and note by how much that was late."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            self.worst_s = max(self.worst_s, time.monotonic() - before - 0.001)


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


async def timed(awaitable: Awaitable[Result]) -> tuple[Result, float]:
    """Return what was awaited, and the seconds that it took."""
    before = time.monotonic()
    result = await awaitable
    return result, time.monotonic() - before
