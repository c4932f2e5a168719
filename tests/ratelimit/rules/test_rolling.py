"""Which keys a roll-out includes, and what is asked for them: the same everywhere and for ever."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate import InvalidInputError, Limit
from sluicegate.ratelimit.rules import KeyTemplate, Rollout, Rule, Rules, Schedule, Times, place_of

NOW = Limit("api", "100/minute")
NEXT = Limit("api", "50/minute", algorithm="sliding_window_counter")
KEYS = 100_000
# Written down once. They may never change, or keys would change sides in the midst of a roll-out.
VECTORS = [
    ("api", "user:42", 11471585198294205650),
    ("api", "192.0.2.7", 4862670465919422682),
    ("api", "acme:GET", 9188059551546480011),
    ("daily", "tenant:7", 10045251147528217704),
    ("größe", "schlüssel", 1806951615107716884),
]


def rolled_out(percent: Any, **options: Any) -> Rollout:
    """Return a roll-out to so many percent."""
    return Rollout(NOW, NEXT, percent=percent, **options)


@pytest.mark.parametrize(("name", "key", "place"), VECTORS)
def test_the_place_of_a_key_never_changes(name: str, key: str, place: int) -> None:
    """Another machine and another release find the very number."""
    assert place_of(name, key) == place


@pytest.mark.parametrize("name", ["api", "exports"])
@pytest.mark.parametrize("percent", [0, 0.1, 10, 33.3, 90, 100])
def test_the_share_of_the_keys_is_the_percentage(name: str, percent: float) -> None:
    """Of a hundred thousand keys that differ in little it is right to within one percent of all."""
    rollout = Rollout(Limit(name, "2/s"), Limit(name, "1/s"), percent=percent)
    share = 100 * sum(rollout.includes(f"user:{number}") for number in range(KEYS)) / KEYS
    assert abs(share - percent) < 1
    assert share == percent or percent not in (0, 100)


def test_who_is_in_stays_in() -> None:
    """A greater percentage has all keys of a smaller one."""
    percents = (0, 1, 10, 20, 50, 99, 100)
    sides = [{key for key in range(2_000) if rolled_out(percent).includes(f"user:{key}")} for percent in percents]
    assert all(smaller < greater for smaller, greater in pairwise(sides) if greater)


def test_limits_of_different_names_have_different_keys() -> None:
    """Who is unlucky with one limit is not with all: the halves of two limits share a half."""
    halves = [Rollout(Limit(name, "2/s"), Limit(name, "1/s"), percent=50) for name in ("api", "apj")]
    both = sum(all(half.includes(f"user:{key}") for half in halves) for key in range(20_000))
    assert abs(both - 5_000) < 300


@given(percent=st.floats(0, 100), more=st.floats(0, 100), key=st.text("abc:/%é", min_size=1, max_size=9))
def test_more_percent_never_exclude_a_key(percent: float, more: float, key: str) -> None:
    """Whatever the numbers are."""
    less, more = sorted((percent, more))
    assert rolled_out(less).includes(key) <= rolled_out(more).includes(key)


def test_two_spellings_of_a_key_are_on_one_side() -> None:
    """A key is normalised before it is counted, so it is before it is hashed."""
    rollout = rolled_out(50)
    assert all(rollout.includes(f"caf\u00e9{at}") is rollout.includes(f"cafe\u0301{at}") for at in range(64))


def test_what_is_in_force_comes_first_and_the_other_beside_it() -> None:
    """For the keys that are in it is the candidate, and for the others the limit as it is."""
    nobody, everybody = rolled_out(0), rolled_out(100)
    candidate = replace(NEXT, candidate=True)
    assert nobody.limits_for("a") == (NOW, replace(candidate, shadow=True, beside=True))
    assert everybody.limits_for("a") == (candidate, replace(NOW, shadow=True, beside=True))
    assert everybody.becomes == candidate
    assert (nobody.in_force, rolled_out(5).in_force, everybody.in_force) == ((NOW,), (NOW, candidate), (candidate,))
    assert (candidate.name, candidate.plan.prefix) == ("api", "sliding_window:api|candidate:")
    assert candidate.plan.tag != NEXT.plan.tag


def test_a_new_limit_is_one_limit_with_one_state() -> None:
    """It is enforced for some keys and on trial for the others."""
    for trial in (Limit("new", "5/hour", shadow=True), Limit("new", "5", algorithm="concurrency", shadow=True)):
        inside, outside = (Rollout(trial, percent=percent).limits_for("a") for percent in (100, 0))
        assert inside == (replace(trial, shadow=False),)
        assert outside == (trial,)
        assert inside[0].plan.prefix == trial.plan.prefix


def test_another_percentage_keeps_the_very_limits() -> None:
    """What is known of them, such as leases and denials, stays known."""
    before = rolled_out(10)
    again = rolled_out(90).with_known({limit: limit for limit in before.limits})
    assert again.percent == 90
    assert {id(limit) for limit in again.limits} == {id(limit) for limit in before.limits}


@pytest.mark.parametrize("percent", [-0.001, 100.001, math.nan, math.inf, True, "10", None])
def test_what_is_no_percentage_is_refused(percent: Any) -> None:
    """It is a number from 0 to 100, with a fraction or not."""
    with pytest.raises(InvalidInputError, match=r"^percent: found .*; accepted: a number from 0 to 100$"):
        rolled_out(percent)


@pytest.mark.parametrize(
    ("limit", "candidate", "found"),
    [
        (NOW, None, "nothing that changes of api"),
        (NOW, NOW, "api .* as it is"),
        (NOW, Limit("other", "1/s"), "a limit named 'other'"),
        (NOW, replace(NEXT, shadow=True), "a limit on trial"),
        (replace(NOW, shadow=True), NEXT, "other fields for a limit on trial"),
        (NOW, Limit("api", "5", algorithm="concurrency"), "algorithm concurrency"),
        (
            Limit("api", "5", algorithm="concurrency"),
            Limit("api", "6", algorithm="concurrency"),
            "algorithm concurrency",
        ),
    ],
)
def test_what_cannot_be_rolled_out_is_refused(limit: Limit, candidate: Limit | None, found: str) -> None:
    """It changes something, of a limit of the same name that takes units, and of one that is not on trial."""
    with pytest.raises(InvalidInputError, match=f"^rollout: found {found}"):
        Rollout(limit, candidate, percent=10)


def test_a_rule_refuses_what_does_not_go_together() -> None:
    """One of another limit; and beside a schedule, a provider, or charges by the response."""
    key = KeyTemplate(("user",))
    night = Schedule("UTC", ((Times(start=0, end=60), Limit("api", "9/minute")),))
    more: list[dict[str, Any]] = [{"schedule": night}, {"provided": key}, {"statuses": frozenset({401})}]
    for each in more:
        with pytest.raises(InvalidInputError, match=r"^rollout: found .* beside it"):
            Rule(limit=NOW, key=key, rollout=rolled_out(5), **each)
    with pytest.raises(InvalidInputError, match=r"^rollout: found one of api \(100/minute gcra\)"):
        Rule(limit=Limit("api", "9/minute"), key=key, rollout=rolled_out(5))
    trial = replace(NOW, shadow=True)
    assert Rule(limit=trial, key=key, rollout=Rollout(trial, percent=5), statuses=frozenset({401}))


def test_what_limits_of_two_plans_become_shares_a_state() -> None:
    """One name is one state, also of what is not yet in force."""
    key = KeyTemplate(("user",))
    berlin, utc = (
        Rule(limit=NOW, key=key, rollout=Rollout(NOW, candidate, percent=5))
        for candidate in (
            Limit("api", "9/day", algorithm="calendar_quota", time_zone="Europe/Berlin"),
            Limit("api", "9/day", algorithm="calendar_quota"),
        )
    )
    assert Rules((berlin,), plans={"pro": (berlin,)})
    with pytest.raises(InvalidInputError, match="time_zone UTC of 'api'"):
        Rules((berlin,), plans={"pro": (utc,)})
    again = Rule(limit=NOW, key=key, rollout=replace(berlin.rollout, percent=6))  # type: ignore[type-var] # it has one
    with pytest.raises(InvalidInputError, match="another limit named 'api' before it"):
        Rules((berlin, again))
