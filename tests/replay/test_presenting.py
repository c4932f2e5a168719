"""The report in its three forms: each tells the same, and nothing that a client wrote does anything."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from sluicegate.ratelimit.rules import parse_rules
from sluicegate.replay import Report, page, replay, run_replay
from sluicegate.replay.chart import chart
from sluicegate.replay.command import columns_of
from sluicegate.replay.progress import progress_bar
from sluicegate.replay.table import print_report
from sluicegate.replay.timeline import COLUMNS_MAX, Timeline
from sluicegate.replay.wording import percent, shown, width_text
from sluicegate.utils import ConfigurationError, InvalidInputError
from tests.replay.counting import SAMPLE_LOG

if TYPE_CHECKING:
    from pathlib import Path

RULES = """
version: 1
limits:
  twenty: {rate: 20/minute, algorithm: fixed_window, key: client_address}
  tenants: {rate: 1/day, key: tenant}
  uploads: {rate: 5, algorithm: concurrency, key: client_address}
  agents: {rate: 1/day, key: [user_agent, path], shadow: true}
"""
HOSTILE = "</title><script>alert(1)</script>\x1b[31m\x9b\u202e\"'><img src=x onerror=alert(1)>[bold]&amp;"
VOID = {"meta", "link", "br", "img"}


class _Parts(HTMLParser):
    """Collects a page's elements and attributes, and whether they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parts_of(html: str) -> _Parts:
    """Take a page apart, which must be well formed."""
    parts = _Parts()
    parts.feed(html)
    parts.close()
    assert parts.open == []
    return parts


def printed(report: Report, width: int = 80) -> str:
    """Return what is printed on a terminal of a width."""
    out = io.StringIO()
    print_report(report, Console(file=out, width=width, force_terminal=True, color_system=None))
    return out.getvalue()


@pytest.fixture
def sample() -> Report:
    """The sample log under some rules."""
    return replay(SAMPLE_LOG, parse_rules(RULES))


@pytest.fixture
def hostile() -> Report:
    """A log whose every field tries to be more than text, under a rule whose name does so as well."""
    line = json.dumps({"ts": 1, "user_agent": HOSTILE, "path": HOSTILE})
    name = json.dumps("<b>[red]&")
    rules = f"version: 1\nlimits: {{{name}: {{rate: 1/day, key: [user_agent, path]}}}}"
    return replay(io.BufferedReader(io.BytesIO(f"{line}\n{line}\n".encode())), parse_rules(rules))


def test_json_has_everything(sample: Report) -> None:
    """The JSON object has what the log held and what each rule did, as plain values."""
    found = json.loads(json.dumps(sample.as_json()))
    assert [found[name] for name in ("lines", "requests", "malformed", "malformed_lines")] == [598, 597, 1, [417]]
    assert (found["first"], found["last"]) == ("2024-03-09T22:50:26Z", "2024-03-10T00:19:49Z")
    twenty = found["rules"][0]
    assert {name: twenty[name] for name in ("name", "rate", "algorithm", "allowed", "denied", "keys")} == {
        "name": "twenty",
        "rate": "20/minute",
        "algorithm": "fixed_window",
        "allowed": 497,
        "denied": 100,
        "keys": 44,
    }
    assert twenty["top_denied"][0].keys() == {"key", "denied", "allowed", "first", "last"}
    assert [wanted["target_ratio"] for wanted in twenty["suggestions"]] == [0.01, 0.001]
    assert sum(twenty["over_time"]["denied"]) == 100
    assert twenty["over_time"]["width_seconds"] == 60
    assert found["rules"][2]["skipped"] is not None


