"""How many rules can cover one request, as far as a file tells."""

from __future__ import annotations

import pytest

from sluicegate.ratelimit.rules import Match, PathPattern, Rules, largest_meeting, parse_rules


def rules_with(*matches: str) -> Rules:
    """Return rules named a, b, c …, each with one of *matches*; an empty one is left out."""
    lines = [
        f"  {chr(97 + at)}: {{rate: 1/s, key: user{match and f', match: {match}'}}}" for at, match in enumerate(matches)
    ]
    return parse_rules("\n".join(["version: 1", "limits:", *lines]))


@pytest.mark.parametrize(
    ("matches", "names", "request_text"),
    [
        (["", "", ""], "abc", "any method, path /"),
        (["", "{method: GET}", "{method: [GET, POST]}", "{method: PUT}"], "abc", "GET, path /"),
        (["", "{path: /a}", "{path: /b}", "{path: /b}"], "acd", "any method, path /b"),
        (["{path: /**}", "{path: /a/**}", "{path: /a/b}", "{path: /ab}"], "abc", "any method, path /a/b"),
        (["{path: /a/**}", "{path: /a}"], "ab", "any method, path /a"),
        (["{path: /a, method: PUT}", "{path: /a, method: GET}", "{path: '/*', method: GET}"], "bc", "GET, path /a"),
        (["{path: '/a/*/c'}"], "", "any method, path /"),
        (["{tenant: a*}", "{tenant: b}", "{tenant: b, plan: x}", ""], "bcd", "any method, path /, tenant b, plan x"),
        (["{path: [/a, /b]}", "{path: /b}"], "ab", "any method, path /b"),
    ],
)
def test_the_largest_meeting_is_found(matches: list[str], names: str, request_text: str) -> None:
    """The request that the most rules cover is told, with the rules, whatever they match by."""
    meeting = largest_meeting(rules_with(*matches))
    assert "".join(rule.limit.name for rule in meeting.rules) == names
    assert meeting.request == request_text


def test_the_request_that_is_told_is_covered() -> None:
    """Each rule of a meeting covers the request that is told: nothing is refused that could not happen."""
    rules = rules_with("{path: /**, method: [PUT, GET]}", "{method: GET}", "{path: '**'}", "{path: /a/b/**}", "")
    meeting = largest_meeting(rules)
    assert meeting.request == "GET, path /a/b"
    assert [rule for rule in rules.limits if rule.match.covers({"method": "GET", "path": "/a/b"})] == list(
        meeting.rules
    )


@pytest.mark.parametrize(
    ("text", "example"), [("/a", "/a"), ("/a/**", "/a"), ("/**", "/"), ("/a*", None), ("**", None)]
)
def test_a_plain_glob_has_an_example(text: str, example: str | None) -> None:
    """Of a glob that is a path, or all below one, a path is known that fits."""
    pattern = PathPattern(text)
    assert pattern.example == example
    assert example is None or Match(values=(("path", (pattern,)),)).covers({"path": example})
