"""Many callers, one round trip: what is asked while a batch is under way goes together in the next.

Idle, an item is sent at the end of the event loop's turn; busy, it waits in line. When a full batch
is waiting, it goes while others are under way, so that client and server work at the same time. Callers wait on
promises and never touch a connection, so cancelling one of them disturbs nobody. The batcher knows
nothing of what it carries: it hands items to a sender and results to their promises.

Everything here runs on one event loop, so there is no lock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sluicegate.utils import LimiterClosedError, StoreError, StoreOverloadedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Batcher"]

BATCH_MAX = 64  # items in one script call, a quarter of a millisecond of the server's core: more would save it little
IN_FLIGHT_MAX = 2  # batches under way: one is decided while the other is written and read
MARGIN_RATIO = 0.1  # who has less of its deadline left is not sent: a call that is cut off costs its connection
QUEUE_MAX = 20_000  # what one process can have decided within a deadline of 50 ms, several times over

Item = TypeVar("Item")


class _Promise(Protocol):
    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...  # noqa: ANN401 - opaque here
    def set_exception(self, exception: BaseException, /) -> None: ...


class Batcher(Generic[Item]):
    """Gathers items into batches: one under way, and more only when they are full.

    Args:
        send: Sends a batch within the given microseconds and returns a result, or an exception, for each item.
        deadline_us: The time from `submit` to an answer, in microseconds.
        batch_max: Items in one batch.
        in_flight_max: Batches that may be under way.
        queue_max: Items that may wait; one more is refused.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item], int], Awaitable[Sequence[Any]]],
        *,
        deadline_us: int,
        batch_max: int = BATCH_MAX,
        in_flight_max: int = IN_FLIGHT_MAX,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self._send = send
        self._deadline_s = deadline_us / 1_000_000
        self._margin_s = self._deadline_s * MARGIN_RATIO
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._queue: deque[tuple[Item, _Promise, float]] = deque()
        self._in_flight_max = in_flight_max
        self._under_way = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._starting = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def submit(self, item: Item, promise: _Promise, loop: asyncio.AbstractEventLoop) -> None:
        """Put *item* in line; its result, or why there is none, goes to *promise* within the deadline.

        Args:
            item: What to send.
            promise: Who waits for it.
            loop: The running loop, which the caller has at hand.

        Raises:
            StoreOverloadedError: The line is full.
            LimiterClosedError: The batcher is closed.
        """
        if self._closed:
            raise LimiterClosedError("the limiter is closed")
        if len(self._queue) >= self._queue_max:
            raise StoreOverloadedError("decide", f"{self._queue_max:,} requests wait already")
        due_s = loop.time() + self._deadline_s
        self._queue.append((item, promise, due_s))
        workers = self._under_way
        if not self._starting and (
            workers == 0 or (workers < self._in_flight_max and len(self._queue) >= self._batch_max)
        ):
            self._starting = True
            loop.call_soon(self._start)  # whoever else asks in this turn comes along
        if self._timer is None:
            self._timer = loop.call_at(due_s, self._expire)

    async def aclose(self) -> None:
        """Answer everybody who still waits, and end."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        self._fail(self._taken(len(self._queue)), LimiterClosedError("the limiter was closed"))

    def _start(self) -> None:
        self._starting = False
        full = len(self._queue) // self._batch_max
        wanted = full if self._under_way else max(full, 1)
        for _ in range(min(wanted, self._in_flight_max - self._under_way)):
            self._under_way += 1
            worker = asyncio.get_running_loop().create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        try:
            while batch := self._taken(self._batch_max):
                await self._deliver(batch)
                if self._under_way > 1 and len(self._queue) < self._batch_max:
                    return  # the others will take what is left
        finally:
            self._under_way -= 1
            if self._queue and not (self._under_way or self._starting or self._closed):
                self._starting = True  # a defect ended this one: who stands in line is served all the same
                asyncio.get_running_loop().call_soon(self._start)

    async def _deliver(self, batch: list[tuple[Item, _Promise, float]]) -> None:
        now_s = asyncio.get_running_loop().time()
        if batch[0][2] <= now_s + self._margin_s:
            late = [entry for entry in batch if entry[2] <= now_s + self._margin_s]
            self._fail(late, StoreUnavailableError("decide", "the deadline passed before it could be sent"))
            batch = batch[len(late) :]  # they stand in the order of their deadlines
            if not batch:
                return
        left_us = round((batch[0][2] - now_s) * 1_000_000)
        try:
            results = await self._send([item for item, _, _ in batch], left_us)
            pairs = list(zip(batch, results, strict=True))
        except asyncio.CancelledError:
            self._fail(batch, LimiterClosedError("the limiter was closed"))
            raise
        except StoreError as error:
            self._fail(batch, error)
            return
        except Exception as error:  # a defect must not leave callers waiting for ever
            self._fail(batch, error)
            raise
        for (_, promise, _), result in pairs:
            if promise.done():
                continue
            if isinstance(result, BaseException):
                promise.set_exception(result)
            else:
                promise.set_result(result)

    def _taken(self, most: int) -> list[tuple[Item, _Promise, float]]:
        """Take up to *most* items out of the line, leaving out those that nobody waits for."""
        queue = self._queue
        batch: list[tuple[Item, _Promise, float]] = []
        while queue and len(batch) < most:
            entry = queue.popleft()
            if not entry[1].done():
                batch.append(entry)
        return batch

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
