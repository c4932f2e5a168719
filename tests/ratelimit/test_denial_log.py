"""Who searches for a fault is told of each denial, with its reason, but in no more lines than can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import BlockingLimiter, Limit, Limiter
from sluicegate.ratelimit import DenialLog
from sluicegate.ratelimit.denial_log import LINES_MAX
from sluicegate.testing import ManualClock
from tests.recording import RecordingLogger

if TYPE_CHECKING:
    from collections.abc import Iterator

API = Limit("api", "1/minute")


def listened(limiter: Limiter | BlockingLimiter, *, with_keys: bool = True) -> RecordingLogger:
    """Return a logger that is told of all that *limiter* denies."""
    logger = RecordingLogger()
    limiter.engine.on_denied = DenialLog(logger, limiter.engine.clock, with_keys=with_keys)
    return logger


def denials(logger: RecordingLogger) -> list[dict[str, Any]]:
    """Return what was told, which is all at the level of debug."""
    assert all(level == "debug" for level, _, _ in logger.events)
    return logger.named("decision.denied")


@pytest.fixture
def clock() -> ManualClock:
    """The time, moved by hand."""
    return ManualClock(1_000.0)


@pytest.fixture(params=["short", "long"])
def limit(request: pytest.FixtureRequest) -> Iterator[Limit]:
    """Return a limit that is decided on the short way, and one that is not."""
    return Limit("api", "1/minute", algorithm="gcra" if request.param == "short" else "sliding_window_log")


async def test_each_denial_is_told_and_nothing_else(clock: ManualClock, limit: Limit) -> None:
    """With what an operator asks: which limit, what it was to cost, when to come back, and what answered."""
    limiter = Limiter(clock=clock)
    logger = listened(limiter)
    for _ in range(3):
        await limiter.acquire(limit, "user:1")
    await limiter.peek(limit, "user:1")
    await limiter.acquire(limit, "user:2", cost=2)
    base = {"limit": "api", "banned": False, "source": "memory"}
    denied = {**base, "key": "user:1", "cost": 1, "retry_after": 60.0, "never": False}
    never = {**base, "key": "user:2", "cost": 2, "retry_after": None, "never": True}
    assert denials(logger) == [denied, denied, never]


async def test_keys_are_left_out_unless_they_are_wanted(clock: ManualClock) -> None:
    """Then nothing in the line tells who was denied."""
    limiter = Limiter(clock=clock)
    logger = listened(limiter, with_keys=False)
    for _ in range(2):
        await limiter.acquire(API, "user:1")
    (line,) = denials(logger)
    assert "user:1" not in str(line)


async def test_of_several_limits_those_that_deny_are_told(clock: ManualClock) -> None:
    """Not those that were only left alone beside them; and of shadows nothing, for they deny nobody."""
    limiter = Limiter(clock=clock)
    logger = listened(limiter)
    wide, shadow = Limit("wide", "9/minute"), Limit("shadow", "1/minute", shadow=True)
    for _ in range(2):
        await limiter.acquire_all([(wide, "t"), (API, "u"), (shadow, "s")])
    assert [line["limit"] for line in denials(logger)] == ["api"]


async def test_bans_and_full_holds_are_told(clock: ManualClock) -> None:
    """A ban by its source."""
    limiter = Limiter(clock=clock)
    logger = listened(limiter)
    await limiter.bans.add(["user:1"], seconds=5)
    assert not await limiter.acquire(API, "user:1")
    slots = Limit("slots", "1", algorithm="concurrency", hold_seconds=60)
    async with limiter.hold(slots, "t"):
        with pytest.raises(Exception, match="slots"):
            await limiter.hold(slots, "t").__aenter__()
    assert [(line["limit"], line["source"], line["banned"]) for line in denials(logger)] == [
        ("api", "ban", True), ("slots", "memory", False),
    ]  # fmt: skip
    await limiter.aclose()


async def test_what_is_denied_by_the_server_the_cache_or_the_fallback_is_told(redis_url: str) -> None:
    """Each by its source."""
    closed = Limit("closed", "1/minute", on_failure="closed")
    async with Limiter.connect(redis_url, deadline=2) as limiter:
        logger = listened(limiter)
        for _ in range(3):
            await limiter.acquire(API, "user:1")
        assert [line["source"] for line in denials(logger)] == ["redis", "deny_cache"]
    async with Limiter.connect("redis://127.0.0.1:1", connect_timeout=0.05, logger=RecordingLogger()) as limiter:
        logger = listened(limiter)
        await limiter.acquire(closed, "user:1")
        assert [line["source"] for line in denials(logger)] == ["fallback"]


def test_threads_are_listened_to_as_well(clock: ManualClock) -> None:
    """The limiter that blocks tells the same."""
    with BlockingLimiter(clock=clock) as limiter:
        logger = listened(limiter)
        for _ in range(2):
            limiter.acquire(API, "user:1")
    assert len(denials(logger)) == 1


async def test_an_attack_fills_no_log(clock: ManualClock) -> None:
    """A hundred lines a second are written, and then how many denials went without."""
    limiter = Limiter(clock=clock)
    logger = listened(limiter)
    for _ in range(LINES_MAX + 51):
        await limiter.acquire(API, "user:1")
    assert len(denials(logger)) == LINES_MAX
    clock.advance(1)
    for _ in range(2):
        await limiter.acquire(API, "user:1")
    assert logger.named("decisions.untold") == [{"denied": 50}]
    assert len(denials(logger)) == LINES_MAX + 2
