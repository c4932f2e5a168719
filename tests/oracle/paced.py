"""The paced family (`gcra`, `token_bucket`, `leaky_bucket`) with time kept as an exact fraction."""

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

    The debt is how far beyond the capacity `paid_until_us` may stand.
    """

    def __init__(
        self, limit: int, period_us: int, burst: int | None, *, state: tuple[Fraction | int, int] | None
    ) -> None:
        self.burst = limit if burst is None else burst
        self.interval_us = Fraction(period_us, limit)
        self.capacity_us = self.burst * self.interval_us
        self.paid_until_us = None if state is None else Fraction(state[0])
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
        if self.paid_until_us is None:
            return
        debt_us = min(self.debt_us, math.ceil(self.capacity_us))
        paid_until_us = min(self.paid_until_us, now_us + self.capacity_us + debt_us)
        self._stand_at(now_us, max(paid_until_us, Fraction(now_us)))

    def passes(self, now_us: int, cost: int) -> bool:
        """Tell whether paying for *cost* more stays within the capacity ahead of *now_us*."""
        return self._paid_until(now_us) + cost * self.interval_us <= now_us + self.capacity_us

    def take(self, now_us: int, cost: int) -> None:
        """Pay for *cost* units; looking (a cost of 0) makes no state."""
        if cost:
            self._stand_at(now_us, self._paid_until(now_us) + cost * self.interval_us)

    def remaining(self, now_us: int) -> int:
        """Return the whole units that still fit."""
        room_us = now_us + self.capacity_us - self._paid_until(now_us)
        return max(0, math.floor(room_us / self.interval_us))

    def is_idle(self, now_us: int) -> bool:
        """Tell whether nothing is paid for beyond now."""
        return self._paid_until(now_us) <= now_us

    def suggestions(self, now_us: int, cost: int) -> Iterable[int]:
        """Name the instant at which *cost* fits, and the one at which nothing is paid ahead."""
        paid_us = self._paid_until(now_us) - now_us
        yield math.ceil(paid_us + cost * self.interval_us - self.capacity_us)
        yield math.ceil(paid_us)

    def refund(self, now_us: int, cost: int, decided_at_us: int, reset_at_us: int) -> int:
        """Give back what is not yet paced out: at most (the decision's `reset_at` - now)."""
        self.settle(now_us)
        amount_us = min(cost * self.interval_us, Fraction(max(0, reset_at_us - now_us)))
        if self.paid_until_us is not None:
            self._stand_at(now_us, max(self.paid_until_us - amount_us, Fraction(now_us)))
        return math.floor(amount_us / self.interval_us)

    def clear(self) -> None:
        """Forget everything."""
        self.paid_until_us = None
        self.debt_us = 0

    def state(self) -> tuple[Fraction, int] | None:
        """Return (paid until, debt), or None."""
        return None if self.paid_until_us is None else (self.paid_until_us, self.debt_us)

    def _paid_until(self, now_us: int) -> Fraction:
        return Fraction(now_us) if self.paid_until_us is None else self.paid_until_us

    def _stand_at(self, now_us: int, paid_until_us: Fraction) -> None:
        # The debt is what stands beyond the capacity: it shrinks with time and payment, and never grows here.
        self.paid_until_us = paid_until_us
        self.debt_us = max(0, math.ceil(paid_until_us - now_us - self.capacity_us))


def leaky_delay_us(limit: int, period_us: int, answer: Answer, cost: int) -> int:
    """Return after how long the last request granted should run so that the output is even."""
    return max(0, answer.reset_after_us - math.floor(cost * Fraction(period_us, limit)))
