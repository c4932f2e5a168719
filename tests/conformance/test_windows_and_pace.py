"""Where windows begin, how a leaky bucket paces, and what a shadow limit and a binding limit are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from sluicegate import Limit
from tests.conformance.rig import START

if TYPE_CHECKING:
    from tests.conformance.rig import Rig


@pytest.mark.parametrize(
    ("rate", "period_s"), [("5/minute", 60), ("5 per 90 seconds", 90), ("5/day", 86_400), ("5/w", 604_800)]
)
def test_fixed_windows_are_aligned_to_the_epoch(rig: Rig, rate: str, period_s: int) -> None:
    """Windows begin at whole multiples of their period since 1970, whenever the first request comes."""
    rig.advance(37.25)
    now = START + 37.25
    limit = Limit("window", rate, algorithm="fixed_window")
    decision = rig.acquire(limit, cost=5)
    assert decision.reset_at == (now // period_s + 1) * period_s
    assert rig.acquire(limit).retry_after == decision.reset_after
    rig.advance_us(decision.reset_after_us - 1)
    assert not rig.acquire(limit).allowed
    rig.advance_us(1)
    assert rig.acquire(limit).remaining == 4


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"])
def test_a_calendar_quota_begins_at_its_zones_midnight(rig: Rig, zone: str) -> None:
    """A day begins when the zone's clock says so, wherever the machines stand."""
    limit = Limit("daily", "2/day", algorithm="calendar_quota", time_zone=zone)
    decision = rig.acquire(limit, cost=2)
    reset = datetime.fromtimestamp(decision.reset_at, ZoneInfo(zone))
    assert (reset.hour, reset.minute, reset.second) == (0, 0, 0)
    assert 0 < decision.reset_after <= 86_400
    rig.advance_us(decision.reset_after_us - 1)
    assert not rig.acquire(limit).allowed
    rig.advance_us(1)
    assert rig.acquire(limit).remaining == 1


