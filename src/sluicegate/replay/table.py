"""The report on a terminal: one table of rules, and for each that denied, when and whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.replay.wording import (
    further_terms,
    in_proportion_text,
    lines_text,
    malformed_numbers,
    percent,
    period,
    shown,
    unreadable_text,
    width_text,
    without_key_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType

    from sluicegate.replay.report import Report, RuleReport
    from sluicegate.replay.timeline import Timeline

__all__ = ["print_report"]

_KEYS_SHOWN_MAX = 5  # the rest of the twenty are in the JSON and on the page
_BARS = " ▁▂▃▄▅▆▇█"
_ASCII_BARS = " .:-=+*#@"
_KEY_LENGTH_MAX = 60


def print_report(report: Report, console: Console) -> None:
    """Print *report* to *console*; what clients wrote can do nothing to the terminal."""
    from rich.text import Text  # noqa: PLC0415 - an optional package, needed by this presentation alone

    console.print(Text.assemble(("Replay of ", "bold"), (shown(report.log), "bold cyan")))
    console.print(Text(lines_text(report)))
    if period(report):
        console.print(Text(period(report)))
    if report.malformed:
        console.print(Text(f"{report.malformed:,} malformed: {malformed_numbers(report)}", "yellow"))
    if unreadable_text(report):
        console.print(Text(unreadable_text(report), "bold yellow"))
    if report.ended_early:
        console.print(Text(f"The log could not be read to its end: {shown(report.ended_early)}", "bold yellow"))
    console.print()
    console.print(_rules_table(report.rules))
    for rule in report.rules:
        for line in _notes(rule):
            console.print(Text(line, "yellow"))
    for rule in report.rules:
        if rule.denied:
            console.print()
            for part in _denials(rule, max(1, console.width), _ASCII_BARS if console.options.ascii_only else _BARS):
                console.print(part)


def _rules_table(rules: Sequence[RuleReport]) -> RenderableType:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("rule")
    table.add_column("rate")
    for heading in ("requests", "keys", "denied", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for rule in rules:
        name = Text.assemble((shown(rule.name), "bold"), "\n", (rule.algorithm, "dim"))
        per = "\n".join([f"per {', '.join(rule.key)}", *further_terms(rule)])
        rate = Text.assemble(rule.rate, "\n", (per, "dim"))
        if rule.skipped:
            table.add_row(name, rate, *(Text("-", "dim") for _ in range(4)))
            continue
        denied = Text(f"{rule.denied:,}", "bold red" if rule.denied else "green")
        share = percent(rule.denied_ratio) if rule.requests else "-"
        table.add_row(name, rate, f"{rule.requests:,}", f"{rule.keys:,}", denied, share)
    return table


def _notes(rule: RuleReport) -> list[str]:
    name = shown(rule.name)
    if rule.skipped:
        return [f"{name} was not replayed: {rule.skipped}"]
    without_key = without_key_text(rule)
    return [f"{name}: {without_key}"] if without_key else []


def _denials(rule: RuleReport, width_max: int, heights: str) -> list[RenderableType]:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    denied = f"  {rule.denied:,} would be denied (shadow)" if rule.shadow else f"  {rule.denied:,} denied"
    parts: list[RenderableType] = [Text.assemble((shown(rule.name), "bold"), denied)]
    if rule.over_time is not None:
        bars, columns = _bars(rule.over_time, width_max, heights)
        parts += [Text(bars, "red"), Text(f"denied over time, {width_text(columns)} a column", "dim")]
    for wanted in rule.suggestions:
        rate = (wanted.rate, "cyan") if wanted.rate else "no limit"
        outcome = f"{in_proportion_text(rule)} ({wanted.denied:,} denied)" if wanted.rate else ""
        parts.append(Text.assemble(f"at most {100 * wanted.target_ratio:g} % denied: ", rate, outcome))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("most denied")
    table.add_column("denied", justify="right", style="red")
    table.add_column("allowed", justify="right")
    table.add_column("share denied", justify="right")
    for found in rule.top_denied[:_KEYS_SHOWN_MAX]:
        share = percent(found.denied / (found.denied + found.allowed))
        table.add_row(Text(shown(found.key, _KEY_LENGTH_MAX)), f"{found.denied:,}", f"{found.allowed:,}", share)
    parts.append(table)
    return parts


def _bars(timeline: Timeline, width_max: int, heights: str) -> tuple[str, int]:
    """Return the denials as bars in at most *width_max* columns, and what one column stands for in microseconds."""
    joined = -(-len(timeline.denied) // width_max)
    counts = [sum(timeline.denied[at : at + joined]) for at in range(0, len(timeline.denied), joined)]
    most = max(counts)
    # Rounded up, so that a single denial is seen.
    bars = "".join(heights[-(-count * (len(heights) - 1) // most)] for count in counts)
    return bars, joined * timeline.width_us
