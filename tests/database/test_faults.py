"""Faults on a real connection: a lost answer leaves the outcome unknown, is told in time, and repeats nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sluicegate.database import Script, ScriptCall
from sluicegate.utils import OutcomeUnknownError, StoreError, StoreUnavailableError
from tests.database.calling import (
    COUNT,
    DEADLINE_US,
    KEY,
    LOOK,
    calls_of,
    connected,
    connection_id,
    connections_of,
    count,
    counted,
    outcome_of_count,
    until,
)
from tests.timing import GRACE_S, lag_watched, timed

if TYPE_CHECKING:
    import redis

    from sluicegate.database.standalone import StandaloneClient
    from tests.faults_proxy import FaultProxy

SHORT_US = 50_000
REPLY = b":1\r\n"  # what the first count is answered
LONG = Script.of(
    "long", "redis.call('INCR', KEYS[1]) redis.call('PEXPIRE', KEYS[1], 9000) return string.rep('x', 3000)"
)


@pytest.mark.parametrize("sent", range(len(REPLY)))
async def test_a_reply_that_is_cut_leaves_the_outcome_unknown(
    proxy: FaultProxy, through: StandaloneClient, redis_client: redis.Redis, sent: int
) -> None:
    """Wherever the reply was cut, the server has counted once, and the next call counts once more."""
    proxy.cut_after = sent
    with pytest.raises(OutcomeUnknownError) as caught:
        await count(through)
    assert caught.value.operation == "run count"
    assert counted(redis_client) == 1
    assert await count(through) == 2


async def test_a_reply_that_came_whole_counts_though_the_end_follows(
    proxy: FaultProxy, through: StandaloneClient
) -> None:
    """A connection that ends right behind the reply takes nothing from it."""
    proxy.cut_after = len(REPLY)
    assert await count(through) == 1
    await asyncio.sleep(0.02)  # the end arrives behind the reply
    assert await count(through) == 2


async def test_a_long_reply_that_is_cut_is_no_reply(
    proxy: FaultProxy, through: StandaloneClient, redis_client: redis.Redis
) -> None:
    """Half of a text is never taken for the whole of it."""
    await through.run(LONG, [b"warm"], [], read_only=False, deadline_us=DEADLINE_US)
    for cut_after in (4, 1500, 3007):
        proxy.cut_after = cut_after
        with pytest.raises(OutcomeUnknownError):
            await through.run(LONG, [KEY], [], read_only=False, deadline_us=DEADLINE_US)
    assert counted(redis_client) == 3


async def test_several_calls_whose_replies_are_cut_are_all_unknown(
    proxy: FaultProxy, through: StandaloneClient, redis_client: redis.Redis
) -> None:
    """Of calls in one round trip none is repeated when the connection is lost behind the first reply."""
    calls = [ScriptCall(COUNT, [KEY], [], read_only=False, deadline_us=DEADLINE_US)] * 5
    redis_client.config_resetstat()
    proxy.cut_after = len(REPLY) + 2
    with pytest.raises(OutcomeUnknownError):
        await through.run_many(calls)
    done = counted(redis_client)
    assert 1 <= done <= 5  # some may not have left when the connection went
    assert calls_of(redis_client, "evalsha") == done


@pytest.mark.parametrize("deadline_us", [5_000, 50_000, 200_000])
async def test_a_swallowed_reply_is_answered_in_time(
    proxy: FaultProxy, through: StandaloneClient, redis_client: redis.Redis, deadline_us: int
) -> None:
    """Where no answer comes, each call ends at its deadline with the outcome unknown, and was sent once."""
    proxy.swallow = True
    async with lag_watched() as lag:
        error, seconds = await timed(outcome_of_count(through, deadline_us=deadline_us))
    assert isinstance(error, OutcomeUnknownError)
    assert error.reason == f"no answer within {deadline_us / 1000:g} ms"
    assert deadline_us / 1_000_000 <= seconds <= deadline_us / 1_000_000 + GRACE_S + lag.worst_s
    await until(lambda: counted(redis_client) == 1)
    proxy.swallow = False
    assert await count(through) == 2


async def test_many_swallowed_replies_are_all_answered_in_time(
    proxy: FaultProxy, through: StandaloneClient, redis_client: redis.Redis
) -> None:
    """Calls at once, on their connections or waiting for one, all end at their deadlines; nothing counts twice."""
    await asyncio.gather(*[through.execute("BLPOP", "none", 0.05) for _ in range(4)])  # opens four connections
    proxy.swallow = True
    async with lag_watched() as lag:
        ended = await asyncio.gather(*[timed(outcome_of_count(through, deadline_us=SHORT_US)) for _ in range(7)])
    assert {type(error) for error, _ in ended} == {OutcomeUnknownError, StoreUnavailableError}
    assert max(seconds for _, seconds in ended) <= SHORT_US / 1_000_000 + GRACE_S + lag.worst_s
    unknown = sum(isinstance(error, OutcomeUnknownError) for error, _ in ended)
    assert counted(redis_client) <= unknown


async def test_a_late_reply_reaches_nobody(proxy: FaultProxy, through: StandaloneClient) -> None:
    """The reply that comes after its caller has gone is not the answer of the next."""
    proxy.delay_s = 0.1
    with pytest.raises(OutcomeUnknownError):
        await through.execute("ECHO", "first", deadline_us=SHORT_US)
    proxy.delay_s = 0.0
    assert await through.execute("ECHO", "second") == b"second"
    await asyncio.sleep(0.12)
    assert await through.execute("ECHO", "third") == b"third"


async def test_what_is_no_reply_leaves_the_outcome_unknown(
    proxy: FaultProxy, through: StandaloneClient, redis_client: redis.Redis
) -> None:
    """Bytes that no server sends are told as a lost answer, and the connection is not used again."""
    before = await connection_id(through)
    proxy.rewrite = (b":1\r\n", b"?1\r\n")
    with pytest.raises(OutcomeUnknownError, match="InvalidResponse"):
        await count(through)
    proxy.rewrite = None
    assert counted(redis_client) == 1
    assert await connection_id(through) != before


async def test_a_look_that_is_lost_is_not_repeated_either(
    proxy: FaultProxy, through: StandaloneClient, redis_client: redis.Redis
) -> None:
    """The client repeats nothing, not even what would do no harm: above it somebody knows the deadline."""
    redis_client.config_resetstat()
    proxy.cut_after = 0
    with pytest.raises(OutcomeUnknownError):
        await through.run(LOOK, [KEY], [], read_only=True, deadline_us=DEADLINE_US)
    assert calls_of(redis_client, "evalsha_ro") == 1


async def test_a_call_that_never_got_a_connection_did_nothing(proxy: FaultProxy, redis_client: redis.Redis) -> None:
    """Who went while the connection was still being opened is told that nothing was sent, and nothing was."""
    proxy.swallow = True
    async with connected(proxy.url) as client:
        error = await outcome_of_count(client, deadline_us=SHORT_US)
        assert type(error) is StoreUnavailableError
        proxy.swallow = False
    assert counted(redis_client) == 0


async def test_every_call_is_answered_when_all_connections_are_cut(
    proxy: FaultProxy, through: StandaloneClient, redis_client: redis.Redis
) -> None:
    """Connections are cut again and again: what was answered was counted, and at most what is unknown beside it."""
    numbers: list[int] = []
    errors: list[StoreError] = []

    async def call() -> None:
        while len(numbers) < 200:
            outcome = await outcome_of_count(through, deadline_us=1_000_000)
            if isinstance(outcome, int):
                numbers.append(outcome)
            else:
                errors.append(outcome)
                await asyncio.sleep(0.002)

    async def cut() -> None:
        while len(numbers) < 200:
            await asyncio.sleep(0.01)
            await asyncio.to_thread(proxy.cut_all)

    seen = connections_of(redis_client)
    await asyncio.gather(*[call() for _ in range(5)], cut())
    unknown = sum(isinstance(error, OutcomeUnknownError) for error in errors)
    print(f"\n{len(numbers)} answered, {unknown} unknown, {connections_of(redis_client) - seen} connections")
    assert len(set(numbers)) == len(numbers)
    assert len(numbers) <= counted(redis_client) <= len(numbers) + unknown
    assert unknown > 0


async def test_a_lost_load_leaves_no_doubt(proxy: FaultProxy, redis_client: redis.Redis) -> None:
    """Whether a script was loaded may be unknown; that it has not run is not."""
    async with connected(proxy.url) as client:
        await asyncio.gather(*[client.execute("BLPOP", "none", 0.05) for _ in range(2)])  # opens two connections
        redis_client.script_flush()
        proxy.cut_after = 0
        with pytest.raises(StoreUnavailableError) as caught:
            await count(client)
        assert caught.value.operation == "run count"
        assert counted(redis_client) == 0
        assert await count(client) == 1


async def test_a_load_that_hangs_leaves_no_doubt(proxy: FaultProxy, redis_client: redis.Redis) -> None:
    """Who gives up while a script is still being loaded is told that nothing was sent, and nothing was."""
    async with connected(proxy.url) as client:
        await count(client)
        redis_client.flushall()
        redis_client.script_flush()
        proxy.before_request = lambda data: setattr(proxy, "swallow", b"LOAD" in data)
        error = await outcome_of_count(client, deadline_us=SHORT_US)
        assert type(error) is StoreUnavailableError
        assert error.reason == "no answer within 50 ms"
    assert counted(redis_client) == 0


async def test_a_lost_connection_is_replaced_at_once(proxy: FaultProxy, through: StandaloneClient) -> None:
    """A connection that was lost is no failed attempt: the next call waits for no pause."""
    for number in range(1, 20):
        proxy.cut_after = 0
        with pytest.raises(OutcomeUnknownError):
            await count(through)
        (reply, seconds) = await timed(count(through))
        assert reply == 2 * number
        assert seconds < 1
