"""Has contestants take their rounds in turn: A B C, A B C.

What disturbs the machine for a while disturbs every contestant of that round, so a round's ratios
hold where its absolute figures do not.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from benchmarks.workload import Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Contest", "Contestant", "Entry", "Load", "take_rounds"]

HITS, LIMIT_HIT = 150, 100  # of one fresh key, after the rounds
_SPINS = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How a contender is put under load.

    Attributes:
        kind: ``tasks`` of one event loop; ``open``: the same with arrivals by a schedule; ``threads``;
            ``memory``: one thread, state in the process; ``calls``: one thread that is answered out of
            the process though the state is on the server; ``ceiling``: redis-benchmark; ``site``: requests
            to an ASGI application.
        callers: How many decide at once; of an open loop the most that may be under way at once.
        keys: How many keys there are.
        loop: The event loop of tasks: ``asyncio`` or ``uvloop``.
        spread: How keys are drawn: ``uniform`` or ``zipf``.
        per_second: The rate of an open loop.
        processes: How many processes of it there are.
        pipeline: For the ceiling: commands sent before answers are awaited.
        keys_a_call: For the ceiling: keys in one script call.
        pause_every: Decisions after which a task lets others run, whether or not it had to wait; 0 for never.
        warm_up_seconds: How long it is used before each round without being measured.
        settle_seconds: How long it is left alone after each round, so that what it still does then is done
            before others are measured.
        wish: What is to be decided by.
    """

    kind: str
    callers: int = 1
    keys: int = 10_000
    loop: str = "asyncio"
    spread: str = "uniform"
    per_second: float = 0.0
    processes: int = 1
    pipeline: int = 1
    keys_a_call: int = 1
    pause_every: int = 0
    warm_up_seconds: float = 0.1
    settle_seconds: float = 0.0
    wish: Wish = field(default_factory=Wish)


Entry = tuple[str, str, Load]
"""A label, whose it is, and the load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Contenders under loads, measured in turn.

    Attributes:
        name: What it is called in the figures.
        entries: A load for each label, and whose it is.
        reference: The label that the others are compared with.
        rounds: How often each has its turn.
        seconds: How long a turn is.
        admission: Whether each is afterwards let hit one fresh key.
        curves: Whether the latencies of all rounds together are kept as a curve.
    """

    name: str
    entries: Sequence[Entry]
    reference: str
    rounds: int
    seconds: float
    admission: bool = True
    curves: bool = False


class Contestant(Protocol):
    """One contender under one load; a context manager that ends it."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """End it."""

    def ask(self, verb: str, **details: Any) -> dict[str, Any]:
        """Have it do something, and return what it answers."""


def take_rounds(contest: Contest, opened: Callable[[str, Load], Contestant]) -> dict[str, Any]:
    """Hold *contest* and return each contender's samples, and how fast the machine was in each round.

    Args:
        contest: What is to be held.
        opened: Starts a contender under a load.
    """
    with ExitStack() as stack:
        contestants = {
            label: stack.enter_context(opened(contender, load)) for label, contender, load in contest.entries
        }
        for contestant in contestants.values():
            contestant.ask("touch")
        samples: dict[str, list[dict[str, Any]]] = {label: [] for label in contestants}
        spins = []
        for number in range(contest.rounds):
            print(f"  {contest.name}: round {number + 1} of {contest.rounds}", file=sys.stderr)
            spins.append(_spins_per_second())
            for label, contestant in contestants.items():
                samples[label].append(contestant.ask("measure", seconds=contest.seconds))
        taken: dict[str, Any] = {"reference": contest.reference, "samples": samples, "spins_per_second": spins}
        if contest.curves:
            taken["curves"] = {
                label: contestant.ask("merge", histograms=[each["histogram"] for each in samples[label]])["curve"]
                for label, contestant in contestants.items()
            }
        if contest.admission:
            taken["admitted"] = {
                label: contestant.ask("admission", key=f"fresh:{contest.name}:{label}", hits=HITS, limit=LIMIT_HIT)
                for label, contestant in contestants.items()
            }
    for rounds in samples.values():
        for each in rounds:
            each.pop("histogram", None)
    return taken


def _spins_per_second() -> float:
    """Say how fast this machine counts at the moment, which tells how much else it has to do."""
    start = time.perf_counter()
    for _ in range(_SPINS):
        pass
    return _SPINS / (time.perf_counter() - start)
