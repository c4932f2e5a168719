"""The least that a user has to be allowed is enough for every verb, and each part of it is needed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import redis

from sluicegate import Limit, Limiter, LimitExceededError, NullLogger, StoreError
from sluicegate.database import least_acl
from sluicegate.database.acl import ACL_COMMANDS
from tests.fleets import ClusterFleet
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
PASSWORD = "a-long-password"
REFUSED: list[tuple[Any, ...]] = [
    ("GET", "mine"),
    ("KEYS", "*"),
    ("FLUSHALL",),
    ("CONFIG", "GET", "*"),
    ("ACL", "LIST"),
    ("EVAL", "return 1", 0),
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


def allow(server: RedisServer, *, without: str = "", line: str = "") -> str:
    """Make the user, without a part of what is allowed; return the URL of who connects as it."""
    words = (line or least_acl("sg")).replace("PASSWORD", PASSWORD).split()
    with redis.Redis(port=server.port) as admin:
        admin.flushall()
        admin.script_flush()
        admin.execute_command("ACL", "DELUSER", words[1])
        admin.execute_command("ACL", "SETUSER", *[word for word in words[1:] if word != without])
    return f"redis://{words[1]}:{PASSWORD}@127.0.0.1:{server.port}"


async def everything(url: str) -> list[str]:
    """Use every verb; return what did not go as it should."""
    wrong: list[str] = []
    async with Limiter.connect(url, deadline=2.0, logger=NullLogger(), deny_cache_s=0) as limiter:
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


async def test_the_least_is_enough_for_every_verb(server: RedisServer) -> None:
    """Nothing is degraded and nothing fails."""
    assert await everything(allow(server)) == []


@pytest.mark.parametrize("command", ACL_COMMANDS)
async def test_each_command_is_needed(server: RedisServer, command: str) -> None:
    """Without any one of them something does not go as it should."""
    assert await everything(allow(server, without=f"+{command}")) != []


async def test_other_keys_are_out_of_reach(server: RedisServer) -> None:
    """Neither another prefix by a limiter, nor other people's keys by hand, nor other commands."""
    url = allow(server)
    async with Limiter.connect(url, deadline=2.0, key_prefix="other", logger=NullLogger()) as limiter:
        assert (await limiter.acquire(LIMITS[0], "someone")).degraded
    with redis.Redis.from_url(url) as client:
        for command in REFUSED:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


async def test_on_a_cluster_its_own_commands_are_needed_too() -> None:
    """Who may not ask for the slots finds nobody."""
    with ClusterFleet() as fleet:
        for line, works in ((least_acl("sg", on_cluster=True), True), (least_acl("sg"), False)):
            for server in fleet.servers:
                allow_on(server, line)
            hosts = fleet.url.partition("://")[2]
            url = f"redis+cluster://sluicegate:{PASSWORD}@{hosts}"
            async with Limiter.connect(url, deadline=2.0, logger=NullLogger()) as limiter:
                decisions = [await limiter.acquire(LIMITS[0], f"key:{number}") for number in range(20)]
            assert any(decision.degraded for decision in decisions) != works


def allow_on(server: RedisServer, line: str) -> None:
    """Make the user on a server that may be a replica."""
    words = line.replace("PASSWORD", PASSWORD).split()
    with redis.Redis(port=server.port) as admin:
        setting: Any = admin.execute_command("ACL", "SETUSER", words[1], "reset", *words[2:])
        assert setting
