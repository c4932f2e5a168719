"""Keys with hash tags: those of one tag are decided in one call, and all calls travel together."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from redis.crc import key_slot

from sluicegate import InvalidInputError, Limit, Limiter
from sluicegate.database import Keyspace, connect
from sluicegate.monitoring import NullLogger
from sluicegate.ratelimit.stores.redis import Batching, RedisStore
from sluicegate.utils import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

    from sluicegate.database import RedisClient, ScriptCall

LIMIT = Limit("api", "30/minute")
TAGS = 4
KEYS = [f"user:{number}" for number in range(40)]


class Watched:
    """A client that notes what it is asked, before a real one does it."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self.many: list[Sequence[ScriptCall]] = []
        self.single = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def run(self, *args: Any, **named: Any) -> Any:
        """Note it."""
        self.single += 1
        return await self._client.run(*args, **named)

    async def run_many(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Note them."""
        self.many.append(calls)
        return await self._client.run_many(calls)


def tagged_limiter(url: str, tags: int = TAGS, batching: Batching | None = None) -> tuple[Limiter, Watched]:
    """Return a limiter whose keys have tags, and its client."""
    client = Watched(connect(url))
    keyspace = Keyspace("sg", tags=tags)
    own: dict[str, Any] = {"keyspace": keyspace, "deadline_us": 5_000_000, "batching": batching or Batching()}
    return Limiter(store=RedisStore(client, SystemClock(), NullLogger(), **own), logger=NullLogger()), client


async def test_keys_of_one_tag_are_decided_in_one_call(redis_url: str) -> None:
    """Of a bulk on many keys each tag is one call of one slot, all calls travel together, and all are right."""
    limiter, client = tagged_limiter(redis_url)
    async with limiter:
        decisions = await limiter.acquire_many([(LIMIT, key) for key in KEYS for _ in range(2)])
    assert [decision.key for decision in decisions] == [key for key in KEYS for _ in range(2)]
    assert sorted(decision.remaining or 0 for decision in decisions) == [28] * 40 + [29] * 40
    assert client.single == 0
    for calls in client.many:
        slots = [{key_slot(str(key).encode()) for key in call.keys} for call in calls]
        assert all(len(own) == 1 for own in slots)
        assert len(set.union(*slots)) == len(calls) <= TAGS


async def test_no_call_is_larger_than_it_may_be(redis_url: str) -> None:
    """A batch is several calls, and what one tag has too much of goes in further ones: each answer is in its place."""
    limiter, client = tagged_limiter(redis_url, tags=2, batching=Batching(requests_max=6))
    day = Limit("day", "100/day", algorithm="fixed_window")
    async with limiter:
        bulk = limiter.acquire_many([(LIMIT, key) for key in KEYS])
        joint = [limiter.acquire_all([(LIMIT, f"j:{key}"), (day, f"j:{key}")]) for key in KEYS]
        decisions, *pairs = await asyncio.gather(bulk, *joint)
    assert [decision.key for decision in decisions] == KEYS
    assert {decision.remaining for decision in decisions} == {29}
    assert [[own.remaining for own in pair.decisions] for pair in pairs] == [[29, 99]] * len(KEYS)
    sizes = [[len(call.keys) for call in calls] for calls in client.many]
    assert max(map(max, sizes)) == 6
    assert max(map(len, sizes)) > 2
    assert max(map(sum, sizes)) <= 6 * 4 + 1  # the last of them may be a pair


async def test_one_batch_is_under_way_where_it_is_several_calls(redis_url: str) -> None:
    """The next one gathers meanwhile, and its calls are the larger; who says so has two."""
    for batching, most in ((Batching(), 1), (Batching(in_flight_max=2), 2)):
        limiter, client = tagged_limiter(redis_url, batching=batching)
        under_way: list[int] = []
        real = client.run_many

        async def counted(calls: Sequence[ScriptCall], own: list[int] = under_way, run: Any = real) -> list[Any]:
            own.append(1 + (own[-1] if own else 0))
            replies: list[Any] = await run(calls)
            own.append(own[-1] - 1)
            return replies

        client.run_many = counted  # type: ignore[method-assign] # one that counts
        async with limiter:
            for _ in range(5):
                await asyncio.gather(
                    *[limiter.acquire(LIMIT, f"{key}:{number}") for key in KEYS for number in range(9)]
                )
        assert max(under_way) == most


async def test_a_lone_request_is_a_lone_call(redis_url: str) -> None:
    """What is all of one tag needs no pipeline."""
    limiter, client = tagged_limiter(redis_url)
    async with limiter:
        assert (await limiter.acquire(LIMIT, "user:1")).allowed
    assert (client.single, client.many) == (1, [])


async def test_all_that_is_kept_for_a_key_has_its_tag(redis_url: str, redis_client: redis.Redis) -> None:
    """State, companion and reset marker of a key lie in one slot, so that refunds and resets are one call."""
    limiter, _ = tagged_limiter(redis_url)
    async with limiter:
        decision = await limiter.acquire(LIMIT, "user:1")
        assert await limiter.refund(decision) == 1
        await limiter.acquire(LIMIT, "user:1")
        assert await limiter.reset(LIMIT, "user:1")
    names = [name.decode() for name in redis_client.keys("sg:1:*:*")]  # type: ignore[union-attr] # awaited elsewhere
    tags = {re.match(r"sg:1:(\{\d+\}):", name)[1] for name in names}  # type: ignore[index] # each has one
    assert len(names) == 2
    assert len(tags) == 1


async def test_limits_that_lie_apart_are_not_decided_together(redis_url: str) -> None:
    """All or nothing over keys of several tags is refused, with what to do, and nothing is taken."""
    limiter, _ = tagged_limiter(redis_url)
    async with limiter:
        with pytest.raises(InvalidInputError, match="leased limit for what all tenants share"):
            await limiter.acquire_all([(LIMIT, key) for key in KEYS[:8]])
        assert (await limiter.peek(LIMIT, KEYS[0])).remaining == 30
        together = await limiter.acquire_all([(LIMIT, "user:1"), (Limit("other", "5/s"), "user:1")])
        assert together.allowed


def test_tags_spread_the_keys() -> None:
    """Each of the tags has its share of a thousand keys, and a key keeps its tag."""
    keyspace = Keyspace("sg", tags=16)
    tags = [keyspace.tag(f"user:{number}") for number in range(1_000)]
    assert len(set(tags)) == 16
    assert max(tags.count(tag) for tag in tags) < 120
    assert keyspace.tag("user:1") == tags[1]
    assert Keyspace("sg").tag("user:1") == 0


@pytest.mark.parametrize(("tags", "masters"), [(1, 1), (3, 3), (6, 3), (6, 6), (12, 3), (12, 4), (30, 10), (100, 5)])
def test_tags_lie_evenly_among_the_masters(tags: int, masters: int) -> None:
    """Each of several masters with as many slots has as many of them."""
    keyspace = Keyspace("sg", tags=tags)
    numbers = {keyspace.tag(str(key)) for key in range(50 * tags)}
    owners = [key_slot(b"{%d}" % number) * masters // 16_384 for number in numbers]
    assert [owners.count(owner) for owner in range(masters)] == [tags // masters] * masters


def test_there_can_be_as_many_tags_as_slots() -> None:
    """Each slot has one then."""
    tags = Keyspace("sg", tags=16_384)._tags
    assert sorted(key_slot(b"{%d}" % tag) for tag in tags) == list(range(16_384))


@pytest.mark.parametrize("tags", [-1, 16_385, 1.5, True, "4"])
def test_a_wrong_number_of_tags_is_refused(tags: Any) -> None:
    """The number of tags is a whole one from 0 to the slots of a Cluster."""
    with pytest.raises(InvalidInputError, match="tags"):
        Keyspace("sg", tags=tags)


async def test_units_in_hand_go_back_when_the_rest_is_refused(redis_url: str) -> None:
    """A request whose strict limits lie apart is refused, and spends nothing of a lease that stands beside them."""
    leased = Limit("all", "1000000/s burst 1000000", mode="leased", lease_seconds=60)
    limiter, _ = tagged_limiter(redis_url)
    async with limiter:
        while (await limiter.acquire(leased, "all")).source != "lease":  # noqa: ASYNC110 - until units are in hand
            await asyncio.sleep(0.001)
        before = (await limiter.peek(leased, "all")).remaining
        for _ in range(5):
            with pytest.raises(InvalidInputError, match="strict limits in"):
                await limiter.acquire_all([(leased, "all"), *[(LIMIT, key) for key in KEYS[:8]]])
        assert (await limiter.peek(leased, "all")).remaining == before
