"""The page on bans and overrides is true: its program runs, its rules are read, its verbs and commands are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.cli.command import run

from sluicegate import Limiter
from sluicegate.ratelimit.rules import parse_rules
from sluicegate.server.openapi import openapi_document

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "overrides.md").read_text("utf-8")
PATHS = re.findall(r"^\| `(GET|POST) (/v1/[a-z/]+)`", PAGE, re.MULTILINE)
VERBS = re.findall(r"`(bans|overrides)\.([a-z_]+)\(", PAGE)


def test_its_program_runs() -> None:
    """The first sample holds what it says."""
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    scope: dict[str, object] = {"__name__": "sample"}
    exec(compile(program, "overrides.md", "exec"), scope)
    assert "main" in scope


def test_its_rules_are_read() -> None:
    """They ban for as long as the text below them says."""
    (rules,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    ban = parse_rules(rules).limits[0].limit.ban
    assert ban is not None
    assert (ban.after, ban.within, ban.duration, ban.at_most) == (20, 60, 600, 86_400)


def test_its_verbs_are_there() -> None:
    """Each that a table names, and none besides."""
    limiter = Limiter()
    for name in ("bans", "overrides"):
        known = {verb for verb in dir(getattr(limiter, name)) if not verb.startswith("_")}
        assert {verb for owner, verb in VERBS if owner == name} == known


def test_its_calls_are_there() -> None:
    """Each that the table names is in the document of the service, and none is missing."""
    document = openapi_document({}, "0")["paths"]
    known = [(method.upper(), path) for path, methods in document.items() for method in methods]
    assert sorted(PATHS) == sorted(call for call in known if re.match(r"/v1/(bans|overrides)", call[1]))


@pytest.mark.parametrize("command", re.findall(r"^sluicegate ([a-z-]+)", PAGE, re.MULTILINE))
def test_its_commands_are_there(command: str) -> None:
    """Each that the sample calls can say what it does."""
    assert run(command, "--help").code == 0
