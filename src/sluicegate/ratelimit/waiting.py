"""Waiting for a turn: first come, first served for each key within a process.

Only the head of a line asks the store, at the instant its denial named; nothing is debited ahead.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from sluicegate.utils import LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sluicegate.ratelimit.decision import Decision
    from sluicegate.utils import Clock

__all__ = ["WAITERS_MAX", "WaitingLines"]

WAITERS_MAX = 100_000  # tasks that wait in one process, over all keys
UNKNOWN_WAIT_S = 0.1  # how soon to ask again when nobody can say (the store is away)


class _Line:
    __slots__ = ("lock", "waiters")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # wakes its waiters in the order of their coming
        self.waiters = 0


class WaitingLines:
    """The lines of one limiter, one for each limit and key that somebody waits for.

    Args:
        clock: Measures how long somebody has waited.
        sleep: Waits by that clock.
    """

    def __init__(self, clock: Clock, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lines: dict[str, _Line] = {}

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

        A cancelled waiter leaves the line.
        """
        due_us = self._clock.monotonic_us() + round(timeout_s * 1_000_000)
        line = self._lines.setdefault(name, _Line())
        line.waiters += 1
        try:
            if line.waiters > 1:  # who is not the head need not stand in line for what cannot be
                self._check_in_time(await peek(), due_us)
            return await self._stand(line, due_us, acquire, peek)
        finally:
            line.waiters -= 1
            if line.waiters == 0:
                self._lines.pop(name, None)

    async def _stand(
        self,
        line: _Line,
        due_us: int,
        acquire: Callable[[], Awaitable[Decision]],
        peek: Callable[[], Awaitable[Decision]],
    ) -> Decision:
        await self._come_first(line, due_us, peek)
        try:
            while True:
                decision = await acquire()
                if decision.allowed:
                    return decision
                await self._sleep(self._check_in_time(decision, due_us))
        finally:
            line.lock.release()

    async def _come_first(self, line: _Line, due_us: int, peek: Callable[[], Awaitable[Decision]]) -> None:
        """Wait to be the head of the line.

        Raises:
            LimitExceededError: The deadline came first.
        """
        if not line.lock.locked():
            await line.lock.acquire()
            return
        turn = asyncio.create_task(line.lock.acquire())
        late = asyncio.create_task(self._sleep_until(due_us))
        try:
            await asyncio.wait([turn, late], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            _leave(line, turn)
            raise
        finally:
            late.cancel()
        if not turn.done():
            _leave(line, turn)
            raise LimitExceededError(await peek())

    async def _sleep_until(self, due_us: int) -> Literal[True]:
        await self._sleep((due_us - self._clock.monotonic_us()) / 1_000_000)
        return True

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


def _leave(line: _Line, turn: asyncio.Task[Literal[True]]) -> None:
    """Give up a place in line, and the turn itself when it came at that very moment."""
    if turn.done() and not turn.cancelled():
        line.lock.release()
    turn.cancel()
