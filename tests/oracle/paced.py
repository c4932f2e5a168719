"""The paced family (`gcra`, `token_bucket`, `leaky_bucket`) with time kept exactly."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Self

from .judge import Answer, Oracle

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Gcra", "gcra", "leaky_delay_us"]


def gcra(
    limit: int, period_us: int, burst: int | None = None, *, state: tuple[Fraction | int, int] | None = None
) -> Oracle:
    """Make the oracle of `gcra`, `token_bucket` and `leaky_bucket`, which share their arithmetic.

    Args:
        limit: Units per period.
        period_us: The period.
        burst: The capacity in units, default `limit`.
        state: (time up to which units are paid for, debt), both in microseconds.
    """
    return Oracle(Gcra(limit, period_us, burst, state=state))


class Gcra:
    """One unit is paid for by `period / limit`; at most `burst` units are paid for ahead.

    Time is kept in ticks, `limit` of them in a microsecond, so that a unit takes `period_us` ticks and
    everything is exact. The debt is how far beyond the capacity the time paid for may stand.
    """

    def __init__(
        self, limit: int, period_us: int, burst: int | None, *, state: tuple[Fraction | int, int] | None
    ) -> None:
        self.burst = limit if burst is None else burst
        self.per_us = limit
        self.interval = period_us
        self.full = self.burst * self.interval
        self.paid_until = None if state is None else int(state[0] * limit)
        self.debt_us = 0 if state is None else state[1]

    @property
    def capacity(self) -> int:
        """The burst."""
        return self.burst

    def copy(self) -> Self:
        """Return an independent copy."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def settle(self, now_us: int) -> None:
        """Clamp to the capacity and the debt, and save up no idle time."""
        if self.paid_until is None:
            return
        now = now_us * self.per_us
        debt_us = min(self.debt_us, self._whole_us(self.full))
        latest = now + self.full + debt_us * self.per_us
        self._stand_at(now_us, max(min(self.paid_until, latest), now))

    def passes(self, now_us: int, cost: int) -> bool:
        """Tell whether paying for *cost* more stays within the capacity ahead of *now_us*."""
        return self._ahead(now_us) + cost * self.interval <= self.full

    def take(self, now_us: int, cost: int) -> None:
        """Pay for *cost* units; looking (a cost of 0) makes no state."""
        if cost:
            self._stand_at(now_us, now_us * self.per_us + self._ahead(now_us) + cost * self.interval)

    def remaining(self, now_us: int) -> int:
        """Return the whole units that still fit."""
        return max(0, (self.full - self._ahead(now_us)) // self.interval)

    def is_idle(self, now_us: int) -> bool:
        """Tell whether nothing is paid for beyond now."""
        return self._ahead(now_us) <= 0

    def suggestions(self, now_us: int, cost: int) -> Iterable[int]:
        """Name the instant at which *cost* fits, and the one at which nothing is paid ahead."""
        yield self._whole_us(self._ahead(now_us) + cost * self.interval - self.full)
        yield self._whole_us(self._ahead(now_us))

    def refund(self, now_us: int, cost: int, decided_at_us: int, reset_at_us: int) -> int:
        """Give back what is still paid ahead: at most (the decision's `reset_at` - now); a part counts as a unit."""
        self.settle(now_us)
        if self.paid_until is None:
            return 0
        amount = min(cost * self.interval, max(0, reset_at_us - now_us) * self.per_us, max(0, self._ahead(now_us)))
        self._stand_at(now_us, self.paid_until - amount)
        return -(-amount // self.interval)

    def was_brought_back(self, before: Self, now_us: int) -> bool:
        """Tell whether the state is less than it was *before*."""
        return before.paid_until is not None and (self.paid_until, self.debt_us) < (before.paid_until, before.debt_us)

    def clear(self) -> None:
        """Forget everything."""
        self.paid_until = None
        self.debt_us = 0

    def state(self) -> tuple[Fraction, int] | None:
        """Return (paid until in microseconds, debt), or None."""
        return None if self.paid_until is None else (Fraction(self.paid_until, self.per_us), self.debt_us)

    def _ahead(self, now_us: int) -> int:
        return 0 if self.paid_until is None else self.paid_until - now_us * self.per_us

    def _stand_at(self, now_us: int, paid_until: int) -> None:
        # The debt is what stands beyond the capacity: it shrinks with time and payment, and never grows here.
        self.paid_until = paid_until
        self.debt_us = max(0, self._whole_us(paid_until - now_us * self.per_us - self.full))

    def _whole_us(self, ticks: int) -> int:
        return -(-ticks // self.per_us)


def leaky_delay_us(limit: int, period_us: int, answer: Answer, cost: int) -> int:
    """Return after how long the last request granted should run so that the output is even."""
    return max(0, answer.reset_after_us - math.ceil(cost * Fraction(period_us, limit)))
