"""What real servers refuse arrives as the error that it means, nothing is done, and the client goes on."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import redis

from sluicegate.utils import (
    CorruptStateError,
    OutcomeUnknownError,
    ScriptError,
    StoreAuthenticationError,
    StoreError,
    StoreOverloadedError,
    StoreTopologyError,
    StoreUnavailableError,
)
from tests.database.calling import connected, connection_id, count, counted
from tests.servers import RedisServer, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sluicegate.database.standalone import StandaloneClient

WAIT_SECONDS_MAX = 10.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of its own, for what must not happen to the shared one."""
    with RedisServer() as made:
        yield made


@contextmanager
def configured(server: RedisServer, **settings: str) -> Iterator[None]:
    """Set settings of a server, and set them back by a connection that was open before."""
    with redis.Redis.from_url(server.url) as admin:
        names = {name: name.replace("_", "-") for name in settings}
        before: Any = {name: admin.config_get(name)[name] for name in names.values()}  # type: ignore[index] # a dict
        for name, value in settings.items():
            admin.config_set(names[name], value)
        try:
            yield
        finally:
            for name, old in before.items():
                admin.config_set(name, old)


async def told(client: StandaloneClient, *command: str, wanted: bytes) -> None:
    """Ask until the server says what is wanted."""
    deadline_s = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        with suppress(StoreOverloadedError):
            if wanted in await client.execute(*command):
                return
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)


async def expect_refusal(client: StandaloneClient, kind: type[StoreError], code: str) -> None:
    """See that counting is refused with an error of a kind, whose reason tells why."""
    with pytest.raises(StoreError) as caught:
        await count(client)
    assert type(caught.value) is kind
    assert code in caught.value.reason


@pytest.mark.parametrize(
    ("settings", "kind", "reason"),
    [
        ({"maxmemory": "1"}, StoreOverloadedError, "maxmemory"),
        ({"min_replicas_to_write": "1"}, StoreTopologyError, "NOREPLICAS"),
    ],
)
async def test_a_server_that_may_not_write_refuses(
    server: RedisServer, settings: dict[str, str], kind: type[StoreError], reason: str
) -> None:
    """Nothing is counted while it refuses, and the same client counts when it does no more."""
    async with connected(server.url) as client:
        assert await count(client) == 1
        with configured(server, **settings):
            await expect_refusal(client, kind, reason)
        assert await count(client) == 2


async def test_a_replica_is_refused_and_left(server: RedisServer) -> None:
    """A node that became a replica is a wrong one, and its connection is given up: the name may lead elsewhere."""
    async with connected(server.url) as client:
        await count(client)
        before = await connection_id(client)
        server.command("REPLICAOF", "127.0.0.1", str(free_port()))
        await expect_refusal(client, StoreTopologyError, "read only replica")
        assert await connection_id(client) != before
        server.command("CONFIG", "SET", "replica-serve-stale-data", "no")
        with pytest.raises(StoreTopologyError, match="MasterDownError"):
            await client.execute("GET", "key")
        server.command("REPLICAOF", "NO", "ONE")
        assert await count(client) == 2


async def test_a_wait_that_a_failover_ends_is_a_matter_of_topology(server: RedisServer) -> None:
    """Who waits on a master that becomes a replica is told that the node is no longer the right one."""
    async with connected(server.url) as client:
        waiting = asyncio.create_task(client.execute("BLPOP", "list", 0, deadline_us=10_000_000))
        await told(client, "INFO", "clients", wanted=b"blocked_clients:1")
        server.command("REPLICAOF", "127.0.0.1", str(free_port()))
        with pytest.raises(StoreTopologyError, match="UNBLOCKED"):
            await waiting


async def test_a_server_that_cannot_save_refuses(tmp_path: Path) -> None:
    """A node whose disk fails is unavailable for writing, and says so."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with RedisServer(["--dir", str(folder)]) as server:
        folder.rmdir()
        async with connected(server.url) as client:
            await count(client)
            server.command("CONFIG", "SET", "save", "3600 1")
            server.command("BGSAVE")
            await told(client, "INFO", "persistence", wanted=b"rdb_last_bgsave_status:err")
            await expect_refusal(client, StoreUnavailableError, "MISCONF")


async def test_a_server_busy_with_another_script_refuses(server: RedisServer) -> None:
    """While somebody else's script runs for ever, calls are refused as overload, and go on when it was killed."""
    server.command("CONFIG", "SET", "busy-reply-threshold", "1")
    async with connected(server.url) as other, connected(server.url) as client:
        await count(client)
        await count(other, key=b"warm")
        with pytest.raises(OutcomeUnknownError):
            await other.execute("EVAL", "while true do end", 0, deadline_us=200_000)
        await expect_refusal(client, StoreOverloadedError, "BUSY")
        server.command("SCRIPT", "KILL")
        await told(client, "PING", wanted=b"PONG")
        assert await count(client) == 2


async def test_a_full_server_is_overload(server: RedisServer) -> None:
    """A connection that is one too many for the server is refused as overload, not as a server that is away."""
    with configured(server, maxclients="1"):
        async with connected(server.url) as client:
            await expect_refusal(client, StoreOverloadedError, "max number of clients")


async def test_a_missing_permission_is_a_matter_of_credentials(server: RedisServer) -> None:
    """A user that may not run scripts is told so, and the connection is kept."""
    server.command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-evalsha")
    async with connected(server.url.replace("redis://", "redis://reader:secret@")) as client:
        before = await connection_id(client)
        await expect_refusal(client, StoreAuthenticationError, "no permissions")
        assert await connection_id(client) == before


async def test_a_value_of_another_kind_is_corrupt_state(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """A key that holds something else is told apart from a failing script, and left as it is."""
    redis_client.lpush("counted", "x")
    redis_client.expire("counted", 60)
    with pytest.raises(CorruptStateError, match="WRONGTYPE"):
        await client.execute("INCR", "counted")
    assert redis_client.lrange("counted", 0, -1) == [b"x"]


async def test_an_unknown_script_is_a_matter_of_scripts(client: StandaloneClient) -> None:
    """Outside of `run`, which loads what is missing, the server's answer is passed on."""
    with pytest.raises(ScriptError, match="NoScriptError"):
        await client.execute("EVALSHA", "0" * 40, 0)


async def test_a_cluster_without_slots_is_a_matter_of_topology(tmp_path: Path) -> None:
    """A cluster node that serves no slot refuses as topology; keys of two slots are a defect of the call."""
    options = ["--cluster-enabled", "yes", "--cluster-config-file", str(tmp_path / "nodes.conf")]
    with RedisServer([*options, "--cluster-port", str(free_port())]) as server:
        async with connected(server.url) as client:
            await expect_refusal(client, StoreTopologyError, "not served")
            server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            with pytest.raises(ScriptError, match="same slot"):
                await client.execute("MGET", "a", "b")


async def test_only_what_was_granted_was_counted(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """A script that fails at its first line has consumed nothing."""
    await count(client)
    with pytest.raises(ScriptError, match="boom"):
        await client.execute("EVAL", "error('boom') redis.call('INCR', 'counted')", 0)
    assert counted(redis_client) == 1
