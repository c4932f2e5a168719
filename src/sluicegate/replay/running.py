"""The replay itself: a log and rules in, a report out.

The log is read once. Of each request only what rules need is kept, put into order, and then decided
rule by rule, each as if it were the only one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import IO, TYPE_CHECKING, Protocol

from sluicegate.replay.deciding import run_limit
from sluicegate.replay.keyed_times import KeyedTimes
from sluicegate.replay.lines import opened
from sluicegate.replay.ordering import REQUESTS_IN_MEMORY_MAX, Ordering
from sluicegate.replay.reading import LogReader
from sluicegate.replay.report import Report, RuleReport
from sluicegate.replay.suggesting import suggestions
from sluicegate.replay.terms import Terms
from sluicegate.replay.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from sluicegate.ratelimit.rules import Rule, Rules
    from sluicegate.replay.formats import LogFormat
    from sluicegate.replay.ordering import Entry

__all__ = ["Progress", "no_progress", "replay"]

_NO_ENDS = "no log tells when a request ends, so holders cannot be counted"
_PROGRESS_EVERY_REQUESTS = 4096


class Progress(Protocol):
    """Who is told how far a replay is; called some hundred times."""

    def __call__(self, phase: str, done: int, total: int | None, /) -> None:
        """Take note that *done* of *total* steps of *phase* are done; ``None`` when nobody knows of how many."""
        ...


def no_progress(phase: str, done: int, total: int | None) -> None:
    """Take no note of it."""


@dataclass(slots=True)
class _Span:
    """What was seen while reading: the earliest and latest request, and requests without a key."""

    without_key: list[int]
    first_us: int | None = None
    last_us: int | None = None


def replay(
    log: str | Path | IO[bytes],
    rules: Rules,
    *,
    log_format: LogFormat | None = None,
    columns: Mapping[str, str] | None = None,
    requests_in_memory_max: int = REQUESTS_IN_MEMORY_MAX,
    progress: Progress = no_progress,
) -> Report:
    """Drive *log* through *rules* and report what they would have done.

    Args:
        log: A path, ``-`` for standard input, or a buffered binary file; plain or gzip.
        rules: The rules.
        log_format: ``combined``, ``common``, ``json`` or ``csv``; default: what the first lines show.
        columns: For JSON and CSV: what the log calls ``time``, ``request`` or a descriptor, or for
            CSV the column's number from 1. Default: the usual names.
        requests_in_memory_max: The most requests held in memory while they are put into order;
            more go to a temporary file. From 1, default 500,000.
        progress: Told how far it is.

    Raises:
        InvalidInputError: The log cannot be opened, or lacks a column that was named.
    """
    with opened(log) as source, Ordering(in_memory_max=requests_in_memory_max) as ordering:
        reader = LogReader(source=source, log_format=log_format, columns=columns or {})
        span = _Span([0] * len(rules.limits))
        _read(reader, rules, ordering, span, progress)
        reports = _decide(rules, ordering, span, progress)
        return Report(
            log=source.name,
            log_format=reader.log_format or "",
            lines=reader.lines,
            malformed=reader.malformed,
            malformed_lines=tuple(reader.malformed_lines),
            first_us=span.first_us,
            last_us=span.last_us,
            ended_early=source.ended_early,
            rules=tuple(reports),
        )


def _read(reader: LogReader, rules: Rules, ordering: Ordering, span: _Span, progress: Progress) -> None:
    replayed = [
        (index, rule.match, rule.key, {str(status) for status in rule.statuses})
        for index, rule in enumerate(rules.limits)
        if _why_skipped(rule) is None
    ]
    add, without_key = ordering.add, span.without_key
    first_us = last_us = None
    has_lists = bool(rules.allow or rules.deny)
    for count, (at_us, line_number, descriptors) in enumerate(reader.requests()):
        if first_us is None or last_us is None:
            first_us = last_us = at_us
        elif at_us < first_us:
            first_us = at_us
        elif at_us > last_us:
            last_us = at_us
        if has_lists and rules.listed(descriptors) is not None:
            continue  # it is let through or refused, and not counted
        for index, match, template, statuses in replayed:
            if match.covers(descriptors) and (not statuses or descriptors.get("status") in statuses):
                key = template.key(descriptors)
                if key is None:
                    without_key[index] += 1
                else:
                    add((index, key, at_us, line_number))
        if count % _PROGRESS_EVERY_REQUESTS == 0:
            progress("reading", reader.bytes_read, reader.source.size_bytes)
    span.first_us, span.last_us = first_us, last_us
    progress("reading", reader.bytes_read, reader.source.size_bytes)


def _decide(rules: Rules, ordering: Ordering, span: _Span, progress: Progress) -> Iterator[RuleReport]:
    decided = 0

    def tell(phase: str, done: int, _: int | None) -> None:
        progress(phase, decided + done, ordering.count)

    groups = groupby(ordering.sorted(), itemgetter(0))
    covered, entries = next(groups, (-1, iter(())))
    for index, rule in enumerate(rules.limits):
        skipped = _why_skipped(rule)
        if skipped is not None:
            yield _report_of(rule, skipped=skipped)
        elif index == covered:
            report = _replayed(rule, entries, span, tell)
            decided += report.requests
            yield replace(report, without_key=span.without_key[index])
            covered, entries = next(groups, (-1, iter(())))
        else:
            yield replace(_replayed(rule, (), span, tell), without_key=span.without_key[index])


def _replayed(rule: Rule, entries: Iterable[Entry], span: _Span, progress: Progress) -> RuleReport:
    name, terms = rule.limit.name, Terms.of(rule)
    over_time = Timeline.over(span.first_us or 0, span.last_us or 0)
    with KeyedTimes() as tape:
        outcome = run_limit(
            terms,
            entries,
            tape=tape,
            over_time=over_time,
            progress=lambda done: progress(f"deciding {name}", done, None),
        )
        progress(f"searching limits for {name}", tape.requests, None)
        return replace(
            _report_of(rule),
            requests=tape.requests,
            allowed=outcome.allowed,
            denied=outcome.denied,
            keys=tape.keys,
            top_denied=outcome.top_denied,
            suggestions=suggestions(terms, outcome, tape),
            over_time=None if span.first_us is None else over_time,
        )


def _report_of(rule: Rule, *, skipped: str | None = None) -> RuleReport:
    limit = rule.limit
    rate = "; ".join(str(rate) for rate in limit.rates) or str(limit.plan.capacity)
    return RuleReport(
        name=limit.name,
        rate=rate,
        algorithm=limit.algorithm,
        key=rule.key.parts,
        cost=rule.cost,
        schedule=_schedule_of(rule),
        shadow=limit.shadow,
        skipped=skipped,
    )


def _schedule_of(rule: Rule) -> tuple[str, ...]:
    schedule = rule.schedule
    if schedule is None:
        return ()
    return tuple(
        f"{times} {schedule.time_zone}: {'; '.join(str(rate) for rate in limit.rates)}"
        for times, limit in schedule.entries
    )


def _why_skipped(rule: Rule) -> str | None:
    return None if rule.limit.rates else _NO_ENDS
