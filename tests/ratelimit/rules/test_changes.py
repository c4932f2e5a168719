"""What a file says of roll-outs: what is taken over, what is refused, and where that stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluicegate import ConfigurationError, Limit
from sluicegate.ratelimit.rules import inspect_rules, parse_rules

ROLLOUT = "version: 1\nlimits:\n  api:\n    rate: 100/minute\n    key: user\n    {}\n    rollout: {{{}}}\n"
PLANS = """\
version: 1
limits:
  api: {{rate: 100/minute, key: user, rollout: {{rate: 50/minute, percent: 10}}}}
plans:
  some:
    limits:
      api: {{{}}}
"""


def becomes(rest: str, rollout: str) -> Limit:
    """Return what the limit of a file is to become."""
    (rule,) = parse_rules(ROLLOUT.format(rest, rollout)).limits
    assert rule.rollout is not None
    return rule.rollout.becomes


def candidate(rate: str, **options: Any) -> Limit:
    """Return a limit that another is to become."""
    return Limit("api", rate, candidate=True, **options)


@pytest.mark.parametrize(
    ("rest", "rollout", "expected"),
    [
        ("critical: false", "percent: 5, rate: 50/minute", candidate("50/minute")),
        ("critical: false", "percent: 5, critical: true", candidate("100/minute", critical=True)),
        ("critical: true", "percent: 5, rate: 1/s", candidate("1/s", critical=True)),
        ("critical: true", "percent: 5, on_failure: open", candidate("100/minute", critical=True, on_failure="open")),
        ("mode: leased", "percent: 5, mode: strict", candidate("100/minute")),
        ("mode: leased", "percent: 5, lease_seconds: 2", candidate("100/minute", mode="leased", lease_seconds=2.0)),
        (
            "algorithm: fixed_window",
            "percent: 5, mode: leased",
            candidate("100/minute", algorithm="fixed_window", mode="leased"),
        ),
        (
            "algorithm: fixed_window",
            "percent: 5, algorithm: calendar_quota, rate: 9/day, time_zone: Europe/Berlin",
            candidate("9/day", algorithm="calendar_quota", time_zone="Europe/Berlin"),
        ),
    ],
)
def test_what_is_not_named_stays_as_it_is(rest: str, rollout: str, expected: Limit) -> None:
    """What the limit is to become has the fields of the roll-out, and all others of the rule."""
    assert becomes(rest, rollout) == expected


def test_what_belongs_to_a_calendar_is_left_with_it() -> None:
    """Another algorithm has no time zone and no anchor, and need not be told so."""
    text = ROLLOUT.format(
        "algorithm: calendar_quota\n    time_zone: Europe/Berlin\n    anchor: 2024-01-31",
        "percent: 5, algorithm: gcra, rate: 9/day",
    ).replace("100/minute", "100/month")
    (rule,) = parse_rules(text).limits
    assert rule.limit.time_zone == "Europe/Berlin"
    assert rule.rollout is not None
    assert rule.rollout.becomes == candidate("9/day")


def test_a_limit_on_trial_is_to_be_enforced() -> None:
    """A percentage alone is for a limit that is new."""
    assert becomes("shadow: true", "percent: 5") == Limit("api", "100/minute")


@pytest.mark.parametrize("percent", ["0", "100", "0.1", "1e-3", "33.333"])
def test_the_percentage_may_have_a_fraction(percent: str) -> None:
    """Both notations of YAML and TOML are numbers."""
    toml = f'version = 1\n[limits.api]\nrate = "2/s"\nkey = "user"\nrollout = {{percent = {percent}, rate = "1/s"}}\n'
    (rule,) = parse_rules(toml, notation="toml").limits
    assert rule.rollout is not None
    assert rule.rollout.percent == float(percent)


@pytest.mark.parametrize(
    ("rest", "rollout", "problem"),
    [
        ("", "rate: 1/s", "7:14: limits.api.rollout.percent: found nothing; accepted: a number from 0 to 100"),
        (
            "",
            "percent: 101, rate: 1/s",
            "7:24: limits.api.rollout.percent: found 101; accepted: a number from 0 to 100",
        ),
        ("", "percent: ten, rate: 1/s", "7:24: limits.api.rollout.percent: found 'ten'; accepted: a number"),
        ("", "percent: [5], rate: 1/s", "7:24: limits.api.rollout.percent: found a list; accepted: a number"),
        ("", "percent: yes, rate: 1/s", "7:24: limits.api.rollout.percent: found True; accepted: a number"),
        ("", "percent: 5, rate: 1/x", "7:33: limits.api.rollout.rate: found '1/x'; accepted: 'LIMIT/UNIT'"),
        (
            "",
            "percent: 5, key: tenant",
            "7:27: limits.api.rollout.key: found a name that is not known; accepted: percent,",
        ),
        ("", "percent: 5, moed: leased", "(did you mean 'mode'?)"),
        ("", "percent: 5, shadow: false", "7:27: limits.api.rollout.shadow: found a name that is not known"),
        (
            "",
            "percent: 5",
            "7:14: limits.api.rollout: found nothing that changes of api (100/minute gcra); accepted: what",
        ),
        (
            "",
            "percent: 5, rate: 100/minute",
            "7:14: limits.api.rollout: found api (100/minute gcra) as it is; accepted",
        ),
        ("shadow: true", "percent: 5, rate: 1/s", "7:14: limits.api.rollout: found other fields for a limit on trial"),
        ("", "percent: 5, algorithm: concurrency, rate: 5", "7:14: limits.api.rollout: found algorithm concurrency"),
        ("", "percent: 5, time_zone: Europe/Berlin", "7:38: limits.api.rollout.time_zone: found algorithm gcra"),
        (
            "",
            "percent: 5, rate: 5 per 3 s burst 2, algorithm: fixed_window",
            "7:33: limits.api.rollout.rate: found 5 per",
        ),
        ("", "percent: 5, algorithm: calendar_quota", "7:38: limits.api.rollout.algorithm: found 100/minute; accepted"),
        ("charge: {status: 401}", "percent: 5, rate: 1/s", "7:14: limits.api.rollout: found a charge by the response"),
        ("provided: tenant", "percent: 5, rate: 1/s", "7:14: limits.api.rollout: found what is provided beside it"),
        (
            "schedule: [{from: '01:00', to: '02:00', rate: 9/s}]",
            "percent: 5, rate: 1/s",
            "7:14: limits.api.rollout: found a schedule beside it; accepted: it only where the file has one limit",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_where_it_stands(rest: str, rollout: str, problem: str) -> None:
    """Each refusal names the line and the column."""
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(ROLLOUT.format(rest or "cost: 1", rollout))
    (told,) = caught.value.problems
    assert problem in str(told)


@pytest.mark.parametrize(
    ("changes", "percent"),
    [
        ("match: {path: /a}", 10),
        ("critical: true", 10),
        ("rate: 1000/minute", None),  # the half of a hundred is no change of a thousand
        ("shadow: true", None),
        ("rate: 1000/minute, rollout: {rate: 500/minute, percent: 20}", 20),
    ],
)
def test_a_plan_takes_a_roll_out_over_unless_it_changes_what_that_is_about(changes: str, percent: int | None) -> None:
    """Then it may have one of its own."""
    rules = parse_rules(PLANS.format(changes))
    rollout = rules.named("some")["api"].rollout
    assert (None if rollout is None else rollout.percent) == percent
    assert rules.named()["api"].rollout is not None
    if changes.startswith("critical"):
        assert rollout is not None
        assert rollout.becomes == candidate("50/minute", critical=True)


def test_a_name_becomes_one_thing_in_all_plans() -> None:
    """What it is to become has one state as well."""
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(PLANS.format("rollout: {percent: 5, algorithm: fixed_window}"))
    assert str(caught.value) == (
        "rules:7:13: plans.some.limits.api.rollout: found another algorithm than in limits.api.rollout; "
        "accepted: the same; one name is one state"
    )


def test_what_a_plan_has_in_common_is_one_roll_out() -> None:
    """They are told by plan and name, where a plan has another or one of its own."""
    rules = parse_rules(PLANS.format("match: {path: /a}"))
    assert [*rules.rollouts] == [("", "api")]
    rules = parse_rules(PLANS.format("rollout: {rate: 50/minute, percent: 20}"))
    assert {at: rollout.percent for at, rollout in rules.rollouts.items()} == {("", "api"): 10, ("some", "api"): 20}


def test_what_is_doubtful_of_what_it_becomes_is_told_there(tmp_path: Any) -> None:
    """A cost that will not fit, and rates of which one can do nothing."""
    path = tmp_path / "rules.yaml"
    path.write_text(ROLLOUT.format("cost: 9", "percent: 5, rate: 5/s; 3/min"))
    _, doubts = inspect_rules(path)
    assert [str(doubt).partition(": ")[2].partition(";")[0] for doubt in doubts] == [
        "limits.api.rollout.rate: found 3/minute beside 5/second, which can then never deny",
        "limits.api.rollout.rate: found a cost of 9, which never fits a limit of 3",
    ]


def test_what_covers_a_request_is_asked_with_what_is_beside_it() -> None:
    """The limit in force stands first, and each has the cost of the rule."""
    rules = parse_rules(ROLLOUT.format("cost: 3", "percent: 0, rate: 50/minute"))
    beside = replace(candidate("50/minute"), shadow=True, beside=True)
    assert rules.matching({"user": "a"}) == [(Limit("api", "100/minute"), "a", 3), (beside, "a", 3)]
