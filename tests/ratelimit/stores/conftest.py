"""A store on the shared server, and a clock that both read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluicegate import NullLogger
from sluicegate.database import connect
from sluicegate.ratelimit.stores.redis import RedisStore
from tests.conformance.rig import HandClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis


@pytest.fixture
def clock(redis_client: redis.Redis) -> HandClock:
    """A clock that the server reads, too."""
    return HandClock(redis_client)


@pytest.fixture
async def store(redis_url: str, clock: HandClock) -> AsyncIterator[RedisStore]:
    """A store whose server keeps changes."""
    made = RedisStore(connect(redis_url), clock, NullLogger(), deadline_us=5_000_000)
    yield made
    await made.aclose()
