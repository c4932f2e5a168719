"""Without its store a limiter answers as each limit says, in time, and says so: in decisions, counts and the log."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import (
    BlockingLimiter,
    Decision,
    Limit,
    Limiter,
    LimitExceededError,
    NullLogger,
    OutcomeUnknownError,
    StoreError,
    StoreUnavailableError,
)
from tests.recording import RecordingLogger
from tests.servers import RedisServer, free_port
from tests.timing import GRACE_S, Lag, lag_watched, timed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

DEADLINE_S = 0.05
OPEN = Limit("open", "5/minute", on_failure="open")
CLOSED = Limit("closed", "5/minute", on_failure="closed")
CRITICAL = Limit("critical", "5/minute", critical=True)
PLAIN = Limit("plain", "5/minute")
SHADOW = Limit("shadow", "5/minute", shadow=True, on_failure="closed")
HELD_OPEN = Limit("held_open", "1", algorithm="concurrency")
HELD_CLOSED = Limit("held_closed", "1", algorithm="concurrency", on_failure="closed")
ALLOWED = {"open": True, "closed": False, "critical": False, "plain": True, "shadow": True}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of its own, which may come and go."""
    with RedisServer() as made:
        yield made


def absent(logger: Any = None, *, face: type[Any] = Limiter) -> Any:
    """Return a limiter of a server that is not there."""
    url = f"redis://127.0.0.1:{free_port()}"
    return face.connect(url, deadline=DEADLINE_S, connect_timeout=0.2, logger=logger or NullLogger())


@pytest.mark.parametrize("limit", [OPEN, CLOSED, CRITICAL, PLAIN, SHADOW], ids=str)
async def test_an_absent_store_is_answered_for_as_the_limit_says(limit: Limit) -> None:
    """Open lets pass, closed denies, critical is closed, a shadow never denies; none pretends to know numbers."""
    async with absent() as limiter:
        decision = await limiter.acquire(limit, "key", 99)
        allowed = ALLOWED[limit.name]
        assert (decision.allowed, decision.retry_after) == (allowed, 0.0 if allowed else None)
        assert (decision.remaining, decision.never, decision.delay, decision.reset_after) == (None, False, 0.0, 0.0)
        assert (decision.source, decision.degraded, decision.shadow_denied) == ("fallback", True, False)
        assert (decision.limit, decision.key, decision.cost) == (limit, "key", 99)
        assert abs(decision.decided_at_us / 1e6 - time.time()) < 5
        assert await limiter.refund(decision) == 0  # it took nothing, so nobody has to be asked


async def test_every_deciding_verb_falls_back() -> None:
    """Bulk and looks answer each limit in its own way; of a joint request any denial denies."""
    async with absent() as limiter:
        many = await limiter.acquire_many([(OPEN, "key"), (CLOSED, "key"), (OPEN, "other")])
        assert [decision.allowed for decision in many] == [True, False, True]
        looked = [await limiter.peek(limit, "key") for limit in (OPEN, CLOSED)]
        assert [decision.allowed for decision in looked] == [True, False]
        joint = await limiter.acquire_all([(OPEN, "key"), (CLOSED, "key"), (PLAIN, "key")])
        assert (joint.allowed, joint.binding.limit) == (False, CLOSED)
        assert (await limiter.acquire_all([(OPEN, "key"), (PLAIN, "key"), (SHADOW, "key")])).allowed
        assert all(decision.degraded for decision in (*many, *looked, *joint.decisions))


async def test_waits_and_holds_fall_back_too() -> None:
    """Open passes at once and keeps nothing; closed is denied, a wait at its time-out and a hold at once."""
    async with absent() as limiter:
        assert (await limiter.wait(OPEN, "key", timeout=1)).degraded
        with pytest.raises(LimitExceededError) as late:
            await limiter.wait(CLOSED, "key", timeout=0.15)
        assert late.value.decision.degraded
        async with limiter.hold(HELD_OPEN, "key") as one, limiter.hold(HELD_OPEN, "key") as other:
            assert [hold.decision.degraded for hold in (one, other)] == [True, True]
            assert [hold.lost for hold in (one, other)] == [False, False]
        with pytest.raises(LimitExceededError) as full:
            await limiter.hold(HELD_CLOSED, "key").__aenter__()
        assert (full.value.decision.degraded, full.value.decision.retry_after) == (True, None)


