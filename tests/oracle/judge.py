"""The verbs, once for all models: what `acquire`, `peek`, `refund` and `reset` mean, said slowly.

A `Model` knows one algorithm's state and four plain questions about it. An `Oracle` asks them, one
request after the other, and searches for the waits.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["NEVER", "Answer", "Model", "Oracle", "earliest_wait"]

NEVER = -1
_WAIT_US_MAX = 2**53  # no wait that fits the twins' arithmetic is longer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a twin has to say too.

    Attributes:
        granted: How many of the `count` requests pass; always the first ones.
        remaining: Units left after them.
        retry_after_us: 0 when all passed, -1 when none ever can, else the wait for one more.
        reset_after_us: Microseconds until the state equals no state.
    """

    granted: int
    remaining: int
    retry_after_us: int
    reset_after_us: int


class Model(Protocol):
    """One algorithm's state, with questions that need no cleverness to answer."""

    @property
    def capacity(self) -> int:
        """The largest cost that can ever pass."""

    def copy(self) -> Self:
        """Return an independent copy."""

    def settle(self, now_us: int) -> None:
        """Bring the state to *now_us*: clamp, rebase, roll, forget what has expired."""

    def passes(self, now_us: int, cost: int) -> bool:
        """Tell whether one request of *cost* would pass; the state is settled at *now_us*."""

    def take(self, now_us: int, cost: int) -> None:
        """Record one request that passes."""

    def remaining(self, now_us: int) -> int:
        """Return the units left; the state is settled at *now_us*."""

    def is_idle(self, now_us: int) -> bool:
        """Tell whether the state, settled at *now_us*, equals no state."""

    def suggestions(self, now_us: int, cost: int) -> Iterable[int]:
        """Name waits worth trying first. Only a matter of speed: each is checked by asking."""

    def refund(self, now_us: int, cost: int, decided_at_us: int, reset_at_us: int) -> int:
        """Give back what a decision took, as far as that is still fair; return the units."""

    def was_brought_back(self, before: Self, now_us: int) -> bool:
        """Tell whether settling moved a state back that was ahead of the clock, rather than on."""

    def clear(self) -> None:
        """Forget everything."""

    def state(self) -> object:
        """Return the state as a plain value, None when there is none."""


class Oracle:
    """The verbs of the product on one model.

    Args:
        model: The algorithm, with whatever state it already has. The oracle owns it.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def acquire(self, now_us: int, cost: int = 1, count: int = 1) -> Answer:
        """Decide *count* requests of *cost*, one after the other, all at *now_us*."""
        self.model.settle(now_us)
        granted = 0
        while granted < count and self.model.passes(now_us, cost):
            self.model.take(now_us, cost)
            granted += 1
        retry_after_us = 0 if granted == count else self.retry_after_us(now_us, cost)
        return Answer(granted, self.model.remaining(now_us), retry_after_us, self.reset_after_us(now_us))

    def acquire_stored(self, now_us: int, cost: int = 1, count: int = 1) -> Answer:
        """Do what `acquire` does, and keep of it what a store writes.

        When nothing was taken, a state that has merely aged stays as it was; one that had been ahead of
        the clock is kept as it was brought back. It shows only when the clock steps back afterwards.
        """
        before = self.model.copy()
        answer = self.acquire(now_us, cost, count)
        if answer.granted * cost == 0 and not self.model.was_brought_back(before, now_us):
            self.model = before
        return answer

    def peek(self, now_us: int, cost: int = 1, count: int = 1) -> Answer:
        """Say what `acquire` would say, with `remaining` and `reset_after_us` of the untouched state."""
        would_be = self.copy().acquire(now_us, cost, count)
        untouched = self.copy().acquire(now_us, 0, 0)
        return Answer(would_be.granted, untouched.remaining, would_be.retry_after_us, untouched.reset_after_us)

    def refund(self, now_us: int, cost: int, *, decided_at_us: int, reset_at_us: int) -> int:
        """Give back *cost* units of a decision; return how many units that came to.

        Args:
            now_us: The time of the refund.
            cost: Units that the decision took.
            decided_at_us: When it was taken; what windows and the log go by.
            reset_at_us: The decision's own `reset_at`; what the paced family goes by.
        """
        return self.model.refund(now_us, cost, decided_at_us, reset_at_us)

    def reset(self) -> bool:
        """Forget everything; tell whether there was anything to forget."""
        existed = self.model.state() is not None
        self.model.clear()
        return existed

    def state(self) -> object:
        """Return the state as it stands, None when there is none."""
        return self.model.state()

    def normalised(self, now_us: int) -> object:
        """Return the state settled at *now_us*, None when it equals no state there. Changes nothing."""
        model = self.model.copy()
        model.settle(now_us)
        return None if model.is_idle(now_us) else model.state()

    def forget_if_idle(self, now_us: int) -> None:
        """Drop a state that equals no state at *now_us*, as a store's expiry does.

        It shows only when the clock steps back afterwards.
        """
        if self.normalised(now_us) is None:
            self.model.clear()

    def copy(self) -> Oracle:
        """Return an independent copy."""
        return Oracle(self.model.copy())

    def retry_after_us(self, now_us: int, cost: int) -> int:
        """Search for the wait after which one request of *cost*, denied now, passes."""
        if cost > self.model.capacity:
            return NEVER

        def passes_after(wait_us: int) -> bool:
            model = self.model.copy()
            model.settle(now_us + wait_us)
            return model.passes(now_us + wait_us, cost)

        return earliest_wait(passes_after, self.model.suggestions(now_us, cost))

    def reset_after_us(self, now_us: int) -> int:
        """Search for the wait after which the state equals no state."""

        def is_idle_after(wait_us: int) -> bool:
            model = self.model.copy()
            model.settle(now_us + wait_us)
            return model.is_idle(now_us + wait_us)

        return earliest_wait(is_idle_after, self.model.suggestions(now_us, self.model.capacity))


def earliest_wait(holds_after: Callable[[int], bool], suggestions: Iterable[int] = ()) -> int:
    """Return the first wait, in whole microseconds from 0, after which something holds.

    What it searches for must stay true once it is. A suggestion is believed only when the thing
    holds after it and does not a microsecond sooner, which is also what the search ends with.
    """
    if holds_after(0):
        return 0
    candidates_us = sorted(wait_us for wait_us in suggestions if wait_us >= 1)
    first = bisect_left(candidates_us, x=True, key=holds_after)
    if first < len(candidates_us) and not holds_after(candidates_us[first] - 1):
        return candidates_us[first]
    too_soon_us, enough_us = 0, 1
    while not holds_after(enough_us):
        too_soon_us, enough_us = enough_us, 2 * enough_us
        if enough_us > _WAIT_US_MAX:
            message = f"nothing within {_WAIT_US_MAX} us: the model never comes to hold"
            raise AssertionError(message)
    while enough_us - too_soon_us > 1:
        middle_us = (too_soon_us + enough_us) // 2
        if holds_after(middle_us):
            enough_us = middle_us
        else:
            too_soon_us = middle_us
    return enough_us
