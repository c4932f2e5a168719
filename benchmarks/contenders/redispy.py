"""redis-py by hand: one EVALSHA of a short GCRA script for each decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import redis
import redis.asyncio
from benchmarks.contenders.target import Target
from benchmarks.workload import LIMIT_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Awaitable

SCRIPT = Path(__file__).with_name("gcra.lua").read_text("ascii")
CONNECTIONS_MAX = 256  # a connection for each caller, as redis-py would by itself before version 8
INTERVAL_US = 3_600_000_000 // LIMIT_PER_HOUR


def read(answer: list[int]) -> bool:
    """Read every field."""
    allowed, _remaining, _retry_after_us, _reset_after_us = answer
    return allowed == 1


async def open_async(url: str) -> Target:
    """Return the client that is awaited; its pool holds as many connections as there are callers."""
    client = redis.asyncio.Redis.from_url(url, max_connections=CONNECTIONS_MAX)
    sha1 = await client.script_load(SCRIPT)

    def decide(key: str) -> Awaitable[list[int]]:
        return client.evalsha(sha1, 1, f"gcra:api:{key}", LIMIT_PER_HOUR, INTERVAL_US)

    return Target(decide=decide, read=read, close=client.aclose)


def open_blocking(url: str) -> Target:
    """Return the blocking client, which threads share; its pool holds a connection for each of them."""
    client = redis.Redis.from_url(url, max_connections=CONNECTIONS_MAX)
    sha1 = client.script_load(SCRIPT)

    def decide(key: str) -> list[int]:
        return client.evalsha(sha1, 1, f"gcra:api:{key}", LIMIT_PER_HOUR, INTERVAL_US)

    return Target(decide=decide, read=read, close=client.close)
