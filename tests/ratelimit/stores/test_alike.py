"""What is alike travels once, with its number, and each who asked is told what it would have been told in its turn."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limit
from sluicegate.database import Keyspace
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.store import ACQUIRE, IN_TURN, PEEK, RESET, Reply, Request
from sluicegate.ratelimit.stores.wire import Encoder
from tests.ratelimit.by_hand import memory_by_hand, redis_by_hand
from tests.ratelimit.stores.test_redis import script_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

PLAIN = Limit("plain", "30/minute")
FRACTIONAL = Limit("fractional", "7/minute burst 20")
SEVERAL = Limit("several", "30/minute; 90/hour")
KINDS = {
    "plain gcra": PLAIN,
    "fractional gcra": FRACTIONAL,
    "several rates": SEVERAL,
    "fixed_window": Limit("windows", "40/minute", algorithm="fixed_window"),
    "sliding_window_counter": Limit("counter", "40/minute", algorithm="sliding_window_counter"),
    "sliding_window_log": Limit("log", "40/minute", algorithm="sliding_window_log"),
    "calendar_quota": Limit("quota", "90/day", algorithm="calendar_quota", time_zone="Europe/Berlin"),
    "shadow": Limit("shadow", "30/minute", shadow=True),
}
ROUNDS = 30
REQUESTS = 40


def acquire(limit: Limit, key: str = "key", cost: int = 1, *, times: int = 1) -> Request:
    """Return an acquire as the store is asked for it."""
    return Request(ACQUIRE, ((limit, key, cost),), None, times)


def encoded(*requests: Request) -> tuple[list[Any], list[str]]:
    """Return the arguments behind the rules, and the keys."""
    encoder = Encoder(Keyspace("sg"), CalendarRules(), 0)
    encoder.encode(requests)
    return encoder._run_args, encoder.keys


def test_requests_that_are_alike_travel_once_with_their_number() -> None:
    """Five of one limit, key and cost are one entry of count five; what differs in any of them is another."""
    alike = [acquire(PLAIN)] * 5
    runs, keys = encoded(*alike, acquire(PLAIN, "other"), acquire(PLAIN, "third", 2))
    assert runs == [ACQUIRE, 2, 0, 1, 1, 1, 5, 1, ACQUIRE, 1, 1, 1, 1, 2]
    assert keys == ["sg:1:gcra:plain:key", "sg:1:gcra:plain:other", "sg:1:gcra:plain:third"]


def test_what_is_taken_ahead_travels_with_those_who_ask_for_themselves() -> None:
    """A wish for twenty units and two callers on the key are one entry of count twenty-two."""
    runs, keys = encoded(acquire(PLAIN), acquire(PLAIN, times=20), acquire(PLAIN))
    assert runs == [ACQUIRE, 1, 22, 1, 1, 1]
    assert keys == ["sg:1:gcra:plain:key"]


def test_requests_of_limits_that_take_turns_are_gathered() -> None:
    """Two limits asked for in turn, on many keys, are two runs."""
    requests = [acquire(limit, f"key{number}") for number in range(20) for limit in (PLAIN, SEVERAL)]
    runs, keys = encoded(*requests)
    assert runs == [ACQUIRE, 20, 1, 1, 1, 1, IN_TURN, 20, 1, 1, 2, 1]
    assert len(keys) == 40


@pytest.mark.parametrize("between", [Request(RESET, ((PLAIN, "key", 0),)), Request(PEEK, ((PLAIN, "key", 1),))])
def test_what_comes_between_on_the_same_key_stays_between(between: Request) -> None:
    """Requests on both sides of a reset or a peek of their key are not gathered over it."""
    runs, _ = encoded(acquire(PLAIN), between, acquire(PLAIN))
    verbs = [runs[0], runs[6], runs[12]]
    assert verbs == [ACQUIRE, between.verb, ACQUIRE]


def test_another_cost_between_stays_between() -> None:
    """Costs 1, 5 and 1 of one key are decided in that order."""
    runs, _ = encoded(acquire(PLAIN, cost=1), acquire(PLAIN, cost=5), acquire(PLAIN, cost=1))
    assert [runs[5], runs[11], runs[17]] == [1, 5, 1]


def test_a_reset_of_another_key_does_not_part_what_is_alike() -> None:
    """Two acquires of a key travel together over a reset of another."""
    runs, keys = encoded(acquire(PLAIN), Request(RESET, ((PLAIN, "other", 0),)), acquire(PLAIN))
    assert runs == [RESET, 1, 1, 1, 1, 0, ACQUIRE, 1, 2, 1, 1, 1]
    assert len(keys) == 3


def test_where_only_the_script_can_tell_it_answers_each_in_turn() -> None:
    """Of a fraction of a microsecond, or of several rates, the key travels once and the answers are one each."""
    for limit in (FRACTIONAL, SEVERAL):
        runs, keys = encoded(*[acquire(limit)] * 4)
        assert runs == [IN_TURN, 1, 4, 1, 1, 1]
        assert len(keys) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_each_is_told_what_it_would_have_been_told_in_its_turn(
    redis_url: str, redis_client: redis.Redis, kind: str
) -> None:
    """In one call, many requests on few keys with wishes among them get what one by one they get in memory."""
    draw, limit = Random(kind), KINDS[kind]
    denied = 0
    async with redis_by_hand(redis_url, redis_client) as (shared, clock), memory_by_hand() as (alone, own_clock):
        for number in range(ROUNDS):
            asked = [
                acquire(limit, draw.choice("ab"), draw.choice((0, 1, 1, 1, 3, 50)), times=draw.choice((1, 1, 1, 6)))
                for _ in range(REQUESTS)
            ]
            before = script_runs(redis_client)
            found: Sequence[Any] = await shared.engine.outcomes(asked)
            assert script_runs(redis_client) - before <= 2
            for place, (request, reply) in enumerate(zip(asked, found, strict=True)):
                assert isinstance(reply, Reply)
                wanted = [await alone.engine.outcomes([request._replace(times=1)]) for _ in range(request.times)]
                answers: list[Any] = [own[0].answers for own in wanted]  # type: ignore[union-attr] # memory never fails
                granted = sum(answer[0] for answer in answers)
                assert list(reply.answers) == [granted, *answers[-1][1:]], f"round {number}, request {place}"
                denied += granted < request.times
            step_us = draw.choice((1, 900_000, 6_000_007, 20_000_003))
            clock.advance_us(step_us)
            own_clock.advance_us(step_us)
    assert 0 < denied < ROUNDS * REQUESTS


async def test_a_bad_entry_is_answered_by_itself(redis_url: str, redis_client: redis.Redis) -> None:
    """Where one key holds a value of another type, those who asked for it fall back and all others are decided."""
    async with redis_by_hand(redis_url, redis_client) as (limiter, _):
        redis_client.lpush("sg:1:gcra:plain:bad", "x")
        redis_client.expire("sg:1:gcra:plain:bad", 60)
        members = [(PLAIN, key) for key in ("good", "bad", "good", "bad", "other")]
        decisions = await limiter.acquire_many(members)
    assert [decision.degraded for decision in decisions] == [False, True, False, True, False]
    assert [decision.remaining for decision in decisions] == [29, None, 28, None, 29]
