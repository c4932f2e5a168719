"""The answers hold on the server's own clock too, with real waiting in place of a clock moved by hand."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from sluicegate import BlockingLimiter, Limit, Limiter, LimitExceededError

if TYPE_CHECKING:
    import redis

DEADLINE_S = 5.0  # these tests are about answers, not about speed

LIMITS = {
    "gcra": Limit("real", "7/s burst 2"),
    "leaky_bucket": Limit("real", "7/s burst 2", algorithm="leaky_bucket"),
    "fixed_window": Limit("real", "3 per 0.3 s", algorithm="fixed_window"),
    "sliding_window_counter": Limit("real", "3 per 0.3 s", algorithm="sliding_window_counter"),
    "sliding_window_log": Limit("real", "3 per 0.3 s", algorithm="sliding_window_log"),
}


def server_us(client: redis.Redis) -> int:
    """Return the server's time."""
    seconds, microseconds = client.time()  # type: ignore[misc] # not awaitable here
    return int(seconds) * 1_000_000 + int(microseconds)


@pytest.mark.parametrize("algorithm", LIMITS)
async def test_retry_after_is_true_on_the_servers_clock(
    redis_url: str, redis_client: redis.Redis, algorithm: str
) -> None:
    """Before the named instant each try is denied and names the same instant; the first after it succeeds."""
    limit = LIMITS[algorithm]
    async with Limiter.connect(redis_url, deadline=DEADLINE_S) as limiter:
        for _ in range(4):
            while (denied := await limiter.acquire(limit, "key")).allowed:
                pass
            due_us = denied.decided_at_us + denied.retry_after_us
            while not (decision := await limiter.acquire(limit, "key")).allowed:
                assert decision.decided_at_us < due_us
                assert decision.decided_at_us + decision.retry_after_us == due_us
                await asyncio.sleep(min(0.02, max(0, due_us - server_us(redis_client)) / 2_000_000))
            assert decision.decided_at_us >= due_us


@pytest.mark.parametrize("algorithm", LIMITS)
async def test_one_sleep_of_retry_after_is_enough(redis_url: str, algorithm: str) -> None:
    """Who sleeps for what a denial named succeeds with the next try, however often it is done."""
    limit = LIMITS[algorithm]
    async with Limiter.connect(redis_url, deadline=DEADLINE_S) as limiter:
        for _ in range(4):
            while (denied := await limiter.acquire(limit, "key")).allowed:
                pass
            assert denied.retry_after is not None
            await asyncio.sleep(denied.retry_after)
            assert (await limiter.acquire(limit, "key")).allowed


def test_waiters_in_threads_get_their_units_as_they_come_due(redis_url: str) -> None:
    """A blocking wait comes back when the server has a unit, and not before it said so."""
    limit = Limit("real", "10/s burst 1")
    with BlockingLimiter.connect(redis_url, deadline=DEADLINE_S) as limiter:
        decisions = [limiter.wait(limit, "key", timeout=5) for _ in range(5)]
        gaps_us = [b.decided_at_us - a.decided_at_us for a, b in pairwise(decisions)]
        assert all(gap_us >= 100_000 for gap_us in gaps_us)
        with pytest.raises(LimitExceededError):
            limiter.wait(limit, "key", timeout=0.01)


def test_the_server_expires_a_dead_holder(redis_url: str) -> None:
    """A hold that nobody renews is gone after its term by the server's clock, and lost a little before."""
    limit = Limit("real", "1", algorithm="concurrency", hold_seconds=0.3)
    with BlockingLimiter.connect(redis_url, deadline=DEADLINE_S) as limiter:
        hold = limiter.hold(limit, "key")
        hold.__enter__()
        keeper = limiter._limiter._keeper
        keeper._task.get_loop().call_soon_threadsafe(keeper._task.cancel)  # type: ignore[union-attr] # it runs
        begun = time.monotonic()
        while not limiter.peek(limit, "key").allowed:
            lost_before = hold.lost
            assert time.monotonic() < begun + 5
        assert hold.lost
        assert lost_before or time.monotonic() - begun < 1
        assert time.monotonic() - begun >= 0.29


async def test_a_hold_is_renewed_on_the_servers_clock(redis_url: str) -> None:
    """Several terms later it is still held."""
    limit = Limit("real", "1", algorithm="concurrency", hold_seconds=0.6)
    async with Limiter.connect(redis_url, deadline=0.05) as limiter, limiter.hold(limit, "key") as hold:
        for _ in range(10):
            await asyncio.sleep(0.15)
            assert not (await limiter.peek(limit, "key")).allowed
        assert not hold.lost


async def test_decisions_carry_the_servers_time(redis_url: str, redis_client: redis.Redis) -> None:
    """No client's clock decides: the time of a decision lies between two readings of the server's."""
    async with Limiter.connect(redis_url, deadline=DEADLINE_S) as limiter:
        before = server_us(redis_client)
        decision = await limiter.acquire(Limit("real", "1/s"), "key")
        assert before <= decision.decided_at_us <= server_us(redis_client)
        assert decision.source == "redis"
