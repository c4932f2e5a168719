"""Known denials and units in hand where one limit runs beside another: each still decides as if it were alone."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from sluicegate import Limit, Limiter, NullLogger
from sluicegate.ratelimit.comparing import itself_denies
from tests.conformance.rig import HandClock
from tests.faults_proxy import FaultProxy
from tests.ratelimit.stages.fleet import KEY, Fleet, fleet_by_hand, limiter_by_hand, script_calls

if TYPE_CHECKING:
    import redis

    from tests.servers import RedisServer

NOW = Limit("api", "30/day", algorithm="fixed_window")
NEXT = Limit("api", "10000/day", algorithm="fixed_window", mode="leased", lease_seconds=60, candidate=True)
OTHER = Limit("other", "30/day", algorithm="fixed_window")
NOW_BESIDE = replace(NOW, shadow=True, beside=True)
NEXT_BESIDE = replace(NEXT, shadow=True, beside=True)


def compared(fleet: Fleet) -> tuple[int, ...]:
    """Return how often both agreed, only the candidate denied, and only the limit as it is."""
    return tuple(fleet.limiters[0].statistics().comparison("api").values())


async def left_of(fleet: Fleet, limit: Limit) -> int:
    """Return what the store says is left of a limit, leases apart."""
    remaining = (await fleet.limiters[0].peek(replace(limit, mode="strict", shadow=False, beside=False), KEY)).remaining
    assert remaining is not None
    return remaining


async def test_a_known_denial_does_not_answer_for_the_one_beside_it(redis_url: str, redis_client: redis.Redis) -> None:
    """The store is asked, in one call, and what runs beside goes on counting; another limit's denial ends it here."""
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        fleet.clock.advance_us(1)  # what is sent at 0 is not remembered
        strict = replace(NEXT_BESIDE, mode="strict")
        pair = [(NOW, KEY), (strict, KEY)]
        assert await limiter.acquire_all([(NOW, KEY, 30), (strict, KEY, 30)])
        for at in range(3):
            before = script_calls(redis_client)
            denied = await limiter.acquire_all(pair)
            assert (denied.allowed, denied.binding.limit, denied.binding.source) == (False, NOW, "redis")
            assert script_calls(redis_client) == before + 1
            assert await left_of(fleet, NEXT) == 10_000 - 31 - at
        assert compared(fleet) == (1, 0, 3)
        assert not await limiter.acquire(OTHER, KEY, 31)
        before = script_calls(redis_client)
        joint = await limiter.acquire_all([(OTHER, KEY, 31), *pair])
        assert [each.source for each in joint.decisions] == ["deny_cache"] * 3
        assert script_calls(redis_client) == before
        assert compared(fleet) == (1, 0, 3)
        assert await left_of(fleet, NEXT) == 10_000 - 33


@pytest.mark.parametrize("others", [[], [(OTHER, KEY)]])
async def test_whom_both_deny_costs_the_store_nothing(
    redis_url: str, redis_client: redis.Redis, others: list[tuple[Limit, str]]
) -> None:
    """Both denials are remembered and agreed on; for less than what was denied the store is asked."""
    now, then = Limit("api", "4 per 10 seconds"), Limit("api", "6 per 12 seconds", candidate=True)
    members = [*others, (now, KEY, 3), (replace(then, shadow=True, beside=True), KEY, 3)]
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        fleet.clock.advance_us(1)
        for expected in ((1, 0, 0), (1, 0, 1), (2, 0, 1)):
            await limiter.acquire_all(members)
            assert compared(fleet) == expected
        calls = script_calls(redis_client)
        for agreed in (3, 4, 5):
            joint = await limiter.acquire_all(members)
            assert [each.source for each in joint.decisions] == ["deny_cache"] * len(members)
            assert (joint.allowed, joint.binding.limit) == (False, now)
            assert (joint.decisions[-1].allowed, joint.decisions[-1].shadow_denied) == (True, True)
            assert compared(fleet) == (agreed, 0, 1)
            fleet.clock.advance_us(500_000)
        assert script_calls(redis_client) == calls
        assert not await limiter.acquire_all([*members[:-2], *[(limit, key, 2) for limit, key, _ in members[-2:]]])
        assert script_calls(redis_client) == calls + 1  # less than what was denied


