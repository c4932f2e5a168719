"""The store in Redis: what is asked in one turn travels together, and the server's clock has the last word."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Decision, JointDecision, Limit, LimitExceededError
from tests.conformance.rig import START
from tests.ratelimit.by_hand import memory_by_hand, redis_by_hand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis

    from sluicegate import Limiter

    Action = Callable[[Limiter], Awaitable[Any]]

ROUNDS = 25
ACTIONS = 40
DAY_US = 86_400_000_000
RATED = [
    Limit("one", "30/minute"),
    Limit("two", "7/minute burst 9; 60/hour"),
    Limit("three", "12/minute", algorithm="fixed_window"),
    Limit("four", "12/minute", algorithm="sliding_window_counter"),
    Limit("five", "12/minute", algorithm="sliding_window_log"),
    Limit("six", "40/day", algorithm="calendar_quota", time_zone="Europe/Berlin"),
    Limit("seven", "9/minute", shadow=True),
]
HELD = Limit("held", "4", algorithm="concurrency", hold_seconds=3600)
QUOTA = Limit("quota", "5/day", algorithm="calendar_quota", time_zone="Europe/Berlin")
PLAIN = Limit("plain", "50/hour")


def script_runs(server: redis.Redis) -> int:
    """Return how often the script was run, in either way."""
    stats: Any = server.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "evalsha_ro"))


def told(answer: Any) -> Any:
    """Return what can be compared of an answer: neither where it came from nor its place in a batch."""
    if isinstance(answer, Decision):
        return answer._replace(source="", serial=0)
    if isinstance(answer, JointDecision):
        return answer.allowed, told(answer.binding), told(answer.decisions)
    if isinstance(answer, tuple):
        return tuple(told(one) for one in answer)
    if isinstance(answer, LimitExceededError):
        return told(answer.decision)
    return answer


async def held(limiter: Limiter, key: str) -> Any:
    """Take a unit and keep it; return how it was granted, or why not."""
    hold = limiter.hold(HELD, key)
    try:
        await hold.__aenter__()
    except LimitExceededError as exceeded:
        return exceeded
    return hold.decision


async def forgotten(limiter: Limiter, limit: Limit, key: str) -> None:
    """Reset, and do not say whether there was something: a state that is over may be there still, on either side."""
    await limiter.reset(limit, key)


def action_of(draw: Random, taken: dict[str, list[Decision]]) -> Action:
    """Draw what a caller does; half of them meet on a few keys."""

    def member() -> tuple[Limit, str, int]:
        key = draw.choice("ab") if draw.random() < 0.5 else f"own{draw.randrange(10**9)}"
        return draw.choice(RATED), key, draw.choice((0, 1, 1, 2, 5))

    one, several, (limit, key, _) = member(), [member() for _ in range(3)], member()
    place = draw.randrange(10**9)

    async def refund(limiter: Limiter) -> int:
        own = taken[limiter.engine.store.source]
        return await limiter.refund(own[-1 - place % min(10, len(own))]) if own else 0

    actions: list[Action] = [
        lambda limiter: limiter.acquire(*one),
        lambda limiter: limiter.acquire_all(several),
        lambda limiter: limiter.acquire_many(several),
        lambda limiter: limiter.peek(*one),
        lambda limiter: forgotten(limiter, limit, key),
        lambda limiter: held(limiter, "ab"[place % 2]),
        refund,
    ]
    return draw.choices(actions, (10, 3, 2, 2, 1, 1, 2))[0]


async def test_callers_of_one_turn_are_answered_as_if_one_after_the_other(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """Verbs of all kinds, half of them on shared keys, sent at once, get what one by one they get in memory."""
    draw, taken = Random(1), {"redis": list[Decision](), "memory": list[Decision]()}
    async with redis_by_hand(redis_url, redis_client) as (shared, clock), memory_by_hand() as (alone, own_clock):
        for number in range(ROUNDS):
            actions = [action_of(draw, taken) for _ in range(ACTIONS)]
            before = script_runs(redis_client)
            found = await asyncio.gather(*[action(shared) for action in actions])
            # Two halves, and the holds, whose takings are tasks of their own and come a turn later.
            assert script_runs(redis_client) - before <= 3, "they did not travel together"
            wanted = [await action(alone) for action in actions]
            for place, (one, other) in enumerate(zip(found, wanted, strict=True)):
                assert told(one) == told(other), f"round {number}, action {place}"
            for store, answers in (("redis", found), ("memory", wanted)):
                decisions = [one for one in answers if isinstance(one, Decision) and one.limit is not HELD]
                taken[store] = [one for one in decisions if one.allowed and one.cost]
            step_us = draw.choice((1, 900_000, 6_000_007, 20_000_003))
            clock.advance_us(step_us)
            own_clock.advance_us(step_us)


async def test_a_large_bulk_is_decided_in_few_calls_each_for_itself(redis_url: str, redis_client: redis.Redis) -> None:
    """A thousand requests on two keys take each unit once, in batches of 64 that overlap."""
    limit, before = Limit("bulk", "400/day"), script_runs(redis_client)
    async with redis_by_hand(redis_url, redis_client) as (limiter, _):
        decisions = await limiter.acquire_many([(limit, "ab"[number % 2]) for number in range(1_000)])
    assert [decision.key for decision in decisions] == ["a", "b"] * 500
    for key in "ab":
        granted = [decision.remaining or 0 for decision in decisions if decision.key == key and decision.allowed]
        assert sorted(granted) == list(range(400))
    assert script_runs(redis_client) - before <= 1_000 / 64 + 3


@pytest.mark.parametrize("days", [1, 40, 400, -1, -40])
async def test_the_servers_clock_picks_the_window_of_a_calendar(
    redis_url: str, redis_client: redis.Redis, days: int
) -> None:
    """Where this process believes in another day than the server, the server's day is counted in, once."""
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        clock._clock._now_us -= days * DAY_US  # this process alone; the server stays
        decisions = [await limiter.acquire(QUOTA, "key", 2) for _ in range(3)]
        assert [decision.allowed for decision in decisions] == [True, True, False]
        assert [decision.remaining for decision in decisions] == [3, 1, 1]
        assert {decision.decided_at_us for decision in decisions} == {round(START * 1_000_000)}
        midnight = datetime.fromtimestamp(START, UTC) + timedelta(hours=23)  # Berlin's
        assert {decision.reset_at for decision in decisions} == {midnight.timestamp()}
        assert not any(decision.degraded for decision in decisions)