async def test_what_nothing_can_answer_for_raises() -> None:
    """A reset, and a refund of what the store once took, say that the store was not there."""
    async with Limiter(logger=NullLogger()) as elsewhere:
        taken = await elsewhere.acquire(OPEN, "key")
    async with absent() as limiter:
        for verb in (lambda: limiter.reset(OPEN, "key"), lambda: limiter.refund(taken)):
            with pytest.raises(StoreUnavailableError):
                await verb()


async def test_decorated_functions_run_as_the_limit_says() -> None:
    """Under open they run, under closed they raise with the degraded denial."""
    async with absent() as limiter:

        async def function() -> str:
            return "ran"

        assert await limiter.limit(OPEN, key="key")(function)() == "ran"
        with pytest.raises(LimitExceededError) as denial:
            await limiter.limit(CLOSED, key="key")(function)()
        assert denial.value.decision.degraded


async def test_degraded_decisions_are_counted_as_such() -> None:
    """Each stands in a column of its own, by what was answered; looks are not counted."""
    async with absent() as limiter:
        for _ in range(3):
            await limiter.acquire(OPEN, "key")
        await limiter.acquire(CLOSED, "key")
        await limiter.acquire_all([(OPEN, "key"), (CLOSED, "key")])
        await limiter.acquire_many([(PLAIN, "key"), (SHADOW, "key")])
        await limiter.peek(OPEN, "key")
        counted = limiter.statistics()
    assert counted.decisions == {
        ("open", "degraded_allowed"): 4,
        ("closed", "degraded_denied"): 2,
        ("plain", "degraded_allowed"): 1,
        ("shadow", "degraded_allowed"): 1,
    }
    assert (counted.keys, counted.lost_keys) == (0, 0)


def test_threads_are_answered_for_in_the_same_way() -> None:
    """The blocking limiter has the same fallback, for every verb."""
    with absent(face=BlockingLimiter) as limiter:
        assert [limiter.acquire(limit, "key").allowed for limit in (OPEN, CLOSED)] == [True, False]
        assert [decision.allowed for decision in limiter.acquire_many([(OPEN, "a"), (CLOSED, "a")])] == [True, False]
        assert not limiter.acquire_all([(OPEN, "key"), (CLOSED, "key")]).allowed
        assert limiter.peek(CLOSED, "key").source == "fallback"
        with limiter.hold(HELD_OPEN, "key") as hold:
            assert hold.decision is not None
            assert hold.decision.degraded
        with pytest.raises(StoreUnavailableError):
            limiter.reset(OPEN, "key")
        assert limiter.statistics().decisions["open", "degraded_allowed"] == 3


async def test_a_store_that_is_away_at_the_start_is_told_once_and_found_later() -> None:
    """Entering says so in one line and goes on; when the server comes, so do its decisions, with one line."""
    logger, server = RecordingLogger(), RedisServer()
    limiter = Limiter.connect(server.url, deadline=DEADLINE_S, connect_timeout=0.2, logger=logger)
    with ExitStack() as stack:
        async with limiter:
            assert not await limiter.start()  # as a service tries again and again
            assert [event for _, event, _ in logger.events] == ["store.away"]
            for _ in range(50):
                assert (await limiter.acquire(PLAIN, "key")).degraded
            assert [event for _, event, _ in logger.events] == ["store.away", "store.lost", "limit.fallback"]
            stack.enter_context(server)
            await answered_again(limiter)
            assert logger.named("limit.fallback")[0] == {"limit": PLAIN.name, "on_failure": "open"}
            assert logger.events[-1][1] == "store.back"


async def answered_again(limiter: Limiter) -> None:
    """Ask until the server answers."""
    until = time.monotonic() + 10
    while (await limiter.acquire(Limit("again", "1000000/s"), "key")).degraded:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


