"""Holds while the store is away: kept through a blink, lost in time after that, and never in the way."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import BlockingLimiter, Limit, Limiter, NullLogger
from tests.faults_proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import redis

    from tests.servers import RedisServer

TERM_S = 0.9
HELD = Limit("held", "1", algorithm="concurrency", hold_seconds=TERM_S)
CLOSED = Limit("held", "1", algorithm="concurrency", hold_seconds=TERM_S, on_failure="closed")


@pytest.fixture
def proxy(redis_server: RedisServer, redis_url: str) -> Iterator[FaultProxy]:
    """What stands between a limiter and its server."""
    with FaultProxy(redis_server.port) as made:
        yield made
        time.sleep(0.02)  # what was opened at the last moment is accepted, and ended, before the proxy goes


def through(proxy: FaultProxy) -> Limiter:
    """Return a limiter whose every byte goes through the proxy."""
    return Limiter.connect(proxy.url, deadline=0.05, connect_timeout=0.1, logger=NullLogger())


async def test_a_hold_outlives_a_short_absence_of_the_store(proxy: FaultProxy, redis_url: str) -> None:
    """A renewal that fails is tried again before the term is over, so a blink of the server costs nobody a unit."""
    async with through(proxy) as limiter, limiter.hold(HELD, "key") as hold:
        proxy.swallow = True
        await asyncio.sleep(TERM_S / 2)  # the first renewal, after a third, had no answer
        proxy.swallow = False
        proxy.cut_all()
        await asyncio.sleep(TERM_S)
        assert not hold.lost
        async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as other:
            assert (await other.peek(HELD, "key")).remaining == 0


async def test_a_hold_is_lost_when_the_store_stays_away(proxy: FaultProxy, redis_url: str) -> None:
    """It knows before anybody else can have the unit, and does not come back with the store."""
    async with through(proxy) as limiter, limiter.hold(HELD, "key") as hold:
        begun = time.monotonic()
        proxy.swallow = True
        while not hold.lost:
            assert time.monotonic() < begun + 5
            await asyncio.sleep(0.005)
        lost_after_s = time.monotonic() - begun
        proxy.swallow = False
        proxy.cut_all()
        assert lost_after_s < TERM_S * 5 / 3  # a term after the last renewal that was answered
        async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as other:
            while not (await other.peek(HELD, "key")).allowed:
                assert time.monotonic() < begun + 5
            async with other.hold(HELD, "key") as theirs:
                await asyncio.sleep(TERM_S / 2)
                assert (hold.lost, theirs.lost) == (True, False)


async def test_leaving_a_hold_while_the_store_is_away_raises_nothing(proxy: FaultProxy) -> None:
    """The unit goes back by the store's clock; the body's own exception is what arrives."""
    async with through(proxy) as limiter:

        async def body() -> None:
            async with limiter.hold(HELD, "key"):
                proxy.swallow = True
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await body()
        proxy.swallow = False
        proxy.cut_all()
        begun = time.monotonic()
        while not (await limiter.peek(CLOSED, "key")).allowed:
            assert time.monotonic() < begun + TERM_S + 2
            await asyncio.sleep(0.01)


async def test_closing_while_the_store_is_away_ends_in_time(proxy: FaultProxy) -> None:
    """However many units could not be given back, closing takes a deadline or two and raises nothing."""
    many = Limit("many", "30", algorithm="concurrency", hold_seconds=60)
    limiter = through(proxy)
    holds = [limiter.hold(many, "key") for _ in range(30)]
    for hold in holds:
        await hold.__aenter__()
    proxy.swallow = True
    before = time.monotonic()
    await limiter.aclose()
    assert time.monotonic() - before < 1
    for hold in holds:
        await hold.release()


async def test_an_answer_that_was_lost_keeps_no_unit(
    proxy: FaultProxy, redis_url: str, redis_client: redis.Redis
) -> None:
    """A take whose reply never came lets its caller pass or not, and its unit is given back, not kept for a term."""
    long = Limit("held", "1", algorithm="concurrency", hold_seconds=600)
    async with through(proxy) as limiter, blocked_replies(limiter, proxy, long):
        redis_client.config_resetstat()
        hold = limiter.hold(long, "key")
        await hold.__aenter__()
        assert hold.decision is not None
        assert (hold.decision.degraded, hold.lost) == (True, False)
        stats: Any = redis_client.info("commandstats")
        assert stats["cmdstat_zadd"]["calls"] == 1  # it was taken, and nobody was told
        async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as other:
            begun = time.monotonic()
            while (await other.peek(long, "key")).remaining == 0:
                assert time.monotonic() < begun + 5
                await asyncio.sleep(0.01)


@asynccontextmanager
async def blocked_replies(limiter: Limiter, proxy: FaultProxy, limit: Limit) -> AsyncIterator[None]:
    """Have the limiter connected, twice as under load, and then let no reply reach it."""
    store: Any = limiter.engine.store
    await asyncio.gather(*[store._client.execute("PING") for _ in range(2)])
    await limiter.peek(limit, "key")
    await limiter.reset(limit, "key")
    proxy.swallow = True
    yield
    proxy.swallow = False
    proxy.cut_all()


def test_a_thread_leaves_its_hold_after_the_limiter_was_closed(redis_url: str) -> None:
    """Closing gave the unit back; leaving the context afterwards does no harm, nor does releasing again."""
    limiter = BlockingLimiter.connect(redis_url, deadline=5, logger=NullLogger())
    hold = limiter.hold(HELD, "key")
    with hold:
        limiter.close()
    hold.release()
    with BlockingLimiter.connect(redis_url, deadline=5, logger=NullLogger()) as other:
        assert other.peek(HELD, "key").remaining == 1
