"""The generic cell rate algorithm: one point in time says everything about a key.

Each unit pays for an interval of time, and a key may be paid for at most its capacity ahead.
``token_bucket`` and ``leaky_bucket`` are the same arithmetic under the names that people know.

Source: ITU-T Recommendation I.371 (2004), annex A.1, in the virtual scheduling form.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, NamedTuple

from sluicegate.ratelimit.algorithms.exact import time_of, units_within

if TYPE_CHECKING:
    from sluicegate.ratelimit.rate import Rate

__all__ = ["Rule", "State", "decide", "refund", "rule_of"]

State = tuple[int, int, int]  # paid_us, paid_rem (over the rule's per), debt_us


class Rule(NamedTuple):
    """A rate reduced to whole numbers: a unit takes ``interval_us + interval_rem / per``."""

    burst: int
    interval_us: int
    interval_rem: int
    per: int
    capacity_us: int
    capacity_rem: int


def rule_of(rate: Rate) -> Rule:
    """Reduce *rate*, so that no product of its numbers is larger than it must be."""
    common = gcd(rate.period_us, rate.limit)
    per = rate.limit // common
    interval_us, interval_rem = divmod(rate.period_us // common, per)
    capacity_us, capacity_rem = time_of(rate.capacity, interval_us, interval_rem, per)
    return Rule(rate.capacity, interval_us, interval_rem, per, capacity_us, capacity_rem)


def decide(state: State, now_us: int, cost: int, count: int, rule: Rule) -> tuple[State, int, int, int, int]:
    """Grant up to *count* requests of *cost* units that stay within a capacity of now.

    Returns:
        The state after it, how many were granted, the units that remain, and in microseconds the
        wait for one more of *cost* (0 when all were granted, -1 for never) and the time until the
        state equals no state.
    """
    _, interval_us, interval_rem, per, capacity_us, capacity_rem = rule
    paid_us, paid_rem, debt_us = state
    full_us = now_us + capacity_us
    if paid_us >= full_us:
        paid_us, paid_rem = _bounded(paid_us, paid_rem, debt_us, full_us, rule)
    elif paid_us < now_us:  # idle time is not saved up
        paid_us, paid_rem = now_us, 0

    free_us = full_us - paid_us
    free_rem = capacity_rem - paid_rem
    if free_rem < 0:
        free_us -= 1
        free_rem += per
    if free_us < 0:
        remaining = 0
    elif interval_rem == 0:
        remaining = free_us // interval_us
    else:
        remaining = units_within(free_us, free_rem, interval_us, interval_rem, per)

    granted = count
    if cost > 0:
        if cost * count > remaining:
            granted = remaining // cost
        taken = granted * cost
        remaining -= taken
        if interval_rem == 0:
            paid_us += taken * interval_us
        else:
            paid_us, paid_rem = _paid_further(paid_us, paid_rem, taken, rule)
    elif free_us < 0:
        granted = 0

    retry_after_us = 0 if granted == count else _retry_after_us(paid_us, paid_rem, cost, full_us, rule)
    reset_after_us = paid_us - now_us if paid_rem == 0 else paid_us - now_us + 1
    debt_us = -free_us if free_us < 0 else 0
    return (paid_us, paid_rem, debt_us), granted, remaining, retry_after_us, reset_after_us


def refund(
    state: State, now_us: int, cost: int, _decided_at_us: int, reset_at_us: int, rule: Rule
) -> tuple[State, int, int]:
    """Give back what is left of a decision: at most what its own `reset_at` still lies ahead.

    Returns:
        The state after it, the units given back, and the time until the state equals no state.
    """
    _, interval_us, interval_rem, per, capacity_us, capacity_rem = rule
    (paid_us, paid_rem, _), *_ = decide(state, now_us, 0, 0, rule)
    back_us, back_rem = time_of(cost, interval_us, interval_rem, per)
    if back_us >= reset_at_us - now_us:
        back_us, back_rem = max(0, reset_at_us - now_us), 0
    if back_us > paid_us - now_us or (back_us == paid_us - now_us and back_rem > paid_rem):
        back_us, back_rem = paid_us - now_us, paid_rem
    refunded = units_within(back_us, back_rem, interval_us, interval_rem, per)
    if time_of(refunded, interval_us, interval_rem, per) != (back_us, back_rem):
        refunded += 1  # part of a unit is told as one
    paid_us -= back_us
    paid_rem -= back_rem
    if paid_rem < 0:
        paid_us -= 1
        paid_rem += per
    over_us = paid_us - now_us - capacity_us
    if paid_rem > capacity_rem:
        over_us += 1
    debt_us = max(0, over_us)
    reset_after_us = paid_us - now_us
    if paid_rem > 0:
        reset_after_us += 1
    return (paid_us, paid_rem, debt_us), refunded, reset_after_us


def _bounded(paid_us: int, paid_rem: int, debt_us: int, full_us: int, rule: Rule) -> tuple[int, int]:
    """Bring a time ahead of the capacity back: a stepped clock or a poisoned key blocks nobody for longer."""
    debt_max_us = rule.capacity_us
    if rule.capacity_rem > 0:
        debt_max_us += 1
    bound_us = full_us + min(debt_us, debt_max_us)
    if paid_us > bound_us or (paid_us == bound_us and paid_rem > rule.capacity_rem):
        return bound_us, rule.capacity_rem
    return paid_us, paid_rem


def _paid_further(paid_us: int, paid_rem: int, units: int, rule: Rule) -> tuple[int, int]:
    """Move the time forward by what pays for *units*."""
    _, interval_us, interval_rem, per, _, _ = rule
    units_us, units_rem = time_of(units, interval_us, interval_rem, per)
    paid_us += units_us
    paid_rem += units_rem
    if paid_rem >= per:
        paid_us += 1
        paid_rem -= per
    return paid_us, paid_rem


def _retry_after_us(paid_us: int, paid_rem: int, cost: int, full_us: int, rule: Rule) -> int:
    """Return when *cost* more units are paid for within the capacity, rounded up to a microsecond."""
    burst, interval_us, interval_rem, per, _, capacity_rem = rule
    if cost > burst:
        return -1
    need_us, need_rem = time_of(cost, interval_us, interval_rem, per)
    wait_rem = paid_rem + need_rem - capacity_rem
    return paid_us + need_us - full_us - (-wait_rem // per)
