"""Marked states that no version can have written, or of another rule: nobody is blocked by them for long."""

from __future__ import annotations

import struct
from random import Random
from typing import TYPE_CHECKING

import pytest

from sluicegate import Limit
from tests.ratelimit.by_hand import redis_by_hand
from tests.ratelimit.stores.test_corrupt import KEEP_MS, START_US, STRINGS, horizon_us, name_of
from tests.recording import RecordingLogger

if TYPE_CHECKING:
    import redis


SLOTS = {"gcra": 37, "fixed_window": 22, "sliding_window": 26, "calendar_quota": 22}
FILLS = (b"\xff", b"\x7f", b"\x80", b"\x00", b"\x01")
ROUNDS = 200


def marked(limit: Limit, body: bytes, *, is_own: bool, new_at_us: int = START_US) -> bytes:
    """Return a marked value with *body* for its slots."""
    tag = limit.plan.tag if is_own else limit.plan.tag ^ 1
    return b"\x02" + struct.pack(">IH", tag, 7) + new_at_us.to_bytes(7, "big") + body


def length_of(limit: Limit) -> int:
    """Return how long the slots of a value are."""
    return SLOTS[limit.plan.algorithm.family] * len(limit.rates)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("is_own", [True, False], ids=["own", "another's"])
@pytest.mark.parametrize("kind", STRINGS)
async def test_a_poisoned_mark_blocks_nobody_beyond_the_clamp(
    redis_url: str, redis_client: redis.Redis, kind: str, is_own: bool, fill: bytes
) -> None:
    """Whatever numbers stand there, the wait that a denial names is bounded and true, and the value ends by itself."""
    limit = STRINGS[kind]
    redis_client.set(name_of(limit), marked(limit, fill * length_of(limit), is_own=is_own), px=KEEP_MS)
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        waited_us = 0
        while not (decision := await limiter.acquire(limit, "key")).allowed:
            assert decision.retry_after_us > 0
            waited_us += decision.retry_after_us
            assert waited_us <= horizon_us(limit)
            clock.advance_us(decision.retry_after_us)
        assert 0 <= (decision.remaining or 0) < 6
        assert 0 < redis_client.pttl(name_of(limit)) <= 3 * 86_400_000  # type: ignore[operator] # awaited elsewhere


@pytest.mark.parametrize("kind", STRINGS)
async def test_random_marks_are_states_or_are_told(redis_url: str, redis_client: redis.Redis, kind: str) -> None:
    """No bytes make the script fail, and what remains is never more than the limit."""
    limit, draw, logger = STRINGS[kind], Random(kind), RecordingLogger()
    async with redis_by_hand(redis_url, redis_client, logger) as (limiter, _):
        for number in range(ROUNDS):
            length = length_of(limit) + draw.choice([0, 0, 0, 0, -1, 1])
            body = bytes(draw.choice([0, 0, 1, 255, draw.randrange(256)]) for _ in range(length))
            at_us = draw.choice([0, START_US, START_US + 1, 2**50 + START_US, 2**56 - 1])
            value = marked(limit, body, is_own=draw.random() < 0.3, new_at_us=at_us)
            redis_client.set(name_of(limit, f"k{number}"), value, px=KEEP_MS)
            looked = await limiter.peek(limit, f"k{number}")
            decision = await limiter.acquire(limit, f"k{number}")
            assert not decision.degraded
            assert looked.allowed == decision.allowed
            assert 0 <= (decision.remaining or 0) <= 6
    assert logger.named("state.unreadable")
    assert not logger.named("state.corrupt")


async def test_a_time_that_cannot_be_is_no_state(redis_url: str, redis_client: redis.Redis) -> None:
    """A state that would be as good as new only after decades is none, and is told."""
    limit, logger = STRINGS["fixed_window"], RecordingLogger()
    slot = struct.pack(">q", START_US)[1:] + struct.pack(">II", 5, 6) + (60_000_000).to_bytes(7, "big")
    for new_at_us, remaining in ((START_US + 2**49 - 1, 0), (START_US + 2**49, 5)):
        redis_client.set(name_of(limit), marked(limit, slot, is_own=True, new_at_us=new_at_us), px=KEEP_MS)
        async with redis_by_hand(redis_url, redis_client, logger) as (limiter, _):
            assert (await limiter.acquire(limit, "key")).remaining == remaining
    assert len(logger.named("state.unreadable")) == 1


@pytest.mark.parametrize("kind", STRINGS)
async def test_what_cannot_be_read_is_not_carried_over(redis_url: str, redis_client: redis.Redis, kind: str) -> None:
    """Where a limit took another's place, a newer version's value is left alone, and one of nobody is told."""
    before, logger = STRINGS[kind], RecordingLogger()
    changed = Limit("own", before.rate.replace("6", "5", 1), algorithm=before.algorithm).changed_from(before)
    newer = b"\x03" + b"\x01" * 40
    redis_client.set(name_of(before), newer, px=KEEP_MS)
    redis_client.set(name_of(before, "junk"), b"junk", px=KEEP_MS)
    async with redis_by_hand(redis_url, redis_client, logger) as (limiter, _):
        assert (await limiter.acquire(changed, "key")).degraded
        assert (await limiter.acquire(changed, "junk")).allowed
    assert redis_client.get(name_of(before)) == newer
    assert len(logger.named("state.corrupt")) == len(logger.named("state.unreadable")) == 1


@pytest.mark.parametrize(
    ("kind", "length"), [("gcra", 51), ("fixed_window", 36), ("sliding_window_counter", 40), ("calendar_quota", 36)]
)
async def test_a_mark_costs_what_the_docs_say(
    redis_url: str, redis_client: redis.Redis, kind: str, length: int
) -> None:
    """So many bytes a value, and some fifty more a key than one that says nothing of its rule."""
    plain = STRINGS[kind]
    marking = Limit("own", plain.rate, algorithm=plain.algorithm, on_change="keep")
    async with redis_by_hand(redis_url, redis_client) as (limiter, _):
        for limit, key in ((plain, "saying nothing"), (marking, "being marked !")):
            await limiter.acquire(limit, key)
    assert redis_client.strlen(name_of(plain, "being marked !")) == length
    least, more = (redis_client.memory_usage(name_of(plain, key)) for key in ("saying nothing", "being marked !"))
    assert 0 < int(more) - int(least) <= 64  # type: ignore[arg-type] # awaited elsewhere
