"""What this version cannot have written in a key: nobody is blocked by it for long, the log is told, others go on."""

from __future__ import annotations

import asyncio
import struct
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import CorruptStateError, Limit
from tests.conformance.rig import START
from tests.ratelimit.by_hand import redis_by_hand
from tests.recording import RecordingLogger

if TYPE_CHECKING:
    import redis

START_US = round(START * 1_000_000)
KEEP_MS = 60_000
STRINGS = {
    "gcra": Limit("own", "6/minute"),
    "gcra_fractional": Limit("own", "7/minute burst 6"),
    "several": Limit("own", "6/minute; 30/hour"),
    "fixed_window": Limit("own", "6/minute", algorithm="fixed_window"),
    "sliding_window_counter": Limit("own", "6/minute", algorithm="sliding_window_counter"),
    "calendar_quota": Limit("own", "6/day", algorithm="calendar_quota"),
}
LOG = Limit("own", "6/minute", algorithm="sliding_window_log")
OTHER = Limit("other", "9/minute")
UNREADABLE = {
    "empty": b"",
    "space": b" ",
    "word": b"hello",
    "inf": b"inf",
    "minus_inf": b"-inf",
    "nan": b"nan",
    "hexadecimal": b"0x10",
    "negative": b"-5",
    "signed": b"+5",
    "decimals": b"12.5",
    "exponent": b"1e300",
    "underscore": b"1_000",
    "spaces_around": b" 17 ",
    "newline": b"17\n",
    "other_digits": "\u0661\u0662".encode(),
    "twenty_digits": b"9" * 20,
    "zeros": b"\x00" * 27,
    "version_only": b"\x01",
    "header_only": b"\x01\x00\x00\x00\x00",
    "a_byte_too_short": b"\x01" + b"\x00" * 25,
    "ragged": b"\x01" + b"\x00" * 30,
    "counted_too_short": b"\x10" + b"\x00" * 9,
    "nine_slots": b"\x01" + b"\x00" * (4 + 22 * 9),
    "version_of_later_times": b"\x2a" + b"\x00" * 26,
    "megabyte": b"\x01" * 1_000_000,
}
SLOT_LENGTHS = {"gcra": 22, "fixed_window": 11, "sliding_window": 15, "calendar_quota": 11}


def name_of(limit: Limit, key: str = "key") -> str:
    """Return where the state of *key* is."""
    return f"sg:1:{limit.plan.prefix}{key}"


def packed(limit: Limit, *, fill: bytes) -> bytes:
    """Return a packed value of the right length, all of whose numbers are made of one byte."""
    length = SLOT_LENGTHS[limit.plan.algorithm.family] * len(limit.rates)
    return b"\x01" + struct.pack(">I", limit.plan.tag) + fill * length


@pytest.mark.parametrize("found", UNREADABLE)
@pytest.mark.parametrize("kind", STRINGS)
async def test_a_value_that_cannot_be_read_is_no_state_and_is_told(
    redis_url: str, redis_client: redis.Redis, kind: str, found: str
) -> None:
    """All units are there, the log has one line, and the value is a good one afterwards."""
    limit, logger = STRINGS[kind], RecordingLogger()
    redis_client.set(name_of(limit), UNREADABLE[found], px=KEEP_MS)
    async with redis_by_hand(redis_url, redis_client, logger) as (limiter, _):
        decision = await limiter.acquire(limit, "key", 2)
        assert (decision.allowed, decision.remaining, decision.degraded) == (True, 4, False)
        assert logger.named("state.unreadable") == [{"values": 1}]
        assert (await limiter.acquire(limit, "key")).remaining == 3
        assert len(logger.named("state.unreadable")) == 1
    assert redis_client.get(name_of(limit)) != UNREADABLE[found]


@pytest.mark.parametrize("kind", STRINGS)
async def test_a_value_that_cannot_be_read_is_told_by_a_peek_and_left(
    redis_url: str, redis_client: redis.Redis, kind: str
) -> None:
    """A look says what an acquire would, and mends nothing."""
    limit, logger = STRINGS[kind], RecordingLogger()
    redis_client.set(name_of(limit), b"inf", px=KEEP_MS)
    async with redis_by_hand(redis_url, redis_client, logger) as (limiter, _):
        assert (await limiter.peek(limit, "key")).remaining == 6
        assert len(logger.named("state.unreadable")) == 1
    assert redis_client.get(name_of(limit)) == b"inf"


def horizon_us(limit: Limit) -> int:
    """Return the longest that anybody may be blocked: a capacity, and a debt of as much; of windows two."""
    if limit.plan.algorithm.family == "calendar_quota":
        return 2 * 86_400_000_000
    return 2 * max(rate.period_us for rate in limit.rates) + 2


POISON: dict[str, Any] = {
    "sixteen_nines": b"9" * 16,
    "two_to_the_53": b"9007199254740992",
    "tomorrow": str(START_US + 86_400_000_000).encode(),
    "zero": b"0",
    "largest": b"\xff",
    "largest_positive": b"\x7f",
    "least": b"\x80",
    "nothing": b"\x00",
}


