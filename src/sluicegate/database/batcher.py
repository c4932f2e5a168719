"""Many callers, one round trip: what is asked while a batch is under way goes together in the next.

Idle, an item is sent at the end of the event loop's turn; busy, it waits in line. Callers wait on
promises and never touch a connection, so cancelling one of them disturbs nobody. The batcher knows
nothing of what it carries: it hands items to a sender and results to their promises.

Everything here runs on one event loop, so there is no lock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sluicegate.utils import LimiterClosedError, StoreError, StoreOverloadedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Batcher"]

BATCH_MAX = 128  # items in one script call: about 0.5 ms of the server's core
QUEUE_MAX = 20_000  # what one process can have decided within a deadline of 50 ms, several times over

Item = TypeVar("Item")


class _Promise(Protocol):
    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...  # noqa: ANN401 - opaque here
    def set_exception(self, exception: BaseException, /) -> None: ...


class Batcher(Generic[Item]):
    """Gathers items into batches, at most one of which is under way.

    Args:
        send: Sends a batch within the given microseconds and returns a result, or an exception, for each item.
        deadline_us: The time from `submit` to an answer, in microseconds.
        batch_max: Items in one batch.
        queue_max: Items that may wait; one more is refused.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item], int], Awaitable[Sequence[Any]]],
        *,
        deadline_us: int,
        batch_max: int = BATCH_MAX,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self._send = send
        self._deadline_s = deadline_us / 1_000_000
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._queue: deque[tuple[Item, _Promise, float]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._starting = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def submit(self, item: Item, promise: _Promise) -> None:
        """Put *item* in line; its result, or why there is none, goes to *promise* within the deadline.

        Raises:
            StoreOverloadedError: The line is full.
            LimiterClosedError: The batcher is closed.
        """
        if self._closed:
            raise LimiterClosedError("the limiter is closed")
        if len(self._queue) >= self._queue_max:
            raise StoreOverloadedError("decide", f"{self._queue_max:,} requests wait already")
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._deadline_s
        self._queue.append((item, promise, due_s))
        if self._worker is None:
            if not self._starting:
                self._starting = True
                loop.call_soon(self._start)  # whoever else asks in this turn comes along
        elif self._timer is None:
            self._timer = loop.call_at(due_s, self._expire)

    async def aclose(self) -> None:
        """Answer everybody who still waits, and end."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        worker = self._worker
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        self._fail(self._taken(len(self._queue)), LimiterClosedError("the limiter was closed"))

    def _start(self) -> None:
        self._starting = False
        if self._worker is None and self._queue:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while batch := self._taken(self._batch_max):
                await self._deliver(batch)
        finally:
            self._worker = None

    async def _deliver(self, batch: list[tuple[Item, _Promise, float]]) -> None:
        left_us = round((batch[0][2] - asyncio.get_running_loop().time()) * 1_000_000)
        if left_us <= 0:
            self._fail(batch, StoreUnavailableError("decide", "the deadline passed before it could be sent"))
            return
        try:
            results = await self._send([item for item, _, _ in batch], left_us)
        except asyncio.CancelledError:
            self._fail(batch, LimiterClosedError("the limiter was closed"))
            raise
        except StoreError as error:
            self._fail(batch, error)
            return
        except Exception as error:  # a defect must not leave callers waiting for ever
            self._fail(batch, error)
            raise
        for (_, promise, _), result in zip(batch, results, strict=True):
            if promise.done():
                continue
            if isinstance(result, BaseException):
                promise.set_exception(result)
            else:
                promise.set_result(result)

    def _taken(self, most: int) -> list[tuple[Item, _Promise, float]]:
        """Take up to *most* items out of the line, leaving out those that nobody waits for."""
        queue = self._queue
        if len(queue) <= most:
            batch = [entry for entry in queue if not entry[1].done()]
            queue.clear()
            return batch
        batch = list(islice(queue, most))
        for _ in batch:
            queue.popleft()
        return [entry for entry in batch if not entry[1].done()] or self._taken(most)

    def _expire(self) -> None:
        """Answer those whose deadline passes while a batch before them is under way."""
        self._timer = None
        loop = asyncio.get_running_loop()
        queue = self._queue
        late = []
        while queue and queue[0][2] <= loop.time():
            late.append(queue.popleft())
        self._fail(late, StoreUnavailableError("decide", "the deadline passed before it could be sent"))
        if queue:
            self._timer = loop.call_at(queue[0][2], self._expire)

    @staticmethod
    def _fail(batch: Sequence[tuple[Any, _Promise, float]], error: BaseException) -> None:
        for _, promise, _ in batch:
            if not promise.done():
                promise.set_exception(error)
