"""Connections are few, opened without a storm, never shared by two calls, and never used when something is wrong."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from sluicegate.database import Access
from sluicegate.database.standalone import StandaloneClient
from sluicegate.utils import (
    LimiterClosedError,
    OutcomeUnknownError,
    StoreAuthenticationError,
    StoreError,
    StoreOverloadedError,
    StoreUnavailableError,
)
from tests.database.calling import (
    blocked,
    connected,
    connection_id,
    connections_of,
    count,
    counted,
    outcome_of_count,
    until,
)
from tests.faults_proxy import FaultProxy
from tests.servers import RedisServer, free_port
from tests.timing import GRACE_S, lag_watched, timed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import redis

CONNECTIONS_MAX = Access().connections_max
DEADLINE_US = 50_000
STORM_S = 1.0
# After each failure the pause doubles from 0.05 s, at least half of it: at 0, 25, 75, 175, 375 and 775 ms.
ATTEMPTS_MAX = 6


@pytest.fixture
def guarded() -> Iterator[RedisServer]:
    """A server that wants a password."""
    with RedisServer() as server:
        server.command("CONFIG", "SET", "requirepass", "right")
        yield server


async def besiege(client: StandaloneClient, seconds: float, callers: int = 20) -> set[type]:
    """Let callers ask again as soon as they are answered, and return how they were answered."""
    until_s = time.monotonic() + seconds
    kinds: set[type] = set()

    async def ask() -> None:
        while time.monotonic() < until_s:
            kinds.add(type(await outcome_of_count(client, deadline_us=DEADLINE_US)))
            await asyncio.sleep(0.001)

    await asyncio.gather(*[ask() for _ in range(callers)])
    return kinds


async def test_a_refusing_server_sees_no_storm(proxy: FaultProxy) -> None:
    """Twenty callers that ask without rest make an attempt now and then, and are told that it is away."""
    proxy.refuse = True
    async with connected(proxy.url) as client:
        assert await besiege(client, STORM_S) == {StoreUnavailableError}
    assert 3 <= proxy.connections <= ATTEMPTS_MAX


async def test_a_closed_port_is_told_at_once() -> None:
    """Where nobody listens the answer comes long before the deadline, with the reason and without an attempt each."""
    async with connected(f"redis://127.0.0.1:{free_port()}") as client, lag_watched() as lag:
        for _ in range(3):
            error, seconds = await timed(outcome_of_count(client, deadline_us=5_000_000))
            assert isinstance(error, StoreUnavailableError)
            assert error.operation == "run count"
            assert "127.0.0.1" in error.reason
            assert seconds <= 0.1 + lag.worst_s


async def test_who_was_refused_is_back_within_a_second(proxy: FaultProxy, redis_client: redis.Redis) -> None:
    """When connections are accepted again, calls are answered after at most the longest pause."""
    proxy.refuse = True
    async with connected(proxy.url) as client, lag_watched() as lag:
        await besiege(client, 0.3)
        proxy.refuse = False
        begun = time.monotonic()
        while not isinstance(await outcome_of_count(client, deadline_us=5_000_000), int):
            assert time.monotonic() - begun < 1 + 2 * GRACE_S + lag.worst_s
            await asyncio.sleep(0.005)
    assert counted(redis_client) == 1


async def test_failed_attempts_keep_nothing(proxy: FaultProxy) -> None:
    """However often a connection could not be opened, none of those attempts counts against the bound."""
    proxy.refuse = True
    async with connected(proxy.url, connect_timeout=0.01) as client:
        for _ in range(3 * CONNECTIONS_MAX):
            with pytest.raises(StoreUnavailableError):
                await client.start()
        proxy.refuse = False
        client._node._connections.retry_now()
        assert await client.execute("PING") == b"PONG"


async def test_pauses_begin_anew_after_a_success(proxy: FaultProxy) -> None:
    """A server that was away for long and came back is tried again soon when it is lost once more."""
    proxy.refuse = True
    async with connected(proxy.url) as client:
        for _ in range(8):  # the next pause would be a second
            with pytest.raises(StoreUnavailableError):
                await client.execute("PING")
            client._node._connections.retry_now()
        proxy.refuse = False
        await client.execute("PING")
        proxy.refuse = True
        proxy.cut_all()
        await asyncio.sleep(0.02)  # until the client sees the end
        with pytest.raises(StoreUnavailableError):
            await client.execute("PING")
        proxy.refuse = False
        await asyncio.sleep(0.1)  # the shortest pause is over, the next longer ones are not
        assert await client.execute("PING") == b"PONG"


async def test_a_server_that_never_answers_sees_one_attempt(proxy: FaultProxy) -> None:
    """While a handshake hangs, callers go at their deadlines, and the one attempt goes on."""
    proxy.swallow = True
    async with connected(proxy.url, connect_timeout=5) as client, lag_watched() as lag:
        begun = time.monotonic()
        while time.monotonic() - begun < 0.4:
            error, seconds = await timed(outcome_of_count(client, deadline_us=DEADLINE_US))
            assert isinstance(error, StoreUnavailableError)
            assert seconds <= DEADLINE_US / 1_000_000 + GRACE_S + lag.worst_s
        assert proxy.connections == 1


async def test_a_hanging_handshake_ends_at_the_connect_timeout(proxy: FaultProxy) -> None:
    """Who has the patience is told when the attempt was given up, and the next attempt is not at once."""
    proxy.swallow = True
    async with connected(proxy.url, connect_timeout=0.1) as client, lag_watched() as lag:
        error, seconds = await timed(outcome_of_count(client, deadline_us=5_000_000))
        assert isinstance(error, StoreUnavailableError)
        assert error.reason == "no connection within 0.1 s"
        assert 0.1 <= seconds <= 0.1 + GRACE_S + lag.worst_s
        again = await outcome_of_count(client, deadline_us=5_000_000)
        assert str(again) == str(error)
        assert proxy.connections == 1


async def test_a_wrong_password_is_tried_once(guarded: RedisServer) -> None:
    """Refused credentials are not offered again for many calls, and no message shows them."""
    url = guarded.url.replace("redis://", "redis://:hunter2@")
    with FaultProxy(guarded.port) as proxy:
        async with connected(url.replace(str(guarded.port), str(proxy.port))) as client:
            first = await outcome_of_count(client, deadline_us=5_000_000)  # however long the attempt takes here
            assert isinstance(first, StoreAuthenticationError)
            assert await besiege(client, 0.5) == {StoreAuthenticationError}
            error = await outcome_of_count(client, deadline_us=DEADLINE_US)
        assert proxy.connections == 1
    assert "invalid username-password pair" in str(error)
    assert "hunter2" not in repr(error)


async def test_no_password_is_a_matter_of_credentials(guarded: RedisServer) -> None:
    """A server that wants a password from who brings none is not away."""
    async with connected(guarded.url) as client:
        with pytest.raises(StoreAuthenticationError):
            await client.start()


async def test_a_start_tries_the_password_again(guarded: RedisServer) -> None:
    """Who starts anew after the password was put right does not wait out the pause."""
    async with connected(guarded.url.replace("redis://", "redis://:left@")) as client:
        with pytest.raises(StoreAuthenticationError):
            await client.start()
        with pytest.raises(StoreAuthenticationError):
            await count(client)
        async with connected(guarded.url.replace("redis://", "redis://:right@")) as admin:
            await admin.execute("CONFIG", "SET", "requirepass", "left")
        await client.start()
        assert await count(client) == 1


async def test_a_tls_handshake_that_is_refused_is_not_repeated() -> None:
    """A server that speaks no TLS is a matter of credentials, tried once, and never spoken to in plain."""
    heard = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.read(65_536))[:1])
        writer.write(b"-ERR Protocol error\r\n")
        with suppress(OSError):
            await reader.read()  # until the client has gone
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, connected(f"rediss://127.0.0.1:{port}") as client:
        for _ in range(3):
            with pytest.raises(StoreAuthenticationError, match="SSL"):
                await count(client)
    assert heard == [b"\x16"]  # what a handshake begins with


@asynccontextmanager
async def speaking(*replies: bytes) -> AsyncIterator[str]:
    """A server that answers what it hears with one reply after another, whatever was asked; its port and host."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.readuntil(b"\r\n")
            writer.write(reply)
        with suppress(OSError):
            await reader.read()  # until the client has gone
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("greeting", [b"+OK\r\n", b"*0\r\n", b":3\r\n"])
async def test_a_handshake_that_is_none_is_a_failed_attempt(greeting: bytes) -> None:
    """A server that answers the credentials with nonsense is away, like one that does not answer."""
    async with speaking(greeting) as host, connected(f"redis://:secret@{host}?protocol=3") as client:
        for _ in range(2):
            assert isinstance(await outcome_of_count(client, deadline_us=5_000_000), StoreUnavailableError)


