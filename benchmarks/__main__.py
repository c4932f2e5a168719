"""Measures Sluicegate beside its peers, in one run: ``python -m benchmarks``, or ``make bench``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.contest import Load, Worker, take_rounds
from benchmarks.environments import ROOT, packages_in
from benchmarks.facts import machine_facts
from benchmarks.page import page_of
from benchmarks.plan import GOALS, OURS, TASKS, THREADS, Extent, contests
from benchmarks.probe import Probe
from benchmarks.summary import summarised
from tests.servers import RedisServer

FIGURES = ROOT / "benchmarks" / "figures.json"
PAGE = ROOT / "docs" / "performance.md"
SAMPLED_KEYS = 500


def main() -> int:
    """Measure, write the figures and the page, and say what was met."""
    wanted = _arguments()
    if wanted.render:
        outcome = json.loads(wanted.figures.read_text("utf-8"))
    else:
        extent = Extent.short() if wanted.quick else Extent()
        outcome = measured(extent, wanted.only)
        wanted.figures.write_text(json.dumps(outcome, indent=1) + "\n", "utf-8")
    if not wanted.only:
        wanted.page.write_text(page_of(outcome), "utf-8")
    _say(outcome)
    return 0


def measured(extent: Extent, only: list[str]) -> dict[str, Any]:
    """Hold all contests of *extent*, or *only* some, and return the outcome."""
    held = [contest for contest in contests(extent) if not only or contest.name in only]
    contenders = sorted({contender for contest in held for _, contender, _ in contest.entries})
    with RedisServer() as server:
        probe = Probe(server.port)
        facts = machine_facts(probe.version(), {contender: packages_in(contender) for contender in contenders})
        probe.close()
        outcome: dict[str, Any] = {"facts": facts, "extent": asdict(extent), "contests": {}}
        for contest in held:
            outcome["contests"][contest.name] = taken = take_rounds(contest, server.port)
            taken["summary"] = summarised(taken)
        if only:
            return outcome
        outcome["footprint"] = _footprint(extent, server.port)
        outcome["idle"] = _idle(extent, server.port)
        with Worker(OURS, Load(kind="memory"), server.port) as worker:
            outcome["pieces_ns"] = worker.ask("pieces")["ns"]
    outcome["goals"] = [
        {
            "text": goal.text,
            "bound": goal.bound,
            "at_least": goal.at_least,
            "unit": goal.unit,
            "figure": (figure := goal.figure(outcome)),
            "met": goal.met_by(figure),
        }
        for goal in GOALS
    ]
    return outcome


def _footprint(extent: Extent, port: int) -> dict[str, Any]:
    footprint = {}
    for contender in (OURS, "limits", *(() if extent.quick else ("throttled", "redispy"))):
        with Worker(contender, Load(kind="threads", keys=extent.footprint_keys), port) as worker:
            footprint[contender] = worker.ask("footprint", sampled=SAMPLED_KEYS)
    return footprint


def _idle(extent: Extent, port: int) -> dict[str, Any]:
    idle = {}
    for load in (Load(kind="tasks", callers=TASKS), Load(kind="threads", callers=THREADS)):
        with Worker(OURS, load, port) as worker:
            idle[load.kind] = worker.ask("idle", seconds=extent.idle_seconds)
    return idle


def _say(outcome: dict[str, Any]) -> None:
    for name, contest in outcome["contests"].items():
        print(f"\n[{name}] ratio to {contest['reference']}")
        for label, figures in contest["summary"].items():
            rate = figures["per_second"]
            print(
                f"  {label:16} {rate['median']:>11,.0f}/s [{rate['min']:,.0f} to {rate['max']:,.0f}]"
                f"  x{figures['ratio']['median']:.2f} [{figures['ratio']['min']:.2f} to {figures['ratio']['max']:.2f}]"
                f"  p50 {figures['p50_us']:,.1f}  p99 {figures['p99_us']:,.1f}  max {figures['max_us']:,.1f} µs"
                f"  cpu {figures['client_us']:.2f}+{figures['redis_us']:.2f} µs"
                f"  calls {figures['script_calls']:.3f}  refused {figures['refused']}"
            )
    print()
    for goal in outcome.get("goals", ()):
        sign = "≥" if goal["at_least"] else "≤"
        print(
            f"{'met   ' if goal['met'] else 'MISSED'} {goal['figure']:>11,.2f} "
            f"(asked {sign} {goal['bound']:,g} {goal['unit']}): {goal['text']}"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="prove in seconds that all of this works, and no more")
    parser.add_argument("--only", action="append", default=[], metavar="CONTEST", help="hold this contest; no page")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="where the figures go")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page goes")
    parser.add_argument("--render", action="store_true", help="write the page anew from the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
