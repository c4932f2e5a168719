"""Who has a rate of their own is decided by it from the next request on, with what they have used, until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import InvalidInputError, Limit, LimitExceededError, Override, Rate

if TYPE_CHECKING:
    from tests.conformance.rig import Rig

PAIRS = {
    "gcra": "6/minute",
    "token_bucket": "6/minute burst 6",
    "leaky_bucket": "6/minute",
    "fixed_window": "6/minute",
    "sliding_window_counter": "6/minute",
    "sliding_window_log": "6/minute",
    "calendar_quota": "6/day",
}
every_algorithm = pytest.mark.parametrize("algorithm", PAIRS)
API = Limit("api", "3/minute")
UPLOADS = Limit("uploads", "1", algorithm="concurrency")


def limit_of(algorithm: str) -> Limit:
    """Return the limit that is overridden: half of what the override gives."""
    return Limit("rated", PAIRS[algorithm].replace("6", "3"), algorithm=algorithm)


@every_algorithm
def test_a_fresh_key_is_decided_by_its_own_rate(rig: Rig, algorithm: str) -> None:
    """It has all of it, and so has nobody else; the decision's limit says which rate decided."""
    limit = limit_of(algorithm)
    override = rig.override(limit, PAIRS[algorithm])
    assert (override.limit, override.key, override.until) == ("rated", "key", None)
    decisions = [rig.acquire(limit) for _ in range(7)]
    assert [decision.allowed for decision in decisions] == [True] * 6 + [False]
    assert {str(decision.limit.rates[0]) for decision in decisions} == {PAIRS[algorithm]}
    assert [rig.acquire(limit, "other").allowed for _ in range(4)] == [True] * 3 + [False]


@every_algorithm
def test_an_override_ends_by_itself(rig: Rig, algorithm: str) -> None:
    """Until its end the key is decided by it, afterwards by the limit as it is."""
    limit = limit_of(algorithm)
    rig.override(limit, PAIRS[algorithm], seconds=30)
    rig.advance_us(29_999_999)
    assert rig.peek(limit).limit.rates[0].limit == 6
    rig.advance_us(1)
    assert rig.peek(limit).limit == limit
    assert [rig.acquire(limit).allowed for _ in range(4)] == [True] * 3 + [False]


def test_every_verb_knows_of_an_override(rig: Rig) -> None:
    """Peeks, joint and bulk acquires, waits, refunds and resets go by the key's own rate."""
    rig.override(API, "6/minute")
    assert rig.peek(API).remaining == 6
    assert rig.acquire_all([(API, "key", 2), (API, "other")]).allowed
    (many,) = rig.acquire_many([(API, "key", 3)])
    assert (many.remaining, rig.refund(many), rig.peek(API).remaining) == (1, 3, 4)
    assert rig.wait(API, cost=4, timeout=0).remaining == 0
    denied = rig.acquire_all([(API, "key"), (API, "other")])
    assert (denied.allowed, denied.binding.key, rig.peek(API, "other").remaining) == (False, "key", 2)
    assert rig.reset(API)
    assert rig.peek(API).remaining == 6


def test_more_or_fewer_may_hold(rig: Rig) -> None:
    """For a concurrency limit an override is another number of holders."""
    override = rig.override(UPLOADS, 2)
    assert override.rate == "2"
    with rig.hold(UPLOADS), rig.hold(UPLOADS):
        assert rig.peek(UPLOADS).remaining == 0
        with pytest.raises(LimitExceededError), rig.hold(UPLOADS):
            pass
        rig.drop(UPLOADS)
        with pytest.raises(LimitExceededError), rig.hold(UPLOADS):
            pass


def test_a_tighter_rate_binds_at_once(rig: Rig) -> None:
    """Who is given less has no more than that from the next request on, nor than what was left."""
    assert rig.acquire(API).allowed
    rig.override(API, "1/hour", seconds=60)
    assert [rig.acquire(API).allowed for _ in range(2)] == [True, False]
    for _ in range(4):
        rig.acquire(API, "other")
    rig.override(API, "2/hour", seconds=60, key="other")
    assert not rig.acquire(API, "other").allowed  # nothing was left


