"""A limit: what it refuses and how it says so, that nothing changes it, and that copies are the same rule."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import date
from itertools import combinations
from typing import Any

import pytest

from sluicegate import InvalidInputError, Limit, Rate

QUOTA = {"algorithm": "calendar_quota"}
HOLDERS = {"algorithm": "concurrency"}
ALGORITHMS = (
    "gcra",
    "token_bucket",
    "leaky_bucket",
    "fixed_window",
    "sliding_window_counter",
    "sliding_window_log",
    "calendar_quota",
    "concurrency",
)
MESSAGE_LENGTH_MAX = 300

# What is given beside a name and a rate, and the line that refuses it.
REFUSED_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"algorithm": "gcr"}, "algorithm: found 'gcr'; accepted: gcra, token_bucket, leaky_bucket, fixed_window,"),
    ({"algorithm": "GCRA"}, "algorithm: found 'GCRA'"),
    ({"algorithm": None}, "algorithm: found None"),
    ({"algorithm": ["gcra"]}, "algorithm: found a value of type list"),
    ({"algorithm": "x" * 1_000_000}, "algorithm: found text of 1,000,000 characters"),
    ({"on_failure": "local"}, "on_failure: found 'local'; accepted: closed or open"),
    ({"on_failure": True}, "on_failure: found True; accepted: closed or open"),
    ({"on_failure": ["open"]}, "on_failure: found a value of type list; accepted: closed or open"),
    ({"critical": 1}, "critical: found 1; accepted: True or False"),
    ({"critical": None}, "critical: found None; accepted: True or False"),
    ({"shadow": "yes"}, "shadow: found 'yes'; accepted: True or False"),
    ({"hold_seconds": 0}, "hold_seconds: found 0; accepted: a number of seconds from 0.1 to 86400"),
    ({"hold_seconds": 0.0999}, "hold_seconds: found 0.0999; accepted"),
    ({"hold_seconds": 86_401}, "hold_seconds: found 86401; accepted"),
    ({"hold_seconds": -1.0}, "hold_seconds: found -1.0; accepted"),
    ({"hold_seconds": float("nan")}, "hold_seconds: found nan; accepted"),
    ({"hold_seconds": float("inf")}, "hold_seconds: found inf; accepted"),
    ({"hold_seconds": 10**400}, "hold_seconds: found a whole number of 1,329 bits; accepted"),
    ({"hold_seconds": "60"}, "hold_seconds: found '60'; accepted"),
    ({"hold_seconds": True}, "hold_seconds: found True; accepted"),
    ({"time_zone": "Europe/Berlin"}, "time_zone or anchor: found algorithm gcra; accepted: them only for calendar_"),
    ({"anchor": "2024-01-31"}, "time_zone or anchor: found algorithm gcra; accepted: them only for calendar_quota"),
    ({**QUOTA, "time_zone": "Mars/Base"}, "time_zone: found 'Mars/Base'; accepted: an IANA time zone"),
    ({**QUOTA, "time_zone": "../../etc/passwd"}, "time_zone: found '../../etc/passwd'; accepted"),
    ({**QUOTA, "time_zone": ""}, "time_zone: found ''; accepted"),
    ({**QUOTA, "time_zone": None}, "time_zone: found None; accepted"),
    ({**QUOTA, "anchor": "the 31st"}, "anchor: found 'the 31st'; accepted: a date or a date with a time"),
    ({**QUOTA, "anchor": "2023-02-29"}, "anchor: found '2023-02-29'; accepted"),
    ({**QUOTA, "anchor": 31}, "anchor: found 31; accepted"),
]
REFUSED_RATES: list[tuple[Any, dict[str, Any], str]] = [
    (5, {}, "rate: found 5; accepted: text such as '100/minute', a Rate, or several"),
    (None, {}, "rate: found None; accepted"),
    ([], {}, "rate: found a value of type list; accepted"),
    (["5/s"], {}, "rate: found a value of type list; accepted"),
    (b"5/s", {}, "rate: found bytes of length 3; accepted"),
    ("0/s", {}, "rate limit: found 0; accepted"),
    ("5/month", {}, "rate period: found 5/month; accepted: months and years only for calendar_quota"),
    ("1/s; 5/year", {}, "rate period: found 5/year; accepted: months and years only for calendar_quota"),
    ([Rate.parse("1/s")] * 9, {}, "rate: found 9 rates; accepted: at most 8 rates"),
    ("5/minute", QUOTA, "rate period: found 5/minute; accepted: whole days, weeks, months or years"),
    ("5/36h", QUOTA, "rate period: found 5 per 36 hours; accepted: whole days, weeks, months or years"),
    ("5/1.5d", QUOTA, "rate period: found 5 per 1.5 days; accepted: whole days, weeks, months or years"),
    ("5/month; 1/s", QUOTA, "rate period: found 1/second; accepted: whole days, weeks, months or years"),
    ("5/day burst 9", QUOTA, "rate burst: found 5/day burst 9; accepted: a burst only for gcra, token_bucket"),
    ("10001/s", {"algorithm": "sliding_window_log"}, "rate limit: found 10001/second; accepted: at most 10,000"),
    ("5/s", HOLDERS, "rate: found '5/s'; accepted: a number of holders from 1 to 100,000"),
    ("0", HOLDERS, "rate: found '0'; accepted: a number of holders"),
    ("-1", HOLDERS, "rate: found '-1'; accepted: a number of holders"),
    ("\u0665", HOLDERS, r"rate: found '\u0665'; accepted: a number of holders"),
    ("1_0", HOLDERS, "rate: found '1_0'; accepted: a number of holders"),
    (100_001, HOLDERS, "rate: found 100001; accepted: a number of holders"),
    (True, HOLDERS, "rate: found True; accepted: a number of holders"),
    (5.0, HOLDERS, "rate: found 5.0; accepted: a number of holders"),
    (Rate.parse("1/s"), HOLDERS, "rate: found a value of type Rate; accepted: a number of holders"),
]
REFUSED_NAMES: list[tuple[Any, str]] = [
    ("", "limit name: found ''; accepted: text of 1 to 64 characters without control characters"),
    ("x" * 65, "limit name: found text of 65 characters"),
    ("x" * 1_000_000, "limit name: found text of 1,000,000 characters"),
    ("a\nb", r"limit name: found 'a\nb' with U+000A at position 1"),
    ("a\x00", r"limit name: found 'a\x00' with U+0000 at position 1"),
    ("\ud800", r"limit name: found '\ud800' with U+D800 at position 0"),
    (b"a", "limit name: found bytes of length 1"),
    (None, "limit name: found None"),
    (5, "limit name: found 5"),
]


def check_refused(message: str, name: Any, rate: Any, **options: Any) -> None:
    """Check that a limit is refused in one short line that begins with *message*."""
    with pytest.raises(InvalidInputError) as refusal:
        Limit(name, rate, **options)
    told = str(refusal.value)
    assert told.startswith(message)
    assert "\n" not in told
    assert len(told) < MESSAGE_LENGTH_MAX


@pytest.mark.parametrize(("options", "message"), REFUSED_OPTIONS)
def test_an_option_that_cannot_be_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    """The line names the option, what was found, and what is accepted."""
    check_refused(message, "api", "5/day", **options)


@pytest.mark.parametrize(("rate", "options", "message"), REFUSED_RATES)
def test_a_rate_that_does_not_go_with_the_algorithm_is_refused(
    rate: Any, options: dict[str, Any], message: str
) -> None:
    """The line shows the rate of several that is refused, and what the algorithm would take."""
    check_refused(message, "api", rate, **options)


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_window_counter", "sliding_window_log"])
def test_a_burst_is_refused_where_it_means_nothing(algorithm: str) -> None:
    """Only what fills over time has a capacity of its own."""
    check_refused(
        "rate burst: found 5/second burst 9; accepted: a burst only", "api", "5/s burst 9", algorithm=algorithm
    )


@pytest.mark.parametrize(("name", "message"), REFUSED_NAMES)
def test_a_name_that_could_not_travel_is_refused(name: Any, message: str) -> None:
    """A name stands in keys, logs and headers."""
    check_refused(message, name, "5/day")


def test_two_spellings_of_a_name_are_one() -> None:
    """A name is normalised."""
    assert Limit("u\u0308ber", "5/s") == Limit("\u00fcber", "5/s")


@pytest.mark.parametrize(
    ("options", "on_failure"),
    [
        ({}, "open"),
        ({"critical": True}, "closed"),
        ({"on_failure": "closed"}, "closed"),
        ({"on_failure": "open", "critical": True}, "open"),
    ],
)
def test_what_answers_when_the_store_cannot(options: dict[str, Any], on_failure: str) -> None:
    """Open, unless the limit is critical; what is said is done."""
    assert Limit("api", "5/s", **options).on_failure == on_failure


LIMITS = [
    Limit("api", "100/minute burst 20; 1000/hour"),
    Limit("api", "7/minute", algorithm="leaky_bucket", critical=True, shadow=True),
    Limit("api", [Rate.parse("5/s"), Rate.parse("9/min")], algorithm="fixed_window"),
    Limit("api", "5 per 2 months", algorithm="calendar_quota", time_zone="Europe/Berlin", anchor=date(2024, 1, 31)),
    Limit("api", "5/week", algorithm="calendar_quota", anchor="2024-01-31T06:30"),
    Limit("api", "5", algorithm="concurrency", hold_seconds=5, on_failure="closed"),
]


@pytest.mark.parametrize("limit", LIMITS, ids=str)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda limit: pickle.loads(pickle.dumps(limit))])
def test_a_copy_is_the_same_rule(limit: Limit, copied: Any) -> None:
    """However it was copied it equals the first, meets it in sets, and its state is the same."""
    other = copied(limit)
    assert other == limit
    assert len({other, limit}) == 1
    assert (other.plan.tag, other.plan.prefix, other.plan.rules) == (
        limit.plan.tag,
        limit.plan.prefix,
        limit.plan.rules,
    )
    assert (str(other), other.rates, other.hold_seconds) == (str(limit), limit.rates, limit.hold_seconds)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("100/minute", "100 per min"),
        ("1/s;5/min", "1 / s ; 5 / minute"),
        ("5/s", Rate.parse("5/s")),
        ("5/s; 9/min", [Rate.parse("5/s"), Rate.parse("9/min")]),
    ],
)
def test_limits_are_equal_however_their_rate_was_written(one: Any, other: Any) -> None:
    """The rule is compared, not its spelling."""
    assert Limit("api", one) == Limit("api", other)
    assert hash(Limit("api", one)) == hash(Limit("api", other))
    assert Limit("api", "5", algorithm="concurrency") == Limit("api", 5, algorithm="concurrency")


DIFFERENT = [
    Limit("api", "5/s"),
    Limit("app", "5/s"),
    Limit("api", "6/s"),
    Limit("api", "5/s burst 6"),
    Limit("api", "5/s; 9/min"),
    Limit("api", "5/s", algorithm="token_bucket"),
    Limit("api", "5/s", critical=True),
    Limit("api", "5/s", on_failure="closed"),
    Limit("api", "5/s", shadow=True),
    Limit("api", "5", algorithm="concurrency"),
    Limit("api", "6", algorithm="concurrency"),
    Limit("api", "6", algorithm="concurrency", hold_seconds=61),
    Limit("api", "6/day", algorithm="calendar_quota"),
    Limit("api", "6/day", algorithm="calendar_quota", time_zone="Europe/Berlin"),
    Limit("api", "6/day", algorithm="calendar_quota", anchor="2024-01-31"),
]


def test_limits_that_differ_in_anything_are_not_equal() -> None:
    """A name, a number or an option more or less makes another limit; nothing else equals one."""
    assert all(one != other for one, other in combinations(DIFFERENT, 2))
    assert len(set(DIFFERENT)) == len(DIFFERENT)
    assert DIFFERENT[0] != "api"


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_nothing_changes_a_limit(limit: Limit) -> None:
    """Neither its fields nor what was compiled of them can be set, added or deleted."""
    before = pickle.dumps(limit)
    for target in (limit, limit.plan, limit.plan.algorithm, *limit.rates):
        for field in dataclasses.fields(target):
            with pytest.raises(AttributeError):
                setattr(target, field.name, None)
            with pytest.raises(AttributeError):
                delattr(target, field.name)
        with pytest.raises((AttributeError, TypeError)):
            target.surprise = 1  # type: ignore[union-attr] # on purpose
    assert pickle.dumps(limit) == before


def test_a_list_of_rates_may_be_changed_afterwards() -> None:
    """What was handed in stays its owner's; the limit does not see what becomes of it."""
    rates = [Rate.parse("5/s")]
    limit = Limit("api", rates)
    rates.append(Rate.parse("1/day"))
    assert limit == Limit("api", "5/s")
    assert pickle.loads(pickle.dumps(limit)) == limit