def test_a_calendar_month_is_as_long_as_it_is(rig: Rig) -> None:
    """A month in Berlin across the end of summer time has an hour more, and a billing month its own day."""
    limit = Limit("monthly", "3/month", algorithm="calendar_quota", time_zone="Europe/Berlin")
    billing = Limit("billing", "3/month", algorithm="calendar_quota", anchor="2024-01-31")
    rig.clock.advance_us(round((datetime(2024, 10, 1, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() - START) * 1e6))
    assert rig.acquire(limit).reset_after == (31 * 24 + 1) * 3600
    rig.clock.advance_us(
        round((datetime(2025, 2, 10, tzinfo=UTC).timestamp() - START) * 1e6) - rig.clock.now_us() + round(START * 1e6)
    )
    assert rig.acquire(billing).reset_at == datetime(2025, 2, 28, tzinfo=UTC).timestamp()


def test_a_leaky_bucket_paces_evenly(rig: Rig) -> None:
    """Five at once are told delays an interval apart, and the next to come keeps the distance."""
    limit = Limit("pace", "10/minute burst 5", algorithm="leaky_bucket")
    assert [rig.acquire(limit).delay for _ in range(5)] == [0.0, 6.0, 12.0, 18.0, 24.0]
    denied = rig.acquire(limit)
    assert (denied.allowed, denied.delay) == (False, 0.0)
    rig.advance(7)
    assert rig.acquire(limit).delay == 23.0
    rig.advance(100)
    assert rig.acquire(limit, cost=2).delay == 0.0
    assert rig.acquire(limit).delay == 12.0


def test_a_leaky_bucket_with_fractions_does_not_drift(rig: Rig) -> None:
    """At 7 a minute the slots are 8.571428 4/7 s apart: each delay is within two microseconds of its slot."""
    limit = Limit("pace", "7/minute", algorithm="leaky_bucket")
    delays_us = [round(rig.acquire(limit).delay * 1_000_000) for _ in range(7)]
    assert all(abs(delay_us - slot * 60_000_000 / 7) < 2 for slot, delay_us in enumerate(delays_us))


def test_only_a_leaky_bucket_delays(rig: Rig) -> None:
    """Other algorithms let what they allow run at once."""
    for algorithm in ("gcra", "token_bucket", "fixed_window", "sliding_window_counter", "sliding_window_log"):
        limit = Limit("now", "3/minute", algorithm=algorithm)
        assert [rig.acquire(limit).delay for _ in range(4)] == [0.0] * 4


@pytest.mark.parametrize("algorithm", ["gcra", "fixed_window", "sliding_window_log", "calendar_quota"])
def test_a_shadow_limit_never_denies(rig: Rig, algorithm: str) -> None:
    """It says what it would have done, it is counted, and a denial it did not make took nothing."""
    limit = Limit("shadow", "2/day", algorithm=algorithm, shadow=True)
    decisions = [rig.acquire(limit) for _ in range(4)]
    assert [decision.allowed for decision in decisions] == [True] * 4
    assert [decision.shadow_denied for decision in decisions] == [False, False, True, True]
    assert [decision.retry_after for decision in decisions] == [0.0] * 4
    assert rig.limiter.statistics().decisions == {("shadow", "allowed"): 2, ("shadow", "shadow_denied"): 2}
    assert rig.wait(limit, timeout=0).shadow_denied
    assert rig.decorated(limit)("runs") == ("runs",)


def test_a_shadow_member_never_binds(rig: Rig) -> None:
    """A joint request passes although its shadow limit is full, and is told the others' numbers."""
    shadow, real = Limit("shadow", "1/day", shadow=True), Limit("real", "5/minute")
    rig.acquire(shadow)
    joint = rig.acquire_all([(shadow, "key"), (real, "key")])
    assert (joint.allowed, joint.binding.limit) == (True, real)
    assert [(decision.allowed, decision.shadow_denied) for decision in joint.decisions] == [(True, True), (True, False)]
    assert rig.peek(real).remaining == 4


def test_of_shadow_limits_alone_one_still_binds(rig: Rig) -> None:
    """Where no limit is enforced the tightest is reported."""
    first, second = Limit("one", "9/day", shadow=True), Limit("two", "2/day", shadow=True)
    assert rig.acquire_all([(first, "key"), (second, "key")]).binding.limit is second


def test_the_longest_wait_binds_a_denial(rig: Rig) -> None:
    """Of several that deny, the one that must be waited for is reported."""
    short, long = Limit("short", "1/minute"), Limit("long", "1/hour")
    members = [(long, "key"), (short, "key")]
    assert rig.acquire_all(members).allowed
    denied = rig.acquire_all(members)
    assert denied.binding.limit is long
    rig.advance_us(denied.binding.retry_after_us - 1)
    assert not rig.acquire_all(members).allowed
    rig.advance_us(1)
    assert rig.acquire_all(members).allowed


def test_never_binds_before_any_wait(rig: Rig) -> None:
    """What cannot be had at all is reported before what can be waited for."""
    small, full = Limit("small", "2/minute"), Limit("full", "1/day")
    rig.acquire(full)
    denied = rig.acquire_all([(full, "key"), (small, "key", 3)])
    assert (denied.binding.limit, denied.binding.never) == (small, True)


def test_the_least_that_remains_binds_a_grant(rig: Rig) -> None:
    """Where all grant, the limit with the least left is reported."""
    wide, narrow = Limit("wide", "100/minute"), Limit("narrow", "3/day")
    assert rig.acquire_all([(wide, "key"), (narrow, "key")]).binding.limit is narrow
    assert rig.acquire_all([(wide, "other", 99), (narrow, "other")]).binding.limit is wide


@pytest.mark.parametrize("algorithm", ["gcra", "fixed_window", "sliding_window_counter", "sliding_window_log"])
def test_several_rates_are_all_or_nothing_and_the_tightest_is_told(rig: Rig, algorithm: str) -> None:
    """Two a minute and three an hour: the third must wait a minute, the fourth for the hour."""
    limit = Limit("both", "2/minute; 3/hour", algorithm=algorithm)
    assert [rig.acquire(limit).remaining for _ in range(2)] == [1, 0]
    minute = rig.acquire(limit)
    assert not minute.allowed
    assert minute.retry_after_us <= 120_000_000
    rig.advance_us(minute.retry_after_us)
    assert rig.acquire(limit).remaining == 0
    hour = rig.acquire(limit)
    assert hour.retry_after is not None
    assert hour.retry_after > 600
    rig.advance_us(hour.retry_after_us)
    assert rig.acquire(limit).allowed


def test_limits_of_one_name_share_their_state_and_others_do_not(rig: Rig) -> None:
    """The name and the family say whose state it is: token_bucket and gcra are one arithmetic."""
    rig.acquire(Limit("shared", "5/minute"), cost=2)
    assert rig.acquire(Limit("shared", "5/minute", algorithm="token_bucket")).remaining == 2
    assert rig.acquire(Limit("shared", "5/minute", algorithm="leaky_bucket")).remaining == 1
    assert rig.acquire(Limit("shared", "5/minute", algorithm="fixed_window")).remaining == 4
    assert rig.acquire(Limit("other", "5/minute")).remaining == 4


def test_of_several_rates_the_last_to_reset_is_told(rig: Rig) -> None:
    """Nothing is left of the past only when no rate remembers it, whichever of them binds."""
    for algorithm in ("gcra", "fixed_window", "sliding_window_log"):
        limit = Limit("rated", "2/s; 100/minute", algorithm=algorithm)
        assert rig.acquire(limit, cost=2).reset_after == {"gcra": 1.2}.get(algorithm, 60.0)
        denied = rig.acquire(limit)
        assert (denied.retry_after, denied.reset_after) == (
            {"gcra": 0.5}.get(algorithm, 1.0),
            {"gcra": 1.2}.get(algorithm, 60.0),
        )
        rig.advance(3600)


def test_a_leaky_bucket_of_several_rates_keeps_the_pace_of_the_slowest(rig: Rig) -> None:
    """The first request runs at once, the next ones as far apart as the slow rate wants them."""
    limit = Limit("pace", "10/s; 60/minute", algorithm="leaky_bucket")
    assert [rig.acquire(limit).delay for _ in range(4)] == [0.0, 1.0, 2.0, 3.0]
