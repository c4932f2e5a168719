"""Who finds all connections in use waits in line for one, and whoever comes first is served first."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from sluicegate.database import Access, ScriptCall
from sluicegate.database.standalone import StandaloneClient
from sluicegate.utils import LimiterClosedError, StoreOverloadedError
from tests.database.calling import COUNT, DEADLINE_US, KEY, blocked, connections_of, count, counted, until
from tests.timing import lag_watched, timed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis

    from tests.servers import RedisServer

LEAST = 2
CALLERS = 64


@asynccontextmanager
async def few(url: str, most: int = LEAST) -> AsyncIterator[StandaloneClient]:
    """A client with few connections."""
    client = StandaloneClient(url, Access(connections_max=most))
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def all_in_use(client: StandaloneClient, server: redis.Redis) -> AsyncIterator[list[asyncio.Task[object]]]:
    """All connections wait for lists, from ``list0`` on, which are given something in the end."""
    waiting = [
        asyncio.create_task(client.execute("BLPOP", f"list{at}", 5, deadline_us=DEADLINE_US)) for at in range(LEAST)
    ]
    await until(lambda: blocked(server) == LEAST)
    try:
        yield waiting
    finally:
        for at in range(LEAST):
            server.rpush(f"list{at}", "x")
        await asyncio.gather(*waiting, return_exceptions=True)
        server.delete(*[f"list{at}" for at in range(LEAST)])


@pytest.mark.parametrize("most", [LEAST, 3, 8])
async def test_whoever_asks_at_once_is_answered(most: int, redis_url: str, redis_client: redis.Redis) -> None:
    """More callers than connections meet a server without the script, again and again: each is answered once."""
    async with few(redis_url, most) as client:
        for _ in range(3):
            redis_client.script_flush()
            await asyncio.gather(*[count(client) for _ in range(CALLERS)])
    assert counted(redis_client) == 3 * CALLERS


@pytest.mark.parametrize("most", [LEAST, 8])
async def test_batches_at_once_are_answered(most: int, redis_url: str, redis_client: redis.Redis) -> None:
    """The same holds for whole batches, each of which loads what the server does not know."""
    calls = [ScriptCall(COUNT, [KEY], [], read_only=False, deadline_us=DEADLINE_US)] * 4
    async with few(redis_url, most) as client:
        for _ in range(3):
            redis_client.script_flush()
            told = await asyncio.gather(*[client.run_many(calls) for _ in range(CALLERS)])
            assert all(isinstance(reply, int) for replies in told for reply in replies)
    assert counted(redis_client) == 3 * 4 * CALLERS


async def test_whoever_came_first_is_served_first(redis_url: str, redis_client: redis.Redis) -> None:
    """Turns come in the order of arrival, and nobody who comes later goes between."""
    async with few(redis_url) as client:
        async with all_in_use(client, redis_client):
            waiting = [asyncio.create_task(client.execute("RPUSH", "order", at)) for at in range(20)]
            await asyncio.sleep(0)  # they are in line
            redis_client.rpush("list0", "x")
            await asyncio.gather(*waiting)
        assert await client.execute("LRANGE", "order", 0, -1) == [b"%d" % at for at in range(20)]
    redis_client.delete("order")


async def test_who_is_cancelled_gives_up_its_place(redis_url: str, redis_client: redis.Redis) -> None:
    """Those behind it are served, and no connection is lost with it."""
    async with few(redis_url) as client:
        async with all_in_use(client, redis_client):
            gone, left = (asyncio.create_task(client.execute("PING")) for _ in range(2))
            await asyncio.sleep(0)
            gone.cancel()
            redis_client.rpush("list0", "x")
            assert await left == b"PONG"
            assert (await asyncio.gather(gone, return_exceptions=True))[0].__class__ is asyncio.CancelledError
        seen = connections_of(redis_client)
        await asyncio.gather(*[client.execute("PING") for _ in range(CALLERS)])
        assert connections_of(redis_client) == seen


@pytest.mark.parametrize("is_first_to_go", [True, False])
async def test_a_turn_that_comes_to_who_just_goes_is_the_next_ones(
    is_first_to_go: bool, redis_url: str, redis_client: redis.Redis
) -> None:
    """A caller that is cancelled in the very moment in which a connection is put back loses none."""
    async with few(redis_url) as client:
        await asyncio.gather(*[client.execute("BLPOP", "none", 0.02) for _ in range(LEAST)])
        connections = client._node._connections
        taken = [await connections.take("test") for _ in range(LEAST)]
        gone, left = (asyncio.create_task(connections.take("test")) for _ in range(2))
        await asyncio.sleep(0)
        if is_first_to_go:
            gone.cancel()
        connections.put_back(taken[0])
        gone.cancel()
        assert await left is taken[0]
        connections.put_back(taken[0])
        connections.put_back(taken[1])
        assert connections.idle() is taken[1]
        assert connections.idle() is taken[0]


async def test_a_connection_that_ends_on_its_way_is_not_handed_out(redis_url: str, redis_client: redis.Redis) -> None:
    """Between putting back and taking the server may close it: whoever was to have it gets another."""
    async with few(redis_url) as client:
        await client.execute("PING")
        connections = client._node._connections
        taken = [await connections.take("test") for _ in range(LEAST)]
        waiting = asyncio.create_task(connections.take("test"))
        await asyncio.sleep(0)
        connections.put_back(taken[0])
        taken[0].eof_received()
        other = await waiting
        assert other not in taken
        assert other.usable
        connections.put_back(other)


async def test_who_waits_gets_another_for_one_that_ended(redis_url: str, redis_client: redis.Redis) -> None:
    """When the server ends the connections that are in use, those in line have others opened."""
    async with few(redis_url) as client, all_in_use(client, redis_client):
        waiting = [asyncio.create_task(client.execute("PING")) for _ in range(CALLERS)]
        await asyncio.sleep(0)
        redis_client.client_kill_filter(_type="normal", skipme=True)
        assert await asyncio.gather(*waiting) == [b"PONG"] * CALLERS


async def test_a_full_server_goes_on_with_the_connections_that_it_has(
    redis_server: RedisServer, redis_url: str, redis_client: redis.Redis
) -> None:
    """Where another connection is refused, callers take turns on the one that is open."""
    most = redis_client.config_get("maxclients")["maxclients"]
    async with few(redis_url) as client:
        await count(client)
        redis_client.config_set("maxclients", len(redis_client.client_list()))
        try:
            outcomes = await asyncio.gather(*[count(client) for _ in range(CALLERS)], return_exceptions=True)
        finally:
            redis_client.config_set("maxclients", most)
    assert [outcome for outcome in outcomes if not isinstance(outcome, int)] == []


async def test_closing_tells_who_waits_in_line(redis_url: str, redis_client: redis.Redis) -> None:
    """Nobody waits for a connection of a client that is closed."""
    async with few(redis_url) as client, all_in_use(client, redis_client):
        waiting = [asyncio.create_task(count(client)) for _ in range(3)]
        waiting += [asyncio.create_task(client.execute("PING")) for _ in range(3)]
        await asyncio.sleep(0.02)
        await client.aclose()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
    assert {type(outcome) for outcome in outcomes} == {LimiterClosedError}


def test_a_child_does_not_wait_for_its_parent(redis_url: str, redis_client: redis.Redis) -> None:
    """Who begins anew after a fork has a line and connections of its own, and the parent's line goes on."""
    client = StandaloneClient(redis_url, Access(connections_max=LEAST))
    with asyncio.Runner() as runner:

        async def line() -> list[asyncio.Task[object]]:
            held = [asyncio.create_task(client.execute("BLPOP", "list0", 5, deadline_us=DEADLINE_US)) for _ in "ab"]
            await until(lambda: blocked(redis_client) == LEAST)
            held += [asyncio.create_task(client.execute("PING", deadline_us=DEADLINE_US)) for _ in range(3)]
            await asyncio.sleep(0)
            return held

        async def ended(tasks: list[asyncio.Task[object]]) -> list[object]:
            redis_client.rpush("list0", "x", "x")
            told = await asyncio.gather(*tasks)
            await client.aclose()
            return told[LEAST:]

        tasks = runner.run(line())
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(10)
                client.after_fork()
                os._exit(0 if asyncio.run(count(client)) == 1 else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert runner.run(ended(tasks)) == [b"PONG"] * 3
    assert counted(redis_client) == 1


async def test_the_line_is_bounded(redis_url: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes when as many wait as may is refused at once."""
    monkeypatch.setattr("sluicegate.database.connections.WAITING_MAX", 3)
    async with few(redis_url) as client, all_in_use(client, redis_client):
        waiting = [asyncio.create_task(client.execute("PING")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(StoreOverloadedError, match="3 calls wait already for 2 connections"):
            await client.execute("PING")
        redis_client.rpush("list0", "x")
        assert await asyncio.gather(*waiting) == [b"PONG"] * 3


async def test_what_could_not_be_answered_in_time_is_not_sent(redis_url: str, redis_client: redis.Redis) -> None:
    """A caller whose turn comes at the last moment leaves the connection to the next instead of spoiling it."""
    async with few(redis_url) as client, all_in_use(client, redis_client), lag_watched() as lag:
        refused, seconds = await timed(
            asyncio.gather(client.execute("PING", deadline_us=500_000), return_exceptions=True)
        )
    assert type(refused[0]) is StoreOverloadedError
    assert 0.449 <= seconds < 0.5 + lag.worst_s
