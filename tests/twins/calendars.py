"""Windows of the calendar, remembered: the same few are asked for all the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.ratelimit.calendar import CalendarPeriod, boundaries

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["window_at"]

_REMEMBERED = 8


def window_at(period: CalendarPeriod) -> Callable[[int], tuple[int, int]]:
    """Return what tells the window around an instant."""
    known: list[tuple[int, int]] = []

    def find(now_us: int) -> tuple[int, int]:
        for window in known:
            if window[0] <= now_us < window[1]:
                return window
        _, start_us, end_us, _ = boundaries(period, now_us)
        known.insert(0, (start_us, end_us))
        del known[_REMEMBERED:]
        return start_us, end_us

    return find
