"""What `t` of the RateLimit field says is when there is more, and where that is not known nothing is said."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate import Decision, Limit, Limiter
from sluicegate.integrations import limit_headers
from sluicegate.testing import ManualClock

pytestmark = pytest.mark.asyncio
MICROSECOND = 0.000_001
START = 1_000_000.0  # 40 s after a whole minute
WINDOWS = ("fixed_window", "sliding_window_counter", "sliding_window_log")
PACED = ("gcra", "token_bucket", "leaky_bucket")


def told(decision: Decision) -> int | None:
    """Return `t` of the one limit that a response tells of."""
    found = re.search(r";t=(\d+)", dict(limit_headers(decision))["RateLimit"])
    return int(found[1]) if found else None


async def check_that_there_is_more(limiter: Limiter, clock: ManualClock, decision: Decision, more_s: int) -> None:
    """Fail unless more remains after *more_s* seconds, and not more than a second sooner."""
    assert decision.remaining is not None
    # A decision's times are whole microseconds, rounded up; a rate's need not be.
    too_soon_s = max(0.0, more_s - 1 - MICROSECOND)
    clock.advance(too_soon_s)
    assert ((await limiter.peek(decision.limit, decision.key)).remaining or 0) <= decision.remaining
    clock.advance(more_s - too_soon_s)
    assert ((await limiter.peek(decision.limit, decision.key)).remaining or 0) > decision.remaining


rates = st.builds("{} per {} seconds".format, st.integers(1, 40), st.integers(1, 90))


@given(
    algorithm=st.sampled_from((*WINDOWS, *PACED)),
    rate=st.lists(rates, min_size=1, max_size=3),
    burst=st.none() | st.integers(1, 60),
    costs=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 50)), min_size=1, max_size=12),
    offset=st.integers(0, 89),
)
async def test_what_is_told_is_true(
    algorithm: str, rate: list[str], burst: int | None, costs: list[tuple[int, int]], offset: int
) -> None:
    """Whatever was taken and however it ended, after `t` seconds more remains, and a second earlier not yet."""
    if burst and algorithm in PACED:
        rate = [f"{each} burst {burst}" for each in rate]
    limit = Limit("a", "; ".join(rate), algorithm=algorithm)
    clock = ManualClock(START + offset)
    async with Limiter(clock=clock) as limiter:
        for cost, pause in costs:
            decision = await limiter.acquire(limit, "k", cost=cost)
            clock.advance(pause)
        decision = await limiter.acquire(limit, "k", cost=costs[0][0])
        more_s = told(decision)
        if more_s is not None:
            await check_that_there_is_more(limiter, clock, decision, more_s)
        elif algorithm in (*PACED, "fixed_window") and len(rate) == 1:
            assert decision.never or decision.reset_after == 0


@pytest.mark.parametrize(
    ("rate", "algorithm", "costs", "more_s"),
    [
        ("10/minute", "fixed_window", (1, 1), 19),
        ("10/day", "calendar_quota", (1, 1), 36_799),
        ("10/minute", "gcra", (1, 1), 5),
        ("10/minute", "sliding_window_log", (1,), 60),
        ("10/minute", "sliding_window_log", (3,), 60),
        ("10/minute", "sliding_window_log", (1, 1), None),
        ("2/minute", "sliding_window_log", (1, 1, 1), 58),
        ("3/minute", "sliding_window_log", (1, 1, 2), 58),
        ("3/minute", "sliding_window_log", (1, 2, 2), None),
        ("10/minute", "sliding_window_counter", (1,), 80),
        ("10/minute", "sliding_window_counter", (2,), 50),
        ("10/minute", "sliding_window_counter", (1, 1), None),
        ("2/minute", "sliding_window_counter", (1, 1, 1), 48),
        ("10/minute; 100/hour", "gcra", (1,), None),
        ("10/minute; 100/hour", "fixed_window", (1,), None),
        ("1/minute; 100/hour", "fixed_window", (1, 1), 19),
    ],
)
async def test_what_is_told_for_each_algorithm(
    rate: str, algorithm: str, costs: tuple[int, ...], more_s: int | None
) -> None:
    """It is told wherever one decision shows it, and left out where it does not."""
    limit = Limit("a", rate, algorithm=algorithm)
    clock = ManualClock(START)
    async with Limiter(clock=clock) as limiter:
        for at, cost in enumerate(costs):
            clock.advance(min(at, 1))
            decision = await limiter.acquire(limit, "k", cost=cost)
        assert told(decision) == more_s
