"""A rule's ban in a file: how it is written, what is wrong with it, and what becomes of it in plans and reloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from tests.recording import RecordingLogger

from sluicegate import BanRule, ConfigurationError
from sluicegate.ratelimit.rules import LiveRules, parse_rules, rules_schema
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, tuple[str, BanRule]] = {
    "least": ("{after: 20, within: 1 minute, for: 10 minutes}", BanRule(after=20, within=60, duration=600)),
    "all": (
        "{after: 3, within: 1min, for: 0.5 h, escalate: 2, at_most: 1 day, forget_after: 1 week}",
        BanRule(after=3, within=60, duration=1_800, escalate=2, at_most=86_400, forget_after=604_800),
    ),
    "seconds": (
        "{after: 1, within: 0.5, for: 90, escalate: 1.5}",
        BanRule(after=1, within=0.5, duration=90, escalate=1.5),
    ),
}
BAD: dict[str, tuple[str, str]] = {
    "a number": ("20", "found 20; accepted: {after: 20, within: 1 minute, for: 10 minutes}"),
    "a list": ("[20]", "found a list; accepted: {after: 20"),
    "a name": ("{aftr: 3}", "found the name 'aftr'; accepted: after, within, for"),
    "nothing": ("{}", "found no after; accepted: {after: 20"),
    "no for": ("{after: 3, within: 1 minute}", "found no for; accepted: {after: 20"),
    "after": ("{after: 0, within: 1, for: 1}", "found after: 0; accepted: a number of denials from 1 to 1,000"),
    "after text": ("{after: many, within: 1, for: 1}", "found after: 'many'"),
    "within": ("{after: 1, within: soon, for: 1}", "found within: 'soon'; accepted: a time such as 10 minutes"),
    "a month": ("{after: 1, within: 1 month, for: 1}", "found within: '1 month'; accepted: a time such as"),
    "a rate": ("{after: 1, within: 1 minute burst 2, for: 1}", "found within: '1 minute burst 2'"),
    "a truth": ("{after: 1, within: true, for: 1}", "found within: True; accepted: a time such as"),
    "a mapping": ("{after: 1, within: {a: 1}, for: 1}", "found within: a mapping; accepted: a time such as"),
    "zero": ("{after: 1, within: 0, for: 1}", "found within: 0; accepted: a number of seconds from 0.001"),
    "endless": ("{after: 1, within: 1, for: .inf}", "found for: inf; accepted: a number of seconds"),
    "long": ("{after: 1, within: 1, for: 60 weeks}", "found for: '60 weeks'; accepted: a time such as"),
    "shrinking": ("{after: 1, within: 1, for: 1, escalate: 0.5}", "found escalate: 0.5; accepted: a number from 1 to"),
    "at_most": (
        "{after: 1, within: 1, for: 10, at_most: 5}",
        "found at_most: 5; accepted: at least the first ban's 10",
    ),
}


def file_of(ban: str) -> str:
    """Return a file with a rule that bans."""
    return f"version: 1\nlimits:\n  api:\n    rate: 5/minute\n    key: user\n    ban: {ban}\n"


@pytest.mark.parametrize("name", GOOD)
def test_it_is_read_as_it_is_written(name: str) -> None:
    """Times are texts such as those of rates, or numbers of seconds; the schema for editors agrees."""
    text, rule = GOOD[name]
    assert parse_rules(file_of(text)).limits[0].limit.ban == rule
    assert jsonschema_rs.is_valid(rules_schema(), document(text))


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told_at_its_place(name: str) -> None:
    """The line names the rule, what was found and what is accepted."""
    text, line = BAD[name]
    with pytest.raises(ConfigurationError) as refused:
        parse_rules(file_of(text))
    (problem,) = refused.value.problems
    assert str(problem).startswith(f"rules:6:10: limits.api.ban: {line}")


def test_what_the_schema_refuses_the_loader_refuses() -> None:
    """An editor marks nothing that would be read."""
    assert not any(jsonschema_rs.is_valid(rules_schema(), document(BAD[name][0])) for name in ("a number", "nothing"))


def document(ban: str) -> Any:
    """Return a file of rules as a schema sees it."""
    import yaml

    return yaml.safe_load(file_of(ban))


def test_in_toml_it_is_a_table() -> None:
    """The same fields, in the other notation."""
    text = 'version = 1\n[limits.api]\nrate = "5/minute"\nkey = "user"\nban = {after = 3, within = "1 min", for = 60}\n'
    assert parse_rules(text, notation="toml").limits[0].limit.ban == BanRule(after=3, within=60, duration=60)


def test_a_plan_inherits_it_or_has_its_own() -> None:
    """It is a field like any other."""
    rules = parse_rules(
        file_of(GOOD["least"][0]) + "plans:\n  pro: {limits: {api: {rate: 9/minute}}}\n"
        "  free: {limits: {api: {ban: {after: 1, within: 1, for: 1}}}}\n"
    )
    assert rules.named("pro")["api"].limit.ban == GOOD["least"][1]
    assert rules.named("free")["api"].limit.ban == BanRule(after=1, within=1, duration=1)


async def test_a_reload_changes_it(tmp_path: Path) -> None:
    """A limit whose ban has changed is another one, and what it has counted stays, for its state is the same."""
    path = tmp_path / "rules.yaml"
    path.write_text(file_of(GOOD["least"][0]), "utf-8")
    rules = LiveRules.of_file(path, ManualClock(), RecordingLogger())
    before = rules.named["api"]
    path.write_text(file_of(GOOD["all"][0]), "utf-8")
    assert await rules.reload()
    after = rules.named["api"]
    assert (after.ban, after == before, after.plan.tag == before.plan.tag) == (GOOD["all"][1], False, True)
