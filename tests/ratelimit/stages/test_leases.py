"""Leases of one limiter on a real server: nobody waits, nothing is spent past its time, all else reads as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluicegate import BlockingLimiter, InvalidInputError, Limit, Limiter, NullLogger
from sluicegate.ratelimit.stages.lease_book import LeaseBook
from sluicegate.ratelimit.stores.store import Request
from sluicegate.testing import ManualClock
from tests.ratelimit.stages.fleet import KEY, fleet_by_hand, script_calls

if TYPE_CHECKING:
    import redis

PACED = Limit("paced", "1000/s", mode="leased")
FIXED = Limit("fixed", "10000 per 10 s", algorithm="fixed_window", mode="leased")
DAILY = Limit("daily", "10000/day", algorithm="calendar_quota", mode="leased")
COUNTER = Limit("counter", "10000 per 10 s", algorithm="sliding_window_counter", mode="leased")
SEVERAL = Limit("several", "10000 per 10 s; 9000 per 7 s", algorithm="fixed_window", mode="leased")

each_kind = pytest.mark.parametrize("limit", [PACED, FIXED, DAILY, COUNTER, SEVERAL], ids=lambda limit: limit.name)


async def test_in_steady_state_nobody_waits_and_the_server_is_asked_once_in_a_thousand(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """After a beginning, a hundred thousand decisions are all made in this process, by a few commands."""
    limit = Limit("steady", "10000000/minute", mode="leased")
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        acquire_here = limiter.engine.acquire_here
        for _ in range(200):
            await limiter.acquire(limit, KEY)
            await fleet.advance(0.001)
        before, waited, decided = script_calls(redis_client), 0, 0
        for _ in range(1_000):
            fleet.clock.advance_us(1_000)
            for _ in range(100):  # a hundred thousand a second
                decided += 1
                waited += isinstance(acquire_here(limit, KEY, 1), Request)
            await fleet.settle()
        assert (waited, decided) == (0, 100_000)
        asked = script_calls(redis_client) - before
        assert asked <= decided / 1_000
        leased = limiter.statistics()
        assert leased.decisions["steady", "allowed"] >= decided


async def test_parcels_grow_with_demand(redis_url: str, redis_client: redis.Redis) -> None:
    """The same time at ten times the demand holds about ten times the units."""
    limit = Limit("growing", "1000000/minute burst 1000000", mode="leased")
    sizes = []
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        for demand in (10, 100):
            for _ in range(300):
                fleet.clock.advance_us(10_000)
                await fleet.spend(limit, demand)
            lease = fleet.lease(limit)
            assert lease is not None
            sizes.append(lease.wish(fleet.clock.monotonic_us()))
    assert 4 * sizes[0] < sizes[1] < 25 * sizes[0]


async def test_near_the_limit_units_are_taken_one_by_one(redis_url: str, redis_client: redis.Redis) -> None:
    """No parcel is more than an eighth of what is left; in the end each request is asked, and all units are found."""
    limit = Limit("scarce", "400/day", mode="leased", algorithm="fixed_window")
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        granted, held, sources = 0, [], []
        for _ in range(450):
            left = 400 - granted - fleet.in_hand(limit)
            decision = await limiter.acquire(limit, KEY)
            await fleet.settle()
            granted += decision.allowed
            sources.append(decision.source)
            held.append((fleet.in_hand(limit), left))
        assert granted == 400
        assert max(in_hand for in_hand, _ in held) > 20
        assert all(in_hand <= left / 8 + left / 8 + 50 for in_hand, left in held)
        assert set(sources[-60:]) == {"redis"}


@each_kind
async def test_no_unit_is_spent_past_its_life(redis_url: str, redis_client: redis.Redis, limit: Limit) -> None:
    """A second after a parcel was asked for nothing of it is spent; a microsecond before all of it may be."""
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        await fleet.spend(limit, 60)
        lease = fleet.lease(limit)
        assert lease is not None
        assert lease.current is not None
        lease.asked_at_us = 1 << 60  # as if there were demand: nothing is given back as idle
        lease.asked = lease.asked_before = 10**9
        lease.filling = True  # nothing new comes
        last_us = max(parcel.expires_us for parcel in (lease.current, lease.following) if parcel is not None)
        assert last_us == fleet.clock.monotonic_us() + 1_000_000
        fleet.clock.advance_us(999_999)
        assert (await limiter.acquire(limit, KEY)).source == "lease"
        fleet.clock.advance_us(1)
        assert fleet.in_hand(limit) == 0
        assert (await limiter.acquire(limit, KEY)).source == "redis"
        lease.filling = False


@pytest.mark.parametrize("limit", [FIXED, SEVERAL], ids=lambda limit: limit.name)
async def test_no_unit_is_spent_past_its_window(redis_url: str, redis_client: redis.Redis, limit: Limit) -> None:
    """A parcel of the end of a window is worth nothing in the next, whose own limit holds exactly."""
    period_us = min(rule[1] for rule in limit.plan.rules)
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        now_us = fleet.clock.now_us()
        fleet.clock.advance_us(period_us - now_us % period_us - 300_000)
        await fleet.spend(limit, 300)
        assert fleet.in_hand(limit) > 5
        fleet.clock.advance_us(300_000)
        assert fleet.in_hand(limit) == 0
        assert (await limiter.acquire(limit, KEY)).source == "redis"


async def test_a_wall_clock_that_jumps_changes_nothing(redis_url: str, redis_client: redis.Redis) -> None:
    """An hour forward or back in this process neither ends a lease nor makes it longer."""

    class Jumping(ManualClock):
        __slots__ = ("offset_us",)

        def now_us(self) -> int:
            return super().now_us() + self.offset_us

    for jump_us in (3_600_000_000, -3_600_000_000):
        clock = Jumping(1_700_000_000.0)
        clock.offset_us = 0
        store = Limiter.connect(redis_url, deadline=5, logger=NullLogger()).engine.store
        store._clock = clock  # type: ignore[union-attr] # a RedisStore, whose time in this process jumps too
        limit = Limit(f"jump{jump_us % 7}", "100000/minute", mode="leased")
        async with Limiter(clock=clock, store=store, logger=NullLogger(), deny_cache_s=0) as limiter:
            for _ in range(60):
                await limiter.acquire(limit, KEY)
            lease = limiter.engine.leases._leases[limit.plan.prefix + KEY]
            assert lease.in_hand(clock.monotonic_us()) > 0
            clock.offset_us = jump_us
            assert (await limiter.acquire(limit, KEY)).source == "lease"
            clock.advance_us(999_999)
            assert lease.in_hand(clock.monotonic_us()) > 0
            clock.advance_us(1)
            assert lease.in_hand(clock.monotonic_us()) == 0


async def test_peeks_and_decisions_say_that_they_come_from_a_lease(redis_url: str, redis_client: redis.Redis) -> None:
    """What remains is what is in hand and what was last known to be left; a peek agrees, and takes nothing."""
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        await fleet.spend(FIXED, 40)
        used = 40
        for _ in range(3):
            looked = await limiter.peek(FIXED, KEY)
            assert (looked.source, looked.allowed, looked.remaining) == ("lease", True, 10_000 - used)
            decision = await limiter.acquire(FIXED, KEY)
            used += 1
            assert (decision.source, decision.remaining) == ("lease", 10_000 - used)
            assert await limiter.refund(looked) == 0
        beyond = await limiter.peek(FIXED, KEY, 9_999)
        assert (beyond.source, beyond.allowed) == ("redis", False)
        elsewhere = await limiter.peek(FIXED, "other")
        assert (elsewhere.source, elsewhere.remaining) == ("redis", 10_000)


async def test_a_larger_cost_is_spent_whole_or_asked(redis_url: str, redis_client: redis.Redis) -> None:
    """Costs above one come out of leases too; what exceeds them is asked, and the sum is exact."""
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        spent, sources = 0, set()
        for number in range(120):
            cost = 1 + number * 7 % 30
            decision = await limiter.acquire(FIXED, KEY, cost)
            assert decision.allowed
            spent += cost
            sources.add(decision.source)
            await fleet.settle()
        assert sources == {"lease", "redis"}
        taken = 10_000 - (await store_remaining(limiter, FIXED))
        assert taken == spent + fleet.in_hand(FIXED)


async def store_remaining(limiter: Limiter, limit: Limit) -> int:
    """Return what is left at the store itself."""
    strict = Limit(limit.name, limit.rate, algorithm=limit.algorithm)
    remaining = (await limiter.peek(strict, KEY)).remaining
    assert remaining is not None
    return remaining


async def test_a_reset_drops_what_is_in_hand_and_on_its_way(redis_url: str, redis_client: redis.Redis) -> None:
    """After a reset of its own a limiter begins anew: units of before are neither spent nor given back."""
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        await fleet.spend(FIXED, 40)
        lease = fleet.lease(FIXED)
        assert lease is not None
        while not lease.filling:
            assert (await limiter.acquire(FIXED, KEY)).source == "lease"
        assert fleet.in_hand(FIXED) > 0
        fleet.clock.advance_us(1)
        assert await limiter.reset(FIXED, KEY)
        await fleet.settle()
        assert fleet.in_hand(FIXED) == 0
        fleet.clock.advance_us(1)
        assert (await limiter.acquire(FIXED, KEY)).source == "redis"
        await fleet.settle()
        assert await store_remaining(limiter, FIXED) == 9_999 - fleet.in_hand(FIXED)
        await fleet.advance(0.999)
        assert await store_remaining(limiter, FIXED) == 9_999


@each_kind
async def test_a_leased_decision_is_refunded_once(redis_url: str, redis_client: redis.Redis, limit: Limit) -> None:
    """By whom ever, each decision gives its unit back once, and others theirs."""
    async with fleet_by_hand(redis_url, redis_client, 2) as fleet:
        one, other = fleet.limiters
        await fleet.spend(limit, 40)
        decisions = [await one.acquire(limit, KEY) for _ in range(3)]
        assert {decision.source for decision in decisions} == {"lease"}
        await fleet.settle()
        before = await store_remaining(one, limit)
        assert [await other.refund(decisions[0]), await one.refund(decisions[0])] == [1, 1]
        assert await one.refund(decisions[1]) == 1
        assert await store_remaining(one, limit) == before + 2


async def test_refunds_of_paced_units_open_no_gap(redis_url: str, redis_client: redis.Redis) -> None:
    """What idle time has paid for since is not given back as well, however many units of a parcel come back."""
    async with fleet_by_hand(redis_url, redis_client, 2) as fleet:
        one, other = fleet.limiters
        decisions = [await one.acquire(PACED, KEY) for _ in range(200)]
        await fleet.settle()
        leased = [decision for decision in decisions if decision.source == "lease"]
        assert len(leased) > 100
        in_hand = fleet.in_hand(PACED)
        fleet.clock.advance_us(100_000)  # pays for a hundred of them
        strict = Limit("paced", "1000/s")
        assert await other.acquire(strict, "key", 500)
        refunded = sum([await one.refund(decision) for decision in leased])
        assert refunded <= len(decisions) + in_hand - 100 + 1
        assert refunded <= len(leased) - 90


async def test_another_rule_of_the_name_begins_anew(redis_url: str, redis_client: redis.Redis) -> None:
    """Units taken under one rule are not spent under another, and come back to the state that both share."""
    narrower = Limit("fixed", "5000 per 10 s", algorithm="fixed_window", mode="leased")
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        await fleet.spend(FIXED, 40)
        held = fleet.in_hand(FIXED)
        assert held > 0
        first = await limiter.acquire(narrower, KEY)
        assert (first.source, first.limit is narrower) == ("redis", True)
        await fleet.advance(0.76)
        assert await store_remaining(limiter, FIXED) == 10_000 - 41


async def test_an_equal_rule_spends_the_same_units(redis_url: str, redis_client: redis.Redis) -> None:
    """A limit that was made twice has one lease."""
    twin = Limit("fixed", "10000 per 10 s", algorithm="fixed_window", mode="leased")
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        await fleet.spend(FIXED, 40)
        decision = await fleet.limiters[0].acquire(twin, KEY)
        assert (decision.source, decision.limit is twin) == ("lease", True)


async def test_in_memory_a_leased_limit_is_a_strict_one() -> None:
    """Where state is in this process nothing is taken ahead."""
    clock = ManualClock()
    async with Limiter(clock=clock) as limiter:
        limit = Limit("local", "5/minute", mode="leased")
        decisions = [await limiter.acquire(limit, KEY) for _ in range(7)]
        assert [decision.allowed for decision in decisions] == [True] * 5 + [False] * 2
        assert {decision.source for decision in decisions} == {"memory"}
        assert await limiter.acquire_all([(limit, "other"), (Limit("strict", "5/minute"), KEY)])
        assert limiter.engine.leases.keys == 0


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "lent"},
        {"mode": None},
        {"mode": "leased", "lease_seconds": 0.049},
        {"mode": "leased", "lease_seconds": 61},
        {"mode": "leased", "lease_seconds": "1"},
        {"mode": "leased", "algorithm": "concurrency", "rate": 5},
    ],
    ids=str,
)
def test_modes_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    """A word that is none, a life out of range, and held units that would be taken ahead."""
    with pytest.raises(InvalidInputError):
        Limit(**{"name": "refused", "rate": "5/s", **options})  # type: ignore[arg-type] # that is the point


async def test_shadow_limits_are_leased_too(redis_url: str, redis_client: redis.Redis) -> None:
    """Below the limit they answer from units in hand; beyond it they count and deny nothing."""
    limit = Limit("shadow", "100/day", algorithm="fixed_window", mode="leased", shadow=True)
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        decisions = []
        for _ in range(130):
            decisions.append(await limiter.acquire(limit, KEY))
            await fleet.settle()
        assert all(decisions)
        assert sum(decision.shadow_denied for decision in decisions) == 30
        assert "lease" in {decision.source for decision in decisions}


async def test_units_in_hand_go_before_a_known_denial(redis_url: str, redis_client: redis.Redis) -> None:
    """Where this limiter's own parcel took all that was left, the denial beside it denies nobody else."""
    limit = Limit("before", "1000/day", algorithm="fixed_window", mode="leased")
    async with fleet_by_hand(redis_url, redis_client, 2, deny_cache_s=60) as fleet:
        one, other = fleet.limiters
        await fleet.spend(limit, 100)
        lease = fleet.lease(limit)
        assert lease is not None
        lease.current = lease.following = None  # as if they had been spent
        strict = Limit("before", "1000/day", algorithm="fixed_window")
        left = (await other.peek(strict, KEY)).remaining
        assert left is not None
        assert await other.acquire(strict, KEY, left - 20)
        lease.asked = 100
        assert not await one.acquire(limit, KEY)
        await fleet.settle()
        assert fleet.in_hand(limit) == 20
        assert [(await one.acquire(limit, KEY)).source for _ in range(3)] == ["lease"] * 3


