"""What a limiter refuses to be made of or asked for, and what it keeps within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import BlockingLimiter, InvalidInputError, Limit, Limiter
from sluicegate.monitoring import Counters
from sluicegate.monitoring.instruments import LABELS_MAX, THE_REST
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    import redis

LIMIT = Limit("api", "10/minute")


@pytest.mark.parametrize("face", [Limiter, BlockingLimiter])
@pytest.mark.parametrize("parts", [{"clock": 5}, {"store": 5}, {"logger": 5}, {"clock": "now"}])
def test_parts_that_are_none_are_refused(face: Any, parts: dict[str, object]) -> None:
    """A clock, a store or a logger that lacks what will be asked of it is refused by name, before any decision."""
    ((name, _),) = parts.items()
    with pytest.raises(InvalidInputError, match=f"^{name}: found .*; accepted: an object with "):
        face(**parts)


@pytest.mark.parametrize("face", [Limiter, BlockingLimiter])
@pytest.mark.parametrize(
    ("limit", "key", "cost", "where"),
    [
        ("api", "key", 1, "limit"),
        (None, "key", 1, "limit"),
        (LIMIT, "", 1, "key"),
        (LIMIT, 5, 1, "key"),
        (LIMIT, "key", -1, "cost"),
    ],
)
def test_a_decoration_is_refused_where_it_is_written(face: Any, limit: Any, key: Any, cost: Any, where: str) -> None:
    """What every call would be refused for is refused once, at the decoration."""
    with pytest.raises(InvalidInputError, match=f"^{where}: found "):
        face().limit(limit, key=key, cost=cost)


@pytest.mark.parametrize("seconds", ["x", float("nan"), float("inf"), 1e12, None])
def test_a_manual_clock_takes_finite_seconds_only(seconds: Any) -> None:
    """For its start and for each step, forward or back."""
    with pytest.raises(InvalidInputError, match=r"^start: found "):
        ManualClock(seconds)
    with pytest.raises(InvalidInputError, match=r"^seconds: found "):
        ManualClock().advance(seconds)


async def test_a_bulk_is_bounded_by_what_is_decided_within_a_deadline() -> None:
    """A thousand independent requests are decided, one more is refused, and then none is taken."""
    limiter = Limiter(clock=ManualClock(1e9))
    many = [(LIMIT, f"key{number}") for number in range(1_000)]
    assert len(await limiter.acquire_many(many)) == 1_000
    with pytest.raises(InvalidInputError, match=r"^limits: found 1,001 of them; accepted: a list of 1 to 1,000 of "):
        await limiter.acquire_many([*many, (LIMIT, "one more")])
    assert (await limiter.peek(LIMIT, "one more")).remaining == 10


async def test_a_bulk_on_redis_is_decided_by_redis(redis_url: str) -> None:
    """A full bulk of many limits stays within the deadline of every day, and nobody beside it falls back."""
    limits = [Limit(f"limit{number}", "10/minute") for number in range(20)]
    async with Limiter.connect(redis_url, deadline=0.5) as limiter:
        decisions = await limiter.acquire_many([(limits[number % 20], f"key{number}") for number in range(1_000)])
        assert {decision.source for decision in decisions} == {"redis"}
        assert all(decision.remaining == 9 for decision in decisions)


@pytest.mark.parametrize("other", [{"shadow": True}, {"on_failure": "closed"}])
async def test_two_ways_to_enforce_one_name_in_one_request_are_refused(other: dict[str, Any]) -> None:
    """Else the last named would decide whether a denial counts."""
    limiter = Limiter(clock=ManualClock(1e9))
    with pytest.raises(InvalidInputError, match="two rules named 'api'"):
        await limiter.acquire_all([(LIMIT, "key"), (Limit("api", "10/minute", **other), "key")])
    twice = await limiter.acquire_all([(LIMIT, "key"), (Limit("api", "10/minute"), "key")])
    assert [decision.remaining for decision in twice.decisions] == [9, 9]


def test_counts_of_endless_names_are_one() -> None:
    """Who makes names out of users' ids fills no memory: beyond the bound all are counted together."""
    counters = Counters(2)
    for number in range(LABELS_MAX + 500):
        counters.row(f"name{number}")[1] += 1
    counted = counters.read()
    assert len(counted) == LABELS_MAX + 1
    assert counted[THE_REST] == (0, 500)
    counters.row("name0")[0] += 1
    assert counters.read()["name0"] == (1, 1)


async def test_a_key_secret_keys_the_digests_of_long_keys(redis_url: str, redis_client: redis.Redis) -> None:
    """Two deployments with other secrets keep other names for one long key, and short keys stay as they are."""
    long = "user:" + "x" * 500
    for secret in (b"", b"one", b"other"):
        async with Limiter.connect(redis_url, key_secret=secret, deadline=0.5) as limiter:
            assert (await limiter.acquire(LIMIT, long)).remaining == 9
            await limiter.acquire(LIMIT, "short")
        redis_client.delete(b"sg:1:fingerprint")  # which would have the next refused
    names = [key for key in redis_client.scan_iter() if b"~" in key]
    assert len(names) == 3
    assert redis_client.exists(b"sg:1:gcra:api:short") == 1
    with pytest.raises(InvalidInputError, match=r"^key secret: found "):
        Limiter.connect(redis_url, key_secret="text")  # type: ignore[arg-type] # as somebody might
