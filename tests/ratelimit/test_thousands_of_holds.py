"""Ten thousand holds of one limiter: renewed in time and given back, in few round trips, with one deadline for each."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Hold, Limit, Limiter, NullLogger
from sluicegate.database import Keyspace, connect
from sluicegate.ratelimit.stores.redis import RedisStore
from tests.conformance.rig import HandClock
from tests.faults_proxy import FaultProxy
from tests.ratelimit.by_hand import lasting_script

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from tests.servers import RedisServer

HOLDS = 10_000
KEYS = 100
AT_ONCE = 100  # so many are taken together
TERM_S = 60.0
HELD = Limit("held", "1000", algorithm="concurrency", hold_seconds=TERM_S)
TAKING_US = 5_000_000  # the taking is not what is tested
DEADLINE_US = 200_000
WAITING_MAX = 128  # of one limiter's holds at once: what a busy server answers within a short deadline
BATCH_MAX = 64
BATCHES_MAX = HOLDS // BATCH_MAX + HOLDS // 100  # some of them are not full


@pytest.fixture
def proxy(redis_server: RedisServer, redis_url: str) -> Iterator[FaultProxy]:
    """What stands between a limiter and its server."""
    assert redis_url
    with FaultProxy(redis_server.port) as made:
        yield made


def limiter_on(url: str, clock: HandClock) -> Limiter:
    """Return a limiter on a real server by a clock moved by hand, whose deadline passes by the machine's."""
    store = RedisStore(
        connect(url), clock, NullLogger(), keyspace=Keyspace("sg"), deadline_us=TAKING_US, script=lasting_script()
    )
    return Limiter(clock=clock, store=store, logger=NullLogger())


async def held_by(limiter: Limiter, holds: int = HOLDS) -> list[Hold]:
    """Take so many units of some keys."""
    taken = [limiter.hold(HELD, f"key{number % KEYS}") for number in range(holds)]
    for first in range(0, holds, AT_ONCE):
        await asyncio.gather(*[hold.__aenter__() for hold in taken[first : first + AT_ONCE]])
    assert all(hold.kept for hold in taken)
    batcher: Any = limiter.engine.store._batcher  # type: ignore[union-attr] # the store on Redis has one
    batcher._deadline_s, batcher._margin_s = DEADLINE_US / 1_000_000, DEADLINE_US / 10_000_000
    return taken


class Line:
    """How many of a limiter's requests waited for an answer at once, at the most."""

    def __init__(self, limiter: Limiter) -> None:
        self._ask, self.most = limiter.engine.ask_there, 0
        self._promises: list[Any] = []
        limiter.engine.ask_there = self._counted

    def _counted(self, request: Any, promise: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._promises = [*(own for own in self._promises if not own.done()), promise]
        self.most = max(self.most, len(self._promises))
        self._ask(request, promise, loop)


def script_runs(server: redis.Redis) -> int:
    """Return how often the script was run since the counts were forgotten."""
    stats: Any = server.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


async def test_ten_thousand_holds_are_renewed_when_all_are_due_at_once(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """Each third of a term all of them are, and none has to be tried again."""
    clock = HandClock(redis_client)
    async with limiter_on(redis_url, clock) as limiter:
        holds = await held_by(limiter)
        line = Line(limiter)
        for _ in range(4):
            redis_client.config_resetstat()
            clock.advance_us(20_000_000)
            begun = time.monotonic()
            while any(hold.due_us <= clock.monotonic_us() for hold in holds):
                assert time.monotonic() < begun + 20
                await asyncio.sleep(0.02)
            assert {hold.due_us - clock.monotonic_us() for hold in holds} == {20_000_000}
            assert script_runs(redis_client) <= BATCHES_MAX
        assert 0 < line.most <= WAITING_MAX
        assert not any(hold.lost for hold in holds)


async def test_closing_gives_ten_thousand_holds_back_in_few_round_trips(
    redis_url: str, redis_client: redis.Redis
) -> None:
    """Every unit is free again right after, and a round trip has served dozens of them."""
    limiter = limiter_on(redis_url, HandClock(redis_client))
    holds = await held_by(limiter)
    line = Line(limiter)
    redis_client.config_resetstat()
    begun = time.monotonic()
    await limiter.aclose()
    assert 0 < line.most <= WAITING_MAX
    print(f"\n{HOLDS:,} given back in {time.monotonic() - begun:.2f} s and {script_runs(redis_client)} round trips")
    assert script_runs(redis_client) <= BATCHES_MAX
    assert list(redis_client.scan_iter("sg:*")) == []
    assert all(hold.lost for hold in holds)


async def test_closing_with_many_holds_while_the_store_is_away_takes_a_few_deadlines(
    proxy: FaultProxy, redis_client: redis.Redis
) -> None:
    """It does not try them one after the other: the store's clock gives back what nobody else can."""
    limiter = limiter_on(proxy.url, HandClock(redis_client))
    await held_by(limiter, 2_000)
    proxy.swallow = True
    begun = time.monotonic()
    await limiter.aclose()
    assert time.monotonic() - begun < 10 * DEADLINE_US / 1_000_000