async def test_a_server_that_says_too_much_at_first_is_not_used(redis_client: redis.Redis) -> None:
    """What stands behind the handshake's replies is no caller's reply: the attempt has failed."""
    greeting = [b"%1\r\n$5\r\nproto\r\n:3\r\n+OK\r\n+OK\r\n:4711\r\n"]
    async with speaking(*greeting) as host, connected(f"redis://{host}?protocol=3") as client:
        error = await outcome_of_count(client, deadline_us=5_000_000)
    assert isinstance(error, StoreUnavailableError)
    assert "said what nobody had asked for" in error.reason


async def test_what_the_server_pushes_is_no_reply(redis_url: str, redis_client: redis.Redis) -> None:
    """A message that the server pushes while a call waits is passed over, and the call has its own reply."""
    async with connected(f"{redis_url}?protocol=3") as client:
        await client.execute("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "list")
        before = await connection_id(client)
        waiting = asyncio.create_task(client.execute("BLPOP", "list", 5))
        await until(lambda: blocked(redis_client) == 1)
        redis_client.set("list of others", "", ex=60)
        await asyncio.sleep(0.02)  # the message arrives
        assert not waiting.done()
        redis_client.rpush("list", "own")
        assert await waiting == [b"list", b"own"]
        await asyncio.sleep(0.02)  # the message of the list itself arrives when nobody waits
        assert await connection_id(client) != before


async def test_a_client_that_is_dropped_closes_its_connections(redis_url: str, redis_client: redis.Redis) -> None:
    """Who forgets to close is warned, and the server is left no connection."""
    client = StandaloneClient(redis_url, Access())
    await count(client)
    # Whether it goes at once or with the collector, and how many of its parts warn, depends on who holds whom by then.
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del client
        gc.collect()
    assert any("unclosed Connection" in str(each.message) for each in told)
    await until(lambda: len(redis_client.client_list()) == 1)


async def test_what_the_server_closed_meanwhile_is_replaced_unseen(
    client: StandaloneClient, redis_client: redis.Redis
) -> None:
    """An idle connection that the server has ended costs the next call nothing but another connection."""
    await count(client)
    before, seen = await connection_id(client), connections_of(redis_client)
    redis_client.client_kill_filter(_type="normal", skipme=True)
    await asyncio.sleep(0.02)
    assert await count(client) == 2
    assert await connection_id(client) != before
    assert connections_of(redis_client) == seen + 1


async def test_a_reply_that_nobody_asked_for_reaches_nobody(proxy: FaultProxy, through: StandaloneClient) -> None:
    """A connection on which something waits to be read is given up, not used."""
    before = await connection_id(through)
    proxy.inject(b":4711\r\n")
    await asyncio.sleep(0.05)
    assert await count(through) == 1
    assert await connection_id(through) != before


async def test_calls_at_once_have_connections_of_their_own(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """Each of several waiting calls has the reply of its own command."""
    waiting = [asyncio.create_task(client.execute("BLPOP", f"list{number}", 5)) for number in range(CONNECTIONS_MAX)]
    await until(lambda: blocked(redis_client) == CONNECTIONS_MAX)
    for number in reversed(range(CONNECTIONS_MAX)):
        redis_client.lpush(f"list{number}", str(number))
    replies = await asyncio.gather(*waiting)
    assert replies == [[b"list%d" % number, b"%d" % number] for number in range(CONNECTIONS_MAX)]


async def test_connections_are_bounded(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """When all are in use until its deadline a call more is refused as overload; no more than the bound are opened."""
    seen = connections_of(redis_client)
    calls = [asyncio.create_task(client.execute("BLPOP", "none", 0.3)) for _ in range(CONNECTIONS_MAX)]
    await until(lambda: blocked(redis_client) == CONNECTIONS_MAX)
    late = [client.execute("PING", deadline_us=DEADLINE_US) for _ in range(5)]
    async with lag_watched() as lag:
        refused, seconds = await timed(asyncio.gather(*late, return_exceptions=True))
    assert seconds <= DEADLINE_US / 1_000_000 + GRACE_S + lag.worst_s
    assert [type(outcome) for outcome in refused] == [StoreOverloadedError] * 5
    assert {outcome.reason for outcome in refused} == {f"all {CONNECTIONS_MAX} connections are in use"}
    assert await asyncio.gather(*calls) == [None] * CONNECTIONS_MAX
    assert connections_of(redis_client) == seen + CONNECTIONS_MAX
    assert await count(client) == 1


async def test_a_connection_is_used_again(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """A thousand calls one after another, some of them refused by the server, need one connection."""
    await count(client)
    seen = connections_of(redis_client)
    for number in range(1, 1000):
        if number % 10 == 0:
            with pytest.raises(StoreError):
                await client.execute("NOSUCHCOMMAND")
        await count(client)
    assert counted(redis_client) == 1000
    assert connections_of(redis_client) == seen


async def test_closing_ends_every_call(redis_url: str, redis_client: redis.Redis) -> None:
    """Calls that are under way when the client is closed end at once, and nobody knows what they did."""
    async with connected(redis_url) as client:
        waiting = [asyncio.create_task(client.execute("BLPOP", "none", 5, deadline_us=5_000_000)) for _ in range(4)]
        await until(lambda: blocked(redis_client) == 4)
        _, seconds = await timed(client.aclose())
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
        assert {type(outcome) for outcome in outcomes} == {OutcomeUnknownError}
        assert seconds < 1


async def test_a_closed_client_is_not_connected(redis_url: str, redis_client: redis.Redis) -> None:
    """After closing, the server has no connection of the client, and the client makes none."""
    async with connected(redis_url) as client:
        await count(client)
        await client.aclose()
        await until(lambda: len(redis_client.client_list()) == 1)
        for call in (count(client), client.execute("PING"), client.identity(), client.start()):
            with pytest.raises(LimiterClosedError):
                await call
        assert len(redis_client.client_list()) == 1


async def test_closing_ends_an_attempt_to_connect(proxy: FaultProxy) -> None:
    """A handshake that hangs does not keep the client from closing; who waits for it is told, and not cancelled."""
    proxy.swallow = True
    async with connected(proxy.url, connect_timeout=30) as client:
        waiting = [asyncio.create_task(count(client)) for _ in range(3)]
        await until(lambda: proxy.connections == 1)
        _, seconds = await timed(client.aclose())
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
    assert {type(outcome) for outcome in outcomes} == {LimiterClosedError}
    assert seconds < 1


async def test_closing_ends_the_loading_of_a_script(proxy: FaultProxy) -> None:
    """Who waits for a script to be loaded when the client is closed is told, and not cancelled."""
    async with connected(proxy.url) as client:
        await asyncio.gather(*[client.execute("BLPOP", "none", 0.05) for _ in range(2)])  # opens two connections
        proxy.swallow = True
        waiting = [asyncio.create_task(count(client)) for _ in range(2)]
        await asyncio.sleep(0.05)
        await client.aclose()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
    assert {type(outcome) for outcome in outcomes} == {LimiterClosedError}