async def test_a_store_that_goes_and_comes_back_is_told_in_two_lines(server: RedisServer) -> None:
    """However many callers meet the loss there is one line for it, with its reason, and one for the return."""
    logger = RecordingLogger()
    async with Limiter.connect(server.url, deadline=DEADLINE_S, connect_timeout=0.2, logger=logger) as limiter:
        assert not (await limiter.acquire(PLAIN, "key")).degraded
        server.kill()
        for _ in range(5):
            decisions = await asyncio.gather(*[limiter.acquire(PLAIN, f"key{number}") for number in range(40)])
            assert all(decision.degraded and decision.allowed for decision in decisions)
        server.start()
        await answered_again(limiter)
        for _ in range(20):
            assert not (await limiter.acquire(PLAIN, "key")).degraded
    told = [(level, event) for level, event, _ in logger.events if event != "limit.fallback"]
    assert told == [("info", "limiter.started"), ("warning", "store.lost"), ("info", "store.back")]
    (lost,) = logger.named("store.lost")
    assert lost["source"] == "redis"
    assert lost["error_class"] in ("transient", "ambiguous")


VERBS: dict[str, Callable[[Limiter, str], Awaitable[Any]]] = {
    "acquire": lambda limiter, key: limiter.acquire(CLOSED, key),
    "acquire_all": lambda limiter, key: limiter.acquire_all([(CLOSED, key), (OPEN, key)]),
    "acquire_many": lambda limiter, key: limiter.acquire_many([(CLOSED, key)] * 200),
    "peek": lambda limiter, key: limiter.peek(CLOSED, key),
    "reset": lambda limiter, key: limiter.reset(CLOSED, key),
    "hold": lambda limiter, key: limiter.hold(HELD_CLOSED, key).__aenter__(),
}


async def ended(verb: str, limiter: Limiter, key: str) -> Any:
    """Return how a verb ended: with decisions, or with one of our errors."""
    try:
        return await VERBS[verb](limiter, key)
    except (StoreError, LimitExceededError) as error:
        return error


@pytest.mark.parametrize("verb", VERBS)
async def test_every_call_to_a_stopped_server_ends_in_time(server: RedisServer, verb: str) -> None:
    """While nothing answers, each of many callers is told within the deadline, and the server's return is found."""
    limiter = Limiter.connect(server.url, deadline=DEADLINE_S, connect_timeout=0.2, logger=NullLogger())
    async with limiter, lag_watched() as lag:
        await limiter.acquire(PLAIN, "key")
        server.pause()
        calls = []
        for turn in range(4):
            keys = [f"key{turn}:{number}" for number in range(30)]
            calls += await asyncio.gather(*[timed(ended(verb, limiter, key)) for key in keys])
        server.resume()
        longest_s = max(seconds for _, seconds in calls)
        print(f"\n{verb}: {len(calls)} calls, longest {longest_s * 1000:.1f} ms, lag {lag.worst_s * 1000:.1f} ms")
        assert longest_s <= DEADLINE_S + GRACE_S + lag.worst_s
        assert all(is_without_store(outcome) for outcome, _ in calls)
        await answered_again(limiter)


def is_without_store(outcome: Any) -> bool:
    """Say whether a verb ended as it must where nobody answers: degraded, or with an error that says so."""
    if isinstance(outcome, StoreError):
        return isinstance(outcome, StoreUnavailableError | OutcomeUnknownError)
    if isinstance(outcome, LimitExceededError | Decision):
        return bool(getattr(outcome, "decision", outcome).degraded)
    return all(decision.degraded for decision in getattr(outcome, "decisions", outcome))


def test_threads_that_call_a_stopped_server_are_answered_in_time(server: RedisServer) -> None:
    """Each of eight threads is told within the deadline, its own loop's lag aside."""
    lag, took = Lag(), []
    with BlockingLimiter.connect(server.url, deadline=DEADLINE_S, connect_timeout=0.2, logger=NullLogger()) as limiter:
        limiter.acquire(PLAIN, "key")
        watching = asyncio.run_coroutine_threadsafe(lag.watch(), limiter._background.loop())
        server.pause()

        def work(number: int) -> None:
            for turn in range(5):
                before = time.monotonic()
                decision = limiter.acquire(CLOSED, f"key{number}:{turn}")
                took.append(time.monotonic() - before)
                assert decision.degraded

        threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.resume()
        watching.cancel()
    print(f"\n{len(took)} calls, longest {max(took) * 1000:.1f} ms, lag {lag.worst_s * 1000:.1f} ms")
    assert len(took) == 40
    assert max(took) <= DEADLINE_S + GRACE_S + lag.worst_s