def test_replacing_a_field_makes_another_limit() -> None:
    """The numbers are compiled anew."""
    limit = dataclasses.replace(Limit("api", "5/s burst 9"), rate="7/s")
    assert limit == Limit("api", "7/s")
    assert limit.plan.capacity == 7


RULES = [
    Limit("api", "5/s"),
    Limit("api", "6/s"),
    Limit("api", "5/s burst 6"),
    Limit("api", "5/min"),
    Limit("api", "5/s; 9/min"),
    Limit("api", "9/min; 5/s"),
    Limit("api", "5/s", algorithm="fixed_window"),
    Limit("api", "5/s", algorithm="sliding_window_counter"),
    Limit("api", "5/s", algorithm="sliding_window_log"),
    Limit("api", "5/day", algorithm="calendar_quota"),
    Limit("api", "5/day", algorithm="calendar_quota", time_zone="Europe/Berlin"),
    Limit("api", "5/day", algorithm="calendar_quota", anchor="2024-01-31"),
    Limit("api", "5", algorithm="concurrency"),
    Limit("api", "5", algorithm="concurrency", hold_seconds=61),
]


def test_different_rules_have_different_tags() -> None:
    """A value is written with its rule's tag, which tells it from another rule of the same name."""
    tags = [limit.plan.tag for limit in RULES]
    assert len(set(tags)) == len(tags)
    assert all(0 <= tag < 2**32 for tag in tags)


