"""Somebody who takes all there is gets the burst and what the rate pays for, and not a unit more or less."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import BlockingLimiter, Limit
from sluicegate.testing import ManualClock
from tests.ratelimit.by_hand import redis_by_hand

if TYPE_CHECKING:
    import redis

START = 1_700_006_400.0
STEPS = 6_000
STEPS_ON_REDIS = 500
# None of these lets a unit take whole microseconds; the first two are rounded by others by tens of percent.
RATES = ["7/minute", "300000/s", "700000/s", "7/minute burst 3", "300000/s burst 2", "700000/s burst 1000000000"]
FAMILY = ["gcra", "token_bucket", "leaky_bucket"]


@dataclass
class Account:
    """What was admitted, and what had to be."""

    limit: Limit
    admitted: int = 0
    passed_us: int = 0
    worst: Fraction = Fraction(0)

    def check(self) -> None:
        """Compare now, and remember by how many units it was ever off."""
        rate = self.limit.rates[0]
        due = rate.capacity + Fraction(rate.limit * self.passed_us, rate.period_us)
        self.worst = max(self.worst, abs(due - self.admitted))

    def tell(self) -> None:
        """Print the figure."""
        seconds = self.passed_us / 1_000_000
        print(f"\n{self.limit}: {self.admitted:,} admitted in {seconds:,.3f} s, off by {float(self.worst):.3f}")


def odd_step_us(limit: Limit, draw: Random) -> int:
    """Draw a step from a microsecond up to what fills a bucket that has a part of a unit left, in no round numbers."""
    rate = limit.rates[0]
    longest_us = max(1, (rate.capacity - 1) * rate.period_us // rate.limit)
    return max(1, min(longest_us, round(draw.uniform(0.7, 1.3) * longest_us ** draw.random())))


@pytest.mark.parametrize("text", RATES)
@pytest.mark.parametrize("algorithm", FAMILY)
def test_a_saturating_caller_gets_burst_and_rate_in_memory(text: str, algorithm: str) -> None:
    """Over long times in odd steps the units admitted are burst + rate x t, never off by more than one."""
    limit, draw, clock = Limit("full", text, algorithm=algorithm), Random(text), ManualClock(START)
    account = Account(limit)
    with BlockingLimiter(clock=clock) as limiter:
        for _ in range(STEPS):
            room = limiter.acquire(limit, "key", 0).remaining
            assert room is not None
            if room:
                assert limiter.acquire(limit, "key", room).remaining == 0
                account.admitted += room
            account.check()
            step_us = odd_step_us(limit, draw)
            clock.advance_us(step_us)
            account.passed_us += step_us
    account.tell()
    assert account.worst <= 1


@pytest.mark.parametrize("text", RATES)
async def test_a_saturating_caller_gets_burst_and_rate_in_redis(
    redis_url: str, redis_client: redis.Redis, text: str
) -> None:
    """The same holds where the state is on a server, and the remainder travels in its value."""
    limit, draw = Limit("full", text), Random(text)
    account = Account(limit)
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        for _ in range(STEPS_ON_REDIS):
            room = (await limiter.acquire(limit, "key", 0)).remaining
            assert room is not None
            if room:
                assert (await limiter.acquire(limit, "key", room)).remaining == 0
                account.admitted += room
            account.check()
            step_us = odd_step_us(limit, draw)
            clock.advance_us(step_us)
            account.passed_us += step_us
    account.tell()
    assert account.worst <= 1


@pytest.mark.parametrize("text", ["7/minute", "300000/s burst 7", "700000/s burst 7"])
def test_who_obeys_retry_after_a_unit_at_a_time_loses_nothing(text: str) -> None:
    """One unit at the very instant named, a thousand times: the rounding of waits does not add up."""
    limit, clock = Limit("full", text), ManualClock(START)
    account = Account(limit)
    with BlockingLimiter(clock=clock) as limiter:
        for _ in range(20_000):
            decision: Any = limiter.acquire(limit, "key")
            account.admitted += decision.allowed
            if not decision.allowed:
                account.check()
                clock.advance_us(decision.retry_after_us)
                account.passed_us += decision.retry_after_us
    account.tell()
    assert account.worst <= 1
