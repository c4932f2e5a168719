"""What a reload means for what is known of limits: kept where they are the same, not believed where they are not."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from tests.recording import RecordingLogger

from sluicegate import Limiter
from sluicegate.ratelimit.rules import LiveRules, largest_meeting, parse_rules
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from sluicegate import Decision

FULL = """\
version: 1
limits:
  api:
    rate: {}/hour
    key: tenant
    schedule: [{{from: 22:00, to: 06:00, rate: 500/hour}}]
  fixed: {{rate: 7/hour, key: tenant}}
plans:
  pro: {{limits: {{api: {{rate: 900/hour}}}}}}
"""


async def reloaded(path: Path, before: str, after: str) -> tuple[LiveRules, LiveRules]:
    """Return rules of a file as they were, and the ones that took their place."""
    path.write_text(before, "utf-8")
    old = LiveRules.of_file(path, ManualClock(), RecordingLogger())
    live = LiveRules(old.current, ManualClock(), RecordingLogger(), path=path)
    path.write_text(after, "utf-8")
    assert await live.reload()
    return old, live


async def test_limits_that_are_the_same_stay_the_very_same(tmp_path: Path) -> None:
    """In plans and schedules, too, and whatever else of the rule changed."""
    old, live = await reloaded(
        tmp_path / "r.yaml", FULL.format(100), FULL.format(200).replace("tenant}", "tenant, cost: 2}")
    )
    before, after = old.current, live.current
    assert after.named()["api"].limit != before.named()["api"].limit
    assert after.named()["api"].limits[1] is before.named()["api"].limits[1]
    assert after.named()["fixed"].limit is before.named()["fixed"].limit
    assert after.named()["fixed"].cost == 2
    for name in ("api", "fixed"):
        assert after.named("pro")[name].limit is before.named("pro")[name].limit


async def test_a_plan_that_changes_is_a_change(tmp_path: Path) -> None:
    """The log counts limits that changed wherever they stand."""
    path = tmp_path / "r.yaml"
    path.write_text(FULL.format(100), "utf-8")
    logger = RecordingLogger()
    live = LiveRules.of_file(path, ManualClock(), logger)
    path.write_text(FULL.format(100).replace("900", "901"), "utf-8")
    assert await live.reload()
    assert ("info", "rules.reloaded", {"limits": 2, "changed": 1, "gone": 0}) in logger.events


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
async def test_a_file_that_may_not_be_read_leaves_the_last_rules(tmp_path: Path) -> None:
    """Permissions are a problem as any other."""
    path = tmp_path / "r.yaml"
    path.write_text(FULL.format(100), "utf-8")
    live = LiveRules.of_file(path, ManualClock(), RecordingLogger())
    path.chmod(0)
    assert not await live.reload()
    assert "Permission denied" in live.state.problems[0]


STRICT = "version: 1\nlimits:\n  api: {{rate: {}/hour, algorithm: fixed_window, key: user, on_change: additive}}\n"
LEASED = STRICT.replace("key: user", "key: user, mode: leased")


async def test_units_taken_ahead_of_a_limit_that_changed_are_not_spent(tmp_path: Path, redis_url: str) -> None:
    """What is in hand belongs to the old rate; the first request under the new one is decided by the store."""
    old, live = await reloaded(tmp_path / "r.yaml", LEASED.format(100_000), LEASED.format(5))

    async with Limiter.connect(redis_url, deadline=5) as limiter:

        async def ask(rules: LiveRules) -> Decision:
            ((limit, key, *_),) = rules.matching({"user": "ann"})
            return await limiter.acquire(limit, key)

        sources = {(await ask(old)).source for _ in range(2_000)}
        assert "lease" in sources
        after = await ask(live)
        assert (after.allowed, after.source) == (False, "redis")
        assert after.limit is live.named["api"]


async def test_a_denial_of_a_limit_that_changed_is_not_believed(tmp_path: Path, redis_url: str) -> None:
    """Who was denied under the old rate is served under the new one at once, and the other way round."""
    old, live = await reloaded(tmp_path / "r.yaml", STRICT.format(1), STRICT.format(3))

    async with Limiter.connect(redis_url, deadline=5, deny_cache_s=60) as limiter:

        async def ask(rules: LiveRules) -> tuple[bool, str]:
            ((limit, key, *_),) = rules.matching({"user": "ann"})
            decision = await limiter.acquire(limit, key)
            return decision.allowed, decision.source

        assert [await ask(old) for _ in range(3)] == [(True, "redis"), (False, "redis"), (False, "deny_cache")]
        assert [await ask(live) for _ in range(3)] == [(True, "redis"), (True, "redis"), (False, "redis")]
        assert await ask(old) == (False, "redis")


def test_looking_for_what_meets_is_bounded() -> None:
    """A thousand rules, each of another path and tenant, in a hundred plans, take a second or two, not minutes."""
    rules = "".join(
        f"  r{at}: {{rate: 1/s, key: user, match: {{path: '/p{at}/**', tenant: t{at}, method: [GET, PUT]}}}}\n"
        for at in range(1_000)
    )
    plans = "".join(f"  p{at}: {{limits: {{r{at}: {{rate: 2/s}}}}}}\n" for at in range(100))
    parsed = parse_rules(f"version: 1\nlimits:\n{rules}plans:\n{plans}")
    start = time.process_time()
    assert len(largest_meeting(parsed).rules) <= 1
    assert time.process_time() - start < 10
