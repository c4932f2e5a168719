"""The library `limits`: its fixed window, on redis-py, which is the faster of its two asynchronous clients."""

from __future__ import annotations

from functools import partial

import limits.aio.storage
import limits.aio.strategies
import limits.storage
import limits.strategies
from benchmarks.contenders.target import Target
from benchmarks.workload import LIMIT_PER_HOUR

ITEM = limits.RateLimitItemPerHour(LIMIT_PER_HOUR)


def read(answer: bool) -> bool:  # noqa: FBT001 - all that it answers
    """Return the answer, which has no other field."""
    return answer


async def open_async(url: str) -> Target:
    """Return the strategy that is awaited, on Redis."""
    storage = limits.aio.storage.RedisStorage(f"async+{url}", implementation="redispy")
    strategy = limits.aio.strategies.FixedWindowRateLimiter(storage)
    return Target(decide=partial(strategy.hit, ITEM), read=read)


def open_blocking(url: str) -> Target:
    """Return the strategy for threads, on Redis."""
    strategy = limits.strategies.FixedWindowRateLimiter(limits.storage.RedisStorage(url))
    return Target(decide=partial(strategy.hit, ITEM), read=read)


def open_memory() -> Target:
    """Return the strategy with state in this process."""
    strategy = limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage())
    return Target(decide=partial(strategy.hit, ITEM), read=read)
