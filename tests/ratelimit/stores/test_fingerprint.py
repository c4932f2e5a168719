"""Processes that would name one key differently do not start beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluicegate import ConfigurationError, Limit, Limiter, NullLogger, SystemClock
from sluicegate.database import Keyspace, connect
from sluicegate.ratelimit import RedisStore

if TYPE_CHECKING:
    import redis

API = Limit("api", "5/minute")


def store_of(url: str, keyspace: Keyspace) -> RedisStore:
    """Return a store that names keys by *keyspace*."""
    return RedisStore(connect(url), SystemClock(), NullLogger(), keyspace=keyspace, deadline_us=2_000_000)


@pytest.mark.parametrize("other", [Keyspace(tags=8), Keyspace(secret=b"b"), Keyspace(tags=4), Keyspace()])
async def test_who_names_keys_otherwise_is_refused(redis_url: str, redis_client: redis.Redis, other: Keyspace) -> None:
    """The number of hash tags and the secret must be equal in a fleet: silently its limits would double."""
    secret = b"a-secret-canary"
    async with Limiter(store=store_of(redis_url, Keyspace(tags=4, secret=secret))) as limiter:
        assert await limiter.acquire(API, "someone")
        async with Limiter(store=store_of(redis_url, Keyspace(tags=4, secret=secret))):
            pass
        with pytest.raises(ConfigurationError) as caught:
            await Limiter(store=store_of(redis_url, other)).__aenter__()
        assert "new-generation" in str(caught.value)
        stored = redis_client.get("sg:1:fingerprint")
        assert isinstance(stored, bytes)
        assert b"tags=4 " in stored
        assert secret not in stored


async def test_another_prefix_is_another_deployment(redis_url: str, redis_client: redis.Redis) -> None:
    """Side by side on one server."""
    async with (
        Limiter(store=store_of(redis_url, Keyspace("one", tags=4))),
        Limiter(store=store_of(redis_url, Keyspace("two"))),
    ):
        assert redis_client.exists("one:1:fingerprint", "two:1:fingerprint") == 2


async def test_a_new_generation_is_begun_by_an_explicit_step(redis_url: str) -> None:
    """Then the others are those who are refused."""
    async with Limiter(store=store_of(redis_url, Keyspace(tags=4))):
        pass
    store = store_of(redis_url, Keyspace(tags=8))
    await store.begin_generation()
    await store.aclose()
    async with Limiter(store=store_of(redis_url, Keyspace(tags=8))):
        with pytest.raises(ConfigurationError):
            await Limiter(store=store_of(redis_url, Keyspace(tags=4))).__aenter__()
