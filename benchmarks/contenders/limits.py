"""The library `limits`: its fixed window, on redis-py, which is the faster of its two asynchronous clients."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import limits.aio.storage
import limits.aio.strategies
import limits.storage
import limits.strategies
from benchmarks.contenders.target import Target, given, not_given

if TYPE_CHECKING:
    from typing import Any

    from benchmarks.workload import Wish


async def open_async(url: str, wish: Wish) -> Target:
    """Return the strategy that is awaited, on Redis."""
    storage = limits.aio.storage.RedisStorage(f"async+{url}", implementation="redispy")
    return _target(limits.aio.strategies.FixedWindowRateLimiter(storage), wish)


def open_blocking(url: str, wish: Wish) -> Target:
    """Return the strategy for threads, on Redis."""
    return _target(limits.strategies.FixedWindowRateLimiter(limits.storage.RedisStorage(url)), wish)


def open_memory(wish: Wish) -> Target:
    """Return the strategy with state in this process."""
    return _target(limits.strategies.FixedWindowRateLimiter(limits.storage.MemoryStorage()), wish)


def _target(strategy: Any, wish: Wish) -> Target:
    # Yes or no is all that it answers.
    item = limits.RateLimitItemPerHour(wish.burst)
    return Target(decide=partial(strategy.hit, item), read=not_given if wish.denials else given)
