"""Hierarchies where keys have hash tags: what is of one tenant lies together, what all share is asked first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sluicegate import BlockingLimiter, Features, InvalidInputError, Limit, Limiter, NullLogger
from sluicegate.database import Keyspace, connect
from sluicegate.database.keyspace import group_of
from sluicegate.ratelimit.stores.redis import RedisStore
from sluicegate.utils import SystemClock

if TYPE_CHECKING:
    import redis

TENANT = Limit("tenant", "50/hour")
USER = Limit("user", "5/hour", group=1)
ALL = Limit("all", "1000/hour", algorithm="fixed_window", mode="leased")
TENANTS = [f"tenant-{number}" for number in range(20)]
TAGS = 64
LEASES_OFF = Features(leases=False)


def store_at(url: str) -> RedisStore:
    """Return a store whose keys have tags."""
    keyspace = Keyspace("sg", tags=TAGS)
    return RedisStore(connect(url), SystemClock(), NullLogger(), keyspace=keyspace, deadline_us=5_000_000)


@pytest.mark.parametrize(
    ("key", "parts", "group"),
    [
        ("acme:ann", 1, "acme"),
        ("acme:shop:ann", 2, "acme:shop"),
        ("acme", 1, "acme"),
        ("acme", 3, "acme"),
        ("a%3Ab:ann", 1, "a:b"),  # as the tenant's own key reads
        ("a%3Ab:c:ann", 2, "a%3Ab:c"),  # as a key of these two parts reads
        (":ann", 1, ""),
    ],
)
def test_a_group_is_the_first_parts_of_a_key(key: str, parts: int, group: str) -> None:
    """It reads as the key of what the group belongs to, so that both have one tag."""
    assert group_of(key, parts) == group


async def test_tenant_and_user_are_decided_together(redis_url: str) -> None:
    """For every tenant, in one request, all or nothing, though tenants lie apart from each other."""
    async with Limiter(store=store_at(redis_url), logger=NullLogger()) as limiter:
        for tenant in TENANTS:
            for number in range(7):
                joint = await limiter.acquire_all([(TENANT, tenant), (USER, f"{tenant}:ann")])
                assert joint.allowed is (number < 5)
            assert (await limiter.peek(TENANT, tenant)).remaining == 45


async def test_the_state_of_a_group_can_be_taken_back(redis_url: str, redis_client: redis.Redis) -> None:
    """State, companion and marker of a key of a group have the group's tag, so that refund and reset work."""
    async with Limiter(store=store_at(redis_url), logger=NullLogger()) as limiter:
        decision = await limiter.acquire(USER, "acme:ann", 3)
        assert await limiter.refund(decision) == 3
        await limiter.acquire(USER, "acme:ann", 2)
        assert await limiter.reset(USER, "acme:ann")
        assert (await limiter.peek(USER, "acme:ann")).remaining == 5
    tag = f"{{{Keyspace('sg', tags=TAGS).tag('acme')}}}"
    names = [name.decode() for name in redis_client.keys("sg:1:{*")]  # type: ignore[union-attr] # awaited elsewhere
    assert len(names) == 2
    assert all(tag in name for name in names)


async def test_what_all_share_is_leased_and_stands_beside_every_tenant(redis_url: str) -> None:
    """The first request asks for it by itself; all are counted, in the store or in hand."""
    async with Limiter(store=store_at(redis_url), logger=NullLogger()) as limiter:
        sources = set()
        for tenant in TENANTS * 10:
            joint = await limiter.acquire_all([(ALL, "global"), (TENANT, tenant)])
            assert joint.allowed
            assert joint.decisions[0].remaining is not None
            sources.add(joint.decisions[0].source)
        assert "redis" in sources
        assert (await limiter.peek(ALL, "global")).remaining == 800


async def test_what_was_taken_ahead_goes_back_when_the_rest_denies(redis_url: str) -> None:
    """Nothing is left charged, and the answer says what remains without it."""
    async with Limiter(store=store_at(redis_url), logger=NullLogger(), deny_cache_s=0) as limiter:
        limiter.switch(LEASES_OFF)
        for tenant in TENANTS:
            await limiter.acquire(TENANT, tenant, 50)
            joint = await limiter.acquire_all([(ALL, "global"), (TENANT, tenant)])
            assert not joint.allowed
            assert joint.binding.limit is TENANT
            assert joint.decisions[0].remaining == 1000
        assert (await limiter.peek(ALL, "global")).remaining == 1000


async def test_a_denial_of_what_all_share_ends_it_before_the_rest_is_asked(redis_url: str) -> None:
    """The tenants are not charged, and what remains of them is not known."""
    async with Limiter(store=store_at(redis_url), logger=NullLogger(), deny_cache_s=0) as limiter:
        limiter.switch(LEASES_OFF)
        await limiter.acquire(ALL, "global", 1000)
        for tenant in TENANTS:
            joint = await limiter.acquire_all([(TENANT, tenant), (ALL, "global")])
            assert not joint.allowed
            assert joint.binding.limit is ALL
            own = joint.decisions[0]
            assert (own.allowed, own.remaining, own.source) in {(False, None, "redis"), (False, 50, "redis")}
            assert (await limiter.peek(TENANT, tenant)).remaining == 50


async def test_several_leased_limits_may_lie_anywhere(redis_url: str) -> None:
    """Also without a strict one among them; each is charged once."""
    limits = [Limit(f"all-{number}", "1000/hour", algorithm="fixed_window", mode="leased") for number in range(8)]
    async with Limiter(store=store_at(redis_url), logger=NullLogger()) as limiter:
        for _ in range(3):
            assert (await limiter.acquire_all([(limit, limit.name) for limit in limits])).allowed
        await asyncio.sleep(0.05)  # what is taken ahead comes
        assert {(await limiter.peek(limit, limit.name)).remaining for limit in limits} == {997}


def test_threads_have_the_same(redis_url: str) -> None:
    """What is asked first and given back is so for a limiter that blocks, too."""
    with BlockingLimiter(store=store_at(redis_url), logger=NullLogger(), deny_cache_s=0) as limiter:
        limiter.switch(LEASES_OFF)
        for tenant in TENANTS:
            assert limiter.acquire_all([(ALL, "global"), (TENANT, tenant, 50)]).allowed
            assert not limiter.acquire_all([(ALL, "global"), (TENANT, tenant)]).allowed
        assert limiter.peek(ALL, "global").remaining == 1000 - len(TENANTS)


async def test_strict_limits_that_lie_apart_cost_nothing(redis_url: str) -> None:
    """They are refused before anything is asked, also what could be asked by itself."""
    async with Limiter(store=store_at(redis_url), logger=NullLogger()) as limiter:
        with pytest.raises(InvalidInputError, match="group=1 where the keys of users begin with their tenant's"):
            await limiter.acquire_all([(ALL, "global"), *[(TENANT, tenant) for tenant in TENANTS]])
        assert (await limiter.peek(ALL, "global")).remaining == 1000


@pytest.mark.parametrize("group", [-1, 9, 1.0, True, "tenant"])
def test_a_group_is_a_number_of_parts(group: object) -> None:
    """From none, which is the whole key, to as many as a rule may count by."""
    with pytest.raises(InvalidInputError, match="group"):
        Limit("user", "5/hour", group=group)  # type: ignore[arg-type] # what is refused
