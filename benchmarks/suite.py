"""Takes all that is measured, in one run beside one server, and returns the outcome."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.batch_sizes import batch_costs
from benchmarks.contest import Contest, Load, take_rounds
from benchmarks.contestants import Worker, opened_at
from benchmarks.environments import packages_in
from benchmarks.facts import machine_facts
from benchmarks.goals import WINDOWS, judged
from benchmarks.held_rate import held_rate
from benchmarks.leases import hammered
from benchmarks.plan import OURS, TASKS, THREADS, Extent, contests, planned_seconds
from benchmarks.probe import Probe
from benchmarks.summary import summarised
from benchmarks.workload import Wish
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["STEPS", "measured"]

SAMPLED_KEYS = 500
PEERS = ("limits", "throttled", "pyrate")
STEPS = ("held-rate", "hammered", "batch-sizes", "footprint", "idle", "pieces", "awaited-pieces")
"""What is measured beside the contests, by the names that ``--only`` takes."""


def measured(extent: Extent, only: Sequence[str]) -> dict[str, Any]:
    """Take all of *extent*, or *only* some, and return the outcome."""
    held = [contest for contest in contests(extent) if not only or contest.name in only]
    if not only:
        print(f"about {planned_seconds(extent) / 60:.1f} minutes", file=sys.stderr)
    contenders = {contender for contest in held for _, contender, _ in contest.entries}
    with RedisServer() as server:
        probe = Probe(server.port)
        packages = {contender: packages_in(contender) for contender in sorted({OURS, "asgi", *(contenders & {*PEERS})})}
        outcome: dict[str, Any] = {
            "facts": machine_facts(probe.version(), packages),
            "extent": asdict(extent),
            "contests": {},
            "failed": {},
        }
        for contest in held:
            _attempt(contest.name, partial(_held, contest, server.port), outcome, outcome["contests"], probe)
        for name, step in _steps(extent, server.port).items():
            if not only or name in only:
                _attempt(name.replace("-", "_"), step, outcome, outcome, probe)
        probe.close()
    outcome["goals"] = judged(outcome)
    return outcome


def _attempt(name: str, step: Callable[[], Any], outcome: dict[str, Any], found: dict[str, Any], probe: Probe) -> None:
    """Take one step; when a contender fails there, say so and go on, for the others took minutes."""
    probe.command("FLUSHALL")
    try:
        found[name] = step()
    except (RuntimeError, OSError) as failure:
        print(f"{name} failed: {failure}", file=sys.stderr)
        outcome["failed"][name] = str(failure)


def _held(contest: Contest, port: int) -> dict[str, Any]:
    taken = take_rounds(contest, partial(opened_at, port))
    taken["summary"] = summarised(taken)
    taken["owners"] = {label: contender for label, contender, _ in contest.entries}
    return taken


def _steps(extent: Extent, port: int) -> dict[str, Callable[[], Any]]:
    return {
        "held-rate": lambda: held_rate(extent, partial(opened_at, port)),
        "hammered": lambda: hammered(extent, port),
        "batch-sizes": lambda: batch_costs(port),
        "footprint": lambda: _footprint(extent, port),
        "idle": lambda: _idle(extent, port),
        "pieces": lambda: _alone(port, "pieces"),
        "awaited-pieces": lambda: _alone(port, "awaited_pieces"),
    }


def _footprint(extent: Extent, port: int) -> dict[str, Any]:
    asked = [(name, OURS, Wish(algorithm=name)) for name in WINDOWS]
    others = ("limits", *(() if extent.quick else ("throttled", "pyrate", "redispy")))
    asked += [(contender, contender, Wish()) for contender in others]
    footprint = {}
    for label, contender, wish in asked:
        with Worker(contender, Load(kind="threads", keys=extent.footprint_keys, wish=wish), port) as worker:
            footprint[label] = worker.ask("footprint", sampled=SAMPLED_KEYS)
    return footprint


def _idle(extent: Extent, port: int) -> dict[str, Any]:
    idle = {}
    for load in (Load(kind="tasks", callers=TASKS), Load(kind="threads", callers=THREADS)):
        with Worker(OURS, load, port) as worker:
            idle[load.kind] = worker.ask("idle", seconds=extent.idle_seconds)
    return idle


def _alone(port: int, verb: str) -> dict[str, float]:
    """Have the pieces of a decision timed in a process of their own."""
    with Worker(OURS, Load(kind="memory"), port) as worker:
        pieces: dict[str, float] = worker.ask(verb)["pieces"]
    return pieces
