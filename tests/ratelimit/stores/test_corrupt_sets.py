"""Sorted sets that this version cannot have written: a log counts as nothing, a holder stays for a term at most."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import CorruptStateError, Limit, LimitExceededError
from tests.conformance.rig import START
from tests.ratelimit.by_hand import redis_by_hand
from tests.recording import RecordingLogger

if TYPE_CHECKING:
    import redis

START_US = round(START * 1_000_000)
MINUTE_US = 60_000_000
KEEP_MS = 60_000
LOG = Limit("own", "6/minute", algorithm="sliding_window_log")
LOG_NAME = "sg:1:sliding_window_log:own:key"
HELD = Limit("own", "3", algorithm="concurrency", hold_seconds=60)
HELD_NAME = "sg:1:concurrency:own:key"
OTHER = Limit("other", "9/minute")


def entry(total: int, units: int) -> bytes:
    """Return a log's entry as it is written."""
    return total.to_bytes(7, "big") + struct.pack(">I", units)


LOGS: dict[str, dict[bytes, float]] = {
    "word": {b"hello": START_US - 5},
    "empty": {b"": START_US - 5},
    "a_byte_short": {entry(5, 5)[:-1]: START_US - 5},
    "a_byte_long": {entry(5, 5) + b"x": START_US - 5},
    "more_units_than_there_are": {entry(5, 6): START_US - 5},
    "beyond_2_to_the_53": {entry(2**53, 1): START_US - 5},
    "a_word_in_the_future": {b"hello": START_US + 10**15},
    "a_word_at_infinity": {b"hello": float("inf")},
    "total_that_falls": {entry(9, 1): START_US - 20, entry(5, 1): START_US - 5},
}
POISONED_LOGS: dict[str, dict[bytes, float]] = {
    "much_too_full": {entry(2**52, 2**31): START_US - 5},
    "in_the_future": {entry(6, 6): START_US + 10**15},
    "at_infinity": {entry(6, 6): float("inf")},
    "at_minus_infinity": {entry(6, 6): float("-inf")},
    "in_the_far_past": {entry(6, 6): -5},
    "twice_at_one_instant": {entry(6, 6): START_US - 5, entry(12, 6): START_US - 5},
}


def put(server: redis.Redis, name: str, entries: dict[bytes, float]) -> None:
    """Write a sorted set that expires."""
    server.zadd(name, entries)
    server.pexpire(name, KEEP_MS)


@pytest.mark.parametrize("found", LOGS)
async def test_a_log_that_cannot_be_read_counts_as_nothing_and_is_told(
    redis_url: str, redis_client: redis.Redis, found: str
) -> None:
    """All units are there, the log has one line, and afterwards the set holds what was admitted."""
    put(redis_client, LOG_NAME, LOGS[found])
    logger = RecordingLogger()
    async with redis_by_hand(redis_url, redis_client, logger) as (limiter, _):
        decision = await limiter.acquire(LOG, "key", 2)
        assert (decision.allowed, decision.remaining, decision.degraded) == (True, 4, False)
        assert logger.named("state.unreadable") == [{"values": 1}]
        assert (await limiter.acquire(LOG, "key")).remaining == 3
        assert len(logger.named("state.unreadable")) == 1


@pytest.mark.parametrize("found", POISONED_LOGS)
async def test_a_poisoned_log_blocks_nobody_for_longer_than_its_window(
    redis_url: str, redis_client: redis.Redis, found: str
) -> None:
    """Whatever it says, a period later it is over, and the waits on the way there are true."""
    put(redis_client, LOG_NAME, POISONED_LOGS[found])
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        waited_us = 0
        while not (decision := await limiter.acquire(LOG, "key")).allowed:
            assert decision.retry_after_us > 0
            waited_us += decision.retry_after_us
            assert waited_us <= MINUTE_US
            clock.advance_us(decision.retry_after_us)
        clock.advance_us(MINUTE_US)
        assert (await limiter.peek(LOG, "key")).remaining == 6


async def test_a_refund_meets_a_broken_log_without_harm(redis_url: str, redis_client: redis.Redis) -> None:
    """Where the own entry is gone nothing is given back, and what else stands there does no harm."""
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        decision = await limiter.acquire(LOG, "key", 2)
        clock.advance_us(1000)
        redis_client.delete(LOG_NAME)
        put(redis_client, LOG_NAME, {b"hello": decision.decided_at_us, entry(3, 3): decision.decided_at_us - 7})
        assert await limiter.refund(decision) == 0
        assert (await limiter.acquire(LOG, "key")).allowed


@pytest.mark.parametrize("until_us", [float("inf"), START_US + 10**15, START_US + 61_000_000])
async def test_a_poisoned_holder_stays_for_a_term_at_most(
    redis_url: str, redis_client: redis.Redis, until_us: float
) -> None:
    """Who would hold for ever is brought back by whoever asks for a unit, and gone a term later."""
    put(redis_client, HELD_NAME, dict.fromkeys((b"x", b"y", b"z"), until_us))
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        with pytest.raises(LimitExceededError):
            await limiter.hold(HELD, "key").__aenter__()
        assert (await limiter.peek(HELD, "key")).reset_after == 60.0
        clock.advance_us(MINUTE_US)
        async with limiter.hold(HELD, "key") as hold:
            assert hold.decision is not None
            assert hold.decision.remaining == 2


