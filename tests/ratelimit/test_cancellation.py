"""Callers that give up under load: no answer reaches another, and no connection is lost or poisoned by it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limit, Limiter, NullLogger

if TYPE_CHECKING:
    import redis

CALLERS = 10_000
AT_ONCE = 400
# Each caller's answer can be told from all others' by what remains of its own limit.
LIMITS = [Limit(f"own{number}", f"{number + 2}/day") for number in range(CALLERS)]


class Tally:
    """What came of the callers."""

    def __init__(self) -> None:
        self.answered = self.gave_up = self.degraded = 0
        self.wrong: list[tuple[int, int | None]] = []

    def note(self, number: int, remaining: int | None) -> None:
        """Count an answer, and keep it when it is not this caller's."""
        self.answered += 1
        if remaining is None:
            self.degraded += 1
        elif remaining != number + 1:
            self.wrong.append((number, remaining))


async def call(limiter: Limiter, number: int, draw: random.Random, tally: Tally) -> None:
    """Ask once, and give up by a time-out of one's own at random."""
    try:
        if draw.random() < 0.5:
            decision = await asyncio.wait_for(limiter.acquire(LIMITS[number], "key"), draw.uniform(0, 0.006))
        else:
            decision = await limiter.acquire(LIMITS[number], "key")
    except TimeoutError:
        tally.gave_up += 1
    else:
        tally.note(number, decision.remaining)


async def storm(limiter: Limiter, seed: int) -> Tally:
    """Let all callers come, some hundreds at once, and cancel half of them at random instants."""
    draw, tally = random.Random(seed), Tally()
    for first in range(0, CALLERS, AT_ONCE):
        tasks = [asyncio.create_task(call(limiter, number, draw, tally)) for number in range(first, first + AT_ONCE)]
        for task in tasks:
            if draw.random() < 0.5:
                asyncio.get_running_loop().call_later(draw.uniform(0, 0.02), task.cancel)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in done)
        tally.gave_up += sum(isinstance(outcome, asyncio.CancelledError) for outcome in done)
    return tally


def connections_received(client: redis.Redis) -> int:
    """Return how many connections the server has seen."""
    stats: Any = client.info("stats")
    return int(stats["total_connections_received"])


async def check_usable(limiter: Limiter) -> None:
    """See that each key is answered for itself."""
    limits = [Limit(f"after{number}", f"{number + 2}/day") for number in range(200)]
    decisions = await asyncio.gather(*[limiter.acquire(limit, "key") for limit in limits])
    assert [decision.remaining for decision in decisions] == [number + 1 for number in range(200)]


async def test_no_answer_reaches_the_wrong_caller_when_thousands_give_up(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """Of ten thousand callers half are cancelled: the rest have their own answers, and no connection was lost."""
    async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        before = connections_received(redis_client)
        tally = await storm(limiter, 1)
        seen = connections_received(redis_client) - before
        print(
            f"\n{tally.answered:,} answered, {tally.gave_up:,} gave up, {tally.degraded} degraded, {seen} connections"
        )
        assert tally.wrong == []
        assert tally.answered + tally.gave_up == CALLERS
        assert min(tally.answered, tally.gave_up) > CALLERS / 10
        assert tally.degraded == 0
        assert seen <= 8
        await check_usable(limiter)
        clients: Any = redis_client.info("clients")
        assert clients["connected_clients"] <= 8 + 1


@pytest.mark.parametrize("deadline", [0.002, 0.005])
async def test_deadlines_that_pass_under_load_cross_no_answers(
    redis_url: str, redis_client: redis.Redis, deadline: float
) -> None:
    """Where calls are cut off all the time, answers stay with their callers, and connects do not storm."""
    async with Limiter.connect(redis_url, deadline=deadline, logger=NullLogger()) as limiter:
        before = connections_received(redis_client)
        tally = await storm(limiter, 2)
        seen = connections_received(redis_client) - before
        print(
            f"\n{tally.answered:,} answered, {tally.gave_up:,} gave up, {tally.degraded} degraded, {seen} connections"
        )
        assert tally.wrong == []
        assert tally.answered + tally.gave_up == CALLERS
        assert seen <= 500
    async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        await check_usable(limiter)


async def test_who_gives_up_takes_what_was_sent_and_no_more(redis_url: str) -> None:
    """A cancelled request was either sent whole or not at all: at most one unit each is gone."""
    limit = Limit("shared", "5000/day")
    async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        draw = random.Random(3)
        tasks = [asyncio.create_task(limiter.acquire(limit, "key")) for _ in range(1000)]
        for task in tasks:
            if draw.random() < 0.5:
                asyncio.get_running_loop().call_later(draw.uniform(0, 0.02), task.cancel)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        answered = sum(not isinstance(outcome, BaseException) for outcome in outcomes)
        remaining = (await limiter.peek(limit, "key")).remaining
        assert remaining is not None
        assert answered <= 5000 - remaining <= 1000


@pytest.mark.parametrize("wait_s", [0.0005, 0.001, 0.002])
async def test_a_cancelled_take_gives_its_unit_back(redis_url: str, redis_client: redis.Redis, wait_s: float) -> None:
    """Units of holds that were cancelled while they were taken, or while their connection was opened, are free soon."""
    limit = Limit("held", "50", algorithm="concurrency", hold_seconds=600)
    async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        await limiter.peek(limit, "key")
        redis_client.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(0.05)
        await limiter.peek(limit, "key")  # one connection is open again, and the second is still to be
        tasks = [asyncio.create_task(limiter.hold(limit, "key").__aenter__()) for _ in range(50)]
        await asyncio.sleep(wait_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        holding = sum(not task.cancelled() for task in tasks)
        for _ in range(500):
            if (await limiter.peek(limit, "key")).remaining == 50 - holding:
                break
            await asyncio.sleep(0.01)
        assert (await limiter.peek(limit, "key")).remaining == 50 - holding