async def test_what_is_remembered_of_a_shadow_denies_nobody(redis_url: str, redis_client: redis.Redis) -> None:
    """Neither a limit on trial in the same request, nor one that is asked by itself though it stands beside others."""
    trial = Limit("trial", "1/day", shadow=True)
    beside = Limit("api", "2/day", candidate=True, shadow=True, beside=True)
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        fleet.clock.advance_us(1)
        for _ in range(5):
            assert await limiter.acquire_all([(trial, KEY), (NOW, KEY), (beside, KEY)])
            assert await limiter.acquire(beside, KEY)
            assert await limiter.acquire(trial, KEY)
        assert compared(fleet) == (1, 4, 0)


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_remembered_changes_no_answer(redis_url: str, redis_client: redis.Redis, seed: int) -> None:
    """With and without the cache a walk of requests is decided and compared alike, whichever limit is in force."""
    random = Random(seed)
    now, then = Limit("api", "4 per 10 seconds"), Limit("api", "6 per 12 seconds; 20/minute", candidate=True)
    tight = Limit("tight", "5 per 7 seconds")
    clock = HandClock(redis_client)
    async with (
        limiter_by_hand(redis_url, clock, deny_cache_s=60) as caching,
        limiter_by_hand(redis_url, clock) as asking,
    ):
        for _ in range(300):
            clock.advance_us(random.choice((1, 1, 400_000, 900_000)))
            enforced, shadow = random.choice(((now, then), (then, now)))
            limits = [enforced, replace(shadow, shadow=True, beside=True)]
            limits[:0] = random.choice(([], [], [tight]))
            cost = random.choice((1, 2, 3))
            joints = [
                await limiter.acquire_all([(limit, key, cost) for limit in limits])
                for limiter, key in ((caching, "a"), (asking, "b"))
            ]
            assert joints[0].allowed is joints[1].allowed
            told = [[itself_denies(each) or each.shadow_denied for each in joint.decisions] for joint in joints]
            untold = [each.remaining is None for each in joints[0].decisions]
            assert [one or no for one, no in zip(told[0], untold, strict=True)] == [
                one or no for one, no in zip(told[1], untold, strict=True)
            ]
        counts = [limiter.statistics() for limiter in (caching, asking)]
    assert counts[0].early["api", "deny_cache"] > 10
    assert sum(counts[0].compared.values()) <= sum(counts[1].compared.values()) == 300


async def test_units_in_hand_decide_while_the_other_is_asked(redis_url: str, redis_client: redis.Redis) -> None:
    """What is enforced is spent from a lease; the limit as it is counts at the store what the others let through."""
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        await fleet.spend(NEXT, 60)
        members = [(OTHER, KEY, 2), (NEXT, KEY, 2), (NOW_BESIDE, KEY, 2)]
        for _ in range(15):
            joint = await limiter.acquire_all(members)
            assert joint
            assert [each.source for each in joint.decisions] == ["redis", "lease", "redis"]
        assert (await left_of(fleet, NOW), await left_of(fleet, OTHER)) == (0, 0)
        held = fleet.in_hand(NEXT)
        assert await limiter.reset(NOW, KEY)
        denied = await limiter.acquire_all(members)
        assert (denied.allowed, denied.binding.limit) == (False, OTHER)
        assert (await left_of(fleet, NOW), fleet.in_hand(NEXT)) == (30, held)
        assert compared(fleet) == (16, 0, 0)
        assert await limiter.acquire_all([(NEXT, KEY, 31), (NOW_BESIDE, KEY, 31)])
        assert compared(fleet) == (16, 0, 1)


async def test_units_in_hand_of_the_one_beside_stay_spent_where_only_its_own_denies(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """They are put back where another limit denies, for then nothing would have passed."""
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        await fleet.spend(NEXT_BESIDE, 60)
        held = fleet.in_hand(NEXT_BESIDE)
        denied = await limiter.acquire_all([(OTHER, KEY, 2), (NOW, KEY, 31), (NEXT_BESIDE, KEY, 2)])
        assert [each.allowed for each in denied.decisions] == [False, False, True]
        assert fleet.in_hand(NEXT_BESIDE) == held - 2
        denied = await limiter.acquire_all([(OTHER, KEY, 31), (NOW, KEY), (NEXT_BESIDE, KEY, 2)])
        assert not denied
        assert fleet.in_hand(NEXT_BESIDE) == held - 2
        denied = await limiter.acquire_all([(OTHER, KEY, 31), (NOW, KEY, 31), (NEXT_BESIDE, KEY, 2)])
        assert not denied
        assert fleet.in_hand(NEXT_BESIDE) == held - 2
        assert compared(fleet) == (1, 0, 2)


async def test_what_is_all_in_hand_asks_nobody(redis_url: str, redis_client: redis.Redis) -> None:
    """Where both limits are leased, a roll-out costs the server no command."""
    now = replace(NEXT, candidate=False)
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        for limit in (now, NEXT_BESIDE):
            await fleet.spend(limit, 60)
        before = script_calls(redis_client)
        for _ in range(5):
            joint = await limiter.acquire_all([(now, KEY), (NEXT_BESIDE, KEY)])
            assert [each.source for each in joint.decisions] == ["lease", "lease"]
        assert script_calls(redis_client) == before
        assert compared(fleet) == (5, 0, 0)
        assert limiter.statistics().early["api", "lease"] >= 5


@pytest.mark.parametrize("on_failure", ["open", "closed"])
async def test_what_nobody_counted_is_not_compared(redis_server: RedisServer, redis_url: str, on_failure: str) -> None:
    """Without the store each limit's own failure decides, and no difference is made of it."""
    now = replace(NOW, on_failure=on_failure)
    with FaultProxy(redis_server.port) as proxy:
        async with Limiter.connect(proxy.url, deadline=0.1, logger=NullLogger()) as limiter:
            assert await limiter.acquire_all([(now, KEY), (NEXT_BESIDE, KEY)])
            proxy.delay_s = 0.5
            joint = await limiter.acquire_all([(now, KEY), (NEXT_BESIDE, KEY)])
            assert joint.allowed is (on_failure == "open")
            assert joint.decisions[0].degraded
            assert limiter.statistics().comparison("api")["agreed"] == 1
            assert sum(limiter.statistics().compared.values()) == 1
