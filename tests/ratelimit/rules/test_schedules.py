"""Another rate at other hours, by the clock on the wall, also on the days on which it is put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integrations.test_asgi import answered, fields, hello, http_scope
from tests.recording import RecordingLogger

from sluicegate import ConfigurationError, InvalidInputError, Limit, Limiter
from sluicegate.integrations import RateLimitMiddleware
from sluicegate.ratelimit.rules import KeyTemplate, LiveRules, Rule, Rules, Schedule, Times, parse_rules
from sluicegate.testing import ManualClock

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTS = """\
version: 1
limits:
  api:
    rate: 100/minute
    key: client_address
    schedule:
      - {from: 22:00, to: 06:00, days: [mon-thu, sun], time_zone: Europe/Berlin, rate: 1000/minute}
      - {from: "06:00", to: "24:00", days: sat, time_zone: Europe/Berlin, rate: 50/minute}
"""


def rate_at(rules: Rules, local: str) -> int:
    """Return the rate at a time in Berlin; of two readings of one time the first."""
    at = datetime.fromisoformat(local).replace(tzinfo=BERLIN)
    return rules.limits[0].limit_at(round(at.timestamp() * 1_000_000)).rates[0].limit


@pytest.mark.parametrize(
    ("local", "rate"),
    [
        ("2024-06-03 12:00", 100),  # a Monday
        ("2024-06-03 21:59", 100),
        ("2024-06-03 22:00", 1000),
        ("2024-06-03 23:59", 1000),
        ("2024-06-04 00:00", 1000),
        ("2024-06-04 05:59", 1000),
        ("2024-06-04 06:00", 100),
        ("2024-06-07 05:59", 1000),  # Friday, in the night that began on Thursday
        ("2024-06-07 22:00", 100),  # the night to Saturday is none
        ("2024-06-08 05:59", 100),
        ("2024-06-08 06:00", 50),  # Saturday
        ("2024-06-08 23:59", 50),
        ("2024-06-09 00:00", 100),
        ("2024-06-09 22:00", 1000),  # Sunday, over the end of the week
        ("2024-06-10 05:59", 1000),
        ("2024-06-03 03:00", 1000),
    ],
)
def test_the_rate_is_that_of_the_hour(local: str, rate: int) -> None:
    """From the first minute to before the last; a night belongs to the day on which it began."""
    assert rate_at(parse_rules(NIGHTS), local) == rate


def hours_of(day: str, schedule: str) -> list[float]:
    """Return the hours of a day in Berlin, from its midnight and by a stopwatch, at which the schedule's rate holds."""
    text = f"version: 1\nlimits: {{a: {{rate: 1/s, key: user, schedule: [{schedule}]}}}}\n"
    (rule,) = parse_rules(text).limits
    midnight = datetime.fromisoformat(day).replace(tzinfo=BERLIN).astimezone(UTC)
    instants = [midnight + timedelta(minutes=15 * at) for at in range(4 * 25)]
    same_day = [at for at in instants if at.astimezone(BERLIN).date().isoformat() == day]
    return [
        (at - midnight).total_seconds() / 3600
        for at in same_day
        if rule.limit_at(round(at.timestamp() * 1e6)).rates[0].limit == 9
    ]


@pytest.mark.parametrize(
    ("day", "times", "hours"),
    [
        ("2024-06-03", "01:00-03:00", [1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75]),
        ("2024-03-31", "01:00-03:00", [1, 1.25, 1.5, 1.75]),  # 02:00 to 03:00 is left out
        ("2024-03-31", "02:00-03:00", []),
        ("2024-03-31", "02:30-04:00", [2, 2.25, 2.5, 2.75]),  # it begins with what the clocks read next
        ("2024-10-27", "02:00-03:00", [2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 3.75]),  # it comes twice
        ("2024-10-27", "02:30-02:45", [2.5, 3.5]),
        ("2024-10-27", "03:00-03:30", [4, 4.25]),
    ],
)
def test_on_days_of_other_lengths_the_clock_on_the_wall_decides(day: str, times: str, hours: list[float]) -> None:
    """What the clocks leave out does not happen, and what they read twice happens twice."""
    start, end = times.split("-")
    assert hours_of(day, f'{{from: "{start}", to: "{end}", time_zone: Europe/Berlin, rate: 9/s}}') == hours


