"""What one limiter changes another hears of at once, for next to nothing, and stays in force while Redis is away."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import (
    BanRule,
    BlockingLimiter,
    Features,
    InvalidInputError,
    Limit,
    Limiter,
    LimitExceededError,
    NullLogger,
    StoreError,
)
from tests.ratelimit.test_idle import commands
from tests.recording import RecordingLogger
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

API = Limit("api", "100/minute")
UPLOADS = Limit("uploads", "5", algorithm="concurrency")
STRICT = Limit("strict", "1/hour", ban=BanRule(after=3, within=60, duration=600))
HEARD_S = 1.0  # as promised; it takes some milliseconds
PATIENCE_S = 20.0
IDLE_S = 11.0  # two looks whether the version still is what it was


def listening(url: str, **how: Any) -> Limiter:
    """Return a limiter that hears of what others change."""
    return Limiter.connect(url, changes=True, deadline=5, logger=how.pop("logger", NullLogger()), **how)


async def until(holds: Callable[[], object], *, seconds: float = PATIENCE_S) -> float:
    """Wait until it holds, and return how long that took."""
    before = time.monotonic()
    while not holds():
        assert time.monotonic() - before < seconds, "it did not come about"
        await asyncio.sleep(0.001)
    return time.monotonic() - before


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that the test may end."""
    with RedisServer() as server:
        yield server


async def test_others_hear_of_it_within_a_second(redis_url: str) -> None:
    """Bans, overrides, and the end of both; the figure is printed."""
    async with listening(redis_url) as here, listening(redis_url) as there:
        took = []
        for number in range(20):
            key = f"key{number}"
            await here.bans.add(key, seconds=60, reason="abuse")
            took.append(await until(lambda key=key: there.bans.find(key), seconds=HEARD_S))  # type: ignore[misc]  # bound
            await there.bans.lift(key)
            took.append(await until(lambda key=key: not here.bans.find(key), seconds=HEARD_S))  # type: ignore[misc]  # bound
        await here.overrides.set(API, "key", "7/minute")
        took.append(await until(lambda: there.overrides.find(API, "key"), seconds=HEARD_S))
        assert (await there.peek(API, "key")).remaining == 7
        print(f"\nheard after {sorted(took)[len(took) // 2] * 1000:.1f} ms, at most {max(took) * 1000:.1f} ms")


async def test_what_there_is_is_known_before_the_first_request(redis_url: str) -> None:
    """Who enters a limiter that listens meets no decision that a ban was late for."""
    async with Limiter.connect(redis_url, deadline=5) as here:
        await here.bans.add("key")
    async with listening(redis_url) as later:
        assert (await later.acquire(API, "key")).banned
    unentered = listening(redis_url)
    await unentered.acquire(API, "other")
    await until(lambda: unentered.bans.find("key"))
    await unentered.aclose()


async def test_a_limiter_that_does_not_use_it_sends_nothing(redis_url: str, redis_client: redis.Redis) -> None:
    """Neither when it starts nor later, and what others ban it does not know."""
    async with Limiter.connect(redis_url, deadline=5) as limiter, Limiter.connect(redis_url, deadline=5) as other:
        await limiter.acquire(API, "warm")
        await other.bans.add("key", seconds=60)
        await other.aclose()
        redis_client.config_resetstat()
        await asyncio.sleep(1.0)
        assert commands(redis_client) == {}
        assert not (await limiter.acquire(API, "key")).banned


@pytest.mark.slow
async def test_listening_costs_less_than_a_command_a_second(redis_url: str, redis_client: redis.Redis) -> None:
    """What a process that rests sends, and what that has the server do, is counted; the figure is printed."""
    async with listening(redis_url) as limiter:
        await limiter.bans.add("key", seconds=600)
        await asyncio.sleep(0.5)
        redis_client.config_resetstat()
        worked = time.process_time()
        await asyncio.sleep(IDLE_S)
        sent = commands(redis_client)
        print(f"\nin {IDLE_S:g} s: {sent}, {(time.process_time() - worked) * 1000:.1f} ms of the processor")
        assert 0 < sum(sent.values()) <= IDLE_S
        assert (await limiter.acquire(API, "key")).banned