async def test_units_given_back_end_a_known_denial(redis_url: str, redis_client: redis.Redis) -> None:
    """What comes back of an idle lease is a reason to ask again at once."""
    limit = Limit("back", "1000/day", algorithm="fixed_window", mode="leased")
    async with fleet_by_hand(redis_url, redis_client, deny_cache_s=60) as fleet:
        (limiter,) = fleet.limiters
        spent = await fleet.spend(limit, 100)
        held = fleet.in_hand(limit)
        assert held > 1
        assert not await limiter.acquire(limit, KEY, 1000 - spent)
        await fleet.advance(0.8)
        assert (await limiter.acquire(limit, KEY, 1000 - spent)).allowed


# The book alone.


def test_leases_are_bounded_and_room_is_made_for_new_ones() -> None:
    """Of as many keys as there may be the idle ones go first, also where those that came first are in use."""
    clock = ManualClock()
    book = LeaseBook(clock, clock.sleep, None, None, leases_max=20)  # type: ignore[arg-type] # nothing is asked
    for number in range(20):
        book.spend(PACED, f"busy:{number}", 1)
    for lease in list(book._leases.values())[:12]:
        lease.filling = True
    for number in range(100):
        book.spend(PACED, f"new:{number}", 1)
        assert book.keys <= 20
    assert sum(name.endswith(("new:97", "new:98", "new:99")) for name in book._leases) > 0
    assert sum(lease.filling for lease in book._leases.values()) == 12


