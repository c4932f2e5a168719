"""The counted windows (`fixed_window`, `calendar_quota`, `sliding_window_counter`), admission by admission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from .judge import Oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["SlidingWindowCounter", "WindowQuota", "calendar_quota", "fixed_window", "sliding_window_counter"]


def fixed_window(limit: int, period_us: int, *, state: tuple[int, int] | None = None) -> Oracle:
    """Make the oracle of `fixed_window`: windows are whole periods since the epoch.

    Args:
        limit: Units per window.
        period_us: The period.
        state: (start of the window, units used in it).
    """

    def window_at(now_us: int) -> tuple[int, int]:
        start_us = now_us // period_us * period_us
        return start_us, start_us + period_us

    return Oracle(WindowQuota(limit, window_at, state=state))


def calendar_quota(
    limit: int, window_at: Callable[[int], tuple[int, int]], *, state: tuple[int, int] | None = None
) -> Oracle:
    """Make the oracle of `calendar_quota`: as `fixed_window`, with windows that a calendar gives.

    Args:
        limit: Units per window.
        window_at: Tells the window (start, end) around an instant, all in microseconds.
        state: (start of the window, units used in it).
    """
    return Oracle(WindowQuota(limit, window_at, state=state))


def sliding_window_counter(limit: int, period_us: int, *, state: tuple[int, int, int] | None = None) -> Oracle:
    """Make the oracle of `sliding_window_counter`: windows are whole periods since the epoch.

    Args:
        limit: Units per period.
        period_us: The period.
        state: (start of the current window, units in the window before, units in the current one).
    """
    return Oracle(SlidingWindowCounter(limit, period_us, state=state))


class WindowQuota:
    """As much as `limit` in each window, wherever the windows begin and end."""

    def __init__(
        self, limit: int, window_at: Callable[[int], tuple[int, int]], *, state: tuple[int, int] | None
    ) -> None:
        self.limit = limit
        self.window_at = window_at
        self.start_us = None if state is None else state[0]
        self.admitted = [] if state is None else _listed(state[1])

    @property
    def capacity(self) -> int:
        """The limit."""
        return self.limit

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.admitted = list(self.admitted)
        return twin

    def settle(self, now_us: int) -> None:
        """Roll into the window of *now_us*: a later one begins empty, an earlier one keeps all."""
        if self.start_us is None:
            return
        self.admitted = _clamped(self.admitted, 2 * self.limit)
        start_us, _end_us = self.window_at(now_us)
        if self.start_us < start_us:
            self.admitted = []
        self.start_us = start_us

    def passes(self, now_us: int, cost: int) -> bool:
        """Tell whether *cost* fits beside what the window has admitted."""
        return sum(self.admitted) + cost <= self.limit

    def take(self, now_us: int, cost: int) -> None:
        """Admit *cost* into the window of *now_us*."""
        if cost:
            self.start_us, _end_us = self.window_at(now_us)
            self.admitted.append(cost)

    def remaining(self, now_us: int) -> int:
        """Return what the window has left."""
        return max(0, self.limit - sum(self.admitted))

    def is_idle(self, now_us: int) -> bool:
        """Tell whether the window has admitted nothing."""
        return not self.admitted

    def suggestions(self, now_us: int, cost: int) -> Iterable[int]:
        """Name the end of the window."""
        _start_us, end_us = self.window_at(now_us)
        yield end_us - now_us

    def refund(self, now_us: int, cost: int, decided_at_us: int, reset_at_us: int) -> int:
        """Give back *cost* if it was taken in the window of *now_us*, as far as there is anything."""
        self.settle(now_us)
        start_us, end_us = self.window_at(now_us)
        if not start_us <= decided_at_us < end_us:
            return 0
        before = sum(self.admitted)
        self.admitted = _without(self.admitted, cost)
        return before - sum(self.admitted)

    def was_brought_back(self, before: Self, now_us: int) -> bool:
        """Tell whether the state is less than it was *before*."""
        return before.start_us is not None and self.state() < before.state()  # type: ignore[operator] # neither is None

    def clear(self) -> None:
        """Forget everything."""
        self.start_us = None
        self.admitted = []

    def state(self) -> tuple[int, int] | None:
        """Return (window start, units used), or None."""
        return None if self.start_us is None else (self.start_us, sum(self.admitted))


class SlidingWindowCounter:
    """The window before counts for as much of it as the sliding window still covers."""

    def __init__(self, limit: int, period_us: int, *, state: tuple[int, int, int] | None) -> None:
        self.limit = limit
        self.period_us = period_us
        self.start_us = None if state is None else state[0]
        self.previous = [] if state is None else _listed(state[1])
        self.current = [] if state is None else _listed(state[2])

    @property
    def capacity(self) -> int:
        """The limit."""
        return self.limit

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.previous = list(self.previous)
        twin.current = list(self.current)
        return twin

    def settle(self, now_us: int) -> None:
        """Roll into the window of *now_us*; when the clock stepped back, keep both counts."""
        if self.start_us is None:
            return
        self.previous = _clamped(self.previous, 2 * self.limit)
        self.current = _clamped(self.current, 2 * self.limit)
        start_us = self._start_of(now_us)
        if self.start_us < start_us - self.period_us:
            self.previous, self.current = [], []
        elif self.start_us < start_us:
            self.previous, self.current = self.current, []
        self.start_us = start_us

    def passes(self, now_us: int, cost: int) -> bool:
        """Compare exactly, without rounding the weight."""
        return self._weight(now_us) + (sum(self.current) + cost) * self.period_us <= self.limit * self.period_us

    def take(self, now_us: int, cost: int) -> None:
        """Admit *cost* into the window of *now_us*."""
        if cost:
            self.start_us = self._start_of(now_us)
            self.current.append(cost)

    def remaining(self, now_us: int) -> int:
        """Return what is left, whole units only."""
        return max(0, ((self.limit - sum(self.current)) * self.period_us - self._weight(now_us)) // self.period_us)

    def is_idle(self, now_us: int) -> bool:
        """Tell whether neither window has admitted anything."""
        return not self.previous and not self.current

    def suggestions(self, now_us: int, cost: int) -> Iterable[int]:
        """Name the ends of this window and of the next, and where the weight of either has fallen enough."""
        end_us = self._start_of(now_us) + self.period_us - now_us
        yield end_us
        yield end_us + self.period_us
        previous, current = sum(self.previous), sum(self.current)
        if previous:
            yield end_us - max(0, self.limit - current - cost) * self.period_us // previous
        if current:
            yield end_us + self.period_us - max(0, self.limit - cost) * self.period_us // current

    def refund(self, now_us: int, cost: int, decided_at_us: int, reset_at_us: int) -> int:
        """Give back *cost* to the window it was taken in, if that still counts."""
        self.settle(now_us)
        start_us, decided_in_us = self._start_of(now_us), self._start_of(decided_at_us)
        before = sum(self.previous) + sum(self.current)
        if decided_in_us == start_us:
            self.current = _without(self.current, cost)
        elif decided_in_us == start_us - self.period_us:
            self.previous = _without(self.previous, cost)
        return before - sum(self.previous) - sum(self.current)

    def was_brought_back(self, before: Self, now_us: int) -> bool:
        """Tell whether the state is less than it was *before*."""
        return before.start_us is not None and self.state() < before.state()  # type: ignore[operator] # neither is None

    def clear(self) -> None:
        """Forget everything."""
        self.start_us = None
        self.previous, self.current = [], []

    def state(self) -> tuple[int, int, int] | None:
        """Return (start of the current window, previous count, current count), or None."""
        return None if self.start_us is None else (self.start_us, sum(self.previous), sum(self.current))

    def _start_of(self, at_us: int) -> int:
        return at_us // self.period_us * self.period_us

    def _weight(self, now_us: int) -> int:
        # In units times microseconds: a unit counts for as many of them as the window still covers.
        return sum(self.previous) * (self._start_of(now_us) + self.period_us - now_us)


def _listed(units: int) -> list[int]:
    return [units] if units else []


def _clamped(admitted: list[int], most: int) -> list[int]:
    return [most] if sum(admitted) > most else admitted


def _without(admitted: list[int], units: int) -> list[int]:
    return _listed(max(0, sum(admitted) - units))
