"""Lets several processes hammer one key, and compares what is admitted in any interval with what may be."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

from benchmarks.contenders.sluicegate import limit_of
from benchmarks.contest import Load
from benchmarks.contestants import Fleet
from benchmarks.plan import OURS, Extent
from benchmarks.workload import Wish

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["hammered", "jain", "most_within"]

PROCESSES = 4
PER_SECOND, BURST = 1_000, 1_000
DEMAND = 5  # times the limit
INTERVALS_S = (0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0)
START_AHEAD_NS = 300_000_000


def most_within(admitted_ns: Sequence[tuple[int, int]], seconds: float) -> int:
    """Return the most admissions that surely lie in one interval of *seconds*.

    An admission is known by when it was asked for and when it was answered: it lies within an interval
    when both do.
    """
    asked = sorted(first for first, _ in admitted_ns)
    answered = sorted(last for _, last in admitted_ns)
    length_ns = round(seconds * 1e9)
    return max(
        (bisect_right(answered, start + length_ns) - bisect_left(asked, start) for start in asked),
        default=0,
    )


def jain(shares: Sequence[float]) -> float:
    """Return Jain's index of fairness: 1 when all have the same, 1/n when one has all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def hammered(extent: Extent, port: int) -> dict[str, Any]:
    """Hammer one key in each mode, and return for each what was admitted and what may be."""
    return {mode: _hammered(mode, extent.hammer_seconds, port) for mode in ("strict", "leased")}


def _hammered(mode: str, seconds: float, port: int) -> dict[str, Any]:
    wish = Wish(per_hour=PER_SECOND * 3_600, burst=BURST, mode=mode)
    load = Load(kind="calls", keys=1, processes=PROCESSES, wish=wish)
    limit = limit_of(wish)
    with Fleet(OURS, load, port) as fleet:
        answers = fleet.ask_all(
            "hammer",
            key=f"hammered:{mode}",
            per_second=DEMAND * PER_SECOND / PROCESSES,
            seconds=seconds,
            start_ns=time.monotonic_ns() + START_AHEAD_NS,
        )
    shares = [len(each["admitted_ns"]) for each in answers]
    admitted_ns = [(first, last) for each in answers for first, last in each["admitted_ns"]]
    rows = [
        {"seconds": length, "most": most_within(admitted_ns, length), "bound": limit.most_in(length)}
        for length in INTERVALS_S
        if length <= seconds
    ]
    return {
        "processes": PROCESSES,
        "seconds": seconds,
        "demand": DEMAND,
        "per_second": PER_SECOND,
        "burst": BURST,
        "admitted": sum(shares),
        "could_be": BURST + PER_SECOND * seconds,
        "fairness": jain(shares),
        "intervals": rows,
        "excess": max((row["most"] - row["bound"] for row in rows), default=0),
    }
