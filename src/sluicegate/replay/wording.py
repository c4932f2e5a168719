"""How the report's facts read, the same on a terminal and on a page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluicegate.replay.report import Report, RuleReport

__all__ = [
    "SHOWN_LENGTH_MAX",
    "clock_time",
    "further_terms",
    "in_proportion_text",
    "lines_text",
    "malformed_numbers",
    "percent",
    "period",
    "shown",
    "unreadable_text",
    "width_text",
    "without_key_text",
]

SHOWN_LENGTH_MAX = 80  # a column that still fits a screen; the JSON has the whole text
_NUMBERS_SHOWN_MAX = 12  # a line of them; the JSON has a hundred
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_PERCENT = 0.01
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def shown(text: str, length_max: int = SHOWN_LENGTH_MAX) -> str:
    """Return what a client wrote as text that does nothing to a terminal, shortened at its end.

    Control characters, and those that turn the direction of writing, are shown as escapes.
    """
    cut = text[:length_max]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)[:length_max]
    return cut if cut == text else f"{cut[: length_max - 1]}…" if len(text) > length_max else cut


def percent(ratio: float) -> str:
    """Write a share; what is not nothing is never written as nothing, nor all but everything as everything."""
    value = 100 * ratio
    if 0 < value < _LEAST_PERCENT:
        return f"< {_LEAST_PERCENT} %"
    text = f"{value:.2f}" if value < 10 else f"{value:.1f}"  # noqa: PLR2004 - three digits either way
    return "> 99.9 %" if text == "100.0" and ratio < 1 else f"{text} %"


def clock_time(at_us: int) -> str:
    """Write a time as people do, in UTC."""
    return f"{_moment(at_us):%d %b %Y %H:%M:%S}"


def period(report: Report) -> str:
    """Write from when to when the log goes; nothing when it holds no request."""
    if report.first_us is None or report.last_us is None:
        return ""
    return f"{clock_time(report.first_us)} to {clock_time(report.last_us)} UTC"


def lines_text(report: Report) -> str:
    """Write how many requests the log has, in how many lines of which format."""
    requests = f"{report.requests:,}" if report.requests else "no"
    return f"{requests} requests in {report.lines:,} lines ({report.log_format or 'no known format'})"


def unreadable_text(report: Report) -> str:
    """Say that the log is in no format that is known, or not in the given one; nothing where a line could be read."""
    if report.requests or not report.lines:
        return ""
    how = f"as {report.log_format}" if report.log_format else "in any known format"
    return f"no line could be read {how}; --format and --columns tell a format that is not recognised"


def malformed_numbers(report: Report) -> str:
    """Write which lines are malformed, as far as a line has room for it."""
    numbers = ", ".join(str(number) for number in report.malformed_lines[:_NUMBERS_SHOWN_MAX])
    more = report.malformed - min(len(report.malformed_lines), _NUMBERS_SHOWN_MAX)
    return f"{numbers} and {more:,} more" if more else numbers


def width_text(width_us: int) -> str:
    """Write the width of a timeline's columns: ``an hour``, ``5 minutes``."""
    seconds = width_us // 1_000_000
    for unit_seconds, unit in _UNITS:
        if seconds % unit_seconds == 0:
            count = seconds // unit_seconds
            return (f"{'an' if unit == 'hour' else 'a'} {unit}") if count == 1 else f"{count} {unit}s"
    return f"{seconds} seconds"


def further_terms(rule: RuleReport) -> list[str]:
    """Write what a request takes, where that is not one unit, and the rates that hold at other times."""
    cost = [f"{rule.cost:,} units a request"] if rule.cost > 1 else []
    return [*cost, *rule.schedule]


def in_proportion_text(rule: RuleReport) -> str:
    """Say what goes with a limit that is suggested; nothing where it stands alone."""
    return ", and other hours in proportion" if rule.schedule else ""


def without_key_text(rule: RuleReport) -> str:
    """Say how many requests match without a key, or nothing when there are none."""
    if not rule.without_key:
        return ""
    requests = "request has" if rule.without_key == 1 else "requests have"
    return f"{rule.without_key:,} more {requests} no {' or '.join(rule.key)} in the log"


def _moment(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_us)
