"""The least that a user has to be allowed is enough for every verb, and each part of it is needed."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import redis

from sluicegate import InvalidInputError, Limit, Limiter, LimitExceededError, NullLogger, StoreError, SystemClock
from sluicegate.database import Keyspace, least_acl, tags_for
from sluicegate.database.acl import ACL_COMMANDS
from sluicegate.ratelimit import RedisStore, decide_script
from tests.fleets import PREFIX, TOPOLOGIES, USER, Fleet, SentinelFleet, owners_of
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.slow
LINE = least_acl(PREFIX)
REFUSED: list[tuple[Any, ...]] = [
    ("GET", "mine"),
    ("GET", "sgx:1:mine"),
    ("EVALSHA", decide_script().sha1, 1, "mine"),
    ("KEYS", "*"),
    ("KEYS", "sg:*"),
    ("SCAN", 0),
    ("RANDOMKEY",),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", "0"),
    ("ACL", "LIST"),
    ("EVAL", "return 1", 0),
    ("FUNCTION", "LIST"),
    ("SCRIPT", "FLUSH"),
    ("CLIENT", "LIST"),
    ("CLUSTER", "NODES"),
    ("REPLICAOF", "NO", "ONE"),
    ("PUBLISH", "sg:channel", "message"),
    ("RENAME", "sg:one", "sg:other"),
]
REFUSED_BY_SENTINELS: list[tuple[Any, ...]] = [
    ("SENTINEL", "MASTERS"),
    ("SENTINEL", "FAILOVER", "gate"),
    ("SENTINEL", "REMOVE", "gate"),
    ("SENTINEL", "CONFIG", "GET", "*"),
    ("ACL", "LIST"),
    ("INFO",),
    ("PUBLISH", "channel", "message"),
    ("SUBSCRIBE", "+switch-master"),
    ("PSUBSCRIBE", "*"),
]
LIMITS = [
    Limit(algorithm, "5/day" if algorithm == "calendar_quota" else "5/minute", algorithm=algorithm)
    for algorithm in ("gcra", "fixed_window", "sliding_window_counter", "sliding_window_log", "calendar_quota")
]
HELD = Limit("held", "2", algorithm="concurrency", hold_seconds=0.3)
LEASED = Limit("leased", "1000/minute", mode="leased", lease_seconds=0.1)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Run a server of its own, for its users change."""
    with RedisServer() as server:
        yield server


def allow(server: RedisServer, line: str = LINE) -> str:
    """Make the user on an empty server; return the URL of who connects as it."""
    with redis.Redis(port=server.port) as admin:
        admin.flushall()
        admin.script_flush()
        _, name, *rules = line.replace("PASSWORD", str(USER.password)).split()
        admin.execute_command("ACL", "SETUSER", name, "reset", *rules)
    return f"redis://{USER.username}:{USER.password}@127.0.0.1:{server.port}"


def limiter_at(url: str) -> Limiter:
    """Return a limiter that does not hurry."""
    return Limiter.connect(url, deadline=2.0, logger=NullLogger(), deny_cache_s=0)


def limiter_on(fleet: Fleet) -> Limiter:
    """Return one on a fleet, as who its clients are."""
    keyspace = Keyspace(PREFIX, tags=tags_for(fleet.url))
    store = RedisStore(fleet.connected(), SystemClock(), NullLogger(), keyspace=keyspace, deadline_us=2_000_000)
    return Limiter(store=store, logger=NullLogger(), deny_cache_s=0)


async def everything(made: Limiter) -> list[str]:
    """Use every verb; return what did not go as it should."""
    wrong: list[str] = []
    async with made as limiter:
        if not await limiter.start():
            wrong.append("start")
        for limit in LIMITS:
            decisions = [await limiter.acquire(limit, "someone") for _ in range(6)]
            wrong += [f"acquire {limit.name}" for decision in decisions if decision.degraded]
            wrong += [f"peek {limit.name}"] * (await limiter.peek(limit, "someone")).degraded
            for decision in (decisions[2], decisions[0], decisions[4]):
                with suppress_into(wrong, f"refund {limit.name}"):
                    await limiter.refund(decision)
            with suppress_into(wrong, f"reset {limit.name}"):
                await limiter.reset(limit, "someone")
        joint = await limiter.acquire_all([(limit, "all") for limit in LIMITS])
        wrong += ["acquire_all"] * any(decision.degraded for decision in joint.decisions)
        wrong += await held_things(limiter)
        wrong += await overruled_things(limiter)
        for _ in range(40):
            wrong += ["leased"] * (await limiter.acquire(LEASED, "someone")).degraded
        await asyncio.sleep(0.12)
    return wrong


