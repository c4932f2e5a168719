"""Several limiters on one real server and one clock that is moved by hand, and what they did to the server."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from sluicegate import Limiter, NullLogger
from sluicegate.database import Keyspace, connect
from sluicegate.ratelimit.stores.redis import RedisStore
from tests.conformance.rig import DEADLINE_US, HandClock
from tests.ratelimit.by_hand import lasting_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import redis

    from sluicegate import Limit
    from sluicegate.ratelimit.stages.lease import Lease

KEY = "key"
QUIET_TURNS = 12  # of the event loop: more than there are steps from an answer to the next question


class Fleet:
    """Limiters that stand for processes: each has a cache and leases of its own.

    Attributes:
        clock: The time of all of them, and of the server.
        limiters: The limiters.
    """

    def __init__(self, clock: HandClock, limiters: Sequence[Limiter]) -> None:
        self.clock = clock
        self.limiters = limiters

    async def settle(self) -> None:
        """Come back when nothing is on its way to the server or back."""
        quiet = 0
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            busy = any(is_busy(limiter) for limiter in self.limiters)
            quiet = 0 if busy else quiet + 1

    async def advance(self, seconds: float) -> None:
        """Move the clock, and come back when everybody who woke has done what there was to do."""
        await self.settle()  # who is about to sleep must not count the step into its sleep
        self.clock.advance_us(round(seconds * 1_000_000))
        await self.settle()

    async def spend(self, limit: Limit, times: int, *, of: int = 0, cost: int = 1) -> int:
        """Acquire so often; return the units that were granted."""
        granted = 0
        for _ in range(times):
            decision = await self.limiters[of].acquire(limit, KEY, cost)
            granted += cost * decision.allowed
            if decision.source == "lease":
                await self.settle()
        await self.settle()
        return granted

    def lease(self, limit: Limit, *, of: int = 0) -> Lease | None:
        """Return a limiter's lease of the key."""
        return self.limiters[of].engine.leases._leases.get(limit.plan.prefix + KEY)

    def in_hand(self, limit: Limit, *, of: int = 0) -> int:
        """Return how many units a limiter could spend without asking."""
        lease = self.lease(limit, of=of)
        return 0 if lease is None else lease.in_hand(self.clock.monotonic_us())


@asynccontextmanager
async def fleet_by_hand(
    url: str, server: redis.Redis, count: int = 1, *, deny_cache_s: float = 0
) -> AsyncIterator[Fleet]:
    """Make *count* limiters on a real server, which takes its time from the clock that they share."""
    clock = HandClock(server)
    async with AsyncExitStack() as stack:
        made = [limiter_by_hand(url, clock, deny_cache_s=deny_cache_s) for _ in range(count)]
        yield Fleet(clock, [await stack.enter_async_context(limiter) for limiter in made])


def limiter_by_hand(url: str, clock: HandClock, *, deny_cache_s: float = 0, prefix: str = "sg") -> Limiter:
    """Return a limiter on a real server that takes its time from *clock*."""
    store = RedisStore(
        connect(url),
        clock,
        NullLogger(),
        keyspace=Keyspace(prefix),
        deadline_us=DEADLINE_US,
        script=lasting_script(),
    )
    return Limiter(clock=clock, store=store, logger=NullLogger(), deny_cache_s=deny_cache_s)


def is_busy(limiter: Limiter) -> bool:
    """Say whether a limiter waits for the server."""
    batcher: Any = limiter.engine.store._batcher  # type: ignore[union-attr] # it is a RedisStore
    return bool(batcher._queue or batcher._workers or batcher._starting)


def script_calls(server: redis.Redis) -> int:
    """Return how often the server ran a script that may write."""
    stats: Any = server.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


def most_over(times_us: Sequence[int], limit: Limit) -> tuple[int, int]:
    """Return the greatest excess over what any interval may admit, and the length of that interval in microseconds.

    Args:
        times_us: When each unit was admitted.
        limit: The limit that says what may be.
    """
    totals = sorted(Counter(times_us).items())
    worst = (-(10**9), 0)
    for first, (start_us, _) in enumerate(totals):
        units = 0
        for last_us, more in totals[first:]:
            units += more
            span_us = last_us - start_us + 1
            worst = max(worst, (units - limit.most_in(span_us / 1_000_000), span_us))
    return worst