async def test_a_banned_key_costs_no_command(redis_url: str, redis_client: redis.Redis) -> None:
    """Whatever verb it is asked by, the server does not hear of it."""
    async with listening(redis_url) as limiter, Limiter.connect(redis_url, deadline=5) as other:
        await other.bans.add("key", seconds=60)
        await until(lambda: limiter.bans.find("key"))
        await other.aclose()
        await limiter.acquire(API, "warm")
        await asyncio.sleep(0.05)
        redis_client.config_resetstat()
        for _ in range(100):
            decisions = [await limiter.acquire(API, "key"), await limiter.peek(API, "key")]
            decisions += (await limiter.acquire_all([(API, "key"), (STRICT, "other")])).decisions[:1]
            decisions += await limiter.acquire_many([(API, "key")] * 2)
            with pytest.raises(LimitExceededError):
                await limiter.wait(API, "key", timeout=1)
            with pytest.raises(LimitExceededError):
                async with limiter.hold(UPLOADS, "key"):
                    pass
            assert all(decision.banned for decision in decisions)
        assert commands(redis_client) == {}


async def test_a_ban_by_rule_is_heard_by_others(redis_url: str) -> None:
    """It is in force at once where it was counted, and elsewhere as soon as one by hand."""
    async with listening(redis_url) as here, listening(redis_url) as there:
        await here.acquire(STRICT, "key")
        for _ in range(3):
            assert not (await here.acquire(STRICT, "key")).banned
        assert (await here.acquire(STRICT, "key")).banned
        await until(lambda: there.bans.find("key", limit=STRICT), seconds=HEARD_S)
        ban = there.bans.find("key", limit=STRICT)
        assert ban is not None
        assert (ban.reason, ban.times) == ("too many denials", 1)


async def test_two_processes_that_ban_at_once_ban_once(redis_url: str) -> None:
    """The fleet has one ban, which does not escalate because several have counted."""
    async with listening(redis_url) as here, listening(redis_url) as there:
        await here.acquire(STRICT, "key")
        await asyncio.gather(*(limiter.acquire(STRICT, "key") for limiter in (here, there) for _ in range(3)))
        await until(lambda: all(limiter.bans.find("key", limit=STRICT) for limiter in (here, there)))
        await asyncio.sleep(0.05)
        assert [ban.times for limiter in (here, there) for ban in await limiter.bans.in_force()] == [1, 1]


async def test_what_is_known_stays_in_force_while_redis_is_away(own_server: RedisServer) -> None:
    """Until it ends; what is to be changed meanwhile is refused, and the log tells of the loss once."""
    logger = RecordingLogger()
    async with listening(own_server.url, logger=logger) as limiter:
        await limiter.bans.add("short", seconds=1.5)
        await limiter.bans.add("long", seconds=600)
        own_server.kill()
        await until(lambda: logger.named("changes.away"))
        assert (await limiter.acquire(API, "long")).banned
        assert (await limiter.acquire(API, "other")).degraded
        with pytest.raises(StoreError):
            await limiter.bans.add("more")
        await until(lambda: not limiter.bans.find("short"))
        assert (await limiter.acquire(API, "short")).degraded
        assert limiter.engine.ruling.changes.is_away
        own_server.start()
        await until(lambda: logger.named("changes.back") or not limiter.bans.find("long"))
        await until(lambda: not limiter.bans.find("long"))  # a server that has forgotten is believed
        await limiter.bans.add("again")
        assert (await limiter.acquire(API, "again")).banned
    assert (len(logger.named("changes.away")), len(logger.named("changes.back"))) == (1, 1)


async def test_a_ban_by_rule_while_redis_is_away_is_in_force_here(own_server: RedisServer) -> None:
    """Denials that need no server count as ever; what cannot be told to the fleet is a line in the log."""
    logger = RecordingLogger()
    async with listening(own_server.url, logger=logger, deny_cache_s=60) as limiter:
        await limiter.acquire(STRICT, "key")
        assert (await limiter.acquire(STRICT, "key")).source == "redis"
        own_server.kill()
        sources = [(await limiter.acquire(STRICT, "key")).source for _ in range(3)]
        assert sources == ["deny_cache", "deny_cache", "ban"]
        await until(lambda: logger.named("changes.unsent"))
        ban = limiter.bans.find("key", limit=STRICT)
        assert ban is not None
        assert (ban.times, (await limiter.acquire(STRICT, "key")).banned) == (1, True)


