"""The library `throttled-py`: its GCRA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import throttled
import throttled.asyncio
from benchmarks.contenders.target import Target

if TYPE_CHECKING:
    from benchmarks.workload import Wish
    from throttled import RateLimitResult

KEYS_MAX = 2_000_000  # by default its memory store silently forgets beyond 1,024


def read(result: RateLimitResult) -> bool:
    """Read every field."""
    state = result.state
    _ = (state.limit, state.remaining, state.reset_after, state.retry_after)
    return not result.limited


async def open_async(url: str, wish: Wish) -> Target:
    """Return the limiter that is awaited, on Redis."""
    quota = throttled.asyncio.per_hour(wish.per_hour, burst=wish.burst)
    store = throttled.asyncio.RedisStore(server=url)
    return Target(decide=throttled.asyncio.Throttled(using="gcra", quota=quota, store=store).limit, read=read)


def open_blocking(url: str, wish: Wish) -> Target:
    """Return the limiter for threads, on Redis."""
    return _target(throttled.RedisStore(server=url), wish)


def open_memory(wish: Wish) -> Target:
    """Return the limiter with state in this process."""
    return _target(throttled.MemoryStore(options={"MAX_SIZE": KEYS_MAX}), wish)


def _target(store: throttled.BaseStore, wish: Wish) -> Target:
    quota = throttled.per_hour(wish.per_hour, burst=wish.burst)
    return Target(decide=throttled.Throttled(using="gcra", quota=quota, store=store).limit, read=read)