@pytest.mark.parametrize(("ahead", "stays_s"), [(float("-inf"), 86_400), (-1e17, 86_400), (0, 60), (5, 60), (-7e6, 7)])
async def test_a_poisoned_word_of_how_far_ahead_holders_stand_keeps_nobody_beyond_the_longest_term(
    redis_url: str, redis_client: redis.Redis, ahead: float, stays_s: float
) -> None:
    """What no limit can have promised counts as a day, the most that one can; what says nothing as a term."""
    put(redis_client, HELD_NAME, dict.fromkeys((b"x", b"y", b"z"), float("inf")) | {b"ahead": ahead})
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        with pytest.raises(LimitExceededError):
            await limiter.hold(HELD, "key").__aenter__()
        assert (await limiter.peek(HELD, "key")).reset_after == stays_s
        clock.advance_us(round(stays_s * 1_000_000))
        assert (await limiter.peek(HELD, "key")).remaining == 3


@pytest.mark.parametrize("until_us", [float("-inf"), -5, 0, START_US])
async def test_a_holder_of_the_past_holds_nothing(redis_url: str, redis_client: redis.Redis, until_us: float) -> None:
    """Whatever its name and its instant are."""
    put(redis_client, HELD_NAME, dict.fromkeys((b"", b"\x00\xff", b"z"), until_us))
    async with redis_by_hand(redis_url, redis_client) as (limiter, _):
        assert (await limiter.peek(HELD, "key")).remaining == 3
        async with limiter.hold(HELD, "key") as hold:
            assert hold.decision is not None
            assert hold.decision.remaining == 2


async def test_more_holders_than_units_leave_nothing(redis_url: str, redis_client: redis.Redis) -> None:
    """As after a change of the rule: nothing remains, less than nothing is not told, and nobody new gets in."""
    put(redis_client, HELD_NAME, {f"holder{number}".encode(): START_US + 5_000_000 for number in range(9)})
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        looked = await limiter.peek(HELD, "key")
        assert (looked.allowed, looked.remaining, looked.reset_after) == (False, 0, 5.0)
        with pytest.raises(LimitExceededError) as full:
            await limiter.hold(HELD, "key").__aenter__()
        assert full.value.decision.remaining == 0
        clock.advance_us(5_000_000)
        assert (await limiter.peek(HELD, "key")).remaining == 3


async def test_holders_of_another_type_are_an_error_of_their_entry_alone(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """A hold on them is answered as on_failure says, its batch goes on, and a reset mends it."""
    redis_client.set(HELD_NAME, b"5", px=KEEP_MS)
    closed = Limit("own", "3", algorithm="concurrency", hold_seconds=60, on_failure="closed")
    logger = RecordingLogger()
    async with redis_by_hand(redis_url, redis_client, logger) as (limiter, _):
        answers: Any = await asyncio.gather(
            limiter.acquire(OTHER, "key"),
            limiter.hold(HELD, "key").__aenter__(),
            limiter.hold(closed, "key").__aenter__(),
            limiter.peek(HELD, "key"),
            limiter.acquire(OTHER, "key"),
            return_exceptions=True,
        )
        other, opened, refused, looked, again = answers
        assert (other.remaining, again.remaining, looked.degraded) == (8, 7, True)
        assert opened.decision.degraded
        assert isinstance(refused, LimitExceededError)
        assert refused.decision.degraded
        assert len(logger.named("state.corrupt")) == 1
        assert redis_client.get(HELD_NAME) == b"5"
        await limiter.reset(HELD, "key")
        async with limiter.hold(HELD, "key") as hold:
            assert not hold.decision.degraded  # type: ignore[union-attr] # it was granted


def companion_of(limiter: Any, decision: Any) -> bytes:
    """Return the name under which a refund of *decision* is remembered."""
    keyspace = limiter.engine.store._keyspace
    identity = f"{decision.decided_at_us:x}-{decision.serial:x}"
    name: bytes = keyspace.companion(decision.limit.plan.prefix, decision.key, identity)
    return name


async def test_what_remembers_a_refund_may_be_broken_too(redis_url: str, redis_client: redis.Redis) -> None:
    """A companion of another type is an error of that refund; one that cannot be read is as none, and told."""
    logger = RecordingLogger()
    async with redis_by_hand(redis_url, redis_client, logger) as (limiter, _):
        for value, refunded in ((b"inf", 1), (b"12345678901", 1), (b"", 1), (b"7", 7)):
            decision = await limiter.acquire(OTHER, "key")
            redis_client.set(companion_of(limiter, decision), value, px=KEEP_MS)
            assert await limiter.refund(decision) == refunded
        assert len(logger.named("state.unreadable")) == 3
        decision = await limiter.acquire(OTHER, "key")
        name = companion_of(limiter, decision)
        redis_client.delete(name)
        redis_client.rpush(name, b"a list")
        redis_client.pexpire(name, KEEP_MS)
        with pytest.raises(CorruptStateError, match="another type"):
            await limiter.refund(decision)
