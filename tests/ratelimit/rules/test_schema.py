"""The JSON Schema for editors: it knows every field, takes what the loader takes, and refuses nothing else."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date, time
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from sluicegate import ConfigurationError
from sluicegate.ratelimit.rules import parse_rules, rules_schema

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "rules.md").read_text("utf-8")
SAMPLES = re.findall(r"^```(yaml|toml)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
EXAMPLES = [("yaml", path.read_text("utf-8")) for path in sorted((ROOT / "examples").glob("*.yaml"))]
SCHEMA = rules_schema()
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA)


class Loader(yaml.SafeLoader):
    """Reads YAML as editors do, who have its version 1.2: no dates, no sexagesimal numbers, no 'off' but text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in resolvers if not tag.endswith((":timestamp", ":int", ":bool"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))


def instance_of(notation: str, text: str) -> Any:
    """Return what an editor sees of a file."""
    if notation == "yaml":
        return yaml.load(text, Loader)
    return json.loads(json.dumps(tomllib.loads(text), default=_as_text))


def _as_text(value: object) -> str:
    assert isinstance(value, date | time)
    return value.isoformat("minutes") if isinstance(value, time) else value.isoformat()


def test_it_is_a_schema_of_the_draft() -> None:
    """It holds to its own draft, and says which that is."""
    jsonschema_rs.meta.validate(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(("notation", "text"), [*SAMPLES, *EXAMPLES])
def test_it_takes_every_sample_and_example(notation: str, text: str) -> None:
    """What the page and the examples show is right for the loader and for the schema."""
    assert parse_rules(text, notation=notation).all
    assert [error.message for error in VALIDATOR.iter_errors(instance_of(notation, text))] == []


RULE = "version: 1\nlimits:\n  a: {{rate: 1/s, key: user, {}}}\n"
TOP = "version: 1\nlimits: {{a: {{rate: 1/s, key: user}}}}\n{}\n"


@pytest.mark.parametrize(
    "text",
    [
        "limits: {a: {rate: 1/s, key: user}}",
        "version: 2\nlimits: {a: {rate: 1/s, key: user}}",
        "version: 1",
        "version: 1\nlimits: {}",
        "version: 1\nlimits: [a]",
        "version: 1\nlimits: {a: {rate: 1/s}}",
        "version: 1\nlimits: {a: {key: user}}",
        "version: 1\nlimits: {a: {rate: [1/s], key: user}}",
        "version: 1\nlimits: {a: {rate: 0, key: user, algorithm: concurrency}}",
        "version: 1\nlimits: {a: {rate: 1/s, key: []}}",
        "version: 1\nlimits: {a: {rate: 1/s, key: Client}}",
        "version: 1\nlimits: {a: {rate: 1/s, key: 'header:a b'}}",
        "version: 1\nlimits: {a: {rate: 1/s, key: [user, user, user, user, user, user, user, user, user]}}",
        f"version: 1\nlimits: {{{'a' * 65}: {{rate: 1/s, key: user}}}}",
        *(
            RULE.format(field)
            for field in (
                "limit: 5",
                "algorithm: gcr",
                "mode: 5",
                "on_failure: local",
                "critical: 'true'",
                "shadow: 1",
                "off: true",
                "hold_seconds: 0",
                "lease_seconds: 61",
                "cost: 0",
                "cost: 1.5",
                "anchor: 5",
                "time_zone: 5",
                "charge: 401",
                "charge: {}",
                "charge: {status: []}",
                "charge: {status: 99}",
                "charge: {status: 4x}",
                "charge: {status: 401, more: 1}",
                "provided: []",
                "match: /a",
                "match: {Tenant: a}",
                "match: {path: api}",
                "match: {path: []}",
                "match: {tenant: 5}",
                "match: {tenant: [[a]]}",
                "match: {method: 'G T'}",
                "match: {method: []}",
                "match: {'header:': a}",
                "match: {header:x: 5}",
                "rollout: 5",
                "rollout: {}",
                "rollout: {rate: 2/s}",
                "rollout: {percent: -1, rate: 2/s}",
                "rollout: {percent: 101, rate: 2/s}",
                "rollout: {percent: '5', rate: 2/s}",
                "rollout: {percent: 5, key: tenant}",
                "rollout: {percent: 5, shadow: false}",
                "rollout: {percent: 5, mode: lazy}",
                "schedule: {}",
                "schedule: []",
                "schedule: [{from: '22:00', to: '06:00'}]",
                "schedule: [{from: '2200', to: '06:00', rate: 1/s}]",
                "schedule: [{from: '22:00', to: '06:00', rate: 1/s, days: monday}]",
                "schedule: [{from: '22:00', to: '06:00', rate: 1/s, day: mon}]",
            )
        ),
        *(
            TOP.format(field)
            for field in (
                "limit: {}",
                "descriptors: []",
                "descriptors: A",
                "allow: {}",
                "allow: []",
                "deny: [{}]",
                "deny: [{path: x}]",
                "plans: {}",
                "plans: {a: {}}",
                "plans: {a: {inherit: b}}",
                "plans: {a: {inherits: [b]}}",
                "plans: {a: {limits: {}}}",
                "plans: {a: {limits: {a: {off: 1}}}}",
                "plans: {a: {limits: {a: {rte: 1/s}}}}",
            )
        ),
    ],
)
def test_it_refuses_what_the_loader_refuses_for_its_structure(text: str) -> None:
    """Wrong names, types, words and numbers of entries show in the editor already."""
    with pytest.raises(ConfigurationError):
        parse_rules(text)
    assert not VALIDATOR.is_valid(instance_of("yaml", text))


def test_it_has_a_description_of_each_field() -> None:
    """An editor shows beside each field what is accepted there."""
    for definition in ("Rule", "Match", "Times", "Rollout"):
        properties = SCHEMA["$defs"][definition]["properties"]
        bare = [name for name, schema in properties.items() if "description" not in schema]
        assert bare == (["schedule", "rollout", "match"] if definition == "Rule" else [])
