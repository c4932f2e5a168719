"""A ban is in force in every process of a fleet within a second, on every kind of server, and in forked ones, too."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from sluicegate import Limit, Limiter, NullLogger, StoreError
from tests.fleets import ClusterFleet, SentinelFleet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleets import Fleet

pytestmark = pytest.mark.slow
WORKER = Path(__file__).parent / "ban_worker.py"
API = Limit("api", "100/minute")
HEARD_S = 1.0  # as promised; it takes some milliseconds
FAILOVER_S = 20.0
LOST_S = 10.0  # twice as long as it takes to look whether a signal was lost
CHANGES_MAX = 3
PAUSE_S = 0.1  # between two changes: those that follow each other within 50 ms are heard together


class Watcher:
    """Another process that watches keys."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._asked: IO[str] = process.stdin
        self._told: IO[str] = process.stdout
        self._telling: asyncio.Task[str] | None = None
        assert self._told.readline() == "ready\n"

    def watch(self, key: str) -> None:
        """Have it watch a key."""
        self._asked.write(f"{key}\n")
        self._asked.flush()

    async def told_s(self) -> float | None:
        """Return when what it waits for came about, by the machine's clock; ``None`` where it does not."""
        telling = self._telling = self._telling or asyncio.create_task(asyncio.to_thread(self._told.readline))
        await asyncio.wait({telling}, timeout=LOST_S)
        if not telling.done():
            return None
        self._telling = None
        return float(telling.result())


@contextmanager
def watcher(url: str) -> Iterator[Watcher]:
    """Start a process that watches, and end it."""
    process = subprocess.Popen(
        [sys.executable, str(WORKER), "watch", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Watcher(process)
    finally:
        process.kill()
        process.communicate()


async def lateness_s(url: str, rounds: int) -> list[float]:
    """Return how long after the verb had come back another process knew, for bans and for their ends."""
    late = []
    with watcher(url) as other:
        async with Limiter.connect(url, changes=True, deadline=10, logger=NullLogger()) as limiter:
            for number in range(rounds):
                key = f"key{number}"
                other.watch(key)
                await asyncio.sleep(PAUSE_S)
                late.append(await changed(limiter, other, key, banned=True))
                await asyncio.sleep(PAUSE_S)
                late.append(await changed(limiter, other, key, banned=False))
    return late


async def changed(limiter: Limiter, other: Watcher, key: str, *, banned: bool) -> float:
    """Ban a key or lift that, and return how long after the verb had come back another process knew.

    Sentinels on a busy machine may replace a master twice, and what was changed in between is lost: then, and only
    then, it is changed again.
    """
    for _ in range(CHANGES_MAX):
        await (limiter.bans.add(key, seconds=60) if banned else limiter.bans.lift(key))
        made_s = time.monotonic()
        told_s = await other.told_s()
        if told_s is not None:
            return max(0.0, told_s - made_s)
        is_banned = key in {ban.key for ban in await limiter.bans.in_force()}
        assert is_banned is not banned, "it is in force, and the other process has not heard of it"
    raise AssertionError("it was lost again and again")


def told_of(late: list[float]) -> str:
    """Return the figures as they are printed."""
    return f"median {statistics.median(late) * 1000:.1f} ms, at most {max(late) * 1000:.1f} ms, of {len(late)}"


async def test_another_process_knows_within_a_second(redis_url: str) -> None:
    """Bans and their ends come into force there within milliseconds; the figure is printed."""
    late = await lateness_s(redis_url, 30)
    print(f"\nin another process: {told_of(late)}")
    assert max(late) < HEARD_S


@pytest.mark.parametrize("kind", [ClusterFleet, SentinelFleet])
async def test_it_survives_a_failover(kind: type[Fleet]) -> None:
    """On a Cluster and behind sentinels it is as quick, and so it is again when a master was killed and replaced."""
    with kind() as fleet:
        before = await lateness_s(fleet.url, 10)
        assert max(before) < HEARD_S
        async with Limiter.connect(fleet.url, changes=True, deadline=10, logger=NullLogger()) as limiter:
            await limiter.bans.add("lasting")
            await asyncio.sleep(0.5)
            for server in fleet.masters():
                if has_changes(fleet, server.port):
                    server.kill()
            assert (await limiter.acquire(API, "lasting")).banned
            await until_changed(limiter)
            await limiter.overrides.set(API, "own", "7/minute")
            assert (await limiter.acquire(API, "own")).limit.rates[0].limit == 7
            after = await lateness_s(fleet.url, 10)
            assert (await limiter.acquire(API, "lasting")).banned
            assert "lasting" in {ban.key for ban in await limiter.bans.in_force()}
        print(f"\n{kind.__name__}: {told_of(before)}; after a failover {told_of(after)}")
        assert max(after) < HEARD_S


def has_changes(fleet: Fleet, port: int) -> bool:
    """Say whether a server keeps the changes."""
    return bool(fleet.client_of(fleet.server_at(port)).execute_command("KEYS", "*changes*"))


async def until_changed(limiter: Limiter) -> None:
    """Wait until a change can be made again."""
    deadline = time.monotonic() + FAILOVER_S
    while True:
        try:
            await limiter.bans.add("later")
        except StoreError:
            assert time.monotonic() < deadline, "nobody has taken over"
            await asyncio.sleep(0.1)
        else:
            return


def test_forked_processes_know_what_was_known_and_hear_what_is_new(redis_url: str) -> None:
    """Parent, child and grandchild each ban, and each knows of all in the end."""
    ended = subprocess.run(
        [sys.executable, str(WORKER), "fork", redis_url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    told = dict(json.loads(line) for line in ended.stdout.splitlines())
    known = ["before", "child", "grandchild", "parent"]
    assert told == {"parent": known, "child": known, "grandchild": known}