def test_where_all_leases_are_in_use_a_new_key_goes_without() -> None:
    """It is decided as under a strict limit."""
    clock = ManualClock()
    book = LeaseBook(clock, clock.sleep, None, None, leases_max=4)  # type: ignore[arg-type] # nothing is asked
    for number in range(4):
        book.spend(PACED, f"busy:{number}", 1)
        book._leases[f"{PACED.plan.prefix}busy:{number}"].filling = True
    assert book.spend(PACED, "new", 1) is None
    assert (book.keys, PACED.plan.prefix + "new" in book._leases) == (4, False)


def test_threads_spend_each_unit_once(redis_url: str, redis_client: redis.Redis) -> None:
    """Eight threads on one key, in hand and not, get the limit together and no unit more."""
    from concurrent.futures import ThreadPoolExecutor

    limit = Limit("threads", "20000/day", algorithm="fixed_window", mode="leased", lease_seconds=60)
    with BlockingLimiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:

        def hammer(_: int) -> tuple[int, set[tuple[int, int]]]:
            decisions = [limiter.acquire(limit, KEY) for _ in range(3_000)]
            assert not any(decision.degraded for decision in decisions)
            names = {(decision.decided_at_us, decision.serial) for decision in decisions if decision.allowed}
            return sum(decision.allowed for decision in decisions), names

        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(hammer, range(8)))
        assert sum(granted for granted, _ in results) == 20_000
        assert len(set().union(*(names for _, names in results))) == 20_000
