"""Whatever the topology, a client keeps the same promises: asked of real servers, one suite for all of them."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limit, Limiter, NullLogger, OutcomeUnknownError, ScriptError, StoreError, SystemClock
from sluicegate.database import Access, Keyspace, RedisClient, Script, ScriptCall, Tls, connect, tags_for
from sluicegate.ratelimit import RedisStore
from tests.fleets import DOWN_AFTER_MS, NODE_TIMEOUT_MS, TOPOLOGIES, role_of, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from tests.fleets import Fleet

pytestmark = pytest.mark.slow
# With commands that the least of users may use, too.
INCREMENT = Script.of(
    "increment",
    "local n = (redis.call('GET', KEYS[1]) or 0) + ARGV[1] redis.call('SET', KEYS[1], string.format('%d', n)) return n",
)
READ = Script.of("read", "return redis.call('GET', KEYS[1])")
DEADLINE_US = 2_000_000
KEYS = [f"sg:key:{number}" for number in range(60)]
TAKEN_FOR_DEAD_S = {"sentinel": DOWN_AFTER_MS / 1000, "cluster": NODE_TIMEOUT_MS / 1000}
LEAST = "-least-user"
MANY = Limit("many", "1000/hour")
VOTES = 3  # sentinels may vote each for themselves, and then wait before they vote again


@pytest.fixture(params=[f"{name}{user}" for name in TOPOLOGIES for user in ("", LEAST)])
def fleet(request: pytest.FixtureRequest, fleets: Mapping[str, Fleet]) -> Iterator[Fleet]:
    """Return an empty fleet, of which clients are the default user, or one that may do no more than is needed."""
    with reached(fleets, request.param) as found:
        yield found


@contextmanager
def reached(fleets: Mapping[str, Fleet], name: str) -> Iterator[Fleet]:
    """Empty the fleet of a name before and after, and have clients be who the name says."""
    found = fleets[name.removesuffix(LEAST)]
    found.flush()
    if name.endswith(LEAST):
        found.allow()
    yield found
    found.user = None
    found.flush()


@pytest.fixture
async def client(fleet: Fleet) -> AsyncIterator[RedisClient]:
    """Return a client that has connected."""
    client = fleet.connected()
    await client.start()
    yield client
    await client.aclose()


async def increment(client: RedisClient, key: str, by: int = 1) -> Any:
    """Add to a number on the server."""
    return await client.run(INCREMENT, [key], [by], read_only=False, deadline_us=DEADLINE_US)


def limiter_on(fleet: Fleet) -> Limiter:
    """Return a limiter on a fleet."""
    keyspace = Keyspace(tags=tags_for(fleet.url))
    store = RedisStore(fleet.connected(), SystemClock(), NullLogger(), keyspace=keyspace, deadline_us=DEADLINE_US)
    return Limiter(store=store, logger=NullLogger())


async def together(client: RedisClient, keys: Sequence[str]) -> list[Any]:
    """Add to several numbers at once."""
    calls = [ScriptCall(INCREMENT, [key], [1], read_only=False, deadline_us=DEADLINE_US) for key in keys]
    return await client.run_many(calls)


async def test_each_call_is_answered_by_who_owns_its_key(client: RedisClient) -> None:
    """Keys of all slots count, each for itself, one by one and all at once."""
    for key in KEYS:
        assert await increment(client, key) == 1
    assert await together(client, KEYS) == [2] * len(KEYS)
    read = [await client.run(READ, [key], [], read_only=True, deadline_us=DEADLINE_US) for key in KEYS]
    assert read == [b"2"] * len(KEYS)


async def test_several_calls_are_answered_in_their_order(client: RedisClient) -> None:
    """A bad one has its error in its place, and the others are done."""
    calls = [
        ScriptCall(INCREMENT, [key], ["nothing" if at == 7 else at], read_only=False, deadline_us=DEADLINE_US)
        for at, key in enumerate(KEYS)
    ]
    replies = await client.run_many(calls)
    assert isinstance(replies.pop(7), ScriptError)
    assert replies == [at for at in range(len(KEYS)) if at != 7]
    assert await client.run_many([]) == []


async def test_scripts_that_were_flushed_are_loaded_again(client: RedisClient, fleet: Fleet) -> None:
    """On every server that does not know them, without a word to who asks."""
    await together(client, KEYS)
    for server in fleet.masters():
        server.command("SCRIPT", "FLUSH")
    assert await together(client, KEYS) == [2] * len(KEYS)


async def test_what_must_not_write_does_not(client: RedisClient) -> None:
    """The server refuses it."""
    with pytest.raises(ScriptError):
        await client.run(INCREMENT, ["sg:key"], [1], read_only=True, deadline_us=DEADLINE_US)


async def test_a_server_that_stands_still_is_given_up_in_time(client: RedisClient, fleet: Fleet) -> None:
    """Nobody knows whether it was done; afterwards everything goes on, with a reply of its own for each."""
    await together(client, KEYS)
    servers = fleet.masters()
    for server in servers:
        server.pause()
    try:
        start = time.monotonic()
        with pytest.raises(OutcomeUnknownError):
            await client.run(INCREMENT, ["sg:key:1"], [100], read_only=False, deadline_us=200_000)
        assert time.monotonic() - start < 0.5
    finally:
        for server in servers:
            server.resume()
    replies = await together(client, KEYS[2:])
    assert replies == [2] * (len(KEYS) - 2)


async def test_a_call_that_is_cancelled_leaves_the_others_alone(client: RedisClient) -> None:
    """However often, no reply reaches the wrong caller."""
    for round_number in range(1, 21):
        tasks = [asyncio.create_task(increment(client, key)) for key in KEYS[:6]]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for reply in done[1::3]:
            assert reply == round_number
    assert all(isinstance(reply, int | asyncio.CancelledError) for reply in done)


async def test_its_nodes_are_named_and_each_tells_a_history(client: RedisClient, fleet: Fleet) -> None:
    """One for each master."""
    names = fleet.names()
    assert set(client.nodes()) == names
    identities = await client.identity()
    assert {each.node for each in identities} == names
    assert len({each.run_id for each in identities}) == len(names)
    assert all(each.replication_id for each in identities)


async def test_a_limiter_counts_as_on_one_server(fleet: Fleet) -> None:
    """All verbs, on many keys, by two limiters that share them."""
    limit = Limit("api", "5/minute", algorithm="fixed_window")
    held = Limit("held", "2", algorithm="concurrency")
    async with limiter_on(fleet) as one, limiter_on(fleet) as other:
        for limiter in (one, other) * 2:
            decisions = await asyncio.gather(*[limiter.acquire(limit, key) for key in KEYS])
            assert all(decisions)
        assert {decision.remaining for decision in decisions} == {1}
        assert await other.refund(decisions[0]) == 1
        assert (await one.peek(limit, KEYS[0])).remaining == 2
        assert await one.reset(limit, KEYS[1])
        assert (await other.peek(limit, KEYS[1])).remaining == 5
        async with one.hold(held, "someone"), other.hold(held, "someone"):
            assert (await one.peek(held, "someone")).remaining == 0


async def test_limits_of_one_key_are_decided_together(fleet: Fleet) -> None:
    """All or nothing, in one slot."""
    minute, day = Limit("minute", "5/minute", algorithm="fixed_window"), Limit("day", "2/day", algorithm="fixed_window")
    async with limiter_on(fleet) as limiter:
        granted = [bool(await limiter.acquire_all([(minute, "a"), (day, "a")])) for _ in range(3)]
        assert granted == [True, True, False]
        assert (await limiter.peek(minute, "a")).remaining == 3


async def test_two_connections_to_each_server_are_enough(fleet: Fleet) -> None:
    """For hundreds of callers while one connection listens for changes, also when scripts were flushed."""
    own = fleet.certificates
    tls = Tls(ca_file=own.ca, cert_file=own.cert, key_file=own.key) if fleet.tls else None
    client = connect(fleet.url, Access(credentials=fleet.user, tls=tls, connections_max=2))
    keyspace = Keyspace(tags=tags_for(fleet.url))
    store = RedisStore(client, SystemClock(), NullLogger(), keyspace=keyspace, deadline_us=DEADLINE_US)
    async with Limiter(store=store, logger=NullLogger(), changes=True) as limiter:
        for _ in range(2):
            for server in fleet.masters():
                server.command("SCRIPT", "FLUSH")
            decisions = await asyncio.gather(*[limiter.acquire(MANY, key) for key in KEYS * 10])
            assert [decision for decision in decisions if decision.degraded] == []


@pytest.mark.parametrize("name", ["sentinel", "sentinel-tls"])
async def test_options_for_the_master_are_no_options_for_sentinels(fleets: Mapping[str, Fleet], name: str) -> None:
    """They have no databases; the master keeps the key in the one that is asked for, and knows the client's name."""
    with reached(fleets, name) as fleet:
        own = fleet.certificates
        tls = Tls(ca_file=own.ca, cert_file=own.cert, key_file=own.key) if fleet.tls else None
        client = connect(f"{fleet.url}?db=3&client_name=gate-3&protocol=3", Access(tls=tls))
        try:
            await client.start()
            assert await increment(client, "sg:key") == 1
            master = fleet.masters()[0]
            told = [fleet.client_of(server).client_list() for server in (master, *fleet.sentinels)]  # type: ignore[attr-defined]
            named = [[each["db"] for each in listed if each["name"] == "gate-3"] for listed in told]
            assert named[0]
            assert set(named[0]) == {"3"}
            assert named[1:] == [[]] * len(named[1:])
            info: Any = fleet.client_of(master).info("keyspace")
            assert list(info) == ["db3"]
        finally:
            await client.aclose()


