"""What a batcher sends on in tests: each batch is kept, and held up until it is told to go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluicegate.database import Batcher

LONG_US = 60_000_000  # where a test is not about time


class Road:
    """What a batcher sends on: it keeps each batch, and holds it up until it is told to go on."""

    def __init__(self, *, held: bool = True) -> None:
        self.held = held
        self.batches: list[list[int]] = []
        self.left_us: list[int] = []
        self.under_way: list[asyncio.Future[Any]] = []
        self.most_at_once = 0

    async def send(self, items: Sequence[int], left_us: int) -> list[Any]:
        """Answer each item with its number and its batch's, once the batch was let go."""
        self.batches.append(list(items))
        self.left_us.append(left_us)
        number = len(self.batches)
        gate = asyncio.get_running_loop().create_future()
        self.under_way.append(gate)
        self.most_at_once = max(self.most_at_once, len(self.under_way))
        try:
            replaced = await gate if self.held else await asyncio.sleep(0)
        finally:
            self.under_way.remove(gate)
        return replaced or [(number, item) for item in items]

    async def let_go(self, results: list[Any] | None = None) -> None:
        """Let the oldest batch under way arrive, with other results when given."""
        self.under_way[0].set_result(results)
        await turn()

    async def fail(self, error: BaseException) -> None:
        """Let the oldest batch under way fail."""
        self.under_way[0].set_exception(error)
        await turn()


async def turn() -> None:
    """Let the loop do what it has to do by now."""
    for _ in range(10):
        await asyncio.sleep(0)


def submitted(batcher: Batcher[int], items: Iterable[int]) -> list[asyncio.Future[Any]]:
    """Put items in line, and return their promises."""
    loop = asyncio.get_running_loop()
    promises = []
    for item in items:
        promise = loop.create_future()
        promise.add_done_callback(_hear)  # a test may look at some of them only
        batcher.submit(item, promise, loop)
        promises.append(promise)
    return promises


def errors_of(promises: Iterable[asyncio.Future[Any]]) -> list[type]:
    """Return the kind of error that each promise was answered with."""
    return [type(promise.exception()) for promise in promises]


def _hear(promise: asyncio.Future[Any]) -> None:
    if not promise.cancelled():
        promise.exception()
