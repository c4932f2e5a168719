"""Features are switched while a limiter runs; what is off is done the plain way, and decisions stay the same."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import BlockingLimiter, Features, InvalidInputError, Limit, Limiter
from sluicegate.database import Keyspace
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.store import ACQUIRE, Request
from sluicegate.ratelimit.stores.wire import Encoder
from tests.ratelimit.stages.fleet import KEY, fleet_by_hand, limiter_by_hand, script_calls

if TYPE_CHECKING:
    import redis

ALGORITHMS = ("gcra", "fixed_window", "sliding_window_counter", "sliding_window_log", "calendar_quota")


def limit_of(algorithm: str) -> Limit:
    """Return a small limit."""
    rate = "9/day" if algorithm == "calendar_quota" else "9 per 3 seconds"
    return Limit("small", rate, algorithm=algorithm)


async def test_denials_are_asked_for_while_the_cache_is_off(redis_url: str, redis_client: redis.Redis) -> None:
    """Switched off it forgets what it knew; switched on again it begins anew."""
    limit = Limit("once", "1/day", algorithm="fixed_window")
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=1) as fleet:
        (limiter,) = fleet.limiters

        async def calls_of(times: int) -> int:
            before = script_calls(redis_client)
            for _ in range(times):
                assert not await limiter.acquire(limit, KEY)
            return script_calls(redis_client) - before

        assert await limiter.acquire(limit, KEY)
        assert await calls_of(5) == 1
        limiter.switch(Features(deny_cache=False))
        assert await calls_of(5) == 5
        limiter.switch(Features())
        assert await calls_of(5) == 1


async def test_leases_come_back_when_they_are_switched_off(redis_url: str, redis_client: redis.Redis) -> None:
    """Nothing is spent of them any more, nothing is taken ahead, and what was in hand returns to the store."""
    limit = Limit("ahead", "1000/day", algorithm="fixed_window", mode="leased")
    strict = Limit("ahead", "1000/day", algorithm="fixed_window")
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        spent = await fleet.spend(limit, 50)
        assert fleet.in_hand(limit) > 10
        limiter.switch(Features(leases=False))
        for _ in range(20):
            decision = await limiter.acquire(limit, KEY)
            assert decision.source == "redis"
        assert fleet.in_hand(limit) == 0
        await fleet.advance(1.5)
        assert (await limiter.peek(strict, KEY)).remaining == 1000 - spent - 20
        limiter.switch(Features())
        await fleet.spend(limit, 50)
        assert fleet.in_hand(limit) > 0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_decisions_are_the_same_whether_alike_requests_travel_once_or_not(
    algorithm: str, redis_url: str, redis_client: redis.Redis
) -> None:
    """Of two limiters under one clock the one coalesces and the other does not; batches of random costs and keys."""
    random, limit = Random(algorithm), limit_of(algorithm)
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (one,) = fleet.limiters
        async with limiter_by_hand(redis_url, fleet.clock, prefix="other") as other:
            other.switch(Features(coalescing=False))
            for _ in range(40):
                asked = [
                    (limit, random.choice("abc"), random.choice((1, 1, 1, 2))) for _ in range(random.randrange(1, 9))
                ]
                told = [
                    [
                        decision._replace(serial=0)
                        for decision in await asyncio.gather(*[each.acquire(*member) for member in asked])
                    ]
                    for each in (one, other)
                ]
                assert told[0] == told[1]
                await fleet.advance(random.choice((0.0, 0.1, 0.7)))


def test_what_does_not_coalesce_sends_each_request_by_itself() -> None:
    """As many keys as requests travel."""
    limit = limit_of("gcra")
    requests = [Request(ACQUIRE, ((limit, "a", 1),))] * 5
    lengths = []
    for coalesces in (True, False):
        encoder = Encoder(Keyspace(), CalendarRules(), 0, coalesces=coalesces)
        encoder.encode(requests)
        lengths.append(len(encoder.keys))
    assert lengths == [1, 5]


async def test_switching_under_load_misjudges_nobody(redis_url: str) -> None:
    """While features go on and off, no more is admitted than the limit has, and all of that."""
    limit = Limit("hundred", "100/day", algorithm="fixed_window")
    random = Random("switching")
    async with Limiter.connect(redis_url, deadline=5) as limiter:

        async def ask() -> int:
            return sum([bool(await limiter.acquire(limit, KEY)) for _ in range(20)])

        async def switch() -> None:
            for _ in range(60):
                on: Any = [random.random() < 0.5 for _ in range(3)]
                limiter.switch(Features(leases=on[0], deny_cache=on[1], coalescing=on[2]))
                await asyncio.sleep(0.001)

        *admitted, _ = await asyncio.gather(*[ask() for _ in range(16)], switch())
        assert sum(each for each in admitted if each) == 100


def test_both_limiters_have_the_same_switch() -> None:
    """And refuse what is none."""
    off = Features(leases=False)
    limiter = BlockingLimiter()
    assert limiter.features == Features()
    limiter.switch(off)
    assert limiter.features == off
    limiter.switch(Features())
    assert limiter.features == Features()
    with pytest.raises(InvalidInputError, match="features"):
        limiter.switch("all")  # type: ignore[arg-type] # as somebody might
    limiter.close()
