"""Leased limits beside others in one request: spent first, put back when the rest is denied, and else exact."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest

from sluicegate import BlockingLimiter, Limit, Limiter, NullLogger
from tests.faults_proxy import FaultProxy
from tests.ratelimit.stages.fleet import KEY, fleet_by_hand, script_calls

if TYPE_CHECKING:
    import redis

    from tests.servers import RedisServer

LEASED = Limit("leased", "10000/day", algorithm="fixed_window", mode="leased", lease_seconds=60)
PAIRED = Limit("paired", "10000/day", algorithm="fixed_window", mode="leased", lease_seconds=60)
STRICT = Limit("strict", "30/day", algorithm="fixed_window")


async def test_units_in_hand_are_put_back_when_another_limit_denies(redis_url: str, redis_client: redis.Redis) -> None:
    """A denial takes nothing of a lease either, and says of it what remains."""
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        await fleet.spend(LEASED, 60)
        held = fleet.in_hand(LEASED)
        passed = await limiter.acquire_all([(LEASED, KEY, 2), (STRICT, KEY, 30)])
        assert passed
        assert [each.source for each in passed.decisions] == ["lease", "redis"]
        assert fleet.in_hand(LEASED) == held - 2
        denied = await limiter.acquire_all([(LEASED, KEY, 2), (STRICT, KEY)])
        assert (denied.allowed, denied.binding.limit) == (False, STRICT)
        leased = denied.decisions[0]
        assert (leased.allowed, leased.source, leased.retry_after) == (False, "lease", 0.0)
        assert leased.remaining == 10_000 - 62
        assert fleet.in_hand(LEASED) == held - 2
        assert await limiter.refund(leased) == 0


async def test_what_is_all_in_hand_asks_nobody(redis_url: str, redis_client: redis.Redis) -> None:
    """Two leased limits are decided together without a command."""
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        for limit in (LEASED, PAIRED):
            await fleet.spend(limit, 60)
        before = script_calls(redis_client)
        joint = await limiter.acquire_all([(LEASED, KEY), (PAIRED, KEY, 2), (LEASED, KEY, 2)])
        assert joint
        assert [each.source for each in joint.decisions] == ["lease"] * 3
        assert [each.cost for each in joint.decisions] == [2, 2, 2]
        assert script_calls(redis_client) == before
        assert await limiter.refund(joint.decisions[1]) == 2


async def test_a_leased_limit_with_nothing_in_hand_is_asked_with_the_others(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """It is charged at the store, all or nothing."""
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        joint = await limiter.acquire_all([(LEASED, KEY), (STRICT, KEY)])
        assert [each.source for each in joint.decisions] == ["redis", "redis"]
        denied = await limiter.acquire_all([(LEASED, "other"), (STRICT, KEY, 30)])
        assert not denied
        assert (await limiter.peek(LEASED, "other")).remaining == 10_000


async def test_units_are_not_put_back_when_the_caller_is_cancelled(redis_server: RedisServer, redis_url: str) -> None:
    """The request may have left, and nobody knows its end: what was spent stays spent."""
    with FaultProxy(redis_server.port) as proxy:
        async with Limiter.connect(proxy.url, deadline=5, logger=NullLogger()) as limiter:
            for _ in range(100):
                await limiter.acquire(LEASED, KEY)
            lease = limiter.engine.leases._leases[LEASED.plan.prefix + KEY]
            while lease.filling:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)
            held = lease.in_hand(limiter.engine.clock.monotonic_us())
            proxy.delay_s = 0.2
            asking = asyncio.create_task(limiter.acquire_all([(LEASED, KEY, 3), (STRICT, KEY, 31)]))
            await asyncio.sleep(0.05)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert lease.in_hand(limiter.engine.clock.monotonic_us()) == held - 3


async def test_a_bad_member_is_answered_by_the_fallback_and_its_denial_puts_units_back(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """Where the rest cannot be decided each limit says what its own failure means."""
    closed = Limit("closed", "5/day", algorithm="fixed_window", on_failure="closed")
    opened = Limit("opened", "5/day", algorithm="fixed_window", on_failure="open")
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        await fleet.spend(LEASED, 60)
        held = fleet.in_hand(LEASED)
        for limit in (closed, opened):
            await limiter.acquire(limit, KEY)
            (name,) = [name for name in redis_client.scan_iter() if f":{limit.name}:".encode() in name]
            redis_client.delete(name)
            redis_client.lpush(name, "no state")
            redis_client.expire(name, 60)
        assert not await limiter.acquire_all([(LEASED, KEY, 2), (closed, KEY)])
        assert fleet.in_hand(LEASED) == held
        assert await limiter.acquire_all([(LEASED, KEY, 2), (opened, KEY)])
        assert fleet.in_hand(LEASED) == held - 2


async def test_a_known_denial_spends_nothing(redis_url: str, redis_client: redis.Redis) -> None:
    """Where the cache of denials ends a request, no lease is touched."""
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        await fleet.spend(LEASED, 60)
        held = fleet.in_hand(LEASED)
        assert not await limiter.acquire(STRICT, KEY, 31)
        joint = await limiter.acquire_all([(LEASED, KEY), (STRICT, KEY, 31)])
        assert [each.source for each in joint.decisions] == ["deny_cache", "deny_cache"]
        assert [each.remaining for each in joint.decisions] == [None, 30]
        assert fleet.in_hand(LEASED) == held


@pytest.mark.parametrize("seed", range(4))
async def test_the_sum_of_what_passed_is_the_limit(redis_url: str, redis_client: redis.Redis, seed: int) -> None:
    """Single and joint requests, refunds and denials in any order: nothing is found, and hardly a unit lost."""
    random = Random(seed)
    leased = Limit("sum", "600/day", algorithm="fixed_window", mode="leased", lease_seconds=60)
    other = Limit("beside", "250/day", algorithm="fixed_window")
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=0) as fleet:
        (limiter,) = fleet.limiters
        used = beside = 0
        passed = []
        for _ in range(500):
            fleet.clock.advance_us(1)
            cost, kind = random.choice((1, 1, 2, 5)), random.random()
            if kind < 0.5:
                decision = await limiter.acquire(leased, KEY, cost)
                used += cost * decision.allowed
                passed += [decision] * decision.allowed
            elif kind < 0.9:
                joint = await limiter.acquire_all([(leased, KEY, cost), (other, KEY, 2)])
                used, beside = used + cost * joint.allowed, beside + 2 * joint.allowed
                passed += joint.decisions[:1] * joint.allowed
            elif passed:
                used -= await limiter.refund(passed.pop(random.randrange(len(passed))))
            await fleet.settle()
            assert used <= 600
            assert beside <= 250
        strict = Limit("sum", "600/day", algorithm="fixed_window")
        left = (await limiter.peek(strict, KEY)).remaining
        assert left is not None
        # What a denial puts back is lost where its parcel was used up and two others are there.
        assert 0 <= 600 - used - fleet.in_hand(leased) - left <= 5


def test_threads_that_block_spend_and_put_back_alike(redis_url: str) -> None:
    """The limiter for threads has the same joint requests."""
    with BlockingLimiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        for _ in range(200):
            limiter.acquire(LEASED, KEY)
        assert limiter.acquire_all([(LEASED, KEY), (STRICT, KEY, 30)])
        denied = limiter.acquire_all([(LEASED, KEY), (STRICT, KEY)])
        assert (denied.allowed, denied.binding.limit) == (False, STRICT)
        assert limiter.refund(denied.decisions[0]) == 0
