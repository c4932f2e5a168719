"""What a user's tests need to be as fast and as certain as ours: a clock that moves by hand."""

from __future__ import annotations

import asyncio
from threading import Lock

from sluicegate.utils import checked_seconds

__all__ = ["ManualClock"]

_SECONDS_MAX = 1e11  # some three thousand years: all that whole microseconds can say exactly in a float


class ManualClock:
    """A clock that stands still until it is told to move.

    Hand it to ``Limiter(clock=...)`` and no test ever has to sleep. Any thread may move it.

    Args:
        start: The first reading, in seconds since the epoch, from -1e11 to 1e11. Default 0.

    Raises:
        InvalidInputError: It is no such number; so it is with `advance`.
    """

    __slots__ = ("_lock", "_monotonic_us", "_now_us", "_sleepers")

    def __init__(self, start: float = 0.0) -> None:
        self._now_us = _whole_us(start, "start")
        self._monotonic_us = 0
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []
        self._lock = Lock()  # whoever moves the clock need not be the thread that sleeps

    def now_us(self) -> int:
        """Return the wall-clock time in microseconds since the epoch."""
        return self._now_us

    def monotonic_us(self) -> int:
        """Return the microseconds that have passed by advancing forward; it never steps back."""
        return self._monotonic_us

    def advance(self, seconds: float) -> None:
        """Move the clock by *seconds*; a negative number steps the wall clock back."""
        self.advance_us(_whole_us(seconds, "seconds"))

    def advance_us(self, microseconds: int) -> None:
        """Move the clock by whole *microseconds*; a negative number steps the wall clock back."""
        with self._lock:
            self._now_us += microseconds
            self._monotonic_us += max(0, microseconds)
            awake = [sleeper for sleeper in self._sleepers if sleeper[0] <= self._monotonic_us]
            self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self._monotonic_us]
        for _, future in awake:
            future.get_loop().call_soon_threadsafe(_wake, future)

    async def sleep(self, seconds: float) -> None:
        """Sleep until the clock has been moved forward by *seconds*; waiting and renewing sleep by it."""
        wait_us = round(seconds * 1_000_000)
        if wait_us <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            sleeper = (self._monotonic_us + wait_us, future)
            self._sleepers.append(sleeper)
        try:
            await future
        finally:
            with self._lock:
                if sleeper in self._sleepers:
                    self._sleepers.remove(sleeper)


def _whole_us(seconds: float, where: str) -> int:
    return round(checked_seconds(seconds, where, at_least=-_SECONDS_MAX, at_most=_SECONDS_MAX) * 1_000_000)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
