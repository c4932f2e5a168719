"""A newer version comes into a fleet: beside the one before it, and then alone, on the same keys of one real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limit, Limiter, NullLogger
from tests.processes.crew import crew, results

if TYPE_CHECKING:
    import redis

TOTAL = 400
REQUESTS = 600  # by each process, of which not all can be granted
KINDS = {
    "gcra": f"{TOTAL} per 365 days",
    "fixed_window": f"{TOTAL} per 365 days",
    "sliding_window_counter": f"{TOTAL} per 365 days",
    "calendar_quota": f"{TOTAL} per 10 years",
}


def limits(**options: Any) -> list[dict[str, Any]]:
    """Return what makes one limit of each kind."""
    return [{"name": kind, "algorithm": kind, "rate": rate, **options} for kind, rate in KINDS.items()]


@pytest.mark.slow
def test_both_count_together_and_then_the_newer_one_goes_on(redis_url: str, redis_client: redis.Redis) -> None:
    """Not a unit more or less while both run; then states are marked, from what both have left."""
    half = {"requests": TOTAL // 4, "callers": 4}
    with (
        crew(redis_url, "drain", limits(), processes=1, is_older=True, **half) as before,
        crew(redis_url, "drain", limits(on_change="keep"), processes=1, carrying=False, **half) as after,
    ):
        taken = [told for process in (before, after) for told in results(process)]
    assert all(sum(each[kind] for each in taken) == TOTAL // 2 for kind in KINDS)
    values: list[Any] = [redis_client.get(name) for name in redis_client.scan_iter("sg:1:*:key")]
    assert len(values) == len(KINDS)
    assert not any(value.startswith(b"\x02") for value in values)
    with crew(redis_url, "drain", limits(on_change="keep"), processes=2, requests=REQUESTS, callers=4) as alone:
        taken = results(alone)
    assert all(sum(each[kind] for each in taken) == TOTAL // 2 for kind in KINDS)
    values = [redis_client.get(name) for name in redis_client.scan_iter("sg:1:*:key")]
    assert all(value.startswith(b"\x02") for value in values)


@pytest.mark.slow
async def test_what_an_older_version_cannot_read_it_leaves_alone(redis_url: str, redis_client: redis.Redis) -> None:
    """That is why the newer one is told not to write it: the older one's fallback answers for such a key."""
    async with Limiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        for fields in limits(on_change="keep"):
            await limiter.acquire(Limit(**fields), "key", 7)
    before = {name: redis_client.get(name) for name in redis_client.scan_iter("sg:1:*:key")}
    with crew(redis_url, "drain", limits(), processes=1, is_older=True, requests=4, callers=1) as older:
        assert older[0].stdout is not None
        assert older[0].stdout.read() == ""  # it ends with an error, for what was decided was degraded
        assert older[0].wait(30) == 1
    assert {name: redis_client.get(name) for name in redis_client.scan_iter("sg:1:*:key")} == before