async def held_things(limiter: Limiter) -> list[str]:
    """Take, renew, look at, fill up and give back holds; let some expire."""
    wrong: list[str] = []
    try:
        async with limiter.hold(HELD, "someone") as first, limiter.hold(HELD, "someone"):
            wrong += ["held peek"] * (await limiter.peek(HELD, "someone")).degraded
            with suppress(LimitExceededError):
                async with limiter.hold(HELD, "someone"):
                    wrong.append("one hold too many")
            await asyncio.sleep(0.35)
            wrong += ["renewal"] * first.lost
        await limiter.reset(HELD, "someone")
    except (StoreError, LimitExceededError) as error:
        wrong.append(f"hold: {error}")
    return wrong


async def overruled_things(limiter: Limiter) -> list[str]:
    """Ban, lift, override and list, as often as it takes until what is over is swept; hear of changes meanwhile."""
    wrong: list[str] = []
    with suppress_into(wrong, "ban"):
        await limiter.bans.add([f"key{number}" for number in range(5)], seconds=0.001)
        for _ in range(256):
            await limiter.bans.add("someone", seconds=60)
        await limiter.overrides.set(LIMITS[0], "someone", "7/minute")
        wrong += ["list bans"] * (len(await limiter.bans.in_force()) != 1)
        wrong += ["list overrides"] * (len(await limiter.overrides.in_force()) != 1)
        await limiter.bans.lift("someone")
        await limiter.overrides.drop(LIMITS[0], "someone")
    await asyncio.sleep(0.1)
    changes = limiter.engine.ruling.changes
    wrong += ["hear"] * (changes._interrupted + changes._failures > 0)
    return wrong


class suppress_into:  # noqa: N801 - used as `suppress` is
    """Note a store's error in a list."""

    def __init__(self, wrong: list[str], name: str) -> None:
        self._wrong, self._name = wrong, name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: object, _traceback: object) -> bool:
        if isinstance(error, StoreError):
            self._wrong.append(f"{self._name}: {error}")
            return True
        return False


@pytest.fixture
def fleet(request: pytest.FixtureRequest, fleets: Mapping[str, Fleet]) -> Iterator[Fleet]:
    """Return an empty fleet, of which clients may do no more than is needed."""
    fleet = fleets[request.param]
    fleet.flush()
    fleet.allow()
    for server in fleet.masters():
        server.command("SCRIPT", "FLUSH")
    yield fleet
    fleet.user = None
    fleet.flush()


on_all_topologies = pytest.mark.parametrize("fleet", TOPOLOGIES, indirect=True)


@on_all_topologies
async def test_the_least_is_enough_for_every_verb(fleet: Fleet) -> None:
    """Nothing is degraded and nothing fails, whatever the topology; and each master tells its history."""
    assert await everything(limiter_on(fleet)) == []
    client = fleet.connected()
    assert len(await client.identity()) == len(fleet.masters())
    await client.aclose()


@on_all_topologies
def test_what_is_not_needed_is_refused_by_every_server(fleet: Fleet) -> None:
    """Other people's keys, and whatever looks at the server or changes it: by masters and replicas."""
    for server in fleet.servers:
        client = fleet.as_user(server)
        assert client.execute_command("INFO", "server")
        for command in REFUSED:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


@pytest.mark.parametrize("command", ACL_COMMANDS)
async def test_each_command_is_needed(server: RedisServer, command: str) -> None:
    """Without any one of them something does not go as it should."""
    url = allow(server, " ".join(word for word in LINE.split() if word != f"+{command}"))
    assert await everything(limiter_at(url)) != []


async def test_without_the_signal_changes_are_asked_for(server: RedisServer) -> None:
    """A user who may not wait for changes hears of them all the same, once a second."""
    limited = allow(server, LINE.replace(" +xread", ""))
    async with (
        Limiter.connect(limited, changes=True, deadline=2.0, key_prefix=PREFIX, logger=NullLogger()) as limiter,
        Limiter.connect(server.url, deadline=2.0, key_prefix=PREFIX, logger=NullLogger()) as other,
    ):
        await limiter.acquire(LIMITS[0], "warm")
        await asyncio.sleep(1.0)
        await other.bans.add("someone")
        await asyncio.sleep(1.5)
        assert (await limiter.acquire(LIMITS[0], "someone")).banned


async def test_another_prefix_is_out_of_reach(server: RedisServer) -> None:
    """A limiter whose keys begin otherwise gets no decision from the server."""
    url = allow(server)
    async with Limiter.connect(url, deadline=2.0, key_prefix="other", logger=NullLogger()) as limiter:
        assert (await limiter.acquire(LIMITS[0], "someone")).degraded


@pytest.mark.parametrize("option", ["/2", "?db=3", "?client_name=gate"])
async def test_what_a_url_asks_for_has_to_be_allowed(server: RedisServer, option: str) -> None:
    """Another database, a name of the client: that is one command more, and only who asks for it needs it."""
    for url, works in ((f"redis://h{option}", True), ("redis://h", False)):
        reached = allow(server, least_acl(PREFIX, url=url))
        async with limiter_at(reached + option) as limiter:
            assert (await limiter.acquire(LIMITS[0], "someone")).degraded is not works


