"""Decisions reach Redis over as few connections as settings allow, however many ask and whatever else is under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sluicegate import Limit, Limiter
from sluicegate.database import Access, connect
from sluicegate.monitoring import NullLogger
from sluicegate.ratelimit.stores.redis import Batching, RedisStore
from sluicegate.utils import SystemClock

if TYPE_CHECKING:
    import redis

LIMIT = Limit("few", "1000000/hour")
LEAST = 2
DEADLINE_US = 5_000_000  # it is not about time
CALLERS = 3_000


def few(url: str, most: int, in_flight_max: int | None, *, changes: bool) -> Limiter:
    """A limiter with few connections."""
    batching = Batching(in_flight_max=in_flight_max)
    client = connect(url, Access(connections_max=most))
    store = RedisStore(client, SystemClock(), NullLogger(), deadline_us=DEADLINE_US, batching=batching)
    return Limiter(store=store, logger=NullLogger(), changes=changes)


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize(("most", "in_flight_max"), [(LEAST, None), (LEAST, 1), (LEAST, 16), (8, 16)])
async def test_every_decision_is_redis_own(
    most: int, in_flight_max: int | None, redis_url: str, redis_client: redis.Redis, *, changes: bool
) -> None:
    """Thousands at once are decided by the server, at first and when it has forgotten its scripts."""
    async with few(redis_url, most, in_flight_max, changes=changes) as limiter:
        for number in range(2):
            redis_client.script_flush()
            asked = [limiter.acquire(LIMIT, f"{number}:{at % 700}", cost=1 + at % 3) for at in range(CALLERS)]
            decisions = await asyncio.gather(*asked)
            assert [decision for decision in decisions if decision.degraded] == []


async def test_listening_keeps_no_decision_waiting(redis_url: str, redis_client: redis.Redis) -> None:
    """While one of two connections waits for changes, decisions go one after another over the other, and at once."""
    async with few(redis_url, LEAST, None, changes=True) as limiter, few(redis_url, LEAST, None, changes=True) as other:
        for at in range(50):
            decision = await asyncio.wait_for(limiter.acquire(LIMIT, str(at)), 1)
            assert not decision.degraded
        await other.bans.add("someone", seconds=60)
        for _ in range(200):
            if (await limiter.acquire(LIMIT, "someone")).banned:
                break
            await asyncio.sleep(0.01)
        assert (await limiter.acquire(LIMIT, "someone")).banned
