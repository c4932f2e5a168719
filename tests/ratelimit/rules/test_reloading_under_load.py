"""A hundred reloads while a real server decides as fast as it can: nothing is dropped, degraded or counted wrongly."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.recording import RecordingLogger

from sluicegate import Limiter, NullLogger
from sluicegate.database import Keyspace, connect
from sluicegate.ratelimit import RedisStore
from sluicegate.ratelimit.rules import LiveRules
from sluicegate.utils import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
RELOADS = 100
CALLERS = 64
SMALL = [f"small-{number}" for number in range(4)]
TENANTS = [*SMALL, "large"]
CAPACITY = 2_000
RULES = """
version: 1
limits:
  everybody: {{rate: {large}/day, algorithm: fixed_window, key: tenant}}
  small: {{rate: {small}/day, algorithm: fixed_window, key: tenant, match: {{tenant: small-*}}, critical: true}}
"""


def text_of(number: int) -> str:
    """Return the rules after so many reloads: one limit stays as it is, the other gets another rate each time."""
    return RULES.format(large=1_000_000 + number % 2, small=CAPACITY)


async def test_a_hundred_reloads_misjudge_nothing_that_a_server_decides(tmp_path: Path, redis_url: str) -> None:
    """What stays admits exactly what it may, what changes keeps count, and each request is of one file alone."""
    path = tmp_path / "rules.yaml"
    path.write_text(text_of(0), "utf-8")
    live = LiveRules.of_file(path, SystemClock(), RecordingLogger())
    allowed: Counter[str] = Counter()
    denied: Counter[str] = Counter()
    seen: Counter[int] = Counter()
    degraded = 0
    done = asyncio.Event()
    store = RedisStore(connect(redis_url), SystemClock(), NullLogger(), keyspace=Keyspace("sg"), deadline_us=5_000_000)
    async with Limiter(store=store, logger=NullLogger(), deny_cache_s=0) as limiter:

        async def ask(number: int) -> None:
            nonlocal degraded
            while not done.is_set():
                tenant = TENANTS[number % len(TENANTS)]
                number += 1
                joint = await limiter.acquire_all(live.matching({"tenant": tenant}))
                (allowed if joint.allowed else denied)[tenant] += 1
                degraded += any(decision.degraded for decision in joint.decisions)
                seen[joint.decisions[0].limit.rates[0].limit] += 1
                assert len(joint.decisions) == (1 if tenant == "large" else 2)

        callers = [asyncio.create_task(ask(number)) for number in range(CALLERS)]
        for number in range(1, RELOADS + 1):
            path.write_text(text_of(number), "utf-8")
            assert await live.reload()
            await asyncio.sleep(0.01)
        done.set()
        await asyncio.gather(*callers)
        used = {}
        for tenant in TENANTS:
            limit = live.named["everybody"]
            peek = await limiter.peek(limit, live.matching({"tenant": tenant})[0][1])
            used[tenant] = limit.rates[0].limit - (peek.remaining or 0)
    print(f"{allowed.total():,} allowed, {denied.total():,} denied during {RELOADS} reloads")
    assert degraded == 0
    assert {tenant: allowed[tenant] for tenant in SMALL} == dict.fromkeys(SMALL, CAPACITY)
    assert min(denied[tenant] for tenant in SMALL) > 0
    assert min(seen[1_000_000], seen[1_000_001]) > 0
    assert used == {tenant: allowed[tenant] for tenant in TENANTS}
