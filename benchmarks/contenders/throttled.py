"""The library `throttled-py`: its GCRA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import throttled
import throttled.asyncio
from benchmarks.contenders.target import Target
from benchmarks.workload import LIMIT_PER_HOUR

if TYPE_CHECKING:
    from throttled import RateLimitResult

KEYS_MAX = 2_000_000  # by default its memory store silently forgets beyond 1,024


def read(result: RateLimitResult) -> bool:
    """Read every field."""
    state = result.state
    _ = (state.limit, state.remaining, state.reset_after, state.retry_after)
    return not result.limited


async def open_async(url: str) -> Target:
    """Return the limiter that is awaited, on Redis."""
    quota = throttled.asyncio.per_hour(LIMIT_PER_HOUR, burst=LIMIT_PER_HOUR)
    store = throttled.asyncio.RedisStore(server=url)
    return Target(decide=throttled.asyncio.Throttled(using="gcra", quota=quota, store=store).limit, read=read)


def open_blocking(url: str) -> Target:
    """Return the limiter for threads, on Redis."""
    return _target(throttled.RedisStore(server=url))


def open_memory() -> Target:
    """Return the limiter with state in this process."""
    return _target(throttled.MemoryStore(options={"MAX_SIZE": KEYS_MAX}))


def _target(store: throttled.BaseStore) -> Target:
    quota = throttled.per_hour(LIMIT_PER_HOUR, burst=LIMIT_PER_HOUR)
    return Target(decide=throttled.Throttled(using="gcra", quota=quota, store=store).limit, read=read)
