"""Counting in windows that are aligned to the epoch: cheap, and up to twice the limit around an edge.

Source: the oldest scheme there is; described for Redis under the command INCR, "Pattern: rate limiter".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluicegate.ratelimit.algorithms.window import State, decide_in, refund_in

if TYPE_CHECKING:
    from sluicegate.ratelimit.rate import Rate

__all__ = ["Rule", "State", "decide", "refund", "rule_of"]


class Rule(NamedTuple):
    """A limit of units in each window of a period."""

    limit: int
    period_us: int


def rule_of(rate: Rate) -> Rule:
    """Take the numbers of *rate*."""
    return Rule(rate.limit, rate.period_us)


def decide(state: State, now_us: int, cost: int, count: int, rule: Rule) -> tuple[State, int, int, int, int]:
    """Grant up to *count* requests of *cost* units that fit into the current window."""
    limit, period_us = rule
    start_us = now_us - now_us % period_us
    return decide_in(state, now_us, cost, count, limit, start_us, start_us + period_us)


def refund(
    state: State, now_us: int, cost: int, decided_at_us: int, _reset_at_us: int, rule: Rule
) -> tuple[State, int, int]:
    """Give back up to *cost* units, if the decision was made in the current window."""
    limit, period_us = rule
    start_us = now_us - now_us % period_us
    return refund_in(state, now_us, cost, decided_at_us, limit, start_us, start_us + period_us)