def test_the_table_tells_the_rules(sample: Report) -> None:
    """The table has each rule's numbers, what was not replayed and why, and fits eighty columns."""
    text = printed(sample)
    assert re.search(r"twenty +20/minute +597 +44 +100 +16.8 %", text)
    assert "1 malformed: 417" in text
    assert "tenants: 597 more requests have no tenant in the log" in text
    assert "uploads was not replayed" in text
    assert "at most 1 % denied: 30/minute (5 denied)" in text
    assert re.search(r"agents +\d+ would be denied \(shadow\)", text)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("width", [20, 40, 200])
def test_the_table_fits_any_terminal(sample: Report, width: int) -> None:
    """A narrow terminal gets narrower columns, not longer lines."""
    assert max(map(len, printed(sample, width).splitlines())) <= width


def test_a_terminal_is_not_told_what_to_do(hostile: Report) -> None:
    """Escape sequences of a log, and markup in it, are shown as text."""
    text = printed(hostile, 200)
    assert "\x1b[31m" not in text
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert "[red]" in text


def test_the_page_is_complete_in_itself(sample: Report) -> None:
    """The page is well formed, and has no script and nothing from elsewhere."""
    html = page(sample)
    parts = parts_of(html)
    assert not parts.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [name for name, value in parts.attributes if name.startswith("on") or name in ("src", "srcset")]
    assert {value for name, value in parts.attributes if name == "href"} == {
        f"#rule-{number}" for number in (1, 2, 3, 4)
    }
    assert "url(" not in html
    assert "@import" not in html
    for expected in ("417", "30/minute", "192.0.2.7", "Denied most", "Not replayed", "No request of the log"):
        assert expected in parts.text


def test_the_page_escapes_what_clients_wrote(hostile: Report) -> None:
    """Markup in a log is text on the page, in keys, titles and names."""
    html = page(hostile)
    parts = parts_of(html)
    assert not parts.tags & {"script", "img", "b"}
    assert "<b>[red]&" in parts.text
    assert "<script>" in parts.text
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_the_page_says_when_the_log_broke_off(sample: Report) -> None:
    """A page and a table of half a log say so."""
    report = Report(
        log="a.gz",
        log_format="combined",
        lines=300,
        malformed=300,
        malformed_lines=tuple(range(1, 101)),
        first_us=None,
        last_us=None,
        ended_early="broken <gzip>",
        rules=sample.rules[:1],
    )
    for text in (parts_of(page(report)).text, " ".join(printed(report).split())):
        assert "broken <gzip>" in text
        assert "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 288 more" in text
        assert "no requests" in text


@pytest.mark.parametrize("seconds", [0, 1, 59, 3600, 86_400, 40 * 86_400, 3650 * 86_400, 47_000 * 86_400])
def test_a_picture_of_any_span(seconds: int) -> None:
    """A log of a second or a century has at most a hundred columns, which begin at round times and hold all of it."""
    first_us = 1_431_857_103_000_000 if seconds < 10**9 else 0
    over_time = Timeline.over(first_us, first_us + seconds * 10**6)
    assert 1 <= len(over_time.denied) <= COLUMNS_MAX
    assert over_time.start_us % over_time.width_us == 0
    assert over_time.start_us <= first_us
    assert first_us + seconds * 10**6 < over_time.start_us + len(over_time.denied) * over_time.width_us
    over_time.allowed[0] = 12_345_678
    over_time.denied[-1] = 1
    svg = chart(over_time, title="t")
    assert parts_of(svg).tags >= {"svg", "rect", "text"}
    assert 'class="denied"' in svg
    assert 1 <= svg.count('class="tick"') <= 12


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        ("plain", "plain"),
        ("a\nb\x1b", "a\\nb\\x1b"),
        ("x" * 100, "x" * 79 + "…"),
        ("\n" * 100, "\\n" * 39 + "\\…"),
        ("é", "é"),
    ],
)
def test_what_is_shown_of_a_text(text: str, is_shown: str) -> None:
    """A text is shown printable, and cut at eighty characters."""
    assert shown(text) == is_shown


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0, "0.00 %"), (1e-9, "< 0.01 %"), (0.0931, "9.31 %"), (0.5, "50.0 %"), (0.9999, "> 99.9 %"), (1, "100.0 %")],
)
def test_what_a_share_reads(ratio: float, text: str) -> None:
    """A share is told in three digits, and never rounded to nothing or to all."""
    assert percent(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "a second"), (60, "a minute"), (3600, "an hour"), (10_800, "3 hours"), (172_800, "2 days")],
)
def test_what_a_width_reads(seconds: int, text: str) -> None:
    """A column's width is told in the largest unit that fits."""
    assert width_text(seconds * 10**6) == text


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_terminals_alone() -> None:
    """A terminal is shown how far it is, with no control characters of the log's; a pipe is not."""
    terminal, pipe = _Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        with progress_bar(stream) as progress:
            progress("deciding \x1b[31mred", 1, 2)
            progress("reading", 1, None)
    assert "reading" in terminal.getvalue()
    assert "\x1b[31m" not in terminal.getvalue()
    assert pipe.getvalue() == ""


