"""What a file may say but hardly means is told at its place, and what may well be meant is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.ratelimit.rules import Glob, Match, PathPattern, inspect_rules
from sluicegate.ratelimit.rules.covering import is_wider, wider_match

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.yaml"))


def doubts_of(tmp_path: Path, *lines: str) -> list[str]:
    """Return what is doubtful about a file of these lines, without the file's folder."""
    path = tmp_path / "r.yaml"
    path.write_text("\n".join(["version: 1", *lines, ""]), "utf-8")
    return [str(doubt).replace(f"{tmp_path}/", "") for doubt in inspect_rules(path)[1]]


@pytest.mark.parametrize(
    ("rules", "doubt"),
    [
        (
            ["a: {rate: 100/hour, key: user}", "b: {rate: 50/day, key: user}"],
            "r.yaml:4:13: limits.b.rate: found 50/day, beside which 100/hour of limits.a can never deny; let the",
        ),
        (
            ["b: {rate: 100/day, key: user}", "a: {rate: 100/hour, key: user}"],
            "r.yaml:3:13: limits.b.rate: found 100/day, beside which 100/hour of limits.a can never deny",
        ),
        (
            ["a: {rate: 5/s, key: user, match: {path: /a}}", "b: {rate: 9/s, key: user, match: {path: /a}}"],
            "limits.a.rate: found 5/second, beside which 9/second of limits.b can never deny",
        ),
        (["a: {rate: 100/hour; 50/day, key: user}"], "r.yaml:3:13: limits.a.rate: found 50/day beside 100/hour, which"),
        (
            ["a: {rate: 5/s burst 2, key: user, cost: 3}"],
            "limits.a.cost: found a cost of 3, which never fits a burst of 2; every request will be denied",
        ),
        (["a: {rate: 5/s, key: user, cost: 6}"], "limits.a.cost: found a cost of 6, which never fits a limit of 5"),
        (
            ["a: {rate: 9/s, key: user, cost: 6, schedule: [{from: 22:00, to: 06:00, rate: 5/s}]}"],
            "r.yaml:3:35: limits.a.cost: found a cost of 6, which never fits a limit of 5",
        ),
        (
            ["a: {rate: 5/s, key: user, match: {user: ''}}"],
            "r.yaml:3:43: limits.a.match.user: found only requests without user, by which the rule counts",
        ),
        (["a: {rate: 5/s, key: user, match: {path: '/a?b=*'}}"], "match.path: found '/a?b=*'; a path ends before"),
        (
            ["a: {rate: 5/s, key: user, match: {tenant: [x, x]}}"],
            "limits.a.match.tenant: found 'x' again; leave it out",
        ),
        (
            ["a: {rate: 5/s, key: user, match: {tenant: [x-1, x-*]}}"],
            "limits.a.match.tenant: found 'x-1' beside 'x-*', which covers it; leave it out",
        ),
        (["a: {rate: 5/s, key: user, match: {path: [/a/**, /a/b]}}"], "limits.a.match.path: found '/a/b' beside"),
        (
            ["a: {rate: 5/s, key: user}", "b: {rate: 5/s, key: user}"],
            "r.yaml:4:3: limits.b: found the same limit for the same requests and key as limits.a",
        ),
    ],
)
def test_a_doubtful_rule(tmp_path: Path, rules: list[str], doubt: str) -> None:
    """A limit that can never deny, a cost that never fits, a rule that never applies, and what is said twice."""
    (found,) = doubts_of(tmp_path, "limits:", *(f"  {rule}" for rule in rules))
    assert doubt in found


@pytest.mark.parametrize(
    ("lists", "rule", "doubt"),
    [
        (
            "deny: [{path: /admin/**}]",
            "{rate: 1/s, key: user, match: {path: /admin/users}}",
            "r.yaml:4:3: limits.a: found only requests that deny[0] already covers; it never applies; narrow the list",
        ),
        ("allow: [{tenant: x}, {user: '*'}]", "{rate: 1/s, key: user}", "found only requests that allow[1] already"),
        ("allow: [{method: [GET, PUT]}]", "{rate: 1/s, key: user, match: {method: get}}", "allow[0] already covers"),
        (
            "deny: [{user: a}, {user: a}]",
            "{rate: 1/s, key: path}",
            "r.yaml:2:19: deny[1]: found the same again as deny[0]",
        ),
        ("deny: [{user: a*}, {user: ab}]", "{rate: 1/s, key: path}", "deny[1]: found what is covered by deny[0]"),
        ("deny: [{user: [a, a*]}]", "{rate: 1/s, key: path}", "deny[0].user: found 'a' beside 'a*', which covers it"),
    ],
)
def test_a_doubtful_list(tmp_path: Path, lists: str, rule: str, doubt: str) -> None:
    """A rule that a list leaves nothing, and entries that others make superfluous."""
    (found,) = doubts_of(tmp_path, lists, "limits:", f"  a: {rule}")
    assert doubt in found


def test_what_is_allowed_and_denied_is_told(tmp_path: Path) -> None:
    """The list of the refused comes first, so the other entry has no effect."""
    lists = ["allow: [{user: ab}]", "deny: [{user: a*}]", "limits: {a: {rate: 1/s, key: path}}"]
    (found,) = doubts_of(tmp_path, *lists)
    assert "r.yaml:2:9: allow[0]: found requests that deny[0] refuses in any case" in found