@given(
    start=st.integers(0, 1439),
    end=st.integers(1, 1440),
    days=st.frozensets(st.integers(0, 6), min_size=1),
    at=st.integers(0, 7 * 1440 - 1),
)
def test_a_minute_is_in_the_times_as_counted_by_hand(start: int, end: int, days: frozenset[int], at: int) -> None:
    """Whatever the times, a minute of the week is in them as when the days are walked one by one."""
    if start == end:
        return
    length = (end - start) % 1440 or 1440
    begins = [day * 1440 + start for day in days]
    expected = any((at - begin) % (7 * 1440) < length for begin in begins)
    assert bool(Times(start=start, end=end, days=days).minutes >> at & 1) == expected


async def test_the_rates_of_a_rule_share_their_state() -> None:
    """What was used by day counts at night; the process's clock chooses the rate, the store's decides."""
    rules = parse_rules(
        "version: 1\nlimits: {a: {rate: 10/day, algorithm: fixed_window, key: path, schedule: "
        "[{from: '12:00', to: '13:00', rate: 100/day}]}}"
    )
    clock = ManualClock(datetime(2024, 6, 3, 11, 59, tzinfo=UTC).timestamp())
    async with Limiter(clock=clock) as limiter:
        app = RateLimitMiddleware(hello, limiter, limits=rules)
        left = []
        for _ in range(4):
            left.append(fields((await answered(app, http_scope()))[0])["ratelimit"].partition(";t")[0])
            clock.advance(40 * 60)
    assert left == ['"a";r=9', '"a";r=98', '"a";r=7', '"a";r=6']


def test_live_rules_keep_the_very_limits_of_a_schedule_and_find_the_one_that_holds() -> None:
    """Who names a limit gets the rate of the hour; each rate is recalled by its own tag."""
    clock = ManualClock(datetime(2024, 6, 3, 12, tzinfo=BERLIN).timestamp())
    live = LiveRules(parse_rules(NIGHTS), clock, RecordingLogger())
    rule = live.find("api")
    assert rule is not None
    (day,) = live.limits_for(rule, "c")
    clock.advance(11 * 3600)
    (night,) = live.limits_for(rule, "c")
    assert (day.rates[0].limit, night.rates[0].limit) == (100, 1000)
    assert live.recall("api", night.plan.tag) is night
    assert live.matching({"client_address": "c"}) == [(night, "c")]


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("{}", "schedule: found a mapping; accepted: a list of 1 to 50 of {from, to, rate}"),
        ("[]", "schedule: found 0 entries"),
        ("[{from: 22:00, to: 06:00}]", "r.yaml:6:16: limits.a.schedule[0].rate: found nothing; accepted: a rate such"),
        ("[{rate: 1/s, to: 06:00}]", "schedule[0].from: found nothing; accepted: a time such as 22:00"),
        ("[{from: 25:00, to: 06:00, rate: 1/s}]", "schedule[0].from: found '25:00'; accepted: a time such as 22:00"),
        ("[{from: 22, to: 06:00, rate: 1/s}]", "schedule[0].from: found 22; accepted: a time"),
        ("[{from: '6:00', to: 07:00, rate: 1/s}]", "schedule[0].from: found '6:00'"),
        ("[{from: 22:60, to: 06:00, rate: 1/s}]", "schedule[0].from: found '22:60'"),
        (
            "[{from: '24:00', to: 06:00, rate: 1/s}]",
            "schedule[0].to: found 24:00 to 06:00; accepted: a time from 00:00",
        ),
        ("[{from: 22:00, to: 22:00, rate: 1/s}]", "schedule[0].to: found 22:00 to 22:00"),
        ("[{from: 22:00, to: 06:00, rate: 1/x}]", "schedule[0].rate: found '1/x'"),
        (
            "[{from: 22:00, to: 06:00, rate: 5/s burst 9}]",
            "schedule[0].rate: found 5/second burst 9; accepted: a burst",
        ),
        ("[{from: 22:00, to: 06:00, rate: 1/s, days: mo}]", "schedule[0].days: found 'mo'; accepted: days such as sat"),
        ("[{from: 22:00, to: 06:00, rate: 1/s, days: [mon-fry]}]", "schedule[0].days: found 'mon-fry'"),
        ("[{from: 22:00, to: 06:00, rate: 1/s, days: []}]", "schedule[0].days: found 0 of them"),
        ("[{from: 22:00, to: 06:00, rate: 1/s, dys: mon}]", "(did you mean 'days'?)"),
        ("[{from: 22:00, to: 06:00, rate: 1/s, time_zone: Mars}]", "schedule[0].time_zone: found 'Mars'"),
        (
            "[{from: 22:00, to: 06:00, rate: 1/s}, {from: 05:59, to: 07:00, rate: 2/s}]",
            "r.yaml:6:53: limits.a.schedule[1]: found 05:59-07:00, which overlaps 22:00-06:00 on line 6",
        ),
        (
            "[{from: 22:00, to: 06:00, rate: 1/s, days: sun}, {from: 05:00, to: 07:00, rate: 2/s, days: mon}]",
            "found mon 05:00-07:00, which overlaps sun 22:00-06:00",
        ),
        (
            "[{from: 22:00, to: 06:00, rate: 1/s}, {from: 07:00, to: 08:00, rate: 1/s, time_zone: Europe/Berlin}]",
            "schedule[1].time_zone: found Europe/Berlin; accepted: UTC, as before",
        ),
    ],
)
def test_a_wrong_schedule(schedule: str, problem: str) -> None:
    """What is wrong with a schedule is told at its place, overlaps across midnight and the week's end among it."""
    text = "version: 1\nlimits:\n  a:\n    rate: 1/s\n    {}\n    schedule: {}\n    algorithm: fixed_window\n".format(
        "key: user", schedule
    )
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(text, source="r.yaml")
    assert problem in str(caught.value)