def test_equal_rules_have_equal_tags() -> None:
    """What does not change a decision's numbers does not change the tag: name, spelling, failure, shadow."""
    tags = {
        Limit("api", "60/minute").plan.tag,
        Limit("other", "60 per 60 s").plan.tag,
        Limit("api", "60/min burst 60", critical=True, shadow=True).plan.tag,
        Limit("api", "60/min", algorithm="leaky_bucket").plan.tag,
    }
    assert len(tags) == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_limit_says_what_it_is(algorithm: str) -> None:
    """Its text is one line: name, rate, algorithm."""
    rate = {"calendar_quota": "5/month", "concurrency": "5"}.get(algorithm, "5/second")
    assert str(Limit("api", rate, algorithm=algorithm)) == f"api ({rate} {algorithm})"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_names_that_could_run_together_stand_apart_in_keys(algorithm: str) -> None:
    """A colon, a brace or a percent sign in a name is escaped, so that no two prefixes are alike."""
    names = ["a", "a:b", "a%3Ab", "{a}", "%7Ba%7D", "a b", "\u00fc", "%C3%BC"]
    rate = {"concurrency": "5"}.get(algorithm, "5/day")
    prefixes = [Limit(name, rate, algorithm=algorithm).plan.prefix for name in names]
    assert len(set(prefixes)) == len(names)
    assert all(prefix.count(":") == 2 and not {"{", "}"} & set(prefix) for prefix in prefixes)