@pytest.fixture
def rules_path(tmp_path: Path) -> Path:
    """A file of rules."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


def test_the_command_prints_tables_and_writes_a_page(rules_path: Path, tmp_path: Path) -> None:
    """The command prints tables, and writes the page where it is asked to."""
    out = io.StringIO()
    report = run_replay(SAMPLE_LOG, rules_path, html=tmp_path / "page.html", stdout=out, stderr=_Terminal())
    assert "20/minute" in out.getvalue()
    assert (tmp_path / "page.html").read_text() == page(report)


def test_the_command_prints_one_json_object(rules_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for JSON, the command prints one object and nothing else."""
    report = run_replay(str(SAMPLE_LOG), str(rules_path), as_json=True)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == report.as_json()
    assert captured.err == ""


@pytest.mark.parametrize("name", ["missing/page.html", ".", "page\0"])
def test_a_page_that_cannot_be_written(rules_path: Path, tmp_path: Path, name: str) -> None:
    """A page that cannot be written is refused by name."""
    with pytest.raises(InvalidInputError, match="html"):
        run_replay(SAMPLE_LOG, rules_path, html=tmp_path / name, stdout=io.StringIO())


def test_rules_that_cannot_be_used(rules_path: Path) -> None:
    """Rules with a mistake are refused before the log is opened."""
    rules_path.write_text("version: 3")
    with pytest.raises(ConfigurationError, match="version"):
        run_replay("no such log", rules_path)


def test_columns_by_text() -> None:
    """Columns are given as pairs, one or several to a text."""
    assert columns_of(["time=ts", "path=url, client_address = ip"]) == {
        "time": "ts",
        "path": "url",
        "client_address": "ip",
    }


@pytest.mark.parametrize("text", ["time", "=a", "time=", "", "a=b,a=c"])
def test_columns_that_are_none(text: str) -> None:
    """What is no pair, or comes twice, is refused with an example."""
    with pytest.raises(InvalidInputError, match="such as time=ts"):
        columns_of([text])


def test_what_a_request_takes_and_other_hours_are_told() -> None:
    """A cost and the rates of a schedule stand beside the rate, and go with the limit that is suggested."""
    rules = parse_rules("""
version: 1
limits:
  dear:
    rate: 20/minute
    algorithm: fixed_window
    key: client_address
    cost: 3
    schedule: [{from: "22:00", to: "06:00", days: mon-fri, time_zone: Europe/Berlin, rate: 50/minute}]
""")
    report = replay(SAMPLE_LOG, rules)
    for told in (printed(report, 200), parts_of(page(report)).text):
        assert "3 units a request" in told
        assert "mon tue wed thu fri 22:00-06:00 Europe/Berlin: 50/minute" in told
        assert ", and other hours in proportion" in told
    without = replay(SAMPLE_LOG, parse_rules(RULES))
    assert all("units a request" not in told and "proportion" not in told for told in (printed(without), page(without)))