@pytest.mark.parametrize("found", POISON)
@pytest.mark.parametrize("kind", STRINGS)
async def test_a_poisoned_number_blocks_nobody_beyond_the_clamp(
    redis_url: str, redis_client: redis.Redis, kind: str, found: str
) -> None:
    """Whatever number stands there, the wait that a denial names is bounded, is true, and then all is as ever."""
    limit, value = STRINGS[kind], POISON[found]
    if len(value) == 1 and value != b"0":
        value = packed(limit, fill=value)
    redis_client.set(name_of(limit), value, px=KEEP_MS)
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        waited_us = 0
        while not (decision := await limiter.acquire(limit, "key")).allowed:
            assert decision.retry_after_us > 0
            waited_us += decision.retry_after_us
            assert waited_us <= horizon_us(limit)
            clock.advance_us(decision.retry_after_us)
        assert 0 <= (decision.remaining or 0) < 6
        clock.advance_us(decision.reset_after_us)
        assert (await limiter.peek(limit, "key")).remaining == 6
        assert 0 <= decision.reset_after_us <= horizon_us(limit)


@pytest.mark.parametrize("kind", STRINGS)
async def test_random_bytes_never_block_and_never_fail(redis_url: str, redis_client: redis.Redis, kind: str) -> None:
    """Of hundreds of values drawn at random, each is read somehow, left as newer, or counts as nothing."""
    limit, draw = STRINGS[kind], Random(kind)
    length = len(packed(limit, fill=b"x"))
    async with redis_by_hand(redis_url, redis_client) as (limiter, _):
        for number in range(300):
            value = draw.randbytes(draw.choice((length, length, draw.randrange(60))))
            if draw.random() < 0.7:
                value = b"\x01" + value[1:]
            redis_client.set(name_of(limit, str(number)), value, px=KEEP_MS)
        decisions = await asyncio.gather(*[limiter.acquire(limit, str(number)) for number in range(300)])
        for decision in decisions:
            assert decision.degraded or decision.allowed or decision.retry_after_us <= horizon_us(limit)
            assert decision.reset_after_us <= horizon_us(limit)
    for name in redis_client.scan_iter(match="sg:1:*:*"):
        assert redis_client.pttl(name) > 0  # type: ignore[operator] # not awaitable here


@pytest.mark.parametrize("limit", [*STRINGS.values(), LOG], ids=str)
async def test_a_value_of_another_type_is_an_error_of_its_entry_alone(
    redis_url: str, redis_client: redis.Redis, limit: Limit
) -> None:
    """Its callers are answered as on_failure says; who came in the same batch has a decision of the server's."""
    if limit is LOG:
        redis_client.set(name_of(limit), b"a string", px=KEEP_MS)
    else:
        redis_client.rpush(name_of(limit), b"a list")
        redis_client.pexpire(name_of(limit), KEEP_MS)
    before, logger = redis_client.dump(name_of(limit)), RecordingLogger()
    async with redis_by_hand(redis_url, redis_client, logger) as (limiter, _):
        answers = await asyncio.gather(
            limiter.acquire(OTHER, "key"),
            limiter.acquire(limit, "key"),
            limiter.acquire(limit, "sane"),
            limiter.acquire_all([(OTHER, "key"), (limit, "key")]),
            limiter.acquire(OTHER, "key"),
            limiter.peek(limit, "key"),
        )
        other, wrong, sane, both, again, looked = answers
        assert [decision.degraded for decision in (other, wrong, sane, again, looked)] == [
            False,
            True,
            False,
            False,
            True,
        ]
        assert [decision.degraded for decision in both.decisions] == [True, True]
        assert (other.remaining, again.remaining, sane.remaining) == (8, 7, 5)
        assert [event for _, event, _ in logger.events if "lost" in event] == []
        told = logger.named("state.corrupt")
        assert len(told) == 1
        assert told[0]["error_class"] == "corrupt_state"
        assert "another type" in str(told[0]["error"])
        assert redis_client.dump(name_of(limit)) == before
        assert await limiter.reset(limit, "key") is True
        assert (await limiter.acquire(limit, "key")).remaining == 5


@pytest.mark.parametrize("limit", [*STRINGS.values()], ids=str)
async def test_a_value_of_a_newer_layout_is_left_alone(redis_url: str, redis_client: redis.Redis, limit: Limit) -> None:
    """What a newer version keeps there stays, byte for byte, until somebody resets it."""
    redis_client.set(name_of(limit), b"\x03from a later version", px=KEEP_MS)
    logger = RecordingLogger()
    async with redis_by_hand(redis_url, redis_client, logger) as (limiter, _):
        decision, other = await asyncio.gather(limiter.acquire(limit, "key"), limiter.acquire(OTHER, "key"))
        assert (decision.degraded, decision.source, other.degraded) == (True, "fallback", False)
        assert "newer version" in str(logger.named("state.corrupt")[0]["error"])
        assert redis_client.get(name_of(limit)) == b"\x03from a later version"
        with pytest.raises(CorruptStateError, match="newer version"):
            await limiter.refund((await limiter.acquire(limit, "sane"))._replace(key="key"))
        assert redis_client.get(name_of(limit)) == b"\x03from a later version"


async def test_a_sliding_window_counter_takes_eleven_bytes(redis_url: str, redis_client: redis.Redis) -> None:
    """One rate of whole seconds is kept short and read back as it was; beyond what three bytes hold it is packed."""
    short = Limit("short", "8388607/minute", algorithm="sliding_window_counter")
    long = Limit("long", "8388608/minute", algorithm="sliding_window_counter")
    async with redis_by_hand(redis_url, redis_client) as (limiter, clock):
        for limit in (short, long):
            await limiter.acquire(limit, "key", 8_388_000)
        clock.advance_us(90_000_000)
        for limit in (short, long):
            kept = await limiter.acquire(limit, "key", 7)
            assert kept.remaining == limit.rates[0].limit - 8_388_000 // 2 - 7
        sizes = [len(redis_client.get(name_of(limit))) for limit in (short, long)]  # type: ignore[arg-type] # both are there
    assert sizes == [11, 20]
