"""The format of a log is told by the first lines that can be read, and no line before them is fatal."""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from sluicegate.ratelimit.rules import parse_rules
from sluicegate.replay import page, replay
from sluicegate.replay.table import print_report
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from sluicegate.replay import Report

RULES = parse_rules("version: 1\nlimits: {a: {rate: 1/day, key: client_address}}")
COMBINED = '192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 23 "-" "-"'
COMMON = COMBINED.removesuffix(' "-" "-"')
JSON = '{"ts": 1431857103, "ip": "192.0.2.7"}'
CSV = "1431857103,192.0.2.7"
HEADER = "time,ip"


class _Slow(io.RawIOBase):
    """A pipe that gives a line at a time."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = [f"{line}\n".encode() for line in lines]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        line = self._lines.pop(0) if self._lines else b""
        buffer[: len(line)] = line
        return len(line)


def report_of(lines: list[str], **settings: object) -> Report:
    """Replay *lines*, read at once and line by line, which must not differ."""
    at_once = replay(io.BufferedReader(io.BytesIO("".join(f"{line}\n" for line in lines).encode())), RULES, **settings)  # type: ignore[arg-type]
    slowly = replay(io.BufferedReader(_Slow(lines)), RULES, **settings)  # type: ignore[arg-type]
    assert at_once == slowly
    return at_once


@pytest.mark.parametrize("odd", [0, 1, 199, 200, 201, 5000])
@pytest.mark.parametrize(
    ("log_format", "lines"),
    [
        ("combined", [COMBINED, COMBINED]),
        ("common", [COMMON, COMMON]),
        ("json", [JSON, JSON]),
        ("csv", [HEADER, CSV, CSV]),
    ],
)
def test_odd_lines_at_the_head_are_counted(odd: int, log_format: str, lines: list[str]) -> None:
    """However many lines at the head are none, those that follow are read, and those are counted by number."""
    report = report_of([*["nonsense"] * odd, *lines])
    assert (report.log_format, report.requests, report.malformed) == (log_format, 2, odd)
    assert report.malformed_lines == tuple(range(1, min(odd, 100) + 1))


@pytest.mark.parametrize(
    "lines",
    [["nonsense"], [""], ["", "", ""], [COMBINED[:40]], [JSON[:20]], ["{}"], ["a,b,c"], ["\x1b[31m"], ["x"] * 1000],
)
def test_a_log_of_which_nothing_can_be_read_is_a_report_that_says_so(lines: list[str]) -> None:
    """A log of cut, odd or blank lines alone is no error: all are malformed, and each form of the report says it."""
    report = report_of(lines)
    assert (report.lines, report.malformed, report.requests) == (len(lines), len(lines), 0)
    assert report.as_json()["format"] is None
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    for text in (out.getvalue(), page(report)):
        assert "no line could be read in any known format" in text.lower()
        assert "(no known format)" in text


def test_a_given_format_that_nothing_fits_is_said() -> None:
    """Where the format was given, the report says that no line is of it."""
    report = report_of([COMBINED, COMBINED], log_format="json")
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    assert "no line could be read as json" in out.getvalue()
    assert report.as_json()["format"] == "json"


def test_an_empty_log_has_no_line_that_could_not_be_read() -> None:
    """A log without lines is told as one without requests, and nothing more."""
    out = io.StringIO()
    print_report(report_of([]), Console(file=out, width=200))
    assert "could be read" not in out.getvalue()


@pytest.mark.parametrize(
    ("lines", "log_format", "malformed"),
    [
        (["cut", "", COMBINED, COMBINED, COMMON], "combined", (1, 2, 5)),
        ([COMMON, COMBINED, COMMON], "common", (2,)),
        ([HEADER, JSON, CSV, CSV], "csv", (2,)),
        (["sep=,", HEADER, CSV], "csv", (1,)),
        (["date", "nonsense", HEADER, CSV, "x"], "csv", (1, 2, 5)),
        (["date", "nonsense", COMBINED], "combined", (1, 2)),
        (["", HEADER, "", CSV], "csv", (1, 3)),
        ([JSON, HEADER, CSV], "json", (2, 3)),
        ([HEADER], "csv", ()),
        ([HEADER, "x"], "csv", (2,)),
    ],
)
def test_most_of_the_lines_decide(lines: list[str], log_format: str, malformed: tuple[int, ...]) -> None:
    """The format is the one that most of the lines fit from the first on that can be read; others are malformed."""
    report = report_of(lines)
    assert (report.log_format, report.malformed_lines) == (log_format, malformed)
    assert report.lines == len(lines) - (log_format == "csv")


def test_columns_by_number_need_no_line_of_names() -> None:
    """With the time's column by number every line is a record, after odd ones too."""
    report = report_of(["odd", CSV, CSV], columns={"time": "1", "client_address": "2"})
    assert (report.log_format, report.lines, report.malformed_lines) == ("csv", 3, (1,))


@pytest.mark.parametrize("log_format", [None, "csv"])
@pytest.mark.parametrize("count", [1, 500])
def test_a_mapping_that_does_not_fit_is_refused(log_format: str | None, count: int) -> None:
    """Who names columns that the log does not have is told which it has, however long the log is."""
    with pytest.raises(InvalidInputError, match=r"columns time: found 'when'; accepted: one of 'a', 'b'"):
        report_of(["a,b", *["1,2"] * count], columns={"time": "when"}, log_format=log_format)


def test_a_csv_without_a_time_is_refused_where_it_was_called_one() -> None:
    """With CSV given as the format, a first line without a column for the time is refused by name."""
    with pytest.raises(InvalidInputError, match=r"columns: found the columns 'a, b'; accepted: a column for time"):
        report_of(["a,b", "1,2"], log_format="csv")
    assert report_of(["", ""], log_format="csv").malformed == 2


def test_whatever_is_mixed_every_line_is_counted_once() -> None:
    """Lines of all formats and none in any order are each a request or malformed, and all but a line of names count."""
    random.seed(7)
    parts = [COMBINED, COMMON, JSON, CSV, HEADER, "", "nonsense", "date", json.dumps({"a": 1})]
    for _ in range(300):
        lines = random.choices(parts, k=random.randint(1, 300))
        report = report_of(lines)
        assert report.requests == report.rules[0].requests
        assert report.lines == len(lines) - (report.log_format == "csv")
        assert list(report.malformed_lines) == sorted(set(report.malformed_lines))
        assert len(report.malformed_lines) == min(report.malformed, 100)