def test_toml_has_times_of_its_own() -> None:
    """A time of TOML is a time, as is text."""
    rules = parse_rules(
        "version = 1\n[limits.a]\nrate = '1/s'\nkey = 'user'\n"
        "schedule = [{from = 22:00:00, to = '06:00', days = ['fri-mon'], rate = '2/s'}]\n",
        notation="toml",
    )
    ((times, limit),) = rules.limits[0].schedule.entries  # type: ignore[union-attr] # there is one
    assert str(times) == "mon fri sat sun 22:00-06:00"
    assert limit == Limit("a", "2/s")


def test_a_plan_may_keep_or_replace_a_schedule() -> None:
    """A plan that names another rate keeps the times, unless it names others."""
    rules = parse_rules(
        NIGHTS + "plans: {more: {limits: {api: {rate: 200/minute}}}, "
        "other: {limits: {api: {schedule: [{from: 01:00, to: 02:00, rate: 7/minute}]}}}}"
    )
    kept, other = rules.named("more")["api"], rules.named("other")["api"]
    assert [limit.rates[0].limit for limit in kept.limits] == [200, 1000, 50]
    assert [limit.rates[0].limit for limit in other.limits] == [100, 7]


def test_programs_are_held_to_the_same() -> None:
    """Limits of another name, and times that overlap, are refused where no file is read."""
    night = Times(start=22 * 60, end=6 * 60)
    with pytest.raises(InvalidInputError, match=r"schedule\[1\]: found 05:00-07:00, which overlaps 22:00-06:00"):
        Schedule("UTC", ((night, Limit("a", "1/s")), (Times(start=5 * 60, end=7 * 60), Limit("a", "2/s"))))
    for other in (Limit("b", "1/s"), Limit("a", "1/s", algorithm="fixed_window")):
        with pytest.raises(InvalidInputError, match="schedule: found"):
            Rule(limit=Limit("a", "1/s"), key=KeyTemplate(("user",)), schedule=Schedule("UTC", ((night, other),)))
    with pytest.raises(InvalidInputError, match="days: found"):
        Times(start=1, end=2, days=frozenset({7}))
