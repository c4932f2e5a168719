"""What is asked of the outcome: a floor that must hold, and a goal where we want to be."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.plan import KEY_COUNTS, OURS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GOALS", "Goal", "judged"]

Outcome = dict[str, Any]
WINDOWS = ("gcra", "fixed_window", "sliding_window_counter", "calendar_quota")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure, and what is asked of it.

    Attributes:
        text: What it says.
        figure: Finds the figure in the outcome; a `KeyError` says that it was not measured.
        floor: What must hold, or ``None``.
        goal: Where we want to be, or ``None``.
        at_least: Whether the figure must be at least that; else at most.
        unit: What stands behind the figures.
    """

    text: str
    figure: Callable[[Outcome], float]
    floor: float | None = None
    goal: float | None = None
    at_least: bool = True
    unit: str = "times"

    def reached(self, figure: float, bound: float | None) -> bool | None:
        """Say whether *figure* is good enough for *bound*, if there is one."""
        if bound is None:
            return None
        return figure >= bound if self.at_least else figure <= bound


def judged(outcome: Outcome) -> list[dict[str, Any]]:
    """Return each goal with its figure and what it reached."""
    rows = []
    for goal in GOALS:
        try:
            figure = goal.figure(outcome)
        except KeyError:
            continue
        rows.append(
            {
                "text": goal.text,
                "figure": figure,
                "unit": goal.unit,
                "at_least": goal.at_least,
                "floor": goal.floor,
                "goal": goal.goal,
                "met": goal.reached(figure, goal.floor),
                "goal_met": goal.reached(figure, goal.goal),
            }
        )
    return rows


def _of(contest: str, label: str, name: str) -> Callable[[Outcome], float]:
    return lambda outcome: float(outcome["contests"][contest]["summary"][label][name])


def _per_second(contest: str, label: str = OURS) -> Callable[[Outcome], float]:
    return lambda outcome: float(outcome["contests"][contest]["summary"][label]["per_second"]["median"])


def _ratio(contest: str, label: str = OURS) -> Callable[[Outcome], float]:
    return lambda outcome: float(outcome["contests"][contest]["summary"][label]["ratio"]["median"])


def _between(contest: str, own: str, other: str, name: str = "") -> Callable[[Outcome], float]:
    """Return what finds the median ratio of two labels, round by round: of rates, or of what is called *name*."""

    def figure(sample: dict[str, Any]) -> float:
        return float(sample[name] if name else sample["decisions"] / sample["seconds"])

    def found(outcome: Outcome) -> float:
        samples = outcome["contests"][contest]["samples"]
        return median(figure(a) / figure(b) for a, b in zip(samples[own], samples[other], strict=True))

    return found


def _lost(contest: str) -> Callable[[Outcome], float]:
    def found(outcome: Outcome) -> float:
        figures = outcome["contests"][contest]["summary"][OURS]
        return float(figures["unsent"] + figures["unanswered"] + figures["refused"])

    return found


def _bytes(outcome: Outcome) -> float:
    footprint = outcome["footprint"]
    ours = [footprint[name]["bytes_a_key"] for name in WINDOWS]
    return float(max(ours) / footprint["limits"]["bytes_a_key"])


def _slowed(contest: str) -> Callable[[Outcome], float]:
    return lambda outcome: 1 / _ratio(contest, f"{OURS}-{KEY_COUNTS[-1]}")(outcome)


def _admitted_over(outcome: Outcome) -> float:
    over = [
        answer["admitted"] - answer["limit"]
        for contest in outcome["contests"].values()
        for label, answer in contest.get("admitted", {}).items()
        if answer and contest["owners"][label] == OURS
    ]
    if not over:
        raise KeyError("admitted")
    return float(max(over))


