"""What is measured, how long, and what is asked of the outcome."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.contest import Contest, Load

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GOALS", "Extent", "Goal", "contests"]

OURS = "sluicegate"
TASKS = 128
THREADS = 64
FEW_KEYS, MANY_KEYS = "1,000 keys", "1,000,000 keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much time the whole may take.

    Attributes:
        rounds: Rounds of each contest that has a goal.
        rounds_reported: Rounds of the others.
        seconds: Length of one contender's turn.
        idle_seconds: How long doing nothing is watched.
        footprint_keys: Keys put down to see what one takes on the server.
        quick: Whether only the contests with a goal are held, to see that all of this works.
    """

    rounds: int = 7
    rounds_reported: int = 5
    seconds: float = 1.5
    idle_seconds: float = 3.0
    footprint_keys: int = 1_000
    quick: bool = False

    @classmethod
    def short(cls) -> Extent:
        """Return the extent that proves no more than that the harness works."""
        return cls(rounds=2, seconds=0.3, idle_seconds=0.5, footprint_keys=300, quick=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure that must hold.

    Attributes:
        text: What it says.
        bound: What is asked.
        at_least: Whether the figure must be at least the bound; else at most.
        unit: What stands behind the figures.
        figure: Finds the figure in the outcome.
    """

    text: str
    bound: float
    at_least: bool
    unit: str
    figure: Callable[[dict[str, Any]], float]

    def met_by(self, figure: float) -> bool:
        """Say whether *figure* is good enough."""
        return figure >= self.bound if self.at_least else figure <= self.bound


def contests(extent: Extent) -> list[Contest]:
    """Return the contests of *extent*."""
    tasks, threads = Load(kind="tasks", callers=TASKS), Load(kind="threads", callers=THREADS)
    memory, few, many = (Load(kind="memory", keys=keys) for keys in (10_000, 1_000, 1_000_000))
    if extent.quick:
        return [
            _contest(extent, "tasks", tasks, (OURS, "limits"), "limits"),
            _contest(extent, "threads", threads, (OURS, "redispy"), "redispy"),
            _contest(extent, "memory", memory, (OURS, "limits"), "limits"),
            _many_keys(extent, few, many),
        ]
    on_uvloop = Load(kind="tasks", callers=TASKS, loop="uvloop")
    full_memory = Load(kind="memory", keys=100_000)
    reported = replace(extent, rounds=extent.rounds_reported)
    return [
        _contest(extent, "tasks", tasks, (OURS, "limits", "throttled", "redispy"), "limits"),
        _contest(reported, "tasks-uvloop", on_uvloop, (OURS, "limits", "throttled", "redispy"), "limits"),
        _contest(extent, "threads", threads, (OURS, "redispy", "limits"), "redispy"),
        _contest(reported, "thread", Load(kind="threads"), (OURS, "redispy", "limits"), "redispy"),
        _contest(extent, "memory", memory, (OURS, "limits", "throttled"), "limits"),
        _contest(reported, "memory-full", full_memory, (OURS, "limits", "throttled"), "limits"),
        _many_keys(extent, few, many),
        replace(_many_keys(reported, few, many, "bare"), name="many-keys-bare"),
    ]


def _contest(extent: Extent, name: str, load: Load, contenders: tuple[str, ...], reference: str) -> Contest:
    entries = tuple((contender, contender, load) for contender in contenders)
    return Contest(name=name, entries=entries, reference=reference, rounds=extent.rounds, seconds=extent.seconds)


def _many_keys(extent: Extent, few: Load, many: Load, contender: str = OURS) -> Contest:
    entries = ((FEW_KEYS, contender, few), (MANY_KEYS, contender, many))
    return Contest(name="many-keys", entries=entries, reference=FEW_KEYS, rounds=extent.rounds, seconds=extent.seconds)


def _rate_ratio(contest: str) -> Callable[[dict[str, Any]], float]:
    return lambda outcome: float(outcome["contests"][contest]["summary"][OURS]["ratio"]["median"])


GOALS = (
    Goal(
        text="strict on Redis, 128 callers of one asyncio loop, against the asynchronous fixed window of limits",
        bound=5.0,
        at_least=True,
        unit="times",
        figure=_rate_ratio("tasks"),
    ),
    Goal(
        text="BlockingLimiter on Redis, 64 threads, against redis-py by hand with 64 threads",
        bound=3.0,
        at_least=True,
        unit="times",
        figure=_rate_ratio("threads"),
    ),
    Goal(
        text="memory store through BlockingLimiter.acquire, against the memory fixed window of limits",
        bound=3.0,
        at_least=True,
        unit="times",
        figure=_rate_ratio("memory"),
    ),
    Goal(
        text="memory store, p99 with 1,000,000 distinct keys, against 1,000 keys",
        bound=1.5,
        at_least=False,
        unit="times",
        figure=lambda outcome: outcome["contests"]["many-keys"]["summary"][MANY_KEYS]["p99_ratio"]["median"],
    ),
    Goal(
        text="memory store, keys remembered with 1,000,000 distinct keys",
        bound=100_000,
        at_least=False,
        unit="keys",
        figure=lambda outcome: outcome["contests"]["many-keys"]["summary"][MANY_KEYS]["keys_remembered"],
    ),
    Goal(
        text="a gcra key of 20 bytes on Redis, by MEMORY USAGE",
        bound=120,
        at_least=False,
        unit="bytes",
        figure=lambda outcome: outcome["footprint"][OURS]["bytes_a_key_max"],
    ),
    Goal(
        text="idle: commands that Redis receives from a Limiter and a BlockingLimiter",
        bound=0,
        at_least=False,
        unit="commands",
        figure=lambda outcome: sum(each["commands"] for each in outcome["idle"].values()),
    ),
    Goal(
        text="idle: CPU of a Limiter's or a BlockingLimiter's process, the more of both",
        bound=1.0,
        at_least=False,
        unit="ms per second",
        figure=lambda outcome: max(each["cpu_us"] / 1e3 / each["seconds"] for each in outcome["idle"].values()),
    ),
)
