"""Many callers, one round trip: what is asked while a batch is under way goes together in the next.

Idle, an item is sent at the end of the event loop's turn; busy, it waits in line. One batch is under way
while there is little to do, for small batches waste the server's time. When nearly as many wait as are under
way, they go beside them, so that client and server work at the same time: so with many callers, however
many there are, two batches of half of them take turns. Callers wait on promises and never touch a connection, so
cancelling one of them disturbs nobody. The batcher knows nothing of what it carries: it hands items to a
sender and results to their promises.

Everything here runs on one event loop, so there is no lock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sluicegate.utils import LimiterClosedError, StoreError, StoreOverloadedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

__all__ = ["BATCH_MAX", "IN_FLIGHT_MAX", "QUEUE_MAX", "Batcher"]

BATCH_MAX = 64  # units of work in one call, a seventh of a millisecond of the server's core: more would save it little
IN_FLIGHT_MAX = 2  # batches under way: one is decided while the other is written and read
SHARE_MIN = 16  # items that are worth a call beside another: of fewer the call costs more than it gains
BESIDE_RATIO = 0.75  # of what is under way must wait before it goes beside it: not all of them come back in one turn
BATCH_S_MIN = 1e-5  # the clock of some loops stands still for a millisecond
PACE_SHARE = 0.125  # what the newest batch says of the pace
MARGIN_RATIO = 0.1  # who has less of its deadline left is not sent: a call that is cut off costs its connection
QUEUE_MAX = 20_000  # what one process can have decided within a deadline of 50 ms, several times over

Item = TypeVar("Item")


class _Promise(Protocol):
    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...  # noqa: ANN401 - opaque here
    def set_exception(self, exception: BaseException, /) -> None: ...


_Waiting = tuple[Item, _Promise, float, int]  # an item, who waits for it, when it is due, how much work it is


class Batcher(Generic[Item]):
    """Gathers items into batches: one under way, and another beside it when nearly as many wait.

    Args:
        send: Sends a batch within the given microseconds and returns a result, or an exception, for each item.
        deadline_us: The time from `submit` to an answer, in microseconds.
        batch_max: Units of work in one batch.
        in_flight_max: Batches that may be under way.
        queue_max: Items that may wait, where they are decided in time; one more is refused.
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
        self._queue: deque[_Waiting[Item]] = deque()
        self._queue_room = queue_max  # how many may wait now, by the pace at which they are decided
        self._batch_s = 0.0  # how long a batch takes
        self._in_flight_max = in_flight_max
        self._under_way = 0
        self._beside = self._share_min = min(SHARE_MIN, batch_max)  # so many that wait go beside what is under way
        self._workers: set[asyncio.Task[None]] = set()
        self._starting = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def submit(self, item: Item, promise: _Promise, loop: asyncio.AbstractEventLoop, weight: int = 1) -> None:
        """Put *item* in line; its result, or why there is none, goes to *promise* within the deadline.

        Args:
            item: What to send.
            promise: Who waits for it.
            loop: The running loop, which the caller has at hand.
            weight: How much work it is, in units of the least.

        Raises:
            StoreOverloadedError: The line is full, or so long that its turn would come too late.
            LimiterClosedError: The batcher is closed.
        """
        if self._closed:
            raise LimiterClosedError("the limiter is closed")
        queue = self._queue
        waiting = len(queue)
        if waiting >= self._queue_room:
            raise StoreOverloadedError("decide", f"{waiting:,} requests wait already")
        due_s = loop.time() + self._deadline_s
        queue.append((item, promise, due_s, weight))
        if not self._starting:
            workers = self._under_way
            if workers == 0 or (workers < self._in_flight_max and waiting + 1 >= self._beside):
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
        self._fail(self._queue, LimiterClosedError("the limiter was closed"))
        self._queue.clear()

    def _start(self) -> None:
        self._starting = False
        if self._closed:  # who stands in line is answered by the closing
            return
        waiting, room = len(self._queue), self._in_flight_max - self._under_way
        wanted = min(room, max(waiting // self._share_min, 1))
        for _ in range(wanted):
            self._under_way += 1
            worker = asyncio.get_running_loop().create_task(self._work(-(-waiting // wanted)))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self, most: int) -> None:
        """Send batch after batch, the first of them of *most* items, for as long as nobody else would."""
        try:
            while batch := self._taken(min(most, self._batch_max)):
                self._beside = max(self._share_min, round(len(batch) * BESIDE_RATIO))
                await self._deliver(batch)
                if self._under_way > 1 and len(self._queue) < self._beside:
                    return  # the others will take what is left
                most = self._batch_max
        finally:
            self._under_way -= 1
            if self._queue and not (self._under_way or self._starting or self._closed):
                self._starting = True  # a defect ended this one: who stands in line is served all the same
                asyncio.get_running_loop().call_soon(self._start)

    async def _deliver(self, batch: list[_Waiting[Item]]) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if batch[0][2] <= now_s + self._margin_s:
            late = [entry for entry in batch if entry[2] <= now_s + self._margin_s]
            self._fail(late, StoreUnavailableError("decide", "the deadline passed before it could be sent"))
            batch = batch[len(late) :]  # they stand in the order of their deadlines
            if not batch:
                return
        left_us = round((batch[0][2] - now_s) * 1_000_000)
        try:
            results = await self._send([entry[0] for entry in batch], left_us)
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
        self._note_pace(loop.time() - now_s)
        try:
            for entry, result in pairs:
                promise = entry[1]
                if promise.done():
                    continue
                if isinstance(result, BaseException):
                    promise.set_exception(result)
                else:
                    promise.set_result(result)
        except Exception as error:  # a defect of one who waits must not leave the others waiting
            self._fail(batch, error)
            raise

    def _note_pace(self, passed_s: float) -> None:
        """Learn how long a batch takes, and from it how many may wait: later ones would wait for nothing."""
        self._batch_s += (passed_s - self._batch_s) * (PACE_SHARE if self._batch_s else 1.0)
        batches = (self._deadline_s - self._margin_s) / max(self._batch_s, BATCH_S_MIN)
        at_once = self._in_flight_max * self._batch_max
        # However slow it was a moment ago, as many may wait as go at once, to find out.
        self._queue_room = min(self._queue_max, max(at_once, int(batches * at_once)))

    def _taken(self, most: int) -> list[_Waiting[Item]]:
        """Take up to *most* items of no more work than a batch may be, leaving out those that nobody waits for."""
        queue = self._queue
        batch: list[_Waiting[Item]] = []
        weight = 0
        while queue and len(batch) < most and weight < self._batch_max:
            entry = queue.popleft()
            if not entry[1].done():
                batch.append(entry)
                weight += entry[3]
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
    def _fail(batch: Iterable[_Waiting[Any]], error: BaseException) -> None:
        for _, promise, _, _ in batch:
            if not promise.done():
                promise.set_exception(error)
