"""One hold used again: what is still under way of its former use has nothing to do with the present one."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import pytest

from sluicegate import (
    BlockingLimiter,
    InvalidInputError,
    Limit,
    Limiter,
    LimiterClosedError,
    LimitExceededError,
    NullLogger,
    StoreUnavailableError,
)
from sluicegate.ratelimit.stores.store import RELEASE, RENEW, TAKE, Reply, Request
from sluicegate.testing import ManualClock
from tests.faults_proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluicegate.ratelimit.stores.store import Promise
    from tests.servers import RedisServer

HELD = Limit("held", "2", algorithm="concurrency", hold_seconds=600)
SHORT = Limit("short", "2", algorithm="concurrency", hold_seconds=0.9)
LATE_S = 0.2
DEADLINE_S = 5.0  # these tests are about answers, not about speed


@pytest.fixture
def proxy(redis_server: RedisServer, redis_url: str) -> Iterator[FaultProxy]:
    """What stands between a limiter and its server."""
    assert redis_url
    with FaultProxy(redis_server.port) as made:
        yield made


def limiter_at(url: str) -> Limiter:
    """Return a limiter with time enough."""
    return Limiter.connect(url, deadline=DEADLINE_S, logger=NullLogger())


async def test_a_late_answer_to_a_renewal_says_nothing_of_the_next_use(proxy: FaultProxy) -> None:
    """The holder of before was gone when it was renewed; who entered again meanwhile has not lost."""
    renewals: list[bytes] = []
    async with limiter_at(proxy.url) as limiter:
        hold = limiter.hold(SHORT, "key")
        await hold.__aenter__()
        await limiter.reset(SHORT, "key")
        proxy.before_request = renewals.append
        proxy.delay_s = LATE_S
        while not renewals:  # noqa: ASYNC110 - what happens in the proxy's thread
            await asyncio.sleep(0.005)
        leaving = asyncio.create_task(hold.__aexit__(None, None, None))
        await asyncio.sleep(0)
        entering = asyncio.create_task(hold.__aenter__())
        await asyncio.gather(leaving, entering)
        proxy.delay_s = 0
        await asyncio.sleep(LATE_S)
        assert not hold.lost
        await asyncio.sleep(0.9)
        assert not hold.lost
        assert (await limiter.peek(SHORT, "key")).remaining == 1
        await hold.release()


async def turns() -> None:
    """Let everybody do what there is to do."""
    for _ in range(20):
        await asyncio.sleep(0)


class AnsweredByHand:
    """A store of which a test decides who is answered when."""

    source = "hand"
    at_once: Literal[False] = False

    def __init__(self) -> None:
        self.asked: list[tuple[Request, Promise]] = []

    def ask(self, request: Request, promise: Promise, _loop: asyncio.AbstractEventLoop) -> None:
        """Write down who asks for what."""
        self.asked.append((request, promise))

    async def answer(self, at: int, answer: int | Exception) -> None:
        """Answer one of those who asked, and let everybody do what there is to do."""
        promise = self.asked[at][1]
        if isinstance(answer, Exception):
            promise.set_exception(answer)
        else:
            promise.set_result(Reply(1, 0, (answer, 1, 0, 0)))
        await turns()

    async def start(self) -> None:
        """Nothing has to be got ready."""

    async def aclose(self) -> None:
        """Nothing is open."""

    def after_fork(self) -> None:
        """Nothing is shared."""


async def test_an_answer_that_comes_after_the_next_entry_is_of_the_former_use() -> None:
    """A renewal that finds its holder gone, told after another holder was granted, loses nothing."""
    store, clock = AnsweredByHand(), ManualClock()
    limiter = Limiter(clock=clock, store=store, logger=NullLogger())
    hold = limiter.hold(HELD, "key")
    first = asyncio.create_task(hold.__aenter__())
    await turns()
    await store.answer(0, 1)
    await first
    clock.advance(200)
    await turns()  # it asks for a renewal
    leaving = asyncio.create_task(hold.release())
    await turns()
    second = asyncio.create_task(hold.__aenter__())
    await turns()
    assert [request.verb for request, _ in store.asked] == [TAKE, RENEW, RELEASE, TAKE]
    await store.answer(3, 1)
    await store.answer(2, 0)
    await store.answer(1, 0)
    await asyncio.gather(leaving, second)
    assert not hold.lost


async def test_what_may_have_been_taken_goes_back_by_its_own_holder() -> None:
    """Who was refused because nobody answered, and enters again at once, gives back the first unit, not the second."""
    closed = Limit("held", "2", algorithm="concurrency", hold_seconds=600, on_failure="closed")
    store = AnsweredByHand()
    hold = Limiter(clock=ManualClock(), store=store, logger=NullLogger()).hold(closed, "key")

    async def insist() -> None:
        with pytest.raises(LimitExceededError):
            await hold.__aenter__()
        await hold.__aenter__()

    insisting = asyncio.create_task(insist())
    await turns()
    await store.answer(0, StoreUnavailableError("decide", "nobody knows"))
    first, back, second = (request for request, _ in store.asked)
    assert [first.verb, back.verb, second.verb] == [TAKE, RELEASE, TAKE]
    assert back.detail == first.detail != second.detail
    await store.answer(1, 1)
    await store.answer(2, 1)
    await insisting
    assert not hold.lost


async def test_what_was_taken_by_a_cancelled_entry_goes_back_and_not_what_the_next_took(redis_url: str) -> None:
    """Whoever enters again before the first unit is given back keeps the second."""
    async with limiter_at(redis_url) as limiter:
        await limiter.peek(HELD, "key")
        hold = limiter.hold(HELD, "key")
        first = asyncio.create_task(hold.__aenter__())
        for _ in range(3):
            await asyncio.sleep(0)  # it asks
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        async with hold:
            await asyncio.sleep(0.05)
            assert not hold.lost
            assert (await limiter.peek(HELD, "key")).remaining == 1
        assert (await limiter.peek(HELD, "key")).remaining == 2


async def test_of_two_who_enter_one_hold_at_once_one_is_refused(redis_url: str) -> None:
    """The other takes one unit, and leaves with it."""
    async with limiter_at(redis_url) as limiter:
        hold = limiter.hold(HELD, "key")
        entered = await asyncio.gather(hold.__aenter__(), hold.__aenter__(), return_exceptions=True)
        assert [type(one) for one in entered] == [type(hold), InvalidInputError]
        assert (await limiter.peek(HELD, "key")).remaining == 1
        await hold.release()
        assert (await limiter.peek(HELD, "key")).remaining == 2


async def test_a_hold_that_was_refused_without_the_store_can_be_entered_when_it_is_back(proxy: FaultProxy) -> None:
    """The entry that fell back to a closed limit left nothing entered."""
    closed = Limit("held", "2", algorithm="concurrency", hold_seconds=600, on_failure="closed")
    async with Limiter.connect(proxy.url, deadline=0.05, logger=NullLogger()) as limiter:
        hold = limiter.hold(closed, "key")
        proxy.swallow = True
        with pytest.raises(LimitExceededError):
            await hold.__aenter__()
        proxy.swallow = False
        proxy.cut_all()
        begun = time.monotonic()
        while hold.decision is None or not hold.decision.allowed:
            assert time.monotonic() < begun + 5
            with suppress(LimitExceededError):
                await hold.__aenter__()
        assert not hold.lost
        await hold.release()


async def test_closing_loses_what_is_held(redis_url: str) -> None:
    """Whose limiter is closed inside the context knows that the unit may belong to somebody else."""
    limiter = limiter_at(redis_url)
    async with limiter.hold(HELD, "key") as hold:
        await limiter.aclose()
        assert hold.lost
    with pytest.raises(LimiterClosedError):
        await hold.__aenter__()


def test_a_closed_blocking_limiter_refuses_to_enter_again(redis_url: str) -> None:
    """It says that it is closed, not that the hold is entered."""
    limiter = BlockingLimiter.connect(redis_url, deadline=DEADLINE_S, logger=NullLogger())
    with limiter.hold(HELD, "key") as hold:
        limiter.close()
    with pytest.raises(LimiterClosedError):
        hold.__enter__()


async def test_a_unit_granted_while_the_limiter_closes_goes_back(proxy: FaultProxy, redis_url: str) -> None:
    """Whoever enters meanwhile is told that the limiter is closed, and keeps nothing."""
    limiter = limiter_at(proxy.url)
    await limiter.peek(HELD, "key")
    held = limiter.hold(HELD, "key")
    await held.__aenter__()
    proxy.delay_s = LATE_S
    entering = asyncio.create_task(limiter.hold(HELD, "key").__aenter__())
    await asyncio.sleep(0.05)
    await limiter.aclose()
    with pytest.raises(LimiterClosedError):
        await entering
    async with limiter_at(redis_url) as other:
        assert (await other.peek(HELD, "key")).remaining == 2
