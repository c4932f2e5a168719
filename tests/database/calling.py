"""What the tests of the client share: a script with an effect that can be counted, and a look at the server."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate.database import Access, Script
from sluicegate.database.standalone import StandaloneClient
from sluicegate.utils import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import redis

KEY = b"counted"
LOOKS_MAX = 5_000
DEADLINE_US = 5_000_000  # where a test is not about time
# It consumes, as a decision does: whoever repeats it is found out by the number.
COUNT = Script.of("count", "local n = redis.call('INCR', KEYS[1]) redis.call('PEXPIRE', KEYS[1], 600000) return n")
LOOK = Script.of("look", "return tonumber(redis.call('GET', KEYS[1]) or 0)")


@asynccontextmanager
async def connected(url: str, *, connect_timeout: float = 2.0) -> AsyncIterator[StandaloneClient]:
    """A client that is closed in the end."""
    client = StandaloneClient(url, Access(connect_timeout=connect_timeout))
    try:
        yield client
    finally:
        await client.aclose()


async def count(client: StandaloneClient, *, key: bytes = KEY, deadline_us: int = DEADLINE_US) -> int:
    """Count once, and return how often it was counted by now."""
    reply: int = await client.run(COUNT, [key], [], read_only=False, deadline_us=deadline_us)
    return reply


async def outcome_of_count(client: StandaloneClient, *, key: bytes = KEY, deadline_us: int) -> int | StoreError:
    """Count once, and return the number or why there is none."""
    try:
        return await count(client, key=key, deadline_us=deadline_us)
    except StoreError as error:
        return error


def counted(server: redis.Redis, key: bytes = KEY) -> int:
    """Return how often the server has counted."""
    value: Any = server.get(key)
    return int(value or 0)


def calls_of(server: redis.Redis, command: str) -> int:
    """Return how often the server was asked a command since its statistics were reset."""
    stats: Any = server.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def connections_of(server: redis.Redis) -> int:
    """Return how many connections the server has accepted so far."""
    stats: Any = server.info("stats")
    return int(stats["total_connections_received"])


def blocked(server: redis.Redis) -> int:
    """Return how many connections wait for a list at the server."""
    clients: Any = server.info("clients")
    return int(clients["blocked_clients"])


async def until(holds: Callable[[], bool]) -> None:
    """Look again and again, and go on as soon as something holds."""
    for _ in range(LOOKS_MAX):
        if holds():
            return
        await asyncio.sleep(0.002)
    pytest.fail("it never came to that")


async def connection_id(client: StandaloneClient) -> int:
    """Return which connection the client uses when nothing else is under way."""
    number: int = await client.execute("CLIENT", "ID")
    return number


def forget_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what needs redis-py and hiredis be imported anew, for as long as the test lasts."""
    plain = {"acl", "addresses", "batcher", "calling", "client", "credentials", "keyspace", "scripts"}
    for name in [name for name in sys.modules if name.startswith("sluicegate.database.")]:
        if name.rpartition(".")[2] not in plain:
            monkeypatch.delitem(sys.modules, name)
