"""Limiters on either store whose time is moved by hand; on Redis the script reads it from a key.

What the script writes stays for ten minutes of the server's own time, whose course is another: a state that
means something for a microsecond by hand must not be gone a millisecond later.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sluicegate import Limiter
from sluicegate.database import Keyspace, Script, connect
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.redis import RedisStore
from tests.conformance.rig import DEADLINE_US, MANUAL_TIME, HandClock, manual_script
from tests.recording import RecordingLogger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis

__all__ = ["memory_by_hand", "redis_by_hand"]

LASTING = """
local server = redis
local redis = setmetatable({}, { __index = server })
function redis.call(command, key, ...)
  if command == 'SET' then return server.call('SET', key, (...), 'PX', 600000) end
  if command == 'PSETEX' then return server.call('PSETEX', key, 600000, select(2, ...)) end
  if command == 'PEXPIRE' then return server.call('PEXPIRE', key, 600000) end
  return server.call(command, key, ...)
end
"""


def lasting_script() -> Script:
    """Return the script that decides by the hand-moved clock, and whose keys do not expire meanwhile."""
    return Script.of("decide by hand", manual_script().source.replace(MANUAL_TIME, LASTING + MANUAL_TIME))


@asynccontextmanager
async def redis_by_hand(
    url: str, server: redis.Redis, logger: RecordingLogger | None = None, *, deny_cache_s: float = 0
) -> AsyncIterator[tuple[Limiter, HandClock]]:
    """Make a limiter on a real server that takes its time from the clock returned beside it."""
    clock, logger = HandClock(server), logger or RecordingLogger()
    store = RedisStore(
        connect(url), clock, logger, keyspace=Keyspace("sg"), deadline_us=DEADLINE_US, script=lasting_script()
    )
    async with Limiter(clock=clock, store=store, logger=logger, deny_cache_s=deny_cache_s) as limiter:
        yield limiter, clock


@asynccontextmanager
async def memory_by_hand() -> AsyncIterator[tuple[Limiter, HandClock]]:
    """Make a limiter in this process, and the clock that decides."""
    clock = HandClock(None)
    async with Limiter(clock=clock, store=MemoryStore(clock), logger=RecordingLogger()) as limiter:
        yield limiter, clock