def test_doubtful_plans(tmp_path: Path) -> None:
    """A plan that nobody named, a rule of one plan about another, and what a plan makes of what it inherits."""
    found = doubts_of(
        tmp_path,
        "limits:",
        "  a: {rate: 100/hour, key: user, match: {plan: fre}}",
        "  d: {rate: 500/day, key: user}",
        "  h: {rate: 100/hour, key: user}",
        "plans:",
        "  free: {limits: {d: {rate: 50/day}}}",
        "  pro: {inherits: free, limits: {x: {rate: 1/s, key: user, match: {plan: free}}}}",
    )
    assert [line.partition("; ")[0] for line in found] == [
        "r.yaml:3:48: limits.a.match.plan: found 'fre'",
        "r.yaml:3:48: limits.a.match.plan: found another plan than free",
        "r.yaml:3:48: limits.a.match.plan: found another plan than pro",
        "r.yaml:7:29: plans.free.limits.d.rate: found 50/day, beside which 100/hour of limits.h can never deny",
        "r.yaml:8:74: plans.pro.limits.x.match.plan: found another plan than pro",
    ]
    assert "(did you mean 'free'?)" in str(found)


def test_what_a_plan_inherits_is_told_where_the_plan_changes_it(tmp_path: Path) -> None:
    """The field that is doubtful stands elsewhere, so the nearest place that the plan has is named."""
    (found,) = doubts_of(
        tmp_path,
        "limits:",
        "  hourly: {rate: 100/hour, key: user, shadow: true}",
        "  daily: {rate: 50/day, key: user}",
        "plans: {free: {limits: {daily: {shadow: true}}}}",
    )
    assert found.startswith(
        "r.yaml:5:25: plans.free.limits.daily.rate: found 50/day, beside which 100/hour of limits.h"
    )


@pytest.mark.parametrize(
    "rules",
    [
        ["a: {rate: 100/hour, key: user}", "b: {rate: 500/day, key: user}"],
        ["a: {rate: 100/hour, key: user}", "b: {rate: 50/day, key: tenant}"],
        ["a: {rate: 100/hour, key: user}", "b: {rate: 50/day, key: user, match: {path: /a}}"],
        ["a: {rate: 100/hour, key: user}", "b: {rate: 50/day, key: user, shadow: true}"],
        ["a: {rate: 100/hour, key: user}", "b: {rate: 50/day, key: user, charge: {status: 401}}"],
        ["a: {rate: 100/minute burst 5, key: user}", "b: {rate: 50/hour burst 50, key: user}"],
        ["a: {rate: 10/s; 500/hour, key: user}"],
        ["a: {rate: 5/s, key: user, cost: 5}"],
        ["a: {rate: 5/s, key: client_address, match: {user: ''}}", "b: {rate: 5/s, key: user}"],
        ["a: {rate: 5/s, key: user, match: {tenant: [x, y*]}}"],
        ["a: {rate: 5/s, key: user, match: {path: [/a, '/a/*']}}"],
        ["a: {rate: 5, key: user, algorithm: concurrency}", "b: {rate: 5/s, key: user}"],
    ],
)
def test_what_may_well_be_meant_is_not_told(tmp_path: Path, rules: list[str]) -> None:
    """Limits that each can deny, of other keys, requests, charges or on trial, are nobody's mistake."""
    assert doubts_of(tmp_path, "limits:", *(f"  {rule}" for rule in rules)) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_no_example_is_doubtful(path: Path) -> None:
    """What is shown to others has no warning."""
    assert inspect_rules(path)[1] == ()


parts = st.lists(st.sampled_from(["a", "b", "*", "/", "**"]), max_size=5).map("".join)
paths = parts.map(lambda text: "/" + text)
values = st.text(alphabet="ab/", max_size=7)


@given(wide=parts, narrow=parts, value=values)
def test_a_glob_that_is_found_wider_is(wide: str, narrow: str, value: str) -> None:
    """There is no value that the narrow one fits and the wide one does not."""
    if is_wider(Glob(wide), Glob(narrow)) and Glob(narrow).matches(value):
        assert Glob(wide).matches(value)


@given(wide=paths, narrow=paths, value=values.map(lambda text: "/" + text))
def test_a_path_pattern_that_is_found_wider_is(wide: str, narrow: str, value: str) -> None:
    """The same for paths, where a star ends at a slash."""
    if is_wider(PathPattern(wide), PathPattern(narrow)) and PathPattern(narrow).matches(value):
        assert PathPattern(wide).matches(value)


def test_a_match_that_is_wider_asks_for_less() -> None:
    """Each field that the wide one names must be narrowed at least as much by the other."""
    all_of_a = Match(values=(("tenant", (Glob("a*"),)),))
    some_of_a = Match(methods=frozenset({"GET"}), values=(("tenant", (Glob("ab"), Glob("a-*"))),))
    assert wider_match(all_of_a, some_of_a)
    assert not wider_match(some_of_a, all_of_a)
    assert wider_match(Match(), all_of_a)
    assert not wider_match(all_of_a, Match())
    assert wider_match(Match(values=(("path", (PathPattern("/**"), PathPattern("**"))),)), Match())
    anybody = Match(values=(("user", (Glob("*"),)),))
    assert not wider_match(anybody, Match())
    assert wider_match(anybody, Match(), ("user",))