GOALS = (
    Goal(
        text="strict, 128 callers of one asyncio loop, reading what limits gives, against its fixed window",
        figure=_ratio("tasks", "sluicegate-verdict"),
        floor=6,
        goal=8,
    ),
    Goal(text="the same, reading every field of the answer (reported, nothing is asked)", figure=_ratio("tasks")),
    Goal(
        text="on uvloop, reading what limits gives",
        figure=_ratio("tasks-uvloop", "sluicegate-verdict"),
        floor=8,
        goal=11,
    ),
    Goal(
        text="the same, reading every field of the answer (reported, nothing is asked)", figure=_ratio("tasks-uvloop")
    ),
    Goal(
        text="strict on asyncio, against redis-benchmark -P 16 with EVALSHA of the same algorithm",
        figure=_between("tasks", OURS, "ceiling-16"),
        floor=0.6,
        goal=0.9,
    ),
    Goal(text="Zipf(1.1), all admitted, against our own uniform figure", figure=_ratio("zipf"), floor=1.2, goal=1.5),
    Goal(
        text="open loop of 15,000/s, strict: requests lost",
        figure=_lost("open"),
        floor=0,
        goal=0,
        at_least=False,
        unit="requests",
    ),
    Goal(
        text="open loop of 15,000/s: p95 against that of the bare micro-batch loop",
        figure=_between("open", OURS, "microbatch", "p95_us"),
        floor=1.5,
        at_least=False,
    ),
    Goal(
        text="open loop of 15,000/s: p95",
        figure=lambda outcome: _of("open", OURS, "p95_us")(outcome) / 1e3,
        floor=2.1,
        goal=1,
        at_least=False,
        unit="ms",
    ),
    Goal(
        text="open loop of 15,000/s: p99.9",
        figure=lambda outcome: _of("open", OURS, "p999_us")(outcome) / 1e3,
        goal=10,
        at_least=False,
        unit="ms",
    ),
    Goal(
        text="highest rate of an open loop held with p95 < 10 ms, against our closed loop",
        figure=lambda outcome: float(outcome["held_rate"]["ratio"]),
        floor=0.4,
        goal=0.6,
    ),
    Goal(
        text="that rate",
        figure=lambda outcome: float(outcome["held_rate"]["per_second"]),
        floor=30_000,
        unit="a second",
    ),
    Goal(
        text="memory store at BlockingLimiter.acquire, reading what limits gives, against its memory fixed window",
        figure=_ratio("memory", "sluicegate-verdict"),
        floor=3,
        goal=6,
    ),
    Goal(
        text="the same, decisions", figure=_per_second("memory", "sluicegate-verdict"), goal=1_000_000, unit="a second"
    ),
    Goal(text="the same, reading every field of the answer (reported, nothing is asked)", figure=_ratio("memory")),
    Goal(
        text="leased, 1,000 keys, one thread, against our memory store",
        figure=_ratio("local", "leased"),
        floor=0.5,
        goal=0.8,
    ),
    Goal(
        text="leased, 1,000 keys: script calls for 1,000 decisions",
        figure=lambda outcome: 1e3 * _of("local", "leased", "script_calls")(outcome),
        floor=1,
        goal=1,
        at_least=False,
        unit="calls",
    ),
    Goal(
        text="deny path, 1,000 keys, one thread, against our memory store",
        figure=_ratio("local", "deny"),
        floor=0.5,
        goal=0.8,
    ),
    Goal(
        text="deny path: script calls for 1,000 decisions that the deny cache answers",
        figure=lambda outcome: 1e3 * _of("local", "deny", "script_calls")(outcome),
        floor=0,
        goal=0,
        at_least=False,
        unit="calls",
    ),
    Goal(
        text="BlockingLimiter on Redis, 64 threads, against redis-py by hand",
        figure=_ratio("threads"),
        floor=3.5,
        goal=4.8,
    ),
    Goal(
        text="BlockingLimiter on Redis, one thread, against redis-py by hand",
        figure=_ratio("thread"),
        floor=0.6,
        goal=1.0,
    ),
    Goal(
        text="CPU of Redis for a decision, gcra, full answers, 128 callers",
        figure=_of("tasks", OURS, "redis_us"),
        floor=8,
        goal=5,
        at_least=False,
        unit="µs",
    ),
    Goal(
        text="ASGI middleware under uvicorn, state in memory, against the bare application",
        figure=lambda outcome: 100 * _ratio("asgi", "memory")(outcome),
        floor=80,
        goal=90,
        unit="%",
    ),
    Goal(
        text="the same, leased",
        figure=lambda outcome: 100 * _ratio("asgi", "leased")(outcome),
        floor=80,
        goal=90,
        unit="%",
    ),
    Goal(
        text="the same, strict",
        figure=lambda outcome: 100 * _ratio("asgi", "strict")(outcome),
        floor=55,
        goal=70,
        unit="%",
    ),
    Goal(
        text="bytes on Redis per key, the most of gcra, windows and counter, against the fixed window of limits",
        figure=_bytes,
        floor=1.15,
        goal=1.0,
        at_least=False,
    ),
    Goal(
        text="1,000 to 1,000,000 keys on Redis: time per decision",
        figure=_slowed("keys-redis"),
        floor=1.3,
        goal=1.1,
        at_least=False,
    ),
    Goal(
        text="1,000 to 1,000,000 keys in memory, all remembered: time per decision",
        figure=_slowed("keys-memory"),
        floor=1.3,
        goal=1.1,
        at_least=False,
    ),
    Goal(
        text="one fresh key at limit 100, hit 150 times: the most admitted above 100 in any of our modes",
        figure=_admitted_over,
        floor=0,
        at_least=False,
        unit="requests",
    ),
    Goal(
        text="leased, four processes on one key at 5 times its limit: the most admitted above the bound",
        figure=lambda outcome: float(outcome["hammered"]["leased"]["excess"]),
        floor=0,
        at_least=False,
        unit="requests",
    ),
    Goal(
        text="the same: share of the limit that is used",
        figure=lambda outcome: (
            100 * outcome["hammered"]["leased"]["admitted"] / outcome["hammered"]["leased"]["could_be"]
        ),
        floor=97,
        unit="%",
    ),
    Goal(
        text="the same: Jain's index of fairness between the processes",
        figure=lambda outcome: float(outcome["hammered"]["leased"]["fairness"]),
        floor=0.9,
        unit="",
    ),
    Goal(
        text="memory store, keys remembered with 1,000,000 distinct keys and the default bound",
        figure=_of("keys-memory", "sluicegate-flood", "keys_remembered"),
        floor=100_000,
        at_least=False,
        unit="keys",
    ),
    Goal(
        text="a gcra key of 20 bytes on Redis, by MEMORY USAGE",
        figure=lambda outcome: float(outcome["footprint"]["gcra"]["bytes_a_key_max"]),
        floor=120,
        at_least=False,
        unit="bytes",
    ),
    Goal(
        text="idle: commands that Redis receives from a Limiter and a BlockingLimiter",
        figure=lambda outcome: float(sum(each["commands"] for each in outcome["idle"].values())),
        floor=0,
        at_least=False,
        unit="commands",
    ),
    Goal(
        text="idle: CPU of a Limiter's or a BlockingLimiter's process, the more of both",
        figure=lambda outcome: max(each["cpu_us"] / 1e3 / each["seconds"] for each in outcome["idle"].values()),
        floor=1,
        at_least=False,
        unit="ms per second",
    ),
)
