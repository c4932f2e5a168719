"""Waiting for a turn: first come, first served for each key within a process.

Only the head of a line takes, at the instant its denial named; nothing is debited ahead. Who comes
behind it looks once, because a wait that cannot be in time fails at once, and then stands still.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from sluicegate.utils import LimiterClosedError, LimitExceededError, StoreOverloadedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sluicegate.ratelimit.decision import Decision
    from sluicegate.utils import Clock

__all__ = ["WAITERS_MAX", "WaitingLines"]

WAITERS_MAX = 100_000  # tasks that wait in one process, over all keys: a few kilobytes each
UNKNOWN_WAIT_S = 0.1  # how soon to ask again when nobody can say (the store is away)


class _Place:
    """One waiter's place in a line."""

    __slots__ = ("woken",)

    def __init__(self) -> None:
        self.woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


_Line = OrderedDict[_Place, None]  # in the order of their coming; the first is the head
_Name = tuple[asyncio.AbstractEventLoop, str]  # only who waits on one loop can wake each other


class WaitingLines:
    """The lines of one limiter, one for each limit and key that somebody waits for.

    Args:
        clock: Measures how long somebody has waited.
        sleep: Waits by that clock.
        waiters_max: How many may wait, over all lines; one more is refused.
    """

    def __init__(
        self, clock: Clock, sleep: Callable[[float], Awaitable[None]], *, waiters_max: int = WAITERS_MAX
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._waiters_max = waiters_max
        self._waiters = 0
        self._lines: dict[_Name, _Line] = {}
        self._closed = False

    async def wait(
        self,
        name: str,
        timeout_s: float,
        *,
        acquire: Callable[[], Awaitable[Decision]],
        peek: Callable[[], Awaitable[Decision]],
    ) -> Decision:
        """Stand in the line called *name* until *acquire* grants, or it can no longer be in time.

        Raises:
            LimitExceededError: It cannot be in time, or never.
            StoreOverloadedError: Too many wait already.
            LimiterClosedError: The lines were closed meanwhile.

        A cancelled waiter leaves the line.
        """
        due_us = self._clock.monotonic_us() + round(timeout_s * 1_000_000)
        if self._waiters >= self._waiters_max:
            raise StoreOverloadedError("wait", f"{self._waiters_max:,} wait already")
        own_name = (asyncio.get_running_loop(), name)
        line = self._lines.setdefault(own_name, OrderedDict())
        place = _Place()
        line[place] = None
        self._waiters += 1
        try:
            if next(iter(line)) is not place:
                self._check_in_time(await peek(), due_us)
                if not await self._pause(place, (due_us - self._clock.monotonic_us()) / 1_000_000):
                    raise LimitExceededError(await peek())
            return await self._take(place, due_us, acquire)
        finally:
            self._waiters -= 1
            self._leave(own_name, line, place)

    def close(self) -> None:
        """Send everybody away who waits."""
        self._closed = True
        for loop, name in list(self._lines):
            with suppress(RuntimeError):  # a loop that has ended has nobody left who waits
                loop.call_soon_threadsafe(self._wake_all, (loop, name))

    async def _take(self, place: _Place, due_us: int, acquire: Callable[[], Awaitable[Decision]]) -> Decision:
        """Ask, as the head of the line, at each instant that a denial names."""
        place.woken = asyncio.get_running_loop().create_future()
        while True:
            decision = await acquire()
            if decision.allowed:
                return decision
            await self._pause(place, self._check_in_time(decision, due_us))

    async def _pause(self, place: _Place, seconds: float) -> bool:
        """Sleep, or until woken; say whether it was that.

        Raises:
            LimiterClosedError: The lines were closed meanwhile.
        """
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait([place.woken, sleeping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
        if self._closed:
            raise LimiterClosedError("the limiter was closed")
        return place.woken.done()

    def _leave(self, name: _Name, line: _Line, place: _Place) -> None:
        """Give up a place; when it was the head's, the next one is woken."""
        was_head = next(iter(line)) is place
        del line[place]
        if not line:
            del self._lines[name]
        elif was_head:
            next(iter(line)).wake()

    def _wake_all(self, name: _Name) -> None:
        for place in self._lines.get(name, ()):
            place.wake()

    def _check_in_time(self, decision: Decision, due_us: int) -> float:
        """Return the seconds to wait until the next try.

        Raises:
            LimitExceededError: That would be too late.
        """
        left_us = due_us - self._clock.monotonic_us()
        if decision.allowed:
            return 0.0
        if decision.never or left_us <= 0 or decision.retry_after_us > left_us:
            raise LimitExceededError(decision)
        if decision.retry_after_us < 0:
            return min(UNKNOWN_WAIT_S, left_us / 1_000_000)
        return decision.retry_after_us / 1_000_000