async def test_a_server_that_stood_still_is_heard_again(own_server: RedisServer) -> None:
    """Whoever was banned before is banned all the while, and what is changed afterwards is heard."""
    async with listening(own_server.url) as here, listening(own_server.url) as there:
        await here.bans.add("key")
        await until(lambda: there.bans.find("key"))
        own_server.pause()
        await asyncio.sleep(0.3)
        assert (await there.acquire(API, "key")).banned
        own_server.resume()
        await here.bans.lift("key")
        await until(lambda: not there.bans.find("key"))


async def test_a_connection_that_is_lost_is_no_loss(redis_url: str, redis_client: redis.Redis) -> None:
    """The next one hears of what came between, and nobody is told of anything."""
    logger = RecordingLogger()
    async with listening(redis_url, logger=logger) as limiter, Limiter.connect(redis_url, deadline=5) as other:
        await limiter.acquire(API, "warm")
        for number in range(3):
            redis_client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.05)  # else it is written on a connection that has just ended
            await other.bans.add(f"key{number}")
            await until(lambda number=number: limiter.bans.find(f"key{number}"), seconds=HEARD_S)  # type: ignore[misc]  # bound
    assert logger.named("changes.away") == []


@pytest.mark.slow
async def test_an_emptied_server_is_noticed(redis_url: str, redis_client: redis.Redis) -> None:
    """Within some seconds nobody is banned any more, and whoever is banned then is heard of at once."""
    async with listening(redis_url) as here, listening(redis_url) as there:
        await here.bans.add("key")
        await until(lambda: there.bans.find("key"))
        redis_client.flushall()
        took = await until(lambda: not here.bans.find("key") and not there.bans.find("key"))
        print(f"\nnoticed after {took:.1f} s")
        redis_client.flushall()
        await here.bans.add("other")
        await until(lambda: there.bans.find("other"), seconds=HEARD_S)
        assert [ban.key for ban in await there.bans.in_force()] == ["other"]


async def test_it_is_switched_on_and_off_while_it_runs(redis_url: str) -> None:
    """From then on changes are heard, or no more; what is known stays in force."""
    limiter = Limiter.connect(redis_url, deadline=5)
    async with limiter, Limiter.connect(redis_url, deadline=5) as other:
        await other.bans.add("first")
        assert not (await limiter.acquire(API, "first")).banned
        limiter.switch(Features(changes=True))
        await until(lambda: limiter.bans.find("first"))
        limiter.switch(Features())
        await asyncio.sleep(0.05)
        await other.bans.add("second")
        await asyncio.sleep(0.2)
        assert (limiter.bans.find("second"), limiter.features.changes) == (None, False)
        assert (await limiter.acquire(API, "first")).banned
    with pytest.raises(InvalidInputError, match="changes: found 1; accepted: True or False"):
        Limiter(changes=1)  # type: ignore[arg-type]  # that is what is tried


async def test_who_changes_something_listens_from_then_on(redis_url: str) -> None:
    """So that what it has banned is lifted when somebody else lifts it."""
    async with Limiter.connect(redis_url, deadline=5) as limiter, Limiter.connect(redis_url, deadline=5) as other:
        await limiter.bans.add("key")
        await other.bans.lift("key")
        await until(lambda: not limiter.bans.find("key"), seconds=HEARD_S)
        assert (await limiter.acquire(API, "key")).allowed


def test_one_event_loop_after_another_listens(redis_url: str) -> None:
    """A limiter that outlives its event loop hears of changes on the next one as well."""
    limiter = listening(redis_url)

    async def banned(key: str) -> None:
        async with Limiter.connect(redis_url, deadline=5) as other:
            await limiter.acquire(API, "warm")
            await other.bans.add(key)
            await until(lambda: limiter.bans.find(key))

    asyncio.run(banned("one"))
    asyncio.run(banned("other"))
    asyncio.run(limiter.aclose())
    assert limiter.bans.find("one")


async def test_a_switch_that_is_thrown_back_and_forth_ends_as_it_is_left(redis_url: str) -> None:
    """Off and on again at once is on."""
    async with listening(redis_url) as limiter, Limiter.connect(redis_url, deadline=5) as other:
        await limiter.acquire(API, "warm")
        for on in (False, True, False, True):
            limiter.switch(Features(changes=on))
        await asyncio.sleep(0.05)
        await other.bans.add("key")
        await until(lambda: limiter.bans.find("key"), seconds=HEARD_S)
        assert (await limiter.acquire(API, "key")).banned


