"""Requests that are let through or refused before anything is counted."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sluicegate import ConfigurationError
from sluicegate.ratelimit.rules import Rules, parse_rules

LISTS = """\
version: 1
allow:
  - {client_address: 10.*}
  - {tenant: [acme, blue], path: /status/**}
  - {path: /health}
deny:
  - {client_address: 10.6.6.6}
  - {user_agent: '*evil*'}
  - {user: ''}
  - {method: TRACE}
limits:
  api: {rate: 1/minute, key: client_address}
"""
ORDINARY = {"client_address": "192.0.2.1", "user": "ann", "path": "/", "method": "GET"}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, None),
        ({"client_address": "10.1.2.3"}, "allow"),
        ({"client_address": "10.6.6.6"}, "deny"),
        ({"client_address": "10.6.6.6", "path": "/health"}, "deny"),
        ({"path": "/health"}, "allow"),
        ({"path": "/healthy"}, None),
        ({"tenant": "blue", "path": "/status/7"}, "allow"),
        ({"tenant": "blue", "path": "/other"}, None),
        ({"tenant": "red", "path": "/status/7"}, None),
        ({"user_agent": "an evil bot"}, "deny"),
        ({"user": ""}, "deny"),
        ({"user": None}, "deny"),
        ({"method": "TRACE"}, "deny"),
    ],
)
def test_which_list_a_request_is_on(request_: dict[str, Any], expected: str | None) -> None:
    """An entry is meant when all its fields fit; who is refused is refused even where allowed as well."""
    rules = parse_rules(LISTS)
    described = {**ORDINARY, **request_}
    assert rules.listed(described) == expected
    assert bool(rules.matching(described)) == (expected is None)


def test_a_long_list_costs_a_look() -> None:
    """A thousand addresses are looked up, not compared one by one."""
    entries = "".join(f"  - {{client_address: 192.0.{at // 250}.{at % 250}}}\n" for at in range(1000))
    rules = parse_rules(f"version: 1\nlimits: {{api: {{rate: 1/s, key: user}}}}\ndeny:\n{entries}")
    assert took(rules) < 20e-6
    assert rules.listed({"client_address": "192.0.3.249"}) == "deny"


def took(rules: Rules) -> float:
    """Return the best of several times that a look takes, in seconds."""
    best = 1.0
    for _ in range(50):
        start = time.perf_counter()
        rules.listed(ORDINARY)
        best = min(best, time.perf_counter() - start)
    return best


@pytest.mark.parametrize(
    ("lists", "problem"),
    [
        ("deny: {user: a}", "r.yaml:3:7: deny: found a mapping; accepted: a list of 1 to 1,000 entries"),
        ("allow: []", "allow: found 0 entries"),
        ("allow: [{}]", "r.yaml:3:9: allow[0]: found an empty entry, which is every request; accepted: one that says"),
        ("deny: [a]", "deny[0]: found 'a'; accepted: a mapping with path, route, method"),
        ("deny: [{user: a}, {usr: b}]", "deny[1].usr: found a name that is not known"),
        ("deny: [{usr: b}]", "(did you mean 'user'?)"),
        ("deny: [{path: x}]", "deny[0].path: found 'x'; accepted: a glob"),
    ],
)
def test_a_wrong_list(lists: str, problem: str) -> None:
    """What is wrong with an entry is told at its place."""
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(f"version: 1\nlimits: {{a: {{rate: 1/s, key: user}}}}\n{lists}\n", source="r.yaml")
    assert problem in str(caught.value)
