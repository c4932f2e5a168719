"""The promises hold on each kind of socket, in asyncio's own loop and in uvloop.

`loopback.pem` is a certificate for 127.0.0.1 and its key, made for these tests: ``openssl req -x509 -newkey ec -pkeyopt
ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=loopback -addext subjectAltName=IP:127.0.0.1``.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
import uvloop

from sluicegate.database import Access
from sluicegate.database.standalone import StandaloneClient
from sluicegate.utils import OutcomeUnknownError
from tests.database.calling import KEY, connected, connection_id, connections_of, count, counted, until
from tests.faults_proxy import FaultProxy
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    Run = Callable[[Coroutine[Any, Any, None]], None]

CERTIFICATE = Path(__file__).with_name("loopback.pem")
HUGE = 3_000_000
SHORT_US = 50_000
LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}
ROADS = ("tcp", "tls", "unix")


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, Path]]:
    """A server that listens on a path too."""
    path = tmp_path_factory.mktemp("redis") / "s"
    with RedisServer(["--unixsocket", str(path)]) as server:
        yield server, path


@pytest.fixture
def admin(listening: tuple[RedisServer, Path]) -> Iterator[redis.Redis]:
    """A plain client of that server, which is empty."""
    with redis.Redis.from_url(listening[0].url) as client:
        client.flushall()
        yield client


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """What runs a coroutine in a loop of one kind."""
    runner: Run = LOOPS[request.param]
    return runner


class TlsProxy(FaultProxy):
    """Speaks TLS before a server that does not."""

    async def _start(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]


@pytest.fixture
def urls(listening: tuple[RedisServer, Path]) -> Iterator[dict[str, str]]:
    """Where the server is reached, by each road."""
    server, path = listening
    with TlsProxy(server.port) as proxy:
        yield {
            "tcp": server.url,
            "tls": f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={CERTIFICATE}",
            "unix": f"unix://{path}",
        }


@pytest.mark.parametrize("road", ROADS)
def test_calls_go_to_and_fro_on_one_connection(run: Run, road: str, urls: dict[str, str], admin: redis.Redis) -> None:
    """Short and long commands have their own replies, one after another, over one connection that is closed at last."""

    async def calls() -> None:
        async with connected(urls[road]) as client:
            assert await count(client) == 1
            seen = connections_of(admin)
            for number in range(2, 20):
                assert await count(client) == number
            for size in (1, 70_000, HUGE):
                assert await client.execute("ECHO", bytes(size)) == bytes(size)
            assert await count(client) == 20
            assert connections_of(admin) == seen
            await client.aclose()
            await until(lambda: len(admin.client_list()) == 1)

    run(calls())


@pytest.mark.parametrize("road", ROADS)
def test_a_call_that_is_late_closes_its_connection(
    run: Run, road: str, urls: dict[str, str], admin: redis.Redis
) -> None:
    """It is told that nobody knows the outcome, its reply reaches nobody, and the next call has another connection."""

    async def calls() -> None:
        async with connected(urls[road]) as client:
            before = await connection_id(client)
            with pytest.raises(OutcomeUnknownError, match="no answer within 50 ms"):
                await client.execute("BLPOP", "list", 0, deadline_us=SHORT_US)
            admin.rpush("list", "late")
            assert await connection_id(client) != before
            assert await count(client) == 1

    run(calls())


@pytest.mark.parametrize("road", ROADS)
def test_a_connection_that_ended_while_idle_is_replaced(
    run: Run, road: str, urls: dict[str, str], admin: redis.Redis
) -> None:
    """What the server has closed is seen before it is used."""

    async def calls() -> None:
        async with connected(urls[road]) as client:
            assert await count(client) == 1
            channels = list(client._node._connections._all)
            admin.client_kill_filter(_type="normal", skipme=True)
            await until(lambda: not any(channel.usable for channel in channels))
            assert await count(client) == 2

    run(calls())


@pytest.mark.parametrize("road", ["tcp", "unix"])
def test_a_command_that_had_left_in_part_is_never_whole(
    run: Run, road: str, urls: dict[str, str], listening: tuple[RedisServer, Path], admin: redis.Redis
) -> None:
    """Of a long command to a server that does not read, no more leaves once its call has ended."""
    server, _ = listening

    async def calls() -> None:
        async with connected(urls[road]) as client:
            await client.execute("PING")
            server.pause()
            try:
                with pytest.raises(OutcomeUnknownError):
                    await client.execute("SETEX", KEY, 60, bytes(10 * HUGE), deadline_us=SHORT_US)
            finally:
                server.resume()
            assert await client.execute("PING") == b"PONG"

    run(calls())
    assert admin.get(KEY) is None


@pytest.mark.parametrize("road", ROADS)
def test_an_ended_loop_leaves_nothing_to_warn_of(road: str, urls: dict[str, str], admin: redis.Redis) -> None:
    """Connections that an ended loop left behind are let go of, and the next loop has its own."""
    client = StandaloneClient(urls[road], Access())
    for number in range(1, 4):
        assert asyncio.run(count(client)) == number
        client.after_fork()  # as a limiter does when it meets another loop
        gc.collect()
    asyncio.run(client.aclose())
    assert counted(admin) == 3


def test_an_answer_that_came_while_the_loop_was_held_up_counts(run: Run, listening: tuple[RedisServer, Path]) -> None:
    """A deadline that passes while somebody keeps the loop from its sockets is no deadline that the server missed."""

    async def story() -> None:
        client = StandaloneClient(listening[0].url, Access())
        await client.start()
        asking = asyncio.create_task(client.execute("PING", deadline_us=SHORT_US))
        while client._node._connections._idle:  # noqa: ASYNC110 - until it is under way
            await asyncio.sleep(0)
        time.sleep(2 * SHORT_US / 1_000_000)  # noqa: ASYNC251 - what holds the loop up
        assert await asking == b"PONG"
        await client.aclose()

    run(story())
