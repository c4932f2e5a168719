"""Leases when the server dies, answers late, holds what cannot be read, or was asked from a loop that has ended."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sluicegate import Limit, Limiter, NullLogger, StoreUnavailableError
from sluicegate.ratelimit.stages.lease import Parcel
from sluicegate.ratelimit.stages.lease_book import (
    FILLING_US_MAX,
    PAUSE_US,
    LeaseBook,
)
from sluicegate.ratelimit.stages.lease_renewal import GATHER_US, GATHERING_US_MAX
from sluicegate.ratelimit.stores.store import Reply, Request
from sluicegate.testing import ManualClock
from tests.faults_proxy import FaultProxy
from tests.ratelimit.stages.fleet import KEY, fleet_by_hand
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

    from sluicegate.ratelimit.stages.lease import Lease

LIMIT = Limit("lasting", "100000/day", algorithm="fixed_window", mode="leased", lease_seconds=60, on_failure="closed")
NOW_US = 1_700_006_400_000_000


def lease_of(limiter: Limiter, limit: Limit = LIMIT) -> Lease:
    """Return the lease of the key."""
    return limiter.engine.leases._leases[limit.plan.prefix + KEY]


async def filled(limiter: Limiter, limit: Limit = LIMIT) -> int:
    """Acquire until a good deal is in hand and nothing on its way; return that."""
    for _ in range(200):
        await limiter.acquire(limit, KEY)
    lease = lease_of(limiter, limit)
    while lease.filling:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.001)
    return lease.in_hand(time.monotonic_ns() // 1000)


async def test_a_lease_whose_server_dies_is_spent_to_its_end_and_no_further() -> None:
    """What is in hand is admitted, then the fallback answers; when the server is back there are leases again."""
    with RedisServer() as server:
        async with Limiter.connect(server.url, deadline=0.05, logger=NullLogger()) as limiter:
            held = await filled(limiter)
            assert held > 50
            server.kill()
            decisions = [await limiter.acquire(LIMIT, KEY) for _ in range(held + 20)]
            assert [decision.source for decision in decisions] == ["lease"] * held + ["fallback"] * 20
            assert [decision.allowed for decision in decisions] == [True] * held + [False] * 20
            server.start()
            deadline = time.monotonic() + 10
            while (await limiter.acquire(LIMIT, KEY)).source != "lease":
                assert time.monotonic() < deadline
                await asyncio.sleep(0.005)


async def test_a_lease_lives_from_before_it_was_asked_for() -> None:
    """Of an answer that is late by a third of a second, a third of a second less may be spent."""
    limit = Limit("late", "100000/day", algorithm="fixed_window", mode="leased", lease_seconds=1)
    with RedisServer() as server, FaultProxy(server.port) as proxy:
        async with Limiter.connect(proxy.url, deadline=5, logger=NullLogger()) as limiter:
            for _ in range(3):
                await limiter.acquire(limit, KEY)
            lease = lease_of(limiter, limit)
            while lease.filling:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)
            lease.current = lease.following = None
            proxy.delay_s = 0.3
            before_us = time.monotonic_ns() // 1000
            await limiter.acquire(limit, KEY)
            while lease.filling:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)
            arrived_us = time.monotonic_ns() // 1000
            parcel = lease.current
            assert isinstance(parcel, Parcel)
            assert arrived_us >= before_us + 300_000
            assert parcel.expires_us <= arrived_us - 300_000 + 1_000_000


async def test_a_parcel_that_comes_too_late_is_given_back_unspent() -> None:
    """An answer that took longer than a lease lives is worth nothing here, and everything at the store."""
    limit = Limit("later", "1000/day", algorithm="fixed_window", mode="leased", lease_seconds=0.05)
    strict = Limit("later", "1000/day", algorithm="fixed_window")
    with RedisServer() as server, FaultProxy(server.port) as proxy:
        proxy.delay_s = 0.1
        async with Limiter.connect(proxy.url, deadline=5, logger=NullLogger()) as limiter:
            decisions = [await limiter.acquire(limit, KEY) for _ in range(8)]
            assert {decision.source for decision in decisions} == {"redis"}
        async with Limiter.connect(server.url, deadline=5, logger=NullLogger()) as other:
            assert (await other.peek(strict, KEY)).remaining == 1000 - 8


async def test_a_key_that_cannot_be_read_keeps_no_other_from_its_lease(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """One bad entry of a batch is answered with its error; the same moment another key's units are taken ahead."""
    bad = Limit("bad", "1000/day", algorithm="fixed_window", mode="leased", on_failure="closed")
    good = Limit("good", "1000/day", algorithm="fixed_window", mode="leased")
    async with fleet_by_hand(redis_url, redis_client) as fleet:
        (limiter,) = fleet.limiters
        for _ in range(2):
            await limiter.acquire(bad, KEY)
        await limiter.acquire(good, KEY)
        fleet.limiters[0].engine.leases._leases[bad.plan.prefix + KEY].current = None
        (name,) = [name for name in redis_client.scan_iter() if b":bad:" in name]
        redis_client.delete(name)
        redis_client.lpush(name, "no state")
        redis_client.expire(name, 60)
        answers = await asyncio.gather(limiter.acquire(bad, KEY), limiter.acquire(good, KEY))
        await fleet.settle()
        assert [answer.source for answer in answers] == ["fallback", "redis"]
        assert await fleet.spend(good, 20) == 20
        assert fleet.in_hand(good) > 0


