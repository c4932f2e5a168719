"""A limiter and its event loop: one at a time, one after the other, and never two at once."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limit, Limiter, LimiterClosedError, NullLogger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

DEADLINE_S = 5.0
API = Limit("api", "50/day")
SLOW = Limit("slow", "20/s burst 1")
HELD = Limit("held", "3", algorithm="concurrency", hold_seconds=60)
VERBS: dict[str, Callable[[Limiter], Awaitable[Any]]] = {
    "start": lambda limiter: limiter.start(),
    "acquire": lambda limiter: limiter.acquire(API, "key"),
    "acquire_all": lambda limiter: limiter.acquire_all([(API, "key")]),
    "acquire_many": lambda limiter: limiter.acquire_many([(API, "key")]),
    "wait": lambda limiter: limiter.wait(API, "key", timeout=1),
    "peek": lambda limiter: limiter.peek(API, "key"),
    "reset": lambda limiter: limiter.reset(API, "key"),
    "hold": lambda limiter: limiter.hold(HELD, "key").__aenter__(),
}

every_verb = pytest.mark.parametrize("verb", VERBS)


def connected(url: str) -> Limiter:
    """Return a limiter on a real server that belongs to no loop yet."""
    return Limiter.connect(url, deadline=DEADLINE_S, logger=NullLogger())


def run(verb: Callable[[Limiter], Awaitable[Any]], limiter: Limiter) -> Any:
    """Run one verb in an event loop that lives for it alone."""

    async def alone() -> Any:
        return await verb(limiter)

    return asyncio.run(alone())


@contextmanager
def another_loop() -> Iterator[Callable[[Any], Any]]:
    """Run an event loop in another thread; what is given runs a coroutine on it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_limiter_is_reused_by_one_loop_after_the_other(redis_url: str) -> None:
    """Each asyncio.run goes on from the state there was, through acquires, waits and holds."""
    limiter = connected(redis_url)
    assert [run(VERBS["acquire"], limiter).remaining for _ in range(5)] == [49, 48, 47, 46, 45]

    async def waited() -> bool:
        await limiter.acquire(SLOW, "key")
        return (await limiter.wait(SLOW, "key", timeout=5)).allowed

    async def held() -> int | None:
        async with limiter.hold(HELD, "key") as hold:
            assert not hold.lost
            return hold.decision.remaining if hold.decision is not None else None

    assert [asyncio.run(waited()), asyncio.run(held()), asyncio.run(waited()), asyncio.run(held())] == [True, 2] * 2
    asyncio.run(limiter.aclose())
    gc.collect()


def test_a_limiter_is_closed_by_a_later_loop(redis_url: str) -> None:
    """Closing needs not the loop that used it; a hold that was left behind is given back."""
    limiter = connected(redis_url)
    hold = limiter.hold(HELD, "key")
    asyncio.run(hold.__aenter__())
    asyncio.run(limiter.aclose())
    asyncio.run(limiter.aclose())
    with pytest.raises(LimiterClosedError):
        run(VERBS["acquire"], limiter)
    other = connected(redis_url)
    assert run(lambda limiter: limiter.peek(HELD, "key"), other).remaining == 3
    asyncio.run(other.aclose())
    gc.collect()


@every_verb
def test_a_second_loop_is_refused_while_the_first_runs(redis_url: str, verb: str) -> None:
    """It is told that the limiter belongs to another, takes nothing, and the first goes on."""
    limiter = connected(redis_url)
    with another_loop() as first:
        assert first(limiter.acquire(API, "key")).remaining == 49
        with pytest.raises(LimiterClosedError, match="the limiter belongs to another event loop"):
            run(VERBS[verb], limiter)
        assert first(limiter.acquire(API, "key")).remaining == 48
        first(limiter.aclose())


async def test_a_limiter_may_be_started_after_it_was_used(redis_url: str) -> None:
    """Who enters it late, or twice, enters it all the same."""
    limiter = connected(redis_url)
    assert (await limiter.acquire(API, "key")).remaining == 49
    async with limiter:
        assert await limiter.start() is True
        assert (await limiter.acquire(API, "key")).remaining == 48


@every_verb
async def test_a_closed_limiter_refuses_each_verb(redis_url: str, verb: str) -> None:
    """Whatever is asked afterwards is refused by one error, whether it had been used or not."""
    for used in (True, False):
        limiter = connected(redis_url)
        if used:
            await limiter.acquire(API, "other")
        await limiter.aclose()
        with pytest.raises(LimiterClosedError):
            await VERBS[verb](limiter)


@every_verb
async def test_a_closed_limiter_in_memory_refuses_each_verb(verb: str) -> None:
    """Where state was in the process, it is gone, and nothing pretends otherwise."""
    limiter = Limiter(logger=NullLogger())
    await limiter.acquire(API, "key")
    await limiter.aclose()
    with pytest.raises(LimiterClosedError):
        await VERBS[verb](limiter)


def test_a_memory_limiter_belongs_to_no_loop() -> None:
    """It decides in whatever loop it is asked, also in two at once."""
    limiter = Limiter(logger=NullLogger())
    with another_loop() as first:
        assert first(limiter.acquire(API, "key")).remaining == 49
        assert run(VERBS["acquire"], limiter).remaining == 48
        assert first(limiter.acquire(API, "key")).remaining == 47


async def test_closing_from_another_loop_gives_nothing_up(redis_url: str) -> None:
    """A limiter that another loop tries to close is refused there, and goes on with its holds and leases."""
    held = Limit("held", "2", algorithm="concurrency", hold_seconds=60)
    leased = Limit("all", "1000000/s burst 1000000", mode="leased", lease_seconds=60)
    async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        while (await limiter.acquire(leased, "all")).source != "lease":  # noqa: ASYNC110 - until units are in hand
            await asyncio.sleep(0.001)
        async with limiter.hold(held, "key") as hold:
            with pytest.raises(LimiterClosedError):
                await asyncio.to_thread(asyncio.run, limiter.aclose())
            assert not hold.lost
            assert (await limiter.acquire(leased, "all")).source == "lease"
