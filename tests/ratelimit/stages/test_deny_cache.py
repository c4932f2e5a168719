"""What is known to be denied costs the server nothing, and is never answered otherwise than the server would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluicegate import BlockingLimiter, Limit, Limiter, NullLogger
from sluicegate.ratelimit.decision import NOTHING_TAKEN, Decision
from sluicegate.ratelimit.stages.deny_cache import DENIALS_MAX, DenyCache
from sluicegate.testing import ManualClock
from tests.ratelimit.stages.fleet import KEY, fleet_by_hand, script_calls

if TYPE_CHECKING:
    import redis

LIMITS = {
    "gcra": Limit("gcra", "3 per 9 s burst 2"),
    "slow": Limit("slow", "1/hour"),
    "several": Limit("several", "2/s; 3/minute"),
    "fixed_window": Limit("fixed", "2 per 5 s", algorithm="fixed_window"),
    "sliding_window_counter": Limit("counter", "2 per 5 s", algorithm="sliding_window_counter"),
    "sliding_window_log": Limit("log", "2 per 5 s", algorithm="sliding_window_log"),
    "calendar_quota": Limit("daily", "2/day", algorithm="calendar_quota"),
}
GCRA = LIMITS["gcra"]
FIXED = LIMITS["fixed_window"]

each_algorithm = pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)


@each_algorithm
async def test_an_attacker_costs_a_command_in_each_wait(
    redis_url: str, redis_client: redis.Redis, limit: Limit
) -> None:
    """However often a denied key is asked for, the server hears of it once in a second, or in a shorter wait."""
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=1) as fleet:
        (limiter,) = fleet.limiters
        while await limiter.acquire(limit, KEY):
            pass
        before, granted = script_calls(redis_client), 0
        for _ in range(40):  # four seconds
            for _ in range(25):
                granted += (await limiter.acquire(limit, KEY)).allowed
            await fleet.advance(0.1)
        # A second each, and beside each grant itself a denial that is news.
        assert script_calls(redis_client) - before <= 1 + 4 + 2 * granted


async def test_what_can_never_be_granted_is_asked_for_once_a_second(redis_url: str, redis_client: redis.Redis) -> None:
    """Of costs beyond the capacity one tells of all, whatever they are."""
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=1) as fleet:
        (limiter,) = fleet.limiters
        before = script_calls(redis_client)
        for cost in range(40, 20, -1):
            decision = await limiter.acquire(GCRA, KEY, cost)
            assert (decision.allowed, decision.never, decision.cost) == (False, True, cost)
        assert script_calls(redis_client) - before == 1
        await fleet.advance(0.999999)
        assert (await limiter.acquire(GCRA, KEY, 30)).source == "deny_cache"
        await fleet.advance(0.000001)
        assert (await limiter.acquire(GCRA, KEY, 30)).source == "redis"
        assert (await limiter.acquire(GCRA, KEY, 2)).allowed  # what fits was not spoken of


@each_algorithm
async def test_told_waits_count_down_and_succeed_to_the_microsecond(
    redis_url: str, redis_client: redis.Redis, limit: Limit
) -> None:
    """Each answer names the same instant; a microsecond before it a request is denied, at it one passes."""
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        while decision := await limiter.acquire(limit, KEY):
            pass
        due_us, reset_at = decision.decided_at_us + decision.retry_after_us, decision.reset_at
        first_wait_us = decision.retry_after_us
        for _ in range(5):
            await fleet.advance(first_wait_us // 7 / 1_000_000)
            later = await limiter.acquire(limit, KEY)
            assert later.decided_at_us == fleet.clock.now_us()
            assert (later.decided_at_us + later.retry_after_us, later.reset_at) == (due_us, reset_at)
        assert later.retry_after is not None
        fleet.clock.advance_us(later.retry_after_us - 1)
        assert not await limiter.acquire(limit, KEY)
        fleet.clock.advance_us(1)
        assert await limiter.acquire(limit, KEY)


async def test_a_smaller_cost_is_asked_and_a_greater_one_answered(redis_url: str, redis_client: redis.Redis) -> None:
    """What is denied to a cost says nothing of a smaller one; to a greater it is a lower bound."""
    limit = Limit("costs", "10 per 100 s")
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=1) as fleet:
        (limiter,) = fleet.limiters
        assert await limiter.acquire(limit, KEY, 6)
        denied = await limiter.acquire(limit, KEY, 6)
        assert (denied.source, denied.retry_after) == ("redis", 20.0)
        greater = await limiter.acquire(limit, KEY, 9)
        assert (greater.source, greater.cost, greater.retry_after) == ("deny_cache", 9, 20.0)
        assert (await limiter.acquire(limit, KEY, 11)).never
        smaller = await limiter.acquire(limit, KEY, 3)
        assert (smaller.source, smaller.allowed) == ("redis", True)
        later = await limiter.acquire(limit, KEY, 6)  # the wait has become longer by what the smaller took
        assert (later.source, later.retry_after) == ("redis", 50.0)
        assert (await limiter.acquire(limit, KEY, 6)).source == "deny_cache"


async def test_an_own_reset_and_an_own_refund_are_noticed_at_once(redis_url: str, redis_client: redis.Redis) -> None:
    """After either the next request is asked, and passes."""
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        taken = await limiter.acquire(FIXED, KEY, 2)
        assert not await limiter.acquire(FIXED, KEY)
        await limiter.refund(taken)
        fleet.clock.advance_us(1)  # denials of the same microsecond are taken for older ones
        assert await limiter.acquire(FIXED, KEY, 2)
        assert not await limiter.acquire(FIXED, KEY)
        assert (await limiter.acquire(FIXED, KEY)).source == "deny_cache"
        await limiter.reset(FIXED, KEY)
        assert await limiter.acquire(FIXED, KEY)


async def test_another_process_s_reset_is_noticed_after_a_second(redis_url: str, redis_client: redis.Redis) -> None:
    """A denial may be stale for as long as it is believed, and not a microsecond longer."""
    async with fleet_by_hand(redis_url, redis_client, 2, deny_cache_s=1) as fleet:
        one, other = fleet.limiters
        assert await one.acquire(FIXED, KEY, 2)
        assert not await one.acquire(FIXED, KEY)
        await other.reset(FIXED, KEY)
        fleet.clock.advance_us(999_999)
        assert not await one.acquire(FIXED, KEY)
        fleet.clock.advance_us(1)
        assert await one.acquire(FIXED, KEY)


async def test_another_rule_of_the_name_is_asked(redis_url: str, redis_client: redis.Redis) -> None:
    """What one rate denied, the limit's new rate decides anew, and so it is with what only counts."""
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        assert await limiter.acquire(FIXED, KEY, 2)
        assert not await limiter.acquire(FIXED, KEY)
        more = Limit("fixed", "5 per 5 s", algorithm="fixed_window")
        assert (await limiter.acquire(more, KEY)).remaining == 2
        assert not await limiter.acquire(FIXED, KEY)
        shadow = Limit("fixed", "2 per 5 s", algorithm="fixed_window", shadow=True)
        counted = await limiter.acquire(shadow, KEY)
        assert (counted.allowed, counted.shadow_denied, counted.source) == (True, True, "redis")


