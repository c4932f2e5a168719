"""The schema for editors takes what the loader takes, and refuses what stands in the wrong place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema_rs import Draft202012Validator
from tests.cli.command import run_here

from sluicegate import ConfigurationError
from sluicegate.ratelimit.rules import parse_rules, rules_schema
from sluicegate.ratelimit.rules.fields import FIELDS, MATCH_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]


def samples() -> Iterator[str]:
    """Return every whole file of rules that stands in the examples and on the pages."""
    yield (ROOT / "examples" / "rules.yaml").read_text("utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            if block.startswith("version: 1"):
                yield block


SAMPLES = list(samples())


def test_it_is_a_schema() -> None:
    """Of the draft that it names, with every field of the loader."""
    schema = rules_schema()
    Draft202012Validator(schema)
    rule = schema["properties"]["limits"]["additionalProperties"]["properties"]
    assert set(rule) == {*FIELDS, "match"}
    assert set(rule["match"]["properties"]) == set(MATCH_FIELDS)
    assert all(field["description"] for field in rule.values())


@pytest.mark.parametrize("text", SAMPLES, ids=range(len(SAMPLES)))
def test_it_takes_every_sample(text: str) -> None:
    """As the loader does."""
    parse_rules(text)
    document = json.loads(json.dumps(yaml.safe_load(text), default=str))  # a date is a text in JSON
    assert list(Draft202012Validator(rules_schema()).iter_errors(document)) == []


def rule_with(**fields: Any) -> dict[str, Any]:
    """Return a file of one rule."""
    return {"version": 1, "limits": {"api": {"rate": "5/minute", "key": "user", **fields}}}


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"version": 2, "limits": {"api": {"rate": "5/minute", "key": "user"}}},
        {"version": 1},
        {"version": 1, "limits": {}},
        {"version": 1, "limits": {"api": {"key": "user"}}},
        {"version": 1, "limits": {"api": {"rate": "5/minute"}}},
        {"version": 1, "limits": {"x" * 65: {"rate": "5/minute", "key": "user"}}},
        {"version": 1, "limits": {"api": []}},
        {"version": 1, "limits": {"api": {"rate": "5/minute", "key": "user"}}, "more": 1},
        rule_with(rat="5/minute"),
        rule_with(rate=True),
        rule_with(algorithm="gcar"),
        rule_with(key="usr"),
        rule_with(key=[]),
        rule_with(key=["user"] * 9),
        rule_with(key="header:"),
        rule_with(mode="loose"),
        rule_with(on_failure="maybe"),
        rule_with(critical="yes, please"),
        rule_with(shadow=1),
        rule_with(hold_seconds=0.01),
        rule_with(lease_seconds="long"),
        rule_with(match={"paths": "/"}),
        rule_with(match={"path": 1}),
        rule_with(match={"method": []}),
        rule_with(match=[]),
    ],
    ids=lambda document: json.dumps(document)[:60],
)
def test_it_refuses_what_the_loader_refuses(document: Any) -> None:
    """Whatever stands in the wrong place, is missing, or is of another kind."""
    assert list(Draft202012Validator(rules_schema()).iter_errors(document))
    with pytest.raises(ConfigurationError):
        parse_rules(yaml.safe_dump(document))


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON document."""
    assert json.loads(run_here(capsys, "rules", "schema").out) == rules_schema()
