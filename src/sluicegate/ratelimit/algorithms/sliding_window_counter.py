"""Two windows' counts, the previous one weighted by how much of it a sliding window still sees.

Exact to its formula, which is an approximation of a sliding window: it takes the previous window's
requests as spread evenly.

Source: Cloudflare, "How we built rate limiting capable of scaling to millions of domains" (2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluicegate.ratelimit.algorithms.exact import share_below, share_of

if TYPE_CHECKING:
    from sluicegate.ratelimit.rate import Rate

__all__ = ["Rule", "State", "decide", "refund", "rule_of"]

State = tuple[int, int, int]  # start_us, previous, current


class Rule(NamedTuple):
    """A limit of units in any sliding window of a period."""

    limit: int
    period_us: int


def rule_of(rate: Rate) -> Rule:
    """Take the numbers of *rate*."""
    return Rule(rate.limit, rate.period_us)


def decide(state: State, now_us: int, cost: int, count: int, rule: Rule) -> tuple[State, int, int, int, int]:
    """Grant up to *count* requests of *cost* units that the weighted count leaves room for."""
    limit, period_us = rule
    start_us, previous, current = _rolled(state, now_us, rule)
    left_us = start_us + period_us - now_us
    weighted = share_of(previous, left_us, period_us) + current
    remaining = max(0, limit - weighted)
    granted = count
    if cost > 0:
        granted = min(count, remaining // cost)
    elif weighted > limit:
        granted = 0
    current += granted * cost
    remaining -= granted * cost

    retry_after_us = 0
    if granted < count:
        retry_after_us = _retry_after_us(previous, current, cost, left_us, rule)
    reset_after_us = 0
    if current > 0:
        reset_after_us = left_us + period_us
    elif previous > 0:
        reset_after_us = left_us
    return (start_us, previous, current), granted, remaining, retry_after_us, reset_after_us


def refund(
    state: State, now_us: int, cost: int, decided_at_us: int, _reset_at_us: int, rule: Rule
) -> tuple[State, int, int]:
    """Give back up to *cost* units to the window in which the decision was made, while it counts."""
    _, period_us = rule
    start_us, previous, current = _rolled(state, now_us, rule)
    refunded = 0
    if start_us <= decided_at_us < start_us + period_us:
        refunded = min(cost, current)
        current -= refunded
    elif start_us - period_us <= decided_at_us < start_us:
        refunded = min(cost, previous)
        previous -= refunded
    left_us = start_us + period_us - now_us
    reset_after_us = 0
    if current > 0:
        reset_after_us = left_us + period_us
    elif previous > 0:
        reset_after_us = left_us
    return (start_us, previous, current), refunded, reset_after_us


def _rolled(state: State, now_us: int, rule: Rule) -> State:
    """Bring the two counts to the current window; one ahead of the clock counts as the current."""
    limit, period_us = rule
    state_start_us, previous, current = state
    start_us = now_us - now_us % period_us
    if state_start_us < start_us:
        previous = current if state_start_us >= start_us - period_us else 0
        current = 0
    return start_us, min(previous, limit * 2), min(current, limit * 2)


def _retry_after_us(previous: int, current: int, cost: int, left_us: int, rule: Rule) -> int:
    """Find when the falling weight of the previous, or else of the current window makes room."""
    limit, period_us = rule
    if cost > limit:
        return -1
    room = limit - current - cost
    if room >= 0:  # the weight of the previous window is in the way
        return left_us - share_below(period_us, room, previous)
    # Only the next window helps, in which this one is the previous.
    return left_us + period_us - share_below(period_us, limit - cost, current)