async def test_an_equal_rule_is_answered_by_its_own_name(redis_url: str, redis_client: redis.Redis) -> None:
    """A limit that was made twice is one rule; the decision carries the one that was asked for."""
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        assert await limiter.acquire(FIXED, KEY, 2)
        assert not await limiter.acquire(FIXED, KEY)
        twin = Limit("fixed", "2 per 5 s", algorithm="fixed_window")
        decision = await limiter.acquire(twin, KEY)
        assert (decision.source, decision.limit is twin) == ("deny_cache", True)


async def test_shadow_limits_are_asked_each_time(redis_url: str, redis_client: redis.Redis) -> None:
    """What never denies is never known to be denied."""
    limit = Limit("shadow", "1/hour", shadow=True)
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        decisions = [await limiter.acquire(limit, KEY) for _ in range(4)]
        assert [decision.shadow_denied for decision in decisions] == [False, True, True, True]
        assert {decision.source for decision in decisions} == {"redis"}


async def test_holds_are_asked_for_each_time(redis_url: str, redis_client: redis.Redis) -> None:
    """A unit that another process released is had at once."""
    limit = Limit("held", "1", algorithm="concurrency")
    async with fleet_by_hand(redis_url, redis_client, 2, deny_cache_s=60) as fleet:
        one, other = fleet.limiters
        hold = one.hold(limit, KEY)
        await hold.__aenter__()
        with pytest.raises(Exception, match="held"):
            await other.hold(limit, KEY).__aenter__()
        await hold.__aexit__(None, None, None)
        async with other.hold(limit, KEY) as held:
            assert held.decision is not None


async def test_nothing_is_believed_where_it_is_switched_off(redis_url: str, redis_client: redis.Redis) -> None:
    """With 0 seconds each request is asked."""
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=0) as fleet:
        (limiter,) = fleet.limiters
        before = script_calls(redis_client)
        sources = {(await limiter.acquire(LIMITS["slow"], KEY)).source for _ in range(10)}
        assert (sources, script_calls(redis_client) - before) == ({"redis"}, 10)


async def test_a_wait_is_served_when_its_denial_ends(redis_url: str, redis_client: redis.Redis) -> None:
    """Who waits behind a known denial passes at the instant that it names, with one command."""
    async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        limit = Limit("waited", "10/s burst 1")
        assert await limiter.acquire(limit, KEY)
        assert not await limiter.acquire(limit, KEY)
        before = script_calls(redis_client)
        decision = await limiter.wait(limit, KEY, timeout=5)
        assert (decision.allowed, script_calls(redis_client) - before) == (True, 1)


