"""The page about replay shows what is really printed."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from sluicegate.ratelimit.rules import load_rules, parse_rules
from sluicegate.replay import replay
from sluicegate.replay.ordering import REQUESTS_IN_MEMORY_MAX
from sluicegate.replay.table import print_report
from tests.replay.counting import SAMPLE_LOG

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "replay.md").read_text("utf-8")


def printed_lines(text: str) -> list[str]:
    """Return what is there to be read, without blank lines and the ends of lines."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_the_example_is_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's rules, driven over the sample log, print the example's output."""
    rules, output = re.findall(r"```(?:yaml)?\n(.*?)```", PAGE, re.DOTALL)[:2]
    monkeypatch.chdir(ROOT)
    out = io.StringIO()
    report = replay(str(SAMPLE_LOG.relative_to(ROOT)), parse_rules(rules))
    print_report(report, Console(file=out, width=80))
    assert printed_lines(out.getvalue()) == printed_lines(output)[1:]
    for rule in report.rules:
        assert f'["{rule.name}",{rule.denied},"{rule.suggestions[0].rate}"]' in PAGE


def test_the_bound_is_said() -> None:
    """The page says how many requests are held in memory."""
    assert f"{REQUESTS_IN_MEMORY_MAX:,} requests" in PAGE


@pytest.mark.parametrize("field", ["lines", "first", "last", "ended_early", "malformed_lines"])
def test_the_fields_are_there(field: str) -> None:
    """Each field that the page tells of is in the JSON object."""
    assert f"`{field}`" in PAGE
    assert field in replay(SAMPLE_LOG, parse_rules("version: 1\nlimits: {a: {rate: 1/s, key: host}}")).as_json()


def test_the_sample_rules_can_be_used() -> None:
    """The rules among the examples are right, and each can be replayed."""
    report = replay(SAMPLE_LOG, load_rules(ROOT / "examples" / "rules.yaml"))
    assert report.rules
    assert all(rule.skipped is None or rule.algorithm == "concurrency" for rule in report.rules)
