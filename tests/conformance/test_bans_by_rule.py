"""Who is denied too often within a time is banned, for longer each time, and a first time again after a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluicegate import BanRule, Limit, LimitExceededError

if TYPE_CHECKING:
    from tests.conformance.rig import Rig

RULE = BanRule(after=3, within=60, duration=600, escalate=2, at_most=3_000, forget_after=86_400)
ALGORITHMS = ("gcra", "fixed_window", "sliding_window_counter", "sliding_window_log", "calendar_quota")


def limit_of(algorithm: str = "fixed_window", rule: BanRule | None = RULE, *, shadow: bool = False) -> Limit:
    """Return a limit of one unit that bans."""
    rate = "1/day" if algorithm == "calendar_quota" else "1/hour"
    return Limit("one", rate, algorithm=algorithm, ban=rule, shadow=shadow)


def be_denied(rig: Rig, limit: Limit, times: int = 3, key: str = "key") -> None:
    """Be denied so many times, by the limit and not by a ban."""
    for _ in range(times):
        denied = rig.acquire(limit, key, 2)
        assert (denied.allowed, denied.banned) == (False, False)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_denial_too_many_leads_to_a_ban(rig: Rig, algorithm: str) -> None:
    """It is itself a denial of the limit; the next request is denied by the ban, until that ends."""
    limit = limit_of(algorithm)
    assert rig.acquire(limit).allowed
    denials = [rig.acquire(limit) for _ in range(4)]
    assert [(denial.allowed, denial.banned) for denial in denials] == [(False, False)] * 3 + [(False, True)]
    assert denials[-1].retry_after == 600.0
    assert rig.acquire(limit, "other").allowed
    rig.advance(600)
    assert not rig.peek(limit).banned


def test_denials_that_lie_further_apart_lead_to_none(rig: Rig) -> None:
    """Only those within the time count, exactly: the first of three may be as old as the time, not older."""
    limit = limit_of()
    be_denied(rig, limit)
    be_denied(rig, limit, key="slow")
    assert rig.acquire(limit).banned
    rig.advance(600)
    be_denied(rig, limit, 1)
    rig.advance_us(30_000_000)
    be_denied(rig, limit, 1)
    rig.advance_us(30_000_001)
    be_denied(rig, limit, 1)
    rig.advance_us(30_000_000 - 1)
    be_denied(rig, limit, 1)
    assert rig.peek(limit).banned


def test_each_further_ban_is_longer_up_to_the_longest(rig: Rig) -> None:
    """They double, stop at the longest, and are told by number and reason."""
    limit = limit_of()
    lasted = []
    for _ in range(5):
        be_denied(rig, limit)
        denied = rig.acquire(limit)
        lasted.append(denied.retry_after)
        rig.advance_us(denied.retry_after_us)
    assert lasted == [600, 1_200, 2_400, 3_000, 3_000]
    be_denied(rig, limit)
    ban = rig.limiter.bans.find("key", limit=limit)
    assert (ban.times, ban.reason, ban.limit) == (6, "too many denials", "one")


def test_a_ban_is_forgotten_after_a_while(rig: Rig) -> None:
    """Just before, the next is longer; just after, it is a first one again."""
    limit = limit_of()
    for later_us, lasts in ((0, 600), (86_400_000_000 - 1, 1_200), (86_400_000_000, 600)):
        rig.advance_us(later_us)
        be_denied(rig, limit)
        denied = rig.acquire(limit)
        assert denied.retry_after == lasts
        rig.advance_us(denied.retry_after_us)


def test_denials_of_a_ban_do_not_count(rig: Rig) -> None:
    """Who hammers on while banned is free when the ban ends, and has to be denied anew for another."""
    limit = limit_of()
    be_denied(rig, limit)
    assert all(rig.acquire(limit).banned for _ in range(10))
    rig.advance(600)
    be_denied(rig, limit, 2)
    assert not rig.peek(limit).banned


def test_what_was_counted_before_a_ban_by_hand_is_forgotten_when_it_is_lifted(rig: Rig) -> None:
    """Who was one denial away from a ban, and was forgiven, is as far away as anybody."""
    limit = limit_of()
    be_denied(rig, limit, 2)
    for how in ({}, {"limit": limit}):
        rig.ban(**how)
        assert rig.lift() == 1
        be_denied(rig, limit, 2)
        assert not rig.peek(limit).banned
    be_denied(rig, limit, 1)
    assert rig.peek(limit).banned


def test_a_ban_that_is_lifted_leaves_nothing_behind(rig: Rig) -> None:
    """The next one by rule is a first one."""
    limit = limit_of()
    be_denied(rig, limit)
    assert rig.lift() == 1
    be_denied(rig, limit, 2)
    assert not rig.peek(limit).banned
    be_denied(rig, limit, 1)
    assert rig.acquire(limit).retry_after == 600.0


def test_who_waits_is_not_banned_for_it(rig: Rig) -> None:
    """A waiter's denials are how it learns when to come back."""
    limit = limit_of()
    rig.acquire(limit)
    for _ in range(5):
        with pytest.raises(LimitExceededError):
            rig.wait(limit, timeout=1)
    assert not rig.peek(limit).banned


def test_looks_and_shadow_limits_count_nothing(rig: Rig) -> None:
    """A peek is no try, and a limit on trial denies nobody."""
    limit, shadow = limit_of(), limit_of(shadow=True)
    for _ in range(5):
        assert not rig.peek(limit, cost=2).allowed
        assert rig.acquire(shadow, "trial", 2).shadow_denied
    assert not rig.peek(limit).banned
    assert not rig.peek(shadow, "trial").banned


def test_of_several_limits_only_that_which_denies_counts(rig: Rig) -> None:
    """A limit that was denied along with another has nothing against the key."""
    limit, other = limit_of(), Limit("other", "5/hour", ban=RULE)
    for _ in range(3):
        assert not rig.acquire_all([(other, "key"), (limit, "key", 2)])
    assert (rig.peek(limit).banned, rig.peek(other).banned) == (True, False)
    many = rig.acquire_many([(other, "bulk", 9)] * 4)
    assert not many[0].banned
    assert rig.peek(other, "bulk").banned


def test_holds_count_too(rig: Rig) -> None:
    """Who finds all units held again and again is banned under a limit that says so."""
    limit = Limit("slots", 1, algorithm="concurrency", ban=RULE)
    with rig.hold(limit):
        for banned in (False, False, False, True):
            with pytest.raises(LimitExceededError) as denied, rig.hold(limit):
                pass
            assert denied.value.decision.banned == banned


def test_under_an_override_denials_count_as_well(rig: Rig) -> None:
    """Who exceeds a rate of their own is banned by the limit's rule."""
    limit = limit_of()
    rig.override(limit, "2/hour")
    rig.acquire(limit, cost=2)
    be_denied(rig, limit)
    assert rig.acquire(limit).banned


def test_the_log_tells_of_bans_by_rule_once_a_second(rig: Rig) -> None:
    """However many keys are banned within it, so that an attack does not fill the log; no key is named."""
    limit = limit_of()
    for number in range(5):
        be_denied(rig, limit, key=f"key{number}")
    rig.advance(1)
    be_denied(rig, limit, key="later")
    assert rig.logger.named("keys.banned") == [
        {"keys": 1, "last_under": "one"},
        {"keys": 5, "last_under": "one"},
    ]


def test_a_limit_without_a_rule_bans_nobody(rig: Rig) -> None:
    """However often it denies, nothing is in force."""
    limit = limit_of(rule=None)
    be_denied(rig, limit, 50)
    assert rig.bans() == ()
