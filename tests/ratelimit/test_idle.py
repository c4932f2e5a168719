"""A limiter that has nothing to do does nothing: no command to the server, next to no time of the processor."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sluicegate import BlockingLimiter, Limit, Limiter, NullLogger

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

API = Limit("api", "100/minute")
HELD = Limit("held", "5", algorithm="concurrency", hold_seconds=60)
IDLE_S = 1.0
BUSY_RATIO_MAX = 0.02  # a loop that wakes to look whether something came takes more
OF_THIS_LOOK = {"cmdstat_info", "cmdstat_config|resetstat"}


def commands(server: redis.Redis) -> dict[str, int]:
    """Return how often each command was called since the counts were forgotten, those of this look left out."""
    stats: Any = server.info("commandstats")
    return {name: fields["calls"] for name, fields in stats.items() if name not in OF_THIS_LOOK}


def connections_received(server: redis.Redis) -> int:
    """Return how many connections the server has seen."""
    stats: Any = server.info("stats")
    return int(stats["total_connections_received"])


@contextmanager
def check_idle(server: redis.Redis) -> Iterator[None]:
    """Check that nothing is sent meanwhile, and that nothing is computed."""
    server.config_resetstat()
    worked_before = time.process_time()
    yield
    worked = time.process_time() - worked_before
    sent = commands(server)
    print(f"\n{worked * 1000:.1f} ms of the processor, commands {sent}")
    assert sent == {}
    assert worked < BUSY_RATIO_MAX * IDLE_S


async def test_an_idle_limiter_sends_nothing_and_does_nothing(redis_url: str, redis_client: redis.Redis) -> None:
    """One that has decided and rests is not heard of by the server, and hardly by the machine."""
    async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        assert (await limiter.acquire(API, "key")).source == "redis"
        with check_idle(redis_client):
            await asyncio.sleep(IDLE_S)


def test_an_idle_blocking_limiter_sends_nothing_and_does_nothing(redis_url: str, redis_client: redis.Redis) -> None:
    """Its own event loop sleeps until somebody asks."""
    with BlockingLimiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        assert limiter.acquire(API, "key").source == "redis"
        with check_idle(redis_client):
            time.sleep(IDLE_S)


async def test_a_held_unit_costs_nothing_between_its_renewals(redis_url: str, redis_client: redis.Redis) -> None:
    """While a unit is held for a long term nothing is sent, and nothing looks at the clock all the time."""
    async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter, limiter.hold(HELD, "key"):
        with check_idle(redis_client):
            await asyncio.sleep(IDLE_S / 2)


def test_a_unit_held_by_a_thread_costs_nothing_either(redis_url: str, redis_client: redis.Redis) -> None:
    """The task that will renew it sleeps on the limiter's own loop."""
    with (
        BlockingLimiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter,
        limiter.hold(HELD, "key"),
        check_idle(redis_client),
    ):
        time.sleep(IDLE_S / 2)


async def test_a_lost_connection_is_not_opened_again_for_nobody(redis_url: str, redis_client: redis.Redis) -> None:
    """Nothing is probed behind the callers' backs; who asks next is answered by the server."""
    async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        await limiter.acquire(API, "key")
        redis_client.client_kill_filter(_type="normal", skipme=True)
        received = connections_received(redis_client)
        await asyncio.sleep(IDLE_S / 2)
        assert connections_received(redis_client) == received
        assert (await limiter.acquire(API, "key")).source == "redis"


def test_a_limiter_that_is_not_used_has_no_thread_and_no_connection(redis_url: str, redis_client: redis.Redis) -> None:
    """To make one costs nothing: it connects, and starts its loop, when it is entered or asked."""
    received = connections_received(redis_client)
    limiters = [BlockingLimiter.connect(redis_url, logger=NullLogger()) for _ in range(20)]
    assert [limiter._background._thread for limiter in limiters] == [None] * 20
    assert connections_received(redis_client) == received
    for limiter in limiters:
        limiter.close()