@pytest.mark.parametrize("name", ["sentinel", "cluster", f"sentinel-tls{LEAST}", f"cluster-tls{LEAST}"])
async def test_a_master_that_is_killed_is_replaced(fleets: Mapping[str, Fleet], name: str) -> None:
    """Within the node's time-out and two seconds the keys of a killed master are decided again; nothing raises."""
    with reached(fleets, name) as fleet:
        client = fleet.connected()
        await client.start()
        times_s = []
        for _ in range(VOTES):
            await together(client, KEYS)
            victim = fleet.masters()[0]
            victim.kill()
            times_s.append(await back_after(client))
            victim.start()
            await asyncio.to_thread(wait_until, lambda victim=victim: role_of(victim) == "slave")
            if times_s[-1] < TAKEN_FOR_DEAD_S[name.partition("-")[0]] + 3:
                break
        else:
            pytest.fail(f"back after {times_s} seconds")
        print(f"{name}: back {times_s[-1]:.1f} s after the kill")
        await client.aclose()


async def back_after(client: RedisClient) -> float:
    """Return after how many seconds all keys are decided again."""
    start = time.monotonic()
    while time.monotonic() - start < 30:
        calls = [ScriptCall(INCREMENT, [key], [1], read_only=False, deadline_us=300_000) for key in KEYS]
        if not any(isinstance(reply, StoreError) for reply in await client.run_many(calls)):
            return time.monotonic() - start
        await asyncio.sleep(0.02)
    pytest.fail("not within half a minute")


@pytest.mark.parametrize("name", [name for name in TOPOLOGIES if name.endswith("-tls")])
async def test_who_is_not_vouched_for_is_refused(fleets: Mapping[str, Fleet], name: str) -> None:
    """Neither a server by another authority, nor a client without a certificate; there is no falling back."""
    fleet = fleets[name]
    own = fleet.certificates
    for tls in (None, Tls(ca_file=own.ca), Tls(cert_file=own.cert, key_file=own.key)):
        client = connect(fleet.url, Access(tls=tls, connect_timeout=1.0))
        with pytest.raises(StoreError):
            await client.start()
        await client.aclose()


def test_a_cluster_without_tags_is_not_made(fleets: Mapping[str, Fleet]) -> None:
    """A keyspace without tags would put the keys of one call into many slots."""
    url = fleets["cluster"].url
    limiter = Limiter.connect(url)
    store: Any = limiter.engine.store
    assert store._keyspace.tags > 0
    own = RedisStore(connect(url), SystemClock(), NullLogger(), keyspace=Keyspace(tags=3))
    assert own._keyspace.tags == 3
