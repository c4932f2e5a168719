"""What sentinels announce: who listens gives up its connections in the end, and believes nobody blindly."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limit, Limiter, NullLogger
from tests.fleets import SERVICE, USER, SentinelFleet, role_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.database.announcements import Announcements
    from sluicegate.database.sentinel import SentinelDirectory
    from tests.fleets import Fleet

pytestmark = pytest.mark.slow
LIMIT = Limit("heard", "1000/day", algorithm="fixed_window")
SECONDS_MAX = 10.0


@pytest.fixture
def sentinel(fleets: Mapping[str, Fleet]) -> SentinelFleet:
    """A master that sentinels watch."""
    fleet = fleets["sentinel"]
    assert isinstance(fleet, SentinelFleet)
    return fleet


def listeners(fleet: SentinelFleet) -> list[int]:
    """Return how many clients listen to what each sentinel announces to us."""
    counts = []
    for server in fleet.sentinels:
        told: Any = fleet.client_of(server).client_list(_type="pubsub")
        counts.append(len(told))
    return counts


async def until_heard(fleet: SentinelFleet, wanted: list[int]) -> None:
    """Wait until so many listen at each sentinel."""
    async with asyncio.timeout(SECONDS_MAX):
        while listeners(fleet) != wanted:  # noqa: ASYNC110 - the servers tell nobody
            await asyncio.sleep(0.02)


def directory_of(limiter: Limiter) -> SentinelDirectory:
    """Return what knows who is master."""
    client: Any = limiter.engine.store
    directory: SentinelDirectory = client._client._directory
    return directory


def announce(limiter: Limiter, port: int, replaced: int, *, service: str = SERVICE) -> None:
    """Have a limiter hear that the server at a port is about to be made the master in place of another."""
    heard: Announcements = directory_of(limiter)._announcements
    text = f"slave 127.0.0.1:{port} 127.0.0.1 {port} @ {service} 127.0.0.1 {replaced}"
    heard._hear([b"message", b"+failover-state-send-slaveof-noone", text.encode()])


async def test_every_sentinel_is_heard_and_left_in_the_end(sentinel: SentinelFleet) -> None:
    """One connection each, which is closed with the limiter."""
    async with Limiter.connect(sentinel.url, logger=NullLogger()) as limiter:
        assert not (await limiter.acquire(LIMIT, "someone")).degraded
        await until_heard(sentinel, [1, 1, 1])
        await limiter.acquire(LIMIT, "someone")
    await until_heard(sentinel, [0, 0, 0])


async def test_a_sentinel_that_ends_the_connection_is_heard_again(sentinel: SentinelFleet) -> None:
    """A moment later, without anybody who asks."""
    async with Limiter.connect(sentinel.url, logger=NullLogger()):
        await until_heard(sentinel, [1, 1, 1])
        for server in sentinel.sentinels:
            assert server.command("CLIENT", "KILL", "TYPE", "pubsub") == b":1"
        await until_heard(sentinel, [1, 1, 1])


async def test_who_does_not_become_the_master_is_not_taken_for_it(sentinel: SentinelFleet) -> None:
    """Requests wait for it as long as their deadline, and after a second the master is asked as before."""
    replica = next(server for server in sentinel.servers if role_of(server) == "slave")
    async with Limiter.connect(sentinel.url, logger=NullLogger()) as limiter:
        announce(limiter, replica.port, sentinel.masters()[0].port)
        assert (await limiter.acquire(LIMIT, "waits")).degraded
        async with asyncio.timeout(SECONDS_MAX):
            while (await limiter.acquire(LIMIT, "waits")).degraded:  # noqa: ASYNC110 - a second, at most
                await asyncio.sleep(0.01)
        assert directory_of(limiter).masters()[0].address == f"127.0.0.1:{sentinel.masters()[0].port}"
        for port in range(1, 50):  # who cried wolf is not believed for a while, and costs neither time nor memory
            announce(limiter, port, sentinel.masters()[0].port)
            assert not (await limiter.acquire(LIMIT, "goes on")).degraded
        assert len(directory_of(limiter)._nodes) == 1


async def test_what_is_said_of_others_changes_nothing(sentinel: SentinelFleet) -> None:
    """Of another service, of the master itself, or in words that are none of theirs."""
    (master,) = sentinel.masters()
    replica = next(server for server in sentinel.servers if role_of(server) == "slave")
    async with Limiter.connect(sentinel.url, logger=NullLogger()) as limiter:
        announce(limiter, replica.port, master.port, service="another")
        announce(limiter, replica.port, 1)
        announce(limiter, master.port, master.port)
        announce(limiter, 0, master.port)
        announce(limiter, int("9" * 4_000), master.port)
        heard = directory_of(limiter)._announcements
        for odd in (None, [], [b"subscribe", b"channel", 1], [b"message", b"channel", b"slave \xff \xff \xff"]):
            heard._hear(odd)
        assert not (await limiter.acquire(LIMIT, "goes on")).degraded


async def test_a_sentinel_that_does_not_let_us_listen_is_left_in_peace(sentinel: SentinelFleet) -> None:
    """It writes down each refusal, so it is asked once in half a minute; the master is found all the same."""
    sentinel.allow()
    for server in sentinel.sentinels:
        assert server.command("ACL", "SETUSER", str(USER.username), "-subscribe") == b"+OK"
        assert server.command("ACL", "LOG", "RESET") == b"+OK"
    async with Limiter.connect(sentinel.url, logger=NullLogger()) as limiter:
        for _ in range(30):
            assert not (await limiter.acquire(LIMIT, "someone")).degraded
            await asyncio.sleep(0.1)
    sentinel.user = None
    refusals = []
    for server in sentinel.sentinels:
        told: Any = sentinel.client_of(server).acl_log()
        refusals.append(sum(int(entry["count"]) for entry in told))
    assert max(refusals) == 1


def test_another_loop_and_a_forked_child_listen_by_themselves(sentinel: SentinelFleet) -> None:
    """Neither uses the sockets of whom it came from, and nothing is left to warn of."""
    limiter = Limiter.connect(sentinel.url, logger=NullLogger())

    async def ask() -> bool:
        degraded = (await limiter.acquire(LIMIT, "someone")).degraded
        await until_heard(sentinel, [1, 1, 1])
        return degraded

    async def ask_and_close() -> bool:
        degraded = await ask()
        await limiter.aclose()
        return degraded

    assert asyncio.run(ask()) is False
    gc.collect()
    assert asyncio.run(ask()) is False
    child = os.fork()
    if not child:
        code = 1
        try:
            code = int(asyncio.run(in_child(limiter)))
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert asyncio.run(ask_and_close()) is False
    asyncio.run(until_heard(sentinel, [0, 0, 0]))


async def in_child(limiter: Limiter) -> bool:
    """Decide once, and say whether nobody counted."""
    async with limiter:
        return (await limiter.acquire(LIMIT, "someone")).degraded
