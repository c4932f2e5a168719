"""Writes docs/performance.md from the figures of a run, and from nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.contest import HITS, LIMIT_HIT
from benchmarks.page_parts import admitted, awaited_pieces, batch_sizes, footprint, hammered, held_rate, idle, pieces
from benchmarks.plots import plots_of
from benchmarks.tables import short, table
from benchmarks.wording import HEADER, NOTES, REMARKS, TITLES, name_of
from benchmarks.workload import Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["page_of"]

IN_MEMORY = frozenset({"memory", "memory-full", "keys-memory"})
PLOT_AFTER = {
    "tasks": "throughput",
    "tasks-uvloop": "throughput-uvloop",
    "zipf": "zipf",
    "open": "open-loop",
    "processes": "processes",
    "keys-redis": "keys",
    "local": "local",
}
STEPS_TOLD = (
    ("hammered", hammered),
    ("batch_sizes", batch_sizes),
    ("awaited_pieces", awaited_pieces),
    ("pieces", pieces),
    ("footprint", footprint),
    ("idle", idle),
)
PACKAGES = (("limits", "limits"), ("throttled", "throttled-py"), ("pyrate", "pyrate-limiter"))


def page_of(outcome: dict[str, Any]) -> str:
    """Return the page for *outcome*."""
    wish = Wish()
    plots = plots_of(outcome)
    parts = [HEADER.rstrip("\n") + "\n", _machine(outcome), *_failed(outcome["failed"]), _goals(outcome["goals"])]
    for name, contest in outcome["contests"].items():
        parts.append(_contest(name, contest))
        plot = PLOT_AFTER.get(name)
        if plot in plots:
            parts.append(f"![{TITLES[name]}](plots/{plot}.svg)\n")
        if name == "open":
            parts += _told("held_rate", held_rate, outcome)
    parts.append(admitted(outcome["contests"]))
    for name, tell in STEPS_TOLD:
        parts += _told(name, tell, outcome)
    parts.append(NOTES.format(per_hour=wish.per_hour, burst=wish.burst, hits=HITS, limit=LIMIT_HIT))
    return "\n".join(parts)


def _told(name: str, tell: Callable[[Any], str], outcome: dict[str, Any]) -> list[str]:
    return [tell(outcome[name])] if name in outcome else []


def _failed(failed: dict[str, str]) -> list[str]:
    if not failed:
        return []
    lines = [f"- {TITLES.get(name, name)}: {failure}" for name, failure in failed.items()]
    return ["**Not measured in this run**, because a contender failed there:\n\n" + "\n".join(lines) + "\n"]


def _machine(outcome: dict[str, Any]) -> str:
    facts, extent = outcome["facts"], outcome["extent"]
    packages = facts["packages"]
    versions = ", ".join(
        f"{package} {packages[contender][package]} with redis-py {packages[contender]['redis']}"
        for contender, package in PACKAGES
        if contender in packages
    )
    ours = packages["sluicegate"]
    spins = [each for contest in outcome["contests"].values() for each in contest["spins_per_second"]]
    return (
        f"Machine: {facts['cores']} cores, {facts['system']}, {facts['python']}, Redis {facts['redis']}, "
        f"Sluicegate {facts['sluicegate']} with redis-py {ours['redis']} and hiredis {ours['hiredis']}, {versions}; "
        f"uvloop {ours['uvloop']}, uvicorn {packages['asgi']['uvicorn']}. {extent['rounds']} rounds of "
        f"{extent['seconds']:g} s ({extent['rounds_reported']} where less depends on it, {extent['open_seconds']:g} s "
        f"in the open loops). How steady the machine was: an empty loop ran {min(spins) / 1e6:.0f} to "
        f"{max(spins) / 1e6:.0f} million times a second over the rounds.\n"
    )


def _goals(goals: Sequence[dict[str, Any]]) -> str:
    words = {True: "yes", False: "**no**", None: ""}
    rows = []
    for goal in goals:
        sign = "≥" if goal["at_least"] else "≤"
        bounds = ["" if goal[name] is None else f"{sign} {goal[name]:,g}" for name in ("floor", "goal")]
        figure = f"{short(goal['figure'])} {goal['unit']}".rstrip()
        rows.append((goal["text"], figure, bounds[0], words[goal["met"]], bounds[1], words[goal["goal_met"]]))
    head = ("figure", "measured", "floor", "held", "goal", "reached")
    return (
        "## What is asked of it\n\nA floor must hold; a goal is where we want to be. Where the goal says that more "
        "keys should cost nothing, a tenth is taken for the noise.\n\n" + table(head, rows)
    )


def _contest(name: str, contest: dict[str, Any]) -> str:
    in_memory, opened = name in IN_MEMORY, name.startswith("open")
    unit, scale = ("µs", 1.0) if in_memory or name.startswith("local") else ("ms", 1e3)
    what, one = ("requests/s", "request") if name == "asgi" else ("decisions/s", "decision")
    head = [
        "",
        what,
        "range",
        "ratio",
        "range",
        *(f"{place} {unit}" for place in ("p50", "p95", "p99", "p99.9", "max")),
    ]
    head += ["refused", *(("unanswered", "send lag µs") if opened else ()), *(("admitted",) * ("admitted" in contest))]
    rows = [
        [name_of(label), *_rates(figures, scale, opened=opened), *_hits(contest, label)]
        for label, figures in contest["summary"].items()
    ]
    costs = [[name_of(label), *_costs(figures, in_memory=in_memory)] for label, figures in contest["summary"].items()]
    cost_head = [f"per {one}", "client CPU µs", "of it kernel µs", "switches"]
    cost_head += [] if in_memory else ["Redis CPU µs", "in scripts µs", "script calls", "bytes on the wire"]
    text = (
        f"## {TITLES[name]}\n\n{table(head, rows)}\n"
        f"Ratio: {what} against {name_of(contest['reference'])}, round by round.\n\n{table(cost_head, costs)}"
    )
    return text + (f"\n{REMARKS[name]}\n" if name in REMARKS else "")


def _rates(figures: dict[str, Any], scale: float, *, opened: bool) -> list[str]:
    rate, ratio = figures["per_second"], figures["ratio"]
    row = [f"{rate['median']:,.0f}", f"{rate['min']:,.0f} to {rate['max']:,.0f}"]
    row += [f"{ratio['median']:.2f}", f"{ratio['min']:.2f} to {ratio['max']:.2f}"]
    latencies = [figures.get(name) for name in ("p50_us", "p95_us", "p99_us", "p999_us", "max_us")]
    row += [short(None if latency is None else latency / scale) for latency in latencies]
    row.append(f"{figures['refused']:,}")
    if opened:
        row += [f"{figures['unsent'] + figures['unanswered']:,}", f"{figures['lag_p50_us']:,.0f}"]
    return row


def _costs(figures: dict[str, Any], *, in_memory: bool) -> list[str]:
    row = [f"{figures['client_us']:.2f}", f"{figures['system_us']:.2f}", f"{figures['switches']:.3f}"]
    if in_memory:
        return row
    row += [f"{figures['redis_us']:.2f}", f"{figures['script_us']:.2f}", f"{figures['script_calls']:.4f}"]
    return [*row, f"{figures['wire_bytes']:.0f}"]


def _hits(contest: dict[str, Any], label: str) -> list[str]:
    if "admitted" not in contest:
        return []
    answer = contest["admitted"].get(label)
    return [f"{answer['admitted']}" if answer else "-"]
