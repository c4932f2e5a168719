"""The library `pyrate-limiter`: its GCRA, with a bucket for each key, as its documentation has it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from benchmarks.contenders.target import Target, given
from pyrate_limiter import (
    BucketFactory,
    Duration,
    InMemoryStateStore,
    Limiter,
    Rate,
    RateItem,
    RedisStateStore,
    StateBucket,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.workload import Wish

CONNECTIONS_MAX = 256


class Buckets(BucketFactory):
    """A bucket for each key, made when the key first comes.

    Args:
        rate: What each of them keeps to.
        store: Makes the store of a key.
    """

    def __init__(self, rate: Rate, store: Callable[[str], Any]) -> None:
        self._rates = [rate]
        self._store = store
        self._buckets: dict[str, StateBucket] = {}
        self._clock = store("clock").default_clock

    def wrap_item(self, name: str, weight: int = 1) -> RateItem:
        """Stamp a request."""
        return RateItem(name, self._clock.now(), weight=weight)

    def get(self, item: RateItem) -> StateBucket:
        """Return the bucket of a request's key."""
        bucket = self._buckets.get(item.name)
        if bucket is None:
            # Its state is of one size, so nothing leaks and nothing has to be scheduled.
            bucket = self._buckets[item.name] = StateBucket(self._rates, store=self._store(item.name))
        return bucket


async def open_async(url: str, wish: Wish) -> Target:
    """Return the limiter that is awaited, on Redis."""
    client = redis.asyncio.Redis.from_url(url, max_connections=CONNECTIONS_MAX)
    limiter = _limiter(wish, lambda key: RedisStateStore(client, f"pyrate:api:{key}"))
    return Target(decide=partial(limiter.try_acquire_async, blocking=False), read=given, close=client.aclose)


def open_blocking(url: str, wish: Wish) -> Target:
    """Return the limiter for threads, on Redis."""
    client = redis.Redis.from_url(url, max_connections=CONNECTIONS_MAX)
    limiter = _limiter(wish, lambda key: RedisStateStore(client, f"pyrate:api:{key}"))
    return Target(decide=partial(limiter.try_acquire, blocking=False), read=given, close=client.close)


def open_memory(wish: Wish) -> Target:
    """Return the limiter with state in this process."""
    limiter = _limiter(wish, lambda _key: InMemoryStateStore())
    return Target(decide=partial(limiter.try_acquire, blocking=False), read=given)


def _limiter(wish: Wish, store: Callable[[str], Any]) -> Limiter:
    return Limiter(Buckets(Rate(wish.per_hour, Duration.HOUR, burst=wish.burst), store))