async def test_a_limiter_of_a_new_event_loop_has_leases_again(redis_url: str) -> None:
    """What the loop before left on its way, and who kept its leases, does not keep them from being filled."""
    limiter = Limiter.connect(redis_url, deadline=5, logger=NullLogger())

    def alone(times: int) -> set[str]:
        async def acquire() -> set[str]:
            sources = set()
            for _ in range(times):
                sources.add((await limiter.acquire(LIMIT, KEY)).source)
            return sources

        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(acquire())
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

    assert "lease" in await asyncio.to_thread(alone, 200)
    assert "lease" in await asyncio.to_thread(alone, 200)
    leases = limiter.engine.leases
    assert leases._keeper is not None
    await asyncio.to_thread(asyncio.run, limiter.aclose())


# The book alone, on a clock that moves by hand.


class Posts:
    """A book, and what it asks for."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.posted: list[Request] = []
        self.fails = False
        self.returned: list[Request] = []
        self.book = LeaseBook(self.clock, self.clock.sleep, self._ask, self._ask_all)
        self.book.renewals.post = lambda ask, request, promise: ask(request, promise, asyncio.get_running_loop())

    def _ask(self, request: Request, promise: object, loop: object) -> None:
        self.posted.append(request)
        if self.fails:
            raise StoreUnavailableError("decide", "away")

    async def _ask_all(self, requests: object) -> list[Reply]:
        asked = list(requests)  # type: ignore[call-overload] # a list of requests
        self.returned += asked
        return [Reply(NOW_US, 0, [0, 0, 0, 0], 0) for _ in asked]

    def spread(self, keys: Sequence[str]) -> None:
        """Give each of *keys* a parcel, and spend most of it so slowly that the next has time."""
        posted = self.posted
        self.posted = []
        for key in keys:
            for _ in range(10):
                self.book.spend(LIMIT, key, 1)
                self.book._leases[LIMIT.plan.prefix + key].left = 10**6
            now_us = self.clock.monotonic_us()
            self.book.filled(
                self.book._leases[LIMIT.plan.prefix + key], Reply(NOW_US, 0, [30, 10**6, 0, 10**9], now_us)
            )
        self.clock.advance_us(1_000_000)
        self.posted = posted
        for key in keys:
            for _ in range(20):
                self.book.spend(LIMIT, key, 1)

    def spend(self, times: int) -> int:
        """Spend, as when there is plenty at the store; return how many units were in hand."""
        spent = 0
        for _ in range(times):
            spent += self.book.spend(LIMIT, KEY, 1) is not None
            self.lease.left = 10**6
        return spent

    @property
    def lease(self) -> Lease:
        """The lease of the key."""
        return self.book._leases[LIMIT.plan.prefix + KEY]

    def land(self, units: int) -> None:
        """Let what was asked for arrive."""
        now_us = self.clock.monotonic_us()
        self.book.filled(self.lease, Reply(NOW_US + now_us, 0, [units, 10**6, 0, 86_400_000_000], now_us))


async def test_a_store_that_is_away_is_not_stormed() -> None:
    """However many ask, units are asked for ahead once in a tenth of a second."""
    posts = Posts()
    posts.fails = True
    for _ in range(10):
        posts.spend(500)
        posts.clock.advance_us(PAUSE_US // 2)
    assert len(posts.posted) == 5


async def test_what_is_on_its_way_is_not_asked_for_twice() -> None:
    """Until it has come or failed nothing more is taken ahead."""
    posts = Posts()
    posts.spend(1_000)
    assert len(posts.posted) == 1


async def test_what_was_lost_on_its_way_is_asked_for_again() -> None:
    """An answer that has not come after any deadline will not come."""
    posts = Posts()
    posts.spend(10)
    posts.clock.advance_us(FILLING_US_MAX)
    posts.spend(10)
    assert len(posts.posted) == 1
    posts.clock.advance_us(1)
    posts.spend(10)
    assert len(posts.posted) == 2


async def test_a_third_of_a_parcel_is_left_when_the_next_is_asked_for() -> None:
    """So that nobody waits for it."""
    posts = Posts()
    posts.spend(10)
    posts.land(90)
    assert (posts.spend(59), len(posts.posted)) == (59, 1)
    assert (posts.spend(1), len(posts.posted)) == (1, 2)
    posts.land(90)
    assert (posts.spend(120), len(posts.posted)) == (120, 3)
    await posts.book.aclose()


async def test_renewals_that_have_time_go_together() -> None:
    """What is in hand lasts for long: a few milliseconds later one call carries the renewals of several keys."""
    posts = Posts()
    posts.spread(("a", "b", "c"))
    assert posts.posted == []
    for _ in range(2):
        await asyncio.sleep(0)
    posts.clock.advance_us(GATHER_US - 1)
    await asyncio.sleep(0)
    assert posts.posted == []
    posts.clock.advance_us(1)
    for _ in range(2):
        await asyncio.sleep(0)
    assert [request.members[0][1] for request in posts.posted] == ["a", "b", "c"]
    posts.spread(("d", "e"))
    for _ in range(2):
        await asyncio.sleep(0)
    posts.clock.advance_us(GATHER_US)
    for _ in range(2):
        await asyncio.sleep(0)
    assert [request.members[0][1] for request in posts.posted] == ["a", "b", "c", "d", "e"]
    await posts.book.aclose()


async def test_a_renewal_in_need_does_not_wait_for_others() -> None:
    """What lasts for a moment is too little to wait for others by."""
    posts = Posts()
    posts.spend(10)
    posts.land(90)
    posts.spend(60)
    assert len(posts.posted) == 2
    await posts.book.aclose()


async def test_gathered_renewals_are_not_asked_for_by_who_closes() -> None:
    """They would only be given back."""
    posts = Posts()
    posts.spread(("a", "b"))
    await asyncio.wait_for(posts.book.aclose(), 0.5)
    posts.clock.advance_us(10 * GATHER_US)
    await asyncio.sleep(0)
    assert posts.posted == []


def test_renewals_gathered_on_a_loop_that_ended_are_taken_along_on_the_next() -> None:
    """A loop that ends takes its sleeping tasks with it, and what they would have asked for is not forgotten."""
    posts = Posts()

    async def gathers(*keys: str) -> None:
        posts.spread(keys)
        for _ in range(2):
            await asyncio.sleep(0)
        if "b" in keys:
            posts.clock.advance_us(GATHER_US)
            await asyncio.sleep(0)

    with asyncio.Runner() as first:
        first.run(gathers("a"))
    posts.clock.advance_us(GATHERING_US_MAX)
    with asyncio.Runner() as second:
        second.run(gathers("b"))
        second.run(posts.book.aclose())
    assert [request.members[0][1] for request in posts.posted] == ["a", "b"]


async def test_a_store_that_refuses_gathered_renewals_is_left_alone_for_a_while() -> None:
    """As when one alone is refused: what is in hand is spent, and asked for again later."""
    posts = Posts()
    posts.spread(("a", "b"))
    await asyncio.sleep(0)
    posts.fails = True
    posts.clock.advance_us(GATHER_US)
    for _ in range(2):
        await asyncio.sleep(0)
    assert [request.members[0][1] for request in posts.posted] == ["a", "b"]
    assert not any(lease.filling for lease in posts.book._leases.values())
    posts.book.spend(LIMIT, "a", 1)
    assert len(posts.posted) == 2
    await posts.book.aclose()


async def test_a_parcel_that_lands_while_closing_is_given_back() -> None:
    """Who closes waits a moment for what is on its way, and for no longer."""
    posts = Posts()
    posts.spend(10)
    lease = posts.lease
    closing = asyncio.create_task(posts.book.aclose())
    await asyncio.sleep(0)
    assert not closing.done()
    posts.book.filled(lease, Reply(NOW_US, 0, [70, 10**6, 0, 86_400_000_000], 0))
    await closing
    assert [request.members[0][2] for request in posts.returned] == [70]
    assert posts.book.spend(LIMIT, KEY, 1) is None
    assert posts.book.keys == 0


async def test_a_parcel_that_never_lands_does_not_keep_the_book_open() -> None:
    """A tenth of a second later the end is the end."""
    posts = Posts()
    posts.spend(10)
    await asyncio.wait_for(posts.book.aclose(), 5)
    assert posts.returned == []


async def test_a_shorter_lease_is_looked_at_in_its_own_time() -> None:
    """Who keeps the leases does not sleep for a minute's lease while a second's ends."""
    posts = Posts()
    posts.spend(10)
    posts.land(100)
    await asyncio.sleep(0)
    brief = Limit("brief", "1000/day", algorithm="fixed_window", mode="leased", lease_seconds=1)
    for _ in range(10):
        posts.book.spend(brief, KEY, 1)
        posts.book._leases[brief.plan.prefix + KEY].left = 10**6
    lease = posts.book._leases[brief.plan.prefix + KEY]
    posts.book.filled(lease, Reply(NOW_US, 0, [30, 10**6, 0, 86_400_000_000], 0))
    await asyncio.sleep(0)
    posts.clock.advance_us(750_000)
    for _ in range(5):
        await asyncio.sleep(0)
    assert [request.members[0][2] for request in posts.returned] == [30]
    await posts.book.aclose()


async def test_no_unit_is_given_back_twice() -> None:
    """Each return has a name of its own, and closing returns what nothing returned before."""
    posts = Posts()
    posts.spend(10)
    posts.land(100)
    posts.spend(20)
    posts.clock.advance_us(45_000_000)
    for _ in range(5):
        await asyncio.sleep(0)
    await posts.book.aclose()
    assert sum(request.members[0][2] for request in posts.returned) == 80
    names = [request.detail for request in posts.returned]
    assert len(set(names)) == len(names)
