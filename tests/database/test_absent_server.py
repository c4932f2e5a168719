"""A server that is killed, restarted or paused: every call ends in time, and the client finds back by itself."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import redis

from sluicegate.utils import OutcomeUnknownError, StoreError, StoreUnavailableError
from tests.database.calling import connected, count, counted, outcome_of_count
from tests.faults_proxy import FaultProxy
from tests.servers import RedisServer
from tests.timing import GRACE_S, lag_watched, timed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluicegate.database.standalone import StandaloneClient

SHORT_US = 50_000
BACK_SECONDS_MAX = 1.0 + 0.1  # the longest pause between attempts, and the attempt


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of its own, which may come and go."""
    with RedisServer() as made:
        yield made


async def outcomes_for(client: StandaloneClient, seconds: float) -> list[tuple[int | StoreError, float]]:
    """Count one after another for some seconds: how each call ended, and after how many seconds."""
    until_s = time.monotonic() + seconds
    ended = []
    while time.monotonic() < until_s:
        ended.append(await timed(outcome_of_count(client, deadline_us=SHORT_US)))
        await asyncio.sleep(0.002)
    return ended


async def answered_again(client: StandaloneClient) -> tuple[int, float]:
    """Count until it is answered: the number, and the seconds that it took to find back."""
    begun = time.monotonic()
    while not isinstance(reply := await outcome_of_count(client, deadline_us=SHORT_US), int):
        assert time.monotonic() < begun + 10
        await asyncio.sleep(0.005)
    return reply, time.monotonic() - begun


async def test_a_restarted_server_is_found_again(server: RedisServer) -> None:
    """After a restart the client connects, loads its script and counts; the server's run is another."""
    async with connected(server.url) as client, lag_watched() as lag:
        assert await count(client) == 1
        (before,) = await client.identity()
        server.kill()
        ended = await outcomes_for(client, 0.2)
        assert all(isinstance(outcome, StoreUnavailableError | OutcomeUnknownError) for outcome, _ in ended)
        assert max(seconds for _, seconds in ended) <= SHORT_US / 1_000_000 + GRACE_S + lag.worst_s
        server.start()
        number, seconds = await answered_again(client)
        assert number == 1  # it kept nothing
        assert seconds <= BACK_SECONDS_MAX + lag.worst_s
        (after,) = await client.identity()
        assert (after.node, after.run_id == before.run_id) == (before.node, False)


async def test_a_quick_restart_costs_a_call_at_most(server: RedisServer) -> None:
    """A server that is back before the next call is used without a pause: idle connections were no attempts."""
    async with connected(server.url) as client:
        await count(client)
        server.kill()
        server.start()
        number, seconds = await answered_again(client)
        assert number == 1
        assert seconds < 1


async def test_a_killed_server_ends_the_call_under_way(server: RedisServer) -> None:
    """Who waits for a reply when the server dies is told long before the deadline, and that nobody knows."""
    async with connected(server.url) as client:
        waiting = asyncio.create_task(timed(_outcome_of_wait(client)))
        while b"blocked_clients:1" not in await client.execute("INFO", "clients"):
            pass
        server.kill()
        error, seconds = await waiting
        assert isinstance(error, OutcomeUnknownError)
        assert seconds < 5


async def _outcome_of_wait(client: StandaloneClient) -> StoreError | None:
    try:
        await client.execute("BLPOP", "none", 0, deadline_us=30_000_000)
    except StoreError as error:
        return error
    return None


async def test_calls_to_a_paused_server_end_in_time(server: RedisServer) -> None:
    """While the server is stopped each call ends at its deadline, few connections are tried, nothing is repeated."""
    with FaultProxy(server.port) as proxy, redis.Redis.from_url(server.url) as admin:
        async with connected(proxy.url, connect_timeout=0.3) as client, lag_watched() as lag:
            assert await count(client) == 1
            seen = proxy.connections
            server.pause()
            ended = await outcomes_for(client, 1.0)
            tried = proxy.connections - seen
            server.resume()
            number, seconds = await answered_again(client)
        kinds = {type(outcome) for outcome, _ in ended}
        unknown = sum(isinstance(outcome, OutcomeUnknownError) for outcome, _ in ended)
        longest_s = max(seconds for _, seconds in ended)
        print(f"\n{len(ended)} calls, {unknown} unknown, longest {longest_s * 1000:.1f} ms, {tried} connections tried")
        assert kinds == {OutcomeUnknownError, StoreUnavailableError}
        assert longest_s <= SHORT_US / 1_000_000 + GRACE_S + lag.worst_s
        assert tried <= 4  # one at a time, each given up after 0.3 s and a pause
        assert seconds <= BACK_SECONDS_MAX + lag.worst_s
        assert 2 <= number <= 2 + unknown
        assert number == counted(admin)


async def test_what_was_sent_to_a_paused_server_happens_once(server: RedisServer) -> None:
    """The request that was in the server's socket when it was stopped is done when it goes on, once."""
    with redis.Redis.from_url(server.url) as admin:
        async with connected(server.url) as client:
            assert await count(client) == 1
            server.pause()
            error = await outcome_of_count(client, deadline_us=SHORT_US)
            assert isinstance(error, OutcomeUnknownError)
            server.resume()
            number, _ = await answered_again(client)
        assert number - 1 in {1, 2}
        assert counted(admin) == number


async def test_a_client_outlives_many_restarts(server: RedisServer) -> None:
    """However often the server goes, the client comes back, and holds no more connections than it uses."""
    async with connected(server.url) as client:
        for _ in range(5):
            await answered_again(client)
            server.kill()
            assert isinstance(await outcome_of_count(client, deadline_us=SHORT_US), StoreError)
            server.start()
        await answered_again(client)
        with redis.Redis.from_url(server.url) as admin:
            assert len(admin.client_list()) <= 1 + 3
