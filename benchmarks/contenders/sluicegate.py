"""Sluicegate itself: `acquire` as users call it, with the deadline, checks and counters of every day."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.contenders.target import Target
from benchmarks.workload import RATE

from sluicegate import BlockingLimiter, Limit, Limiter

if TYPE_CHECKING:
    from sluicegate import Decision

LIMIT = Limit("api", RATE)


def read(decision: Decision) -> bool:
    """Read every field; what the fallback answered is no decision of the store's."""
    _ = (decision.limit, decision.key, decision.cost, decision.remaining, decision.retry_after, decision.never)
    _ = (decision.reset_after, decision.reset_at, decision.delay, decision.source, decision.shadow_denied)
    return decision.allowed and not decision.degraded


async def open_async(url: str) -> Target:
    """Return the limiter that is awaited, on Redis."""
    limiter = Limiter.connect(url)
    await limiter.start()
    return Target(decide=partial(limiter.acquire, LIMIT), read=read, close=limiter.aclose)


def open_blocking(url: str) -> Target:
    """Return the limiter for threads, on Redis."""
    limiter = BlockingLimiter.connect(url)
    limiter.start()
    return Target(decide=partial(limiter.acquire, LIMIT), read=read, close=limiter.close)


def open_memory() -> Target:
    """Return the limiter for threads, with state in this process."""
    limiter = BlockingLimiter()
    return Target(
        decide=partial(limiter.acquire, LIMIT),
        read=read,
        close=limiter.close,
        keys=lambda: limiter.statistics().keys,
    )
