"""With the cache of denials a limiter on Redis decides as one without it, whatever is asked in whatever order."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest

from sluicegate import Decision, Limit
from tests.conformance.rig import HandClock
from tests.ratelimit.by_hand import redis_by_hand
from tests.ratelimit.stages.fleet import limiter_by_hand

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis

    from sluicegate import Limiter

STEPS = 250
SEEDS = range(8)
KEYS = ("one", "two")
LIMITS = (
    Limit("gcra", "3 per 2 s burst 4"),
    Limit("several", "4/s; 9 per 7 s"),
    Limit("fixed", "5 per 3 s", algorithm="fixed_window"),
    Limit("counter", "5 per 3 s", algorithm="sliding_window_counter"),
    Limit("log", "5 per 3 s", algorithm="sliding_window_log"),
    Limit("daily", "40/day", algorithm="calendar_quota"),
    Limit("shadow", "2 per 3 s", shadow=True),
)


class Pair:
    """A limiter with the cache, and one without it as the oracle: both are asked the same.

    Attributes:
        cached: How many denials the cache answered.
        wrong: What differed.
    """

    def __init__(self, limiter: Limiter, oracle: Limiter, clock: HandClock, random: Random) -> None:
        self.limiter, self.oracle, self.clock, self.random = limiter, oracle, clock, random
        self.cached = 0
        self.wrong: list[str] = []
        self._taken: list[tuple[Decision, Decision]] = []

    async def step(self) -> None:
        """Do one thing at random."""
        random = self.random
        self.clock.advance_us(random.choice((1, 1, 7, 900, 30_000, 150_000)))
        kind = random.choices(("acquire", "all", "refund", "reset"), (60, 15, 8, 2))[0]
        await getattr(self, kind)()

    async def acquire(self) -> None:
        """Acquire of one limit; a cost may never fit."""
        limit, key = self.random.choice(LIMITS), self.random.choice(KEYS)
        cost = self.random.choice((0, 1, 1, 1, 2, 3, 6, 50))
        self.compare(await self.limiter.acquire(limit, key, cost), await self.oracle.acquire(limit, key, cost))

    async def all(self) -> None:
        """Acquire of several limits."""
        limits = self.random.sample(LIMITS, self.random.randrange(1, 4))
        members = [(limit, self.random.choice(KEYS), self.random.choice((1, 1, 2, 6))) for limit in limits]
        joint, judged = await self.limiter.acquire_all(members), await self.oracle.acquire_all(members)
        assert joint.allowed == judged.allowed
        if all(decision.source == "redis" for decision in joint.decisions):
            for own, expected in zip(joint.decisions, judged.decisions, strict=True):
                self.compare(own, expected)
            return
        assert joint.binding.source == "deny_cache"
        for own, expected in zip(joint.decisions, judged.decisions, strict=True):
            if own.remaining is not None:  # else another's denial ended it, and nobody asked
                self.compare(own, expected)

    async def refund(self) -> None:
        """Give back something that was granted."""
        if self._taken:
            own, expected = self._taken.pop(self.random.randrange(len(self._taken)))
            assert await self.limiter.refund(own) == await self.oracle.refund(expected)

    async def reset(self) -> None:
        """Forget a key."""
        limit, key = self.random.choice(LIMITS), self.random.choice(KEYS)
        await self.limiter.reset(limit, key)
        await self.oracle.reset(limit, key)

    def compare(self, own: Decision, expected: Decision) -> None:
        """Hold one decision to the oracle's."""
        if own.source == "redis":
            if own.allowed:
                self._taken.append((own, expected))
            if own._replace(source="", serial=0) != expected._replace(source="", serial=0):
                self.wrong.append(f"{told(own)} but {told(expected)}")
            return
        self.cached += 1
        right = not own.allowed and not expected.allowed and own.cost == expected.cost and own.never == expected.never
        right = right and own.retry_after_us <= expected.retry_after_us and own.reset_at == expected.reset_at
        if not right:
            self.wrong.append(f"{told(own)} but {told(expected)}")


def told(decision: Decision) -> str:
    """Return what a decision says, in short."""
    return f"{decision.limit.name} {decision[2:8]} {decision.source} {decision.allowed}"


@asynccontextmanager
async def paired(url: str, server: redis.Redis, seed: int) -> AsyncIterator[Pair]:
    clock = HandClock(server)
    cached = limiter_by_hand(url, clock, deny_cache_s=1)
    async with cached, limiter_by_hand(url, clock, prefix="oracle") as oracle:
        yield Pair(cached, oracle, clock, Random(seed))


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_cache_denies_what_the_store_would_and_nothing_else(
    redis_url: str, redis_client: redis.Redis, seed: int
) -> None:
    """Acquires, joint ones, refunds and resets in any order end as without it, and what is told is true."""
    async with paired(redis_url, redis_client, seed) as pair:
        for _ in range(STEPS):
            await pair.step()
        assert pair.wrong == []
        assert pair.cached > STEPS // 20


async def test_a_known_denial_ends_a_joint_request(redis_url: str, redis_client: redis.Redis) -> None:
    """It binds, what remains of the others is not known, nothing is taken of them, and all are counted."""
    full, other, shadow = Limit("full", "1/hour"), Limit("other", "9/hour"), Limit("counts", "9/hour", shadow=True)
    async with redis_by_hand(redis_url, redis_client, deny_cache_s=60) as (limiter, _):
        for _ in range(2):
            await limiter.acquire(full, "key")
        joint = await limiter.acquire_all([(other, "key"), (full, "key"), (shadow, "key", 2)])
        assert (joint.allowed, joint.binding.limit) == (False, full)
        assert [each.source for each in joint.decisions] == ["deny_cache"] * 3
        assert [each.remaining for each in joint.decisions] == [None, 0, None]
        assert [each.allowed for each in joint.decisions] == [False, False, True]
        assert [each.retry_after for each in joint.decisions] == [0.0, 3600.0, 0.0]
        assert [await limiter.refund(each) for each in joint.decisions] == [0, 0, 0]
        assert (await limiter.peek(other, "key")).remaining == 9
        assert limiter.statistics().decisions["other", "denied"] == 1


async def test_a_closed_limiter_answers_nothing_from_the_cache(redis_url: str, redis_client: redis.Redis) -> None:
    """Joint or not, who asks after the end is told that it is the end."""
    full = Limit("full", "1/hour")
    async with redis_by_hand(redis_url, redis_client, deny_cache_s=60) as (limiter, _):
        for _ in range(3):
            await limiter.acquire(full, "key")
    for asked in (lambda: limiter.acquire(full, "key"), lambda: limiter.acquire_all([(full, "key")])):
        with pytest.raises(Exception, match="closed"):
            await asked()
