"""Counting in windows of the calendar: a day, week, month or year of a time zone, from a billing anchor.

Lua knows no time zones, so Python sends the boundaries around now, and whoever owns the clock picks
the window by it. Boundaries that do not cover the clock are an answer of their own: nothing is decided.
"""

from __future__ import annotations

from typing import NamedTuple

from sluicegate.ratelimit.algorithms.window import State, decide_in, refund_in

__all__ = ["Rule", "State", "covers", "decide", "refund", "window"]


class Rule(NamedTuple):
    """A limit, and the edges of three neighbouring windows of which the middle one should be current."""

    limit: int
    edge_0_us: int
    edge_1_us: int
    edge_2_us: int
    edge_3_us: int


def covers(now_us: int, rule: Rule) -> bool:
    """Say whether one of the rule's windows is the current one."""
    return rule.edge_0_us <= now_us < rule.edge_3_us


def decide(state: State, now_us: int, cost: int, count: int, rule: Rule) -> tuple[State, int, int, int, int]:
    """Grant up to *count* requests of *cost* units that fit into the current window."""
    start_us, end_us = window(now_us, rule)
    return decide_in(state, now_us, cost, count, rule.limit, start_us, end_us)


def refund(
    state: State, now_us: int, cost: int, decided_at_us: int, _reset_at_us: int, rule: Rule
) -> tuple[State, int, int]:
    """Give back up to *cost* units, if the decision was made in the current window."""
    start_us, end_us = window(now_us, rule)
    return refund_in(state, now_us, cost, decided_at_us, rule.limit, start_us, end_us)


def window(now_us: int, rule: Rule) -> tuple[int, int]:
    """Return the start and the end of the current window."""
    assert covers(now_us, rule)
    if now_us < rule.edge_1_us:
        return rule.edge_0_us, rule.edge_1_us
    if now_us < rule.edge_2_us:
        return rule.edge_1_us, rule.edge_2_us
    return rule.edge_2_us, rule.edge_3_us
