"""Tells the log of each denial, for whoever searches for a fault: some each second, and of the others how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.decision import Decision
    from sluicegate.utils import Clock

__all__ = ["LINES_MAX", "DenialLog"]

LINES_MAX = 100  # a second: more nobody reads, and an attack must not fill the disk
SECOND_US = 1_000_000


class DenialLog:
    """Takes each denial of a limiter; any thread may call it.

    It has no lock, which a forked child might inherit taken: two threads at once may cost a line too many, or a count.

    Args:
        logger: Told of each at the level of debug.
        clock: Measures the second; only its monotonic time is read.
        with_keys: Whether the lines name who was denied.
    """

    __slots__ = ("_clock", "_left", "_logger", "_second_ends_us", "_untold", "_with_keys")

    def __init__(self, logger: Logger, clock: Clock, *, with_keys: bool) -> None:
        self._logger = logger
        self._clock = clock
        self._with_keys = with_keys
        self._left = LINES_MAX
        self._second_ends_us = clock.monotonic_us() + SECOND_US
        self._untold = 0

    def __call__(self, decision: Decision) -> None:
        """Tell of *decision*, or count it where this second has had its lines; the next line says how many."""
        now_us = self._clock.monotonic_us()
        if now_us >= self._second_ends_us:
            self._second_ends_us = now_us + SECOND_US
            untold, self._untold, self._left = self._untold, 0, LINES_MAX
            if untold:
                self._logger.debug("decisions.untold", denied=untold)
        if self._left <= 0:
            self._untold += 1
            return
        self._left -= 1
        key = {"key": decision.key} if self._with_keys else {}
        self._logger.debug(
            "decision.denied",
            limit=decision.limit.name,
            **key,
            cost=decision.cost,
            retry_after=decision.retry_after,
            never=decision.never,
            source=decision.source,
            banned=decision.banned,
        )
