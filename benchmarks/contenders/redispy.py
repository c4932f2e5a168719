"""redis-py by hand: one EVALSHA of a short GCRA script for each decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from benchmarks.contenders.target import Target

if TYPE_CHECKING:
    from benchmarks.workload import Wish

SCRIPT = Path(__file__).with_name("gcra.lua").read_text("ascii")
CONNECTIONS_MAX = 256  # a connection for each caller, as redis-py would by itself before version 8


def read(answer: list[int]) -> bool:
    """Read every field."""
    allowed, _remaining, _retry_after_us, _reset_after_us = answer
    return allowed == 1


def read_denial(answer: list[int]) -> bool:
    """Read every field of what should be a denial."""
    return not read(answer)


async def open_async(url: str, wish: Wish) -> Target:
    """Return the client that is awaited; its pool holds as many connections as there are callers."""
    client = redis.asyncio.Redis.from_url(url, max_connections=CONNECTIONS_MAX)
    return _target(client, await client.script_load(SCRIPT), client.aclose, wish)


def open_blocking(url: str, wish: Wish) -> Target:
    """Return the blocking client, which threads share; its pool holds a connection for each of them."""
    client = redis.Redis.from_url(url, max_connections=CONNECTIONS_MAX)
    return _target(client, client.script_load(SCRIPT), client.close, wish)


def _target(client: Any, sha1: str, close: Any, wish: Wish) -> Target:
    evalsha, burst, interval_us = client.evalsha, wish.burst, wish.interval_us

    def decide(key: str) -> Any:
        return evalsha(sha1, 1, f"gcra:api:{key}", burst, interval_us)

    return Target(decide=decide, read=read_denial if wish.denials else read, close=close)
