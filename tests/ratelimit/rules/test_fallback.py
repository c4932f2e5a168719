"""What answers in the store's place where a rule does not say it: as one is told, in every part of a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.recording import RecordingLogger

from sluicegate import InvalidInputError
from sluicegate.ratelimit.rules import Fallback, LiveRules, load_rules
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from sluicegate.ratelimit.rules import Rules

RULES = """
version: 1
limits:
  plain: {rate: 10/minute, key: tenant}
  vital: {rate: 10/minute, key: tenant, critical: true}
  said: {rate: 10/minute, key: tenant, on_failure: open}
  at-night:
    rate: 10/minute
    key: tenant
    schedule: [{from: "00:00", to: "24:00", rate: 5/minute}]
  tried: {rate: 10/minute, key: tenant, rollout: {percent: 100, critical: true}}
plans:
  pro:
    limits:
      plain: {rate: 100/minute}
      vital: {critical: false}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of rules in which few say what answers."""
    file = tmp_path / "rules.yaml"
    file.write_text(RULES, "utf-8")
    return file


def told(rules: Rules) -> dict[str, str | None]:
    """Return what answers, by limit, as it is for a key just now."""
    limits = {rule.limit.name: rule.limits_for("t", 0)[0] for rule in rules.limits}
    plan = {f"pro {rule.limit.name}": rule.limits_for("t", 0)[0] for rule in rules.plans["pro"]}
    return {name: limit.on_failure for name, limit in {**limits, **plan}.items() if not name.startswith("pro said")}


def test_what_is_usual_depends_on_whether_a_limit_is_critical(path: Path) -> None:
    """Open, and closed for what is critical, also where only a plan, a schedule or a roll-out makes it so."""
    assert told(load_rules(path)) == {
        "plain": "open",
        "vital": "closed",
        "said": "open",
        "at-night": "open",
        "tried": "closed",
        "pro plain": "open",
        "pro vital": "open",
        "pro at-night": "open",
        "pro tried": "closed",
    }


def test_another_fallback_holds_wherever_a_rule_does_not_say_it(path: Path) -> None:
    """What is said in the file wins."""
    found = told(load_rules(path, fallback=Fallback(ordinary="closed", critical="open")))
    assert found == {
        "plain": "closed",
        "vital": "open",
        "said": "open",
        "at-night": "closed",
        "tried": "open",
        "pro plain": "closed",
        "pro vital": "closed",
        "pro at-night": "closed",
        "pro tried": "open",
    }


async def test_a_reload_keeps_to_it(path: Path) -> None:
    """Rules that are read again fall back like those before."""
    live = LiveRules.of_file(path, ManualClock(), RecordingLogger(), fallback=Fallback(ordinary="closed"))
    path.write_text(RULES.replace("10/minute", "11/minute"), "utf-8")
    assert await live.reload()
    assert live.named["plain"].rates[0].limit == 11
    assert live.named["plain"].on_failure == "closed"


@pytest.mark.parametrize("name", ["ordinary", "critical"])
def test_what_is_neither_is_refused(name: str) -> None:
    """The line says which, and what is accepted."""
    with pytest.raises(InvalidInputError, match=f"fallback {name}: found 'half'; accepted: closed or open"):
        Fallback(**{name: "half"})
