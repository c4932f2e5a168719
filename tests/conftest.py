"""What all tests share: a real Redis of their own, and a look at what they left in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

_without_expiry: list[str] = []


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One real server for the whole run."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    """The address of an empty database; what the test leaves in it is looked at."""
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    yield redis_server.url
    look_for_keys_without_expiry(client)
    client.close()


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A plain client, to look at what is there."""
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


def look_for_keys_without_expiry(client: redis.Redis) -> None:
    """Remember each key of limiter state that would stay for ever."""
    keys = client.scan_iter(match="sg*:1:*", count=1000)
    _without_expiry.extend(key.decode() for key in keys if client.pttl(key) == -1)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when a test left limiter state without an expiry."""
    if _without_expiry:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nlimiter state without expiry: {_without_expiry[:10]}")
