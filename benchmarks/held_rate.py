"""Finds the highest rate of an open loop that is held: nothing lost, and a 95th percentile below a bound."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.contest import Load
from benchmarks.plan import OURS, TASKS, Extent

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contest import Contestant

__all__ = ["P95_US_MAX", "held_rate", "highest"]

P95_US_MAX = 10_000
IN_FLIGHT_MAX = 4_000  # ten milliseconds of the highest rates
LOW, HIGH = 0.2, 1.0  # of the closed loop's rate: where to search


def highest(low: float, high: float, steps: int, holds: Callable[[float], bool]) -> float:
    """Return the highest rate between *low* and *high* that *holds*, by halving *steps* times; 0 when *low* does not.

    The first step asks whether *low* holds.
    """
    if not holds(low):
        return 0.0
    for _ in range(steps - 1):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def held_rate(extent: Extent, opened: Callable[[str, Load], Contestant]) -> dict[str, Any]:
    """Search in turns with our own closed loop, and return the rates that were tried and the one that was held."""
    closed_load = Load(kind="tasks", callers=TASKS)
    open_load = replace(closed_load, kind="open", callers=IN_FLIGHT_MAX)
    closed: list[float] = []
    tried: list[dict[str, Any]] = []
    with opened(OURS, closed_load) as full, opened(OURS, open_load) as paced:
        for contestant in (full, paced):
            contestant.ask("touch")

        def closed_again() -> float:
            sample = full.ask("measure", seconds=extent.seconds)
            closed.append(sample["decisions"] / sample["seconds"])
            return median(closed)

        def holds(per_second: float) -> bool:
            sample = paced.ask("measure", seconds=extent.open_seconds, per_second=per_second)
            lost = sample["unsent"] + sample["unanswered"] + sample["refused"]
            held = lost == 0 and sample["p95_us"] < P95_US_MAX
            tried.append(
                {"per_second": per_second, "held": held, "lost": lost}
                | {name: sample[name] for name in ("p50_us", "p95_us", "p99_us", "p999_us", "max_us", "lag_p50_us")}
            )
            closed_again()
            return held

        full_rate = closed_again()
        found = highest(LOW * full_rate, HIGH * full_rate, extent.steps, holds)
    return {
        "per_second": found,
        "closed_per_second": median(closed),
        "ratio": found / median(closed),
        "tried": tried,
    }