@pytest.mark.parametrize(
    "url", ["", "redis://h", "redis://h/0", "unix:///2", "redis+sentinel://h:1,i:2/5", "redis+sentinel://h/s/0"]
)
def test_a_url_that_asks_for_nothing_besides_needs_nothing(url: str) -> None:
    """The path of a socket and the name of a service are no databases."""
    assert least_acl(PREFIX, url=url) == LINE
    assert least_acl(PREFIX, url="redis+sentinel://h:1,i:2/5/1") == f"{LINE} +select"
    assert least_acl(PREFIX, url="unix:///2?db=1") == f"{LINE} +select"
    assert least_acl(PREFIX, url="embedded:///2") == LINE


@pytest.mark.parametrize("url", ["redis+sentinel://a:1,[::1]:2/s/3?client_name=n", "REDISS://h?db=3&client_name=n"])
def test_what_a_url_needs_is_read_as_the_client_reads_it(url: str) -> None:
    """Several hosts, one of them in brackets, and however the scheme is written."""
    assert least_acl(PREFIX, url=url) == f"{LINE} +select +client|setname"


@pytest.mark.parametrize("url", ["redis://h/x", "nonsense", "redis+cluster://a/3"])
def test_a_url_that_cannot_be_read_has_no_line(url: str) -> None:
    """Nobody can connect to it."""
    with pytest.raises(InvalidInputError):
        least_acl(PREFIX, url=url)


async def test_on_a_cluster_its_own_commands_are_needed_too(fleets: Mapping[str, Fleet]) -> None:
    """Who may not ask for the slots finds nobody."""
    fleet = fleets["cluster"]
    for line, works in ((least_acl(PREFIX, on_cluster=True), True), (LINE, False)):
        fleet.allow(line)
        async with limiter_on(fleet) as limiter:
            decisions = [await limiter.acquire(LIMITS[0], f"key:{number}") for number in range(20)]
        assert any(decision.degraded for decision in decisions) != works
    fleet.user = None


async def test_a_slot_that_moves_is_followed_by_who_may_ask(fleets: Mapping[str, Fleet]) -> None:
    """The server that takes a slot over wants to hear of it first, and not everybody may say it."""
    fleet = fleets["cluster"]
    whole = least_acl(PREFIX, on_cluster=True)
    keyspace = Keyspace(PREFIX, tags=tags_for(fleet.url))
    one, *others = [key for key in map(str, range(200)) if keyspace.tag(key) == 0]
    for other, line, works in ((others[0], whole, True), (others[1], whole.replace(" +asking", ""), False)):
        fleet.allow(line)
        async with limiter_on(fleet) as limiter:
            assert not (await limiter.acquire(LIMITS[0], one)).degraded
            with moving(fleet, keyspace.name("", one)):
                assert (await limiter.acquire(LIMITS[0], other)).degraded is not works
    fleet.user = None


@contextmanager
def moving(fleet: Fleet, name: str) -> Iterator[None]:
    """Have the slot of a key be on its way to another master meanwhile: what is not there is asked of that one."""
    servers = fleet.masters()
    clients: list[Any] = [fleet.client_of(server) for server in servers]
    slot = clients[0].execute_command("CLUSTER", "KEYSLOT", name)
    ids = [client.execute_command("CLUSTER", "MYID") for client in clients]
    owner = next(port for first, last, port in owners_of(clients[0]) if first <= slot <= last)
    source = [server.port for server in servers].index(owner)
    target = (source + 1) % len(clients)
    with ExitStack() as stack:
        clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        for client in (clients[source], clients[target]):
            stack.callback(client.execute_command, "CLUSTER", "SETSLOT", slot, "STABLE")
        yield


@pytest.mark.parametrize("name", ["sentinel", "sentinel-tls"])
async def test_sentinels_tell_who_is_master_and_no_more(fleets: Mapping[str, Fleet], name: str) -> None:
    """Each of them refuses all else, and without that one command nobody is found."""
    fleet = fleets[name]
    assert isinstance(fleet, SentinelFleet)
    fleet.allow()
    for sentinel in fleet.sentinels:
        client = fleet.as_user(sentinel)
        for command in REFUSED_BY_SENTINELS:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)
    for works in (True, False):
        async with limiter_on(fleet) as limiter:
            assert (await limiter.acquire(LIMITS[0], "someone")).degraded is not works
        for sentinel in fleet.sentinels:
            assert sentinel.command("ACL", "SETUSER", str(USER.username), "-sentinel|get-master-addr-by-name") == b"+OK"
    fleet.user = None