async def test_who_is_cancelled_misses_nothing(redis_url: str) -> None:
    """However often a verb is given up half-way, what it was being told is told again."""
    async with listening(redis_url) as limiter, Limiter.connect(redis_url, deadline=5) as other:
        for number in range(16):
            await other.bans.add([f"key{number}:{at}" for at in range(600)], seconds=60)
            looking = asyncio.create_task(limiter.bans.in_force())
            await asyncio.sleep(number / 2_000)
            looking.cancel()
        await until(lambda: len(limiter.engine.ruling.by_key) == 16 * 600)
        await other.bans.lift([f"key0:{at}" for at in range(600)])
        await until(lambda: len(limiter.engine.ruling.by_key) == 15 * 600)
        assert limiter.bans.find("key1:0")


async def test_a_remembered_denial_is_none_under_another_rate(redis_url: str) -> None:
    """Who is given more passes at once, and is denied at once when that is taken away."""
    limit = Limit("few", "1/hour", algorithm="fixed_window", on_change="additive")
    async with Limiter.connect(redis_url, deadline=5, deny_cache_s=60) as limiter:
        assert [(await limiter.acquire(limit, "key")).allowed for _ in range(3)] == [True, False, False]
        await limiter.overrides.set(limit, "key", "3/hour")
        assert [(await limiter.acquire(limit, "key")).allowed for _ in range(4)] == [True, True, False, False]
        await limiter.overrides.drop(limit, "key")
        assert not (await limiter.acquire(limit, "key")).allowed


async def test_a_lease_is_none_under_another_rate(redis_url: str) -> None:
    """Units that were taken ahead under one rate are not spent under another, nor by who is banned."""
    limit = Limit("many", "100000/minute", mode="leased")
    async with Limiter.connect(redis_url, deadline=5) as limiter:
        for _ in range(500):
            decision = await limiter.acquire(limit, "key")
            await asyncio.sleep(0)
        assert decision.source == "lease"
        await limiter.overrides.set(limit, "key", "1/minute")
        looked = await limiter.peek(limit, "key", cost=2)
        assert (looked.allowed, looked.source) == (False, "redis")
        decisions = [await limiter.acquire(limit, "key") for _ in range(2)]
        assert [(each.allowed, each.source) for each in decisions] == [(True, "redis"), (False, "redis")]
        await limiter.overrides.drop(limit, "key")
        await limiter.bans.add("key", seconds=60)
        assert (await limiter.acquire(limit, "key")).banned
        joint = await limiter.acquire_all([(limit, "key"), (API, "other")])
        assert joint.binding.banned


async def test_closing_ends_the_listening(redis_url: str, redis_client: redis.Redis) -> None:
    """No task and no connection is left, also when it is closed while it waits."""
    before = len(redis_client.client_list())
    for _ in range(3):
        limiter = listening(redis_url)
        await limiter.start()
        await until(lambda: len(redis_client.client_list()) > before)
        await limiter.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
    await until(lambda: len(redis_client.client_list()) == before)


def test_threads_hear_of_changes_on_their_own_loop(redis_url: str) -> None:
    """Many threads ban, ask and lift at once through blocking limiters; each sees its own at once, others soon."""
    with (
        BlockingLimiter.connect(redis_url, changes=True, deadline=5, logger=NullLogger()) as here,
        BlockingLimiter.connect(redis_url, changes=True, deadline=5, logger=NullLogger()) as there,
    ):
        wrong: list[str] = []

        def work(number: int) -> None:
            key = f"key{number}"
            here.bans.add(key, seconds=60)
            if not here.acquire(API, key).banned:
                wrong.append(key)
            deadline = time.monotonic() + HEARD_S
            while not there.acquire(API, key).banned:
                if time.monotonic() > deadline:
                    wrong.append(f"{key} elsewhere")
                    break
                time.sleep(0.005)
            there.bans.lift(key)

        threads = [threading.Thread(target=work, args=[number]) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert there.bans.in_force() == ()


async def test_many_changes_at_once_are_all_heard(redis_url: str) -> None:
    """Ten thousand keys in ten calls are known to another process, and the eleventh call is refused."""
    async with listening(redis_url) as here, listening(redis_url) as there:
        for first in range(0, 10_000, 1_000):
            await here.bans.add([f"key{first + at}" for at in range(1_000)], seconds=60)
        took = await until(lambda: len(there.engine.ruling.by_key) == 10_000)
        print(f"\nall of 10,000 known after {took * 1000:.0f} ms")
        with pytest.raises(StoreError, match="10,000 are in force"):
            await here.bans.add("one more")
        assert len(await there.bans.in_force(most=10_000)) == 10_000
