"""Takes the shortest path of a decision apart and times its pieces: what no rewriting of the others could save.

Each piece does for 10,000 keys what the path does, in a loop of its own; CPU time, the least of some runs. Only a
part of each time is its own: a piece that is called costs the call, and what all of them do to the caches adds up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import sluicegate as ours
from benchmarks.workload import Wish, keys_named

from sluicegate import Decision

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["pieces"]

RUNS = 15


def pieces() -> dict[str, float]:
    """Return the nanoseconds of each piece by what it does."""
    keys = keys_named(10_000)
    empty = _least_ns(lambda _key: None, keys)
    return {text: _least_ns(piece, keys) - empty for text, piece in _pieces(keys).items()}


def _pieces(keys: list[str]) -> dict[str, Callable[[str], Any]]:
    target = ours.open_memory(Wish())
    limit, turn, tally = ours.limit_of(Wish()), [None], [0]
    plan = limit.plan
    assert plan.plain is not None
    plain = plan.plain
    decisions = {key: target.decide(key) for key in keys}
    plans, table = {plan: limit}, dict(decisions)
    fields = tuple(decisions[keys[0]])
    now_us = time.time_ns() // 1000

    def in_turn(_key: str) -> None:
        del turn[0]
        turn.append(None)

    def reckoned(_key: str) -> tuple[int, int, int]:
        interval_us, capacity_us = plain
        paid_us = now_us
        paid_us = max(paid_us, now_us)
        paid_us += interval_us
        reset_after_us = paid_us - now_us
        if reset_after_us > capacity_us:
            raise AssertionError
        return paid_us, (capacity_us - reset_after_us) // interval_us, reset_after_us

    def counted(_key: str) -> None:
        tally[0] += 1

    return {
        "finding the limit, and what is kept for the key": lambda key: (plans[plan], table[key]),
        "taking a turn": in_turn,
        "the clock": lambda _key: time.time_ns() // 1000,
        "the arithmetic of gcra": reckoned,
        "making a Decision of twelve fields": lambda _key: tuple.__new__(Decision, fields),
        "counting it": counted,
        "reading every field of it": lambda key: target.read(decisions[key]),
        "reading no more than the verdict": lambda key: bool(decisions[key]),
        "all of it: acquire, and reading the answer": lambda key: target.read(target.decide(key)),
    }


def _least_ns(piece: Callable[[str], Any], keys: list[str]) -> float:
    least = float("inf")
    for _ in range(RUNS):
        start_ns = time.process_time_ns()
        for key in keys:
            piece(key)
        least = min(least, time.process_time_ns() - start_ns)
    return least / len(keys)