async def test_cached_denials_are_counted_beside_the_others(redis_url: str, redis_client: redis.Redis) -> None:
    """Each is a denial, and counted as one that cost nothing."""
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        decisions = [await limiter.acquire(LIMITS["slow"], KEY) for _ in range(5)]
        statistics = limiter.statistics()
        assert statistics.decisions["slow", "denied"] == 4
        assert [decision.source for decision in decisions] == ["redis", "redis", *["deny_cache"] * 3]


def test_threads_are_answered_without_a_hop(redis_url: str, redis_client: redis.Redis) -> None:
    """The limiter that blocks knows the same denials."""
    with BlockingLimiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        decisions = [limiter.acquire(LIMITS["slow"], KEY) for _ in range(5)]
        assert [decision.source for decision in decisions] == ["redis", "redis", *["deny_cache"] * 3]
        assert not limiter.acquire_all([(LIMITS["slow"], KEY), (GCRA, KEY)])
        assert limiter.peek(GCRA, KEY).remaining == 2


# The cache alone.


def denial(limit: Limit, key: str, *, at_us: int = 1, wait_us: int = 10**9, cost: int = 1) -> Decision:
    """Return what a store says to a request that it denies."""
    return Decision(False, limit, key, cost, 0, wait_us, wait_us, at_us, "redis", False, False, NOTHING_TAKEN)


def test_a_flood_of_denied_keys_is_bounded() -> None:
    """As many are remembered as were agreed; the oldest make room, and the newest are answered."""
    cache = DenyCache(ManualClock(), longest_us=10**6)
    for number in range(DENIALS_MAX + 500):
        cache.remember(denial(GCRA, f"key:{number}"), 0)
        cache.forget(GCRA, f"other:{number}", 1)
    assert len(cache.denials) == DENIALS_MAX
    assert len(cache._voided) <= 1_000
    assert cache.find(GCRA, "key:0", 1) is None
    assert cache.find(GCRA, f"key:{DENIALS_MAX + 499}", 1) is not None


def test_a_denial_older_than_a_reset_is_not_believed() -> None:
    """Its answer may come after the reset's; a denial decided later is believed."""
    cache = DenyCache(ManualClock(), longest_us=10**6)
    cache.forget(GCRA, KEY, 50)
    cache.remember(denial(GCRA, KEY, at_us=50), 0)
    assert cache.find(GCRA, KEY, 1) is None
    cache.remember(denial(GCRA, KEY, at_us=51), 0)
    assert cache.find(GCRA, KEY, 1) is not None


def test_a_denial_holds_from_before_its_question_and_is_told_from_its_answer() -> None:
    """However late the answer was, the cache asks again too soon rather than too late, and tells the whole wait."""
    clock = ManualClock()
    cache = DenyCache(clock, longest_us=10**7)
    clock.advance_us(400)  # the answer took so long
    cache.remember(denial(GCRA, KEY, wait_us=1000), 0)
    told = cache.find(GCRA, KEY, 1)
    assert told is not None
    assert told.retry_after_us == 1000
    clock.advance_us(599)
    assert cache.find(GCRA, KEY, 1) is not None
    clock.advance_us(1)
    assert cache.find(GCRA, KEY, 1) is None


def test_an_answer_that_took_longer_than_the_wait_is_not_kept() -> None:
    """What is over when it is known denies nobody."""
    clock = ManualClock()
    cache = DenyCache(clock, longest_us=10**7)
    clock.advance_us(1000)
    cache.remember(denial(GCRA, KEY, wait_us=1000), 0)
    assert cache.denials == {}


def test_the_denial_that_says_more_stays() -> None:
    """A smaller cost that is denied for longer is not replaced by a greater one."""
    cache = DenyCache(ManualClock(), longest_us=10**7)
    cache.remember(denial(GCRA, KEY, cost=1, wait_us=2000), 0)
    cache.remember(denial(GCRA, KEY, cost=2, wait_us=1500), 0)
    found = cache.find(GCRA, KEY, 1)
    assert found is not None
    assert found.retry_after_us == 2000


def test_a_wall_clock_that_steps_changes_nothing() -> None:
    """Denials are measured by the monotonic clock alone."""
    clock = ManualClock(10**6)
    cache = DenyCache(clock, longest_us=10**7)
    cache.remember(denial(GCRA, KEY, wait_us=1000), 0)
    clock.advance_us(-3_600_000_000)
    clock.advance_us(999)
    assert cache.find(GCRA, KEY, 1) is not None
    clock.advance_us(1)
    assert cache.find(GCRA, KEY, 1) is None