async def test_what_is_out_of_range_does_not_touch_its_neighbours(redis_url: str, redis_client: redis.Redis) -> None:
    """Of a batch only the calendars are asked again; what was decided the first time is not taken twice."""
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        first = await limiter.acquire(QUOTA, "key")
        clock._clock._now_us -= 40 * DAY_US
        before = script_runs(redis_client)
        plain, quota, both, looked, refunded, again, last = await asyncio.gather(
            limiter.acquire(PLAIN, "key"),
            limiter.acquire(QUOTA, "key", 2),
            limiter.acquire_all([(PLAIN, "key"), (QUOTA, "other")]),
            limiter.peek(QUOTA, "key"),
            limiter.refund(first),
            limiter.acquire(QUOTA, "key", 2),
            limiter.acquire(PLAIN, "key"),
        )
        assert script_runs(redis_client) - before == 2
        assert (quota.remaining, looked.remaining, refunded, again.remaining) == (2, 2, 1, 1)
        # Those of the plain limit that stand alone came before the joint one, which was asked again.
        assert (plain.remaining, last.remaining) == (49, 48)
        assert [decision.remaining for decision in both.decisions] == [47, 4]
        assert (await limiter.peek(PLAIN, "key")).remaining == 47
        assert (await limiter.refund(first)) == 1
        assert (await limiter.peek(QUOTA, "key")).remaining == 1


async def test_a_joint_request_out_of_range_takes_nothing_the_first_time(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """Its other limits are charged once, with the calendar, or not at all."""
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        clock._clock._now_us += 3 * DAY_US
        for number in range(7):
            joint = await limiter.acquire_all([(PLAIN, "key"), (QUOTA, "key")])
            assert joint.allowed == (number < 5)
        assert (await limiter.peek(PLAIN, "key")).remaining == 45
        assert (await limiter.peek(QUOTA, "key")).remaining == 0


async def test_a_reset_of_a_calendar_needs_no_window(redis_url: str, redis_client: redis.Redis) -> None:
    """What is forgotten is forgotten, whatever day anybody believes it is."""
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        await limiter.acquire(QUOTA, "key", 5)
        clock._clock._now_us += 40 * DAY_US
        assert await limiter.reset(QUOTA, "key") is True
        assert (await limiter.peek(QUOTA, "key")).remaining == 5
