"""Measures Sluicegate beside its peers, in one run: ``python -m benchmarks``, or ``make bench``."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.compare import EARLIER, FIGURES
from benchmarks.environments import ROOT
from benchmarks.page import page_of
from benchmarks.plan import Extent, contests
from benchmarks.plots import plots_of
from benchmarks.suite import STEPS, measured

PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "plots"


def main() -> int:
    """Measure, write the figures, the page and the plots, and say what was met."""
    wanted = _arguments()
    if wanted.render:
        outcome = json.loads(wanted.figures.read_text("utf-8"))
    else:
        outcome = measured(Extent.short() if wanted.quick else Extent(), wanted.only)
        if not wanted.only:
            _keep(wanted.figures, outcome)
    if not wanted.only:
        wanted.page.write_text(page_of(outcome), "utf-8")
        wanted.plots.mkdir(parents=True, exist_ok=True)
        for name, text in plots_of(outcome).items():
            (wanted.plots / f"{name}.svg").write_text(text, "utf-8")
    _say(outcome)
    return 1 if outcome["failed"] else 0


def _keep(figures: Path, outcome: dict[str, Any]) -> None:
    if figures == FIGURES and figures.exists():
        EARLIER.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(figures, EARLIER)
    figures.write_text(json.dumps(outcome, indent=1) + "\n", "utf-8")


def _say(outcome: dict[str, Any]) -> None:
    for name, contest in outcome["contests"].items():
        print(f"\n[{name}] ratio to {contest['reference']}")
        for label, figures in contest["summary"].items():
            print(f"  {label:24}" + _line(figures) + _admitted(contest.get("admitted", {}).get(label)))
    for name in STEPS:
        if (step := outcome.get(name.replace("-", "_"))) is not None:
            print(f"\n[{name}] {json.dumps(step)}")
    for name, failure in outcome["failed"].items():
        print(f"\n[{name}] NOT MEASURED: {failure}")
    print()
    for goal in outcome["goals"]:
        print(_goal_line(goal))


def _line(figures: dict[str, Any]) -> str:
    rate, ratio = figures["per_second"], figures["ratio"]
    lost = f"  unsent {figures['unsent']}  lag {figures['lag_p50_us']:,.0f} µs" if "unsent" in figures else ""
    return (
        f"{rate['median']:>11,.0f}/s [{rate['min']:,.0f} to {rate['max']:,.0f}]"
        f"  x{ratio['median']:.2f} [{ratio['min']:.2f} to {ratio['max']:.2f}]"
        f"  p50 {figures['p50_us']:,.1f}  p95 {figures['p95_us']:,.1f}  p99 {figures['p99_us']:,.1f}"
        f"  p99.9 {figures.get('p999_us') or 0:,.1f}  max {figures['max_us']:,.1f} µs"
        f"  cpu {figures['client_us']:.2f}+{figures['redis_us']:.2f} µs"
        f"  calls {figures['script_calls']:.4f}  bytes {figures['wire_bytes']:.0f}  refused {figures['refused']}{lost}"
    )


def _admitted(answer: dict[str, Any] | None) -> str:
    return f"  admitted {answer['admitted']} of {answer['hits']} at {answer['limit']}" if answer else ""


def _goal_line(goal: dict[str, Any]) -> str:
    sign = "≥" if goal["at_least"] else "≤"
    bounds = [f"{name} {sign} {goal[name]:,g}" for name in ("floor", "goal") if goal[name] is not None]
    word = {True: "met   ", False: "MISSED", None: "      "}[goal["met"]]
    further = {True: "goal met", False: "goal missed", None: ""}[goal["goal_met"]]
    return f"{word} {goal['figure']:>13,.3f} {goal['unit']:14} ({', '.join(bounds)}): {goal['text']}; {further}"


def _arguments() -> argparse.Namespace:
    names = [contest.name for contest in contests(Extent())] + list(STEPS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="prove in a minute that all of this works, and no more")
    parser.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="NAME", choices=names,
        help=f"measure these and keep nothing: {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--figures", type=Path, default=FIGURES, help="where the figures go")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page goes")
    parser.add_argument("--plots", type=Path, default=PLOTS, help="the folder where the plots go")
    parser.add_argument("--render", action="store_true", help="write the page and the plots anew from the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
