"""What must hold of a request for a rule to be about it."""

from __future__ import annotations

import pytest

from sluicegate import ConfigurationError
from sluicegate.ratelimit.rules import parse_rules


def covers(match: str, **descriptors: str) -> bool:
    """Say whether a rule with *match* covers a request; ``header_x`` stands for the header x."""
    text = f"version: 1\ndescriptors: region\nlimits:\n  a: {{rate: 1/s, key: client_address, match: {match}}}\n"
    described = {name.replace("header_", "header:"): value for name, value in descriptors.items()}
    return bool(parse_rules(text).matching({"client_address": "c", **described}))


@pytest.mark.parametrize(
    ("match", "descriptors", "expected"),
    [
        ("{tenant: acme-*}", {"tenant": "acme-1"}, True),
        ("{tenant: acme-*}", {"tenant": "other"}, False),
        ("{tenant: acme-*}", {}, False),
        ("{tenant: [acme, blue]}", {"tenant": "blue"}, True),
        ("{tenant: [acme, blue]}", {"tenant": "red"}, False),
        ("{tenant: acme, plan: free}", {"tenant": "acme", "plan": "free"}, True),
        ("{tenant: acme, plan: free}", {"tenant": "acme", "plan": "pro"}, False),
        ("{header:X-Kind: batch}", {"header_x-kind": "batch"}, True),
        ("{header:X-Kind: batch}", {"header_x-kind": "live"}, False),
        ("{region: eu-*}", {"region": "eu-1"}, True),
        ("{path: [/a/**, /b]}", {"path": "/a/x"}, True),
        ("{path: [/a/**, /b]}", {"path": "/b"}, True),
        ("{path: [/a/**, /b]}", {"path": "/c"}, False),
        ("{route: '/users/*'}", {"route": "/users/{id}"}, True),
        ("{route: '/users/*'}", {"route": "/users/{id}/posts"}, False),
        ("{user: ''}", {}, True),
        ("{user: ''}", {"user": ""}, True),
        ("{user: ''}", {"user": "ann"}, False),
        ("{user: ['', ann]}", {"user": "ann"}, True),
        ("{user: '*'}", {}, False),
        ("{method: get, host: '*.org'}", {"method": "GET", "host": "a.org"}, True),
        ("{method: get, host: '*.org'}", {"method": "POST", "host": "a.org"}, False),
    ],
)
def test_what_a_match_covers(match: str, descriptors: dict[str, str], expected: bool) -> None:
    """All fields have to fit, of a list one glob; what is lacking fits only the empty glob."""
    assert covers(match, **descriptors) == expected


def test_a_match_is_told_as_a_file_would_say_it() -> None:
    """Whoever lists rules shows what they match by, each field a list."""
    text = "version: 1\nlimits:\n  a: {rate: 1/s, key: user, match: {method: [put, GET], path: /a, tenant: [x, y*]}}\n"
    told = parse_rules(text).limits[0].match.as_json()
    assert told == {"path": ["/a"], "tenant": ["x", "y*"], "method": ["GET", "PUT"]}


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ("[region, Region]", "r.yaml:2:23: descriptors: found 'Region'; accepted: a name of 1 to 64 small letters"),
        ("[a-b]", "descriptors: found 'a-b'"),
        ("[global]", "descriptors: found 'global'"),
        ("[7]", "descriptors: found 7"),
        ("[[a]]", "descriptors: found a list"),
        ("[]", "descriptors: found 0 of them; accepted: 1 to 32 names"),
        ("[region, region]", "descriptors: found region again; accepted: each name once"),
    ],
)
def test_a_wrong_declaration(declared: str, problem: str) -> None:
    """What is declared must be a name, once."""
    text = f"version: 1\ndescriptors: {declared}\nlimits:\n  a: {{rate: 1/s, key: user}}\n"
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(text, source="r.yaml")
    assert problem in str(caught.value)


def test_a_misspelt_descriptor_is_found_beside_declared_ones() -> None:
    """What is declared may be counted and matched by; what is not is a slip, and the nearest name is told."""
    text = "version: 1\ndescriptors: [region, tenant]\nlimits:\n  a: {rate: 1/s, key: %s, match: {%s: eu}}\n"
    rules = parse_rules(text % ("[region, tenant]", "region"))
    assert rules.declared == ("region", "tenant")
    assert rules.limits[0].key.key({"region": "eu", "tenant": "a"}) == "eu:a"
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(text % ("regin", "regoin"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(line.endswith("(did you mean 'region'?)") for line in lines)
