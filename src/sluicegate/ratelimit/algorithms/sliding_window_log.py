"""A log of what was admitted, from which the units in any sliding window are exact.

The store keeps the log and says how many units the window holds; this decides, and names the units
that must leave the window first. That is what keeps a log of 10,000 entries out of the arithmetic.

Source: the definition itself; it admits what no interval of the period's length exceeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sluicegate.ratelimit.rate import Rate

__all__ = ["LOG_LIMIT_MAX", "Rule", "decide", "rule_of"]

LOG_LIMIT_MAX = 10_000  # one entry a request: more would cost memory that a counter does not


class Rule(NamedTuple):
    """A limit of units in any sliding window of a period."""

    limit: int
    period_us: int


def rule_of(rate: Rate) -> Rule:
    """Take the numbers of *rate*."""
    return Rule(rate.limit, rate.period_us)


def decide(used: int, cost: int, count: int, limit: int) -> tuple[int, int, int]:
    """Grant up to *count* requests of *cost* units beside the *used* ones.

    Returns:
        How many were granted, the units that remain, and how many units must leave the window
        before one more of *cost* passes (0 when all were granted, -1 for never).
    """
    remaining = max(0, limit - used)
    granted = count
    if cost > 0:
        granted = min(count, remaining // cost)
    elif used > limit:
        granted = 0
    remaining -= granted * cost

    must_leave = 0
    if granted < count:
        must_leave = -1 if cost > limit else used + granted * cost + cost - limit
    return granted, remaining, must_leave
