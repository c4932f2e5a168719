"""Chooses what of the figures is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.plan import KEY_COUNTS, OURS, PROCESSES
from benchmarks.svg import Bar, Line, bar_chart, line_chart
from benchmarks.wording import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["plots_of"]

PERCENTILES = (0, 50, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)


def plots_of(outcome: dict[str, Any]) -> dict[str, str]:
    """Return the plots that *outcome* has figures for, by name."""
    contests = outcome["contests"]
    drawn: dict[str, Callable[[], str]] = {
        "throughput": lambda: _bars(contests["tasks"], "Decisions a second, 128 callers of one asyncio loop"),
        "throughput-uvloop": lambda: _bars(contests["tasks-uvloop"], "Decisions a second, 128 callers on uvloop"),
        "zipf": lambda: _bars(contests["zipf"], "Decisions a second, Zipf(1.1) beside uniform keys"),
        "open-loop": lambda: _curves(contests["open"], "Latency by percentile, open loop of 15,000 requests a second"),
        "processes": lambda: _processes(contests["processes"]),
        "keys": lambda: _keys(contests),
        "local": lambda: _bars(contests["local"], "Decisions a second that are answered in this process, one thread"),
    }
    plots = {}
    for name, draw in drawn.items():
        try:
            plots[name] = draw()
        except KeyError:
            continue
    return plots


def _bars(contest: dict[str, Any], title: str) -> str:
    bars = [
        Bar(
            label=name_of(label),
            value=figures["per_second"]["median"],
            low=figures["per_second"]["min"],
            high=figures["per_second"]["max"],
            marked=contest["owners"][label] == OURS,
        )
        for label, figures in contest["summary"].items()
    ]
    return bar_chart(title, bars, unit="/s")


def _curves(contest: dict[str, Any], title: str) -> str:
    # Each nine more is one step to the right.
    step = {place: number for number, place in enumerate(PERCENTILES)}
    lines = [
        Line(
            label=name_of(label),
            points=[(step[place], max(1e-3, us / 1e3)) for place, us in curve if place in step],
        )
        for label, curve in contest["curves"].items()
    ]
    return line_chart(
        title,
        lines,
        x_label="percentile of requests",
        y_label="milliseconds from the intended start",
        x_ticks=[(number, f"{place:g}" if place else "least") for place, number in step.items()],
        y_logarithmic=True,
    )


def _processes(contest: dict[str, Any]) -> str:
    lines = [
        Line(
            label=name_of(contender),
            points=[
                (place, contest["summary"][f"{contender}-{count}"]["per_second"]["median"])
                for place, count in enumerate(PROCESSES)
            ],
        )
        for contender in (OURS, "redispy")
    ]
    return line_chart(
        "Decisions a second of several processes together, on one Redis",
        lines,
        x_label="processes",
        y_label="decisions a second",
        x_ticks=[(place, str(count)) for place, count in enumerate(PROCESSES)],
    )


def _keys(contests: dict[str, Any]) -> str:
    lines = [
        Line(
            label=label,
            points=[
                (place, 1e6 / contests[name]["summary"][f"{OURS}-{count}"]["per_second"]["median"])
                for place, count in enumerate(KEY_COUNTS)
            ],
        )
        for label, name in (("Sluicegate, strict on Redis", "keys-redis"), ("Sluicegate, in memory", "keys-memory"))
    ]
    return line_chart(
        "Time per decision by the number of keys",
        lines,
        x_label="keys",
        y_label="microseconds a decision",
        x_ticks=[(place, f"{count:,}") for place, count in enumerate(KEY_COUNTS)],
    )
