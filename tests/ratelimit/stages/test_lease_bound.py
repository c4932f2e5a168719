"""Whatever several limiters take ahead, spend, leave idle and give back: never more passes than is promised."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from sluicegate import Limit
from tests.ratelimit.stages.fleet import KEY, Fleet, fleet_by_hand, most_over, script_calls

if TYPE_CHECKING:
    import redis

STEPS = 120
SEEDS = range(6)
BOOKS = 3
PACED = {
    "even": Limit("even", "40/s", mode="leased", lease_seconds=0.5),
    "bursty": Limit("bursty", "30/s burst 90", mode="leased", lease_seconds=2),
    "fraction": Limit("fraction", "70/s burst 60", mode="leased", lease_seconds=0.7),
    "several": Limit("several", "60/s burst 60; 200 per 5 s", mode="leased", lease_seconds=0.5),
    "counter": Limit("counter", "80 per 2 s", algorithm="sliding_window_counter", mode="leased", lease_seconds=0.5),
    "log": Limit("log", "80 per 2 s", algorithm="sliding_window_log", mode="leased", lease_seconds=0.5),
}
WINDOWS = {
    "fixed": Limit("fixed", "80 per 2 s", algorithm="fixed_window", mode="leased", lease_seconds=0.5),
    "long": Limit("long", "80 per 2 s", algorithm="fixed_window", mode="leased", lease_seconds=10),
    "both": Limit("both", "80 per 2 s; 150 per 6 s", algorithm="fixed_window", mode="leased", lease_seconds=0.5),
}
SLOW = Limit("slow", "20/s burst 400", mode="leased", lease_seconds=20)


async def run(fleet: Fleet, limit: Limit, random: Random) -> list[int]:
    """Do things at random; return when each unit was admitted."""
    times_us: list[int] = []
    for _ in range(STEPS):
        book = random.randrange(len(fleet.limiters))
        kind = random.random()
        if kind < 0.75:
            spent = await fleet.spend(
                limit, random.choice((1, 3, 10, 25)), of=book, cost=random.choice((1, 1, 1, 2, 5))
            )
            times_us += [fleet.clock.now_us()] * spent
        elif kind < 0.8:
            await give_all_back(fleet, limit, book)
        await fleet.advance(random.choice((0.000001, 0.003, 0.02, 0.02, 0.1, 0.3, 0.9)))
    return times_us


async def give_all_back(fleet: Fleet, limit: Limit, book: int) -> None:
    """Have a limiter give back what it has in hand, as it does when it is closed."""
    leases = fleet.limiters[book].engine.leases
    leases.drop(limit, KEY)
    ends, leases._ends = leases._ends, []
    await leases._ask_all([refund for _, _, lease, parcel in ends for refund in leases._given_up(lease, parcel)])
    await fleet.settle()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("limit", PACED.values(), ids=PACED)
async def test_no_interval_admits_more_than_is_promised(
    redis_url: str, redis_client: redis.Redis, limit: Limit, seed: int
) -> None:
    """Over all intervals of a random run, the sliding maximum stays within `most_in`."""
    async with fleet_by_hand(redis_url, redis_client, BOOKS) as fleet:
        times_us = await run(fleet, limit, Random(seed))
        excess, span_us = most_over(times_us, limit)
        assert len(times_us) > 100
        assert excess <= 0, f"{excess} too many within {span_us} µs"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("limit", WINDOWS.values(), ids=WINDOWS)
async def test_no_window_admits_a_unit_more(redis_url: str, redis_client: redis.Redis, limit: Limit, seed: int) -> None:
    """Windows are exact: what was taken in one is spent in it or not at all, and comes back only into it."""
    async with fleet_by_hand(redis_url, redis_client, BOOKS) as fleet:
        times_us = await run(fleet, limit, Random(seed))
        assert len(times_us) > 100
        for size, period_us in limit.plan.rules:
            assert max(Counter(at_us // period_us for at_us in times_us).values()) <= size


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_was_decided_stays_within_the_strict_bound(
    redis_url: str, redis_client: redis.Redis, seed: int
) -> None:
    """By the times at which the store decided them, the units that were spent are those of a strict limit.

    Parcels of seconds come back in any order, and in between somebody takes all that there is.
    """
    strict = Limit("slow", "20/s burst 400")
    random = Random(seed)
    async with fleet_by_hand(redis_url, redis_client, BOOKS) as fleet:
        decided_us: list[int] = []
        for _ in range(STEPS):
            book, kind = random.randrange(BOOKS), random.random()
            limiter = fleet.limiters[book]
            if kind < 0.4:
                for _ in range(random.choice((3, 10, 25))):
                    decision = await limiter.acquire(SLOW, KEY)
                    decided_us += [decision.decided_at_us] * decision.allowed
                    await fleet.settle()
            elif kind < 0.7:
                await give_all_back(fleet, SLOW, book)
            else:
                left = (await limiter.peek(strict, KEY)).remaining or 0
                everything = await limiter.acquire(strict, KEY, left)
                decided_us += [everything.decided_at_us] * left * everything.allowed
            await fleet.advance(random.choice((0.000001, 0.1, 0.5, 1.5, 3, 9)))
        excess, span_us = most_over(decided_us, strict)
        assert excess <= 0, f"{excess} too many within {span_us} µs"


async def test_no_idle_moment_gives_back_twice(redis_url: str, redis_client: redis.Redis) -> None:
    """Where one parcel came back at once, the time since then is not also given back with another."""
    strict = Limit("slow", "20/s burst 400")
    async with fleet_by_hand(redis_url, redis_client, 3) as fleet:
        for book in (0, 1):
            for _ in range(60):
                await fleet.spend(SLOW, 1, of=book)
        held = fleet.in_hand(SLOW), fleet.in_hand(SLOW, of=1)
        assert min(held) > 15
        await give_all_back(fleet, SLOW, 0)
        third = fleet.limiters[2]
        await fleet.advance((await third.peek(strict, KEY)).reset_after)
        assert await third.acquire(strict, KEY, 400)
        await give_all_back(fleet, SLOW, 1)
        assert (await third.peek(strict, KEY)).remaining == 0


@pytest.mark.parametrize(("per_second", "calls_max"), [(1, 1.0), (3, 1.0), (8, 0.7), (50, 0.1), (200, 0.03)])
async def test_at_no_demand_leases_cost_more_than_asking_each_time(
    redis_url: str, redis_client: redis.Redis, per_second: int, calls_max: float
) -> None:
    """What is taken ahead and given back included, a decision costs a command at most, and soon hardly any."""
    limit = Limit("plenty", "1000000/day burst 1000000", mode="leased")
    random = Random(per_second)
    times = 100 + 4 * per_second
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        before = script_calls(redis_client)
        for _ in range(times):
            await fleet.advance(random.expovariate(per_second))
            await fleet.spend(limit, 1)
        assert script_calls(redis_client) - before <= calls_max * times


async def test_an_idle_lease_comes_back_before_it_ends(redis_url: str, redis_client: redis.Redis) -> None:
    """Of a window everything comes back to the store, once, and the lease is forgotten."""
    limit = Limit("idle", "1000/day", algorithm="fixed_window", mode="leased")
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        spent = await fleet.spend(limit, 50)
        held = fleet.in_hand(limit)
        assert held > 10
        await fleet.advance(0.8)
        assert fleet.in_hand(limit) == 0
        strict = Limit("idle", "1000/day", algorithm="fixed_window")
        assert (await limiter.peek(strict, KEY)).remaining == 1000 - spent
        assert limiter.engine.leases.keys == 0
        await fleet.advance(5)
        assert (await limiter.peek(strict, KEY)).remaining == 1000 - spent


async def test_what_was_kept_in_vain_comes_back_when_it_ends(redis_url: str, redis_client: redis.Redis) -> None:
    """Demand that ceases after the look at a parcel leaves nothing behind in a long window."""
    limit = Limit("vain", "1000/day", algorithm="fixed_window", mode="leased")
    strict = Limit("vain", "1000/day", algorithm="fixed_window")
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        spent = 0
        for _ in range(37):
            spent += await fleet.spend(limit, 2)
            await fleet.advance(0.02)
        spent += await fleet.spend(limit, 1)
        await fleet.advance(0.05)
        await fleet.advance(2)
        assert (await limiter.peek(strict, KEY)).remaining == 1000 - spent


async def test_closing_gives_back_what_is_in_hand(redis_url: str, redis_client: redis.Redis) -> None:
    """Of every key, and what is on its way as well."""
    limit = Limit("closing", "1000/day", algorithm="fixed_window", mode="leased")
    strict = Limit("closing", "1000/day", algorithm="fixed_window")
    async with fleet_by_hand(redis_url, redis_client, 2) as fleet:
        one, other = fleet.limiters
        spent = await fleet.spend(limit, 50)
        lease = fleet.lease(limit)
        assert lease is not None
        while not lease.filling:
            spent += (await one.acquire(limit, KEY)).allowed
        await one.aclose()
        assert (await other.peek(strict, KEY)).remaining == 1000 - spent
