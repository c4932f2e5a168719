"""Time as a value that is handed in, so that nothing that decides ever asks the machine itself."""

from __future__ import annotations

import time
from typing import Final, Protocol

__all__ = ["Clock", "SystemClock"]

# What was taken before a laptop was closed must not be spent when it is opened: holds and leases count this time.
_MONOTONIC: Final[int] = getattr(time, "CLOCK_BOOTTIME", 0)


class Clock(Protocol):
    """Where a limiter takes its time from; anyone may implement it.

    Both readings are whole microseconds, so that arithmetic on them stays exact.
    """

    def now_us(self) -> int:
        """Return the wall-clock time in microseconds since the epoch; it may step either way."""
        ...

    def monotonic_us(self) -> int:
        """Return a time in microseconds that never steps back, for measuring intervals."""
        ...


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def now_us(self) -> int:
        """Return the machine's wall-clock time in microseconds since the epoch."""
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        """Return the machine's monotonic time in microseconds; where the system can tell, it goes on in suspension."""
        return time.clock_gettime_ns(_MONOTONIC) // 1000 if _MONOTONIC else time.monotonic_ns() // 1000
