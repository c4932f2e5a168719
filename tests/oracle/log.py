"""The exact sliding window (`sliding_window_log`): every admission, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from .judge import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SlidingWindowLog", "sliding_window_log"]


def sliding_window_log(limit: int, period_us: int, *, state: Iterable[tuple[int, int]] | None = None) -> Oracle:
    """Make the oracle of `sliding_window_log`.

    Args:
        limit: Units in any period.
        period_us: The period.
        state: What was admitted already, as (time, units).
    """
    return Oracle(SlidingWindowLog(limit, period_us, state=state))


class SlidingWindowLog:
    """Every admission is written down and counts for exactly one period."""

    def __init__(self, limit: int, period_us: int, *, state: Iterable[tuple[int, int]] | None) -> None:
        self.limit = limit
        self.period_us = period_us
        self.admissions = list(state or ())

    @property
    def capacity(self) -> int:
        """The limit."""
        return self.limit

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.admissions = list(self.admissions)
        return twin

    def settle(self, now_us: int) -> None:
        """Move what lies in the future to *now_us* and forget what has left the window."""
        moved = [(min(at_us, now_us), units) for at_us, units in self.admissions]
        self.admissions = [(at_us, units) for at_us, units in moved if now_us < at_us + self.period_us]

    def passes(self, now_us: int, cost: int) -> bool:
        """Tell whether *cost* fits beside all that still counts."""
        return self._used() + cost <= self.limit

    def take(self, now_us: int, cost: int) -> None:
        """Write one admission down; looking leaves no trace."""
        if cost:
            self.admissions.append((now_us, cost))

    def remaining(self, now_us: int) -> int:
        """Return what is left in the period that ends now."""
        return max(0, self.limit - self._used())

    def is_idle(self, now_us: int) -> bool:
        """Tell whether nothing counts any more."""
        return not self.admissions

    def suggestions(self, now_us: int, cost: int) -> Iterable[int]:
        """Name the instants at which an admission leaves: nothing else ever changes."""
        return sorted({at_us + self.period_us - now_us for at_us, _units in self.admissions})

    def refund(self, now_us: int, cost: int, decided_at_us: int, reset_at_us: int) -> int:
        """Give back as much of *cost* as was written down at exactly that time and still counts."""
        left = cost
        kept = []
        for at_us, units in self.admissions:
            given = min(left, units) if at_us == decided_at_us and now_us < at_us + self.period_us else 0
            left -= given
            if units > given:
                kept.append((at_us, units - given))
        self.admissions = kept
        return cost - left

    def was_brought_back(self, before: Self, now_us: int) -> bool:
        """Tell whether an entry was ahead of the clock *before*."""
        return any(at_us > now_us for at_us, _units in before.admissions)

    def clear(self) -> None:
        """Forget everything."""
        self.admissions = []

    def state(self) -> tuple[tuple[int, int], ...] | None:
        """Return (time, units) for each time, oldest first, or None."""
        times_us = sorted({at_us for at_us, _units in self.admissions})
        merged = tuple((at, sum(units for at_us, units in self.admissions if at_us == at)) for at in times_us)
        return merged or None

    def _used(self) -> int:
        return sum(units for _at_us, units in self.admissions)