def test_an_override_that_is_dropped_is_over_at_once(rig: Rig) -> None:
    """Dropping says whether there was one."""
    rig.override(API, "600/minute")
    assert (rig.drop(API), rig.drop(API), rig.peek(API).limit) == (True, False, API)


def test_overrides_are_listed(rig: Rig) -> None:
    """Those that end first come first, and a rate is told as one would write it."""
    now = rig.clock.now_us() / 1_000_000
    several = [Rate.parse("10/second"), Rate.parse("100/minute burst 20")]
    rig.override(API, several, "b")
    rig.override(API, "7 per 90 seconds", "a", seconds=60)
    rig.override(API, "1/s", "over", seconds=1)
    rig.advance(2)
    listed = (
        Override(limit="api", key="a", rate="7 per 90 seconds", until=now + 60),
        Override(limit="api", key="b", rate="10/second; 100/minute burst 20", until=None),
    )
    assert rig.overrides() == listed
    assert rig.overrides(most=1) == listed[:1]
    assert rig.limiter.overrides.find(API, "a") == listed[0]
    assert rig.limiter.overrides.find(API, "over") is None
    assert rig.limiter.overrides.limit_for(API, "b").plan.capacity == 10
    assert rig.limiter.overrides.limit_for(API, "over") is API


def test_all_limits_of_a_name_are_overridden(rig: Rig) -> None:
    """What a plan or a schedule makes of a limit has the key's own rate, too, and stays what it is else."""
    pro = Limit("api", "9/minute", on_failure="closed")
    rig.override(API, "6/minute")
    decided = rig.acquire(pro)
    assert (decided.remaining, decided.limit.on_failure) == (5, "closed")


def test_a_ban_stands_above_an_override(rig: Rig) -> None:
    """Who is banned is denied whatever their rate, and has it again when the ban is over."""
    rig.override(API, "6/minute")
    rig.ban(seconds=10)
    assert rig.acquire(API).banned
    rig.advance(10)
    assert rig.acquire(API).remaining == 5


def test_an_override_that_does_not_go_with_the_limit_here_is_passed_over(rig: Rig) -> None:
    """Another process may have another limit of that name: then its own rate decides, and the log says so once."""
    window = Limit("api", "4/minute", algorithm="fixed_window")
    rig.override(API, "6/minute burst 9")
    assert [rig.acquire(window).remaining for _ in range(2)] == [3, 2]
    assert [event["limit"] for event in rig.logger.named("override.unusable")] == ["api"]


BAD: dict[str, tuple[tuple[Any, Any, Any], str]] = {
    "rate": ((API, "many/minute", "key"), "rate: found"),
    "burst": ((limit_of("fixed_window"), "6/minute burst 9", "key"), "rate burst"),
    "months": ((API, "6/month", "key"), "rate period"),
    "holders": ((UPLOADS, "6/minute", "key"), "rate: found"),
    "key": ((API, "6/minute", ""), "key: found ''"),
    "limit": (("api", "6/minute", "key"), "limit: found 'api'; accepted: a Limit"),
}


@pytest.mark.parametrize("bad", BAD)
def test_an_override_that_is_wrong_is_refused(rig: Rig, bad: str) -> None:
    """The line names the parameter, what was found and what is accepted; nothing is changed."""
    (limit, rate, key), line = BAD[bad]
    with pytest.raises(InvalidInputError, match=line):
        rig.override(limit, rate, key)
    with pytest.raises(InvalidInputError, match="seconds"):
        rig.override(API, "6/minute", seconds=-1)
    with pytest.raises(InvalidInputError, match="limit"):
        rig.drop("api")
    assert rig.overrides() == ()
