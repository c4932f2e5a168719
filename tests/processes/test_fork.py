"""A forked child decides rightly, shares nothing with its parent, and leaves it alone.

Each test starts a process of its own that forks, so that the one which runs the tests never does. That
process is this file, told which job to do; it prints what it found.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import BlockingLimiter, Limit, Limiter, NullLogger

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 5.0  # these tests are about answers, not about speed
JOB_SECONDS_MAX = 40
CHILD_SECONDS_MAX = 20
SHARED = Limit("shared", "50/day")
HELD = Limit("held", "3", algorithm="concurrency", hold_seconds=0.9)

STORES = ("memory", "redis")
LOOPS = ("asyncio", "uvloop")  # of the thread in the background


# The jobs, which run in the process that forks.


def in_child(work: Callable[[], Any]) -> Any:
    """Fork, let the child do *work*, and return what came of it; a child that hangs is ended by its own alarm."""
    result, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(CHILD_SECONDS_MAX)
        try:
            os.write(told, json.dumps(work()).encode())
        except BaseException:  # noqa: BLE001 - whatever it is, it is told
            os.write(told, json.dumps({"failed": traceback.format_exc()}).encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)  # whatever wants a lock at the end: another thread may have held it
    os.close(told)
    with os.fdopen(result) as reader:
        text = reader.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else {"failed": "the child hung"}


def sockets() -> set[str]:
    """Return this process's sockets, each by the number that no other in the machine has."""
    found = set()
    for opened in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own is closed by now
            found.add(str(opened.readlink()))
    return {name for name in found if name.startswith("socket:")}


def connections(url: str) -> set[str]:
    """Return those sockets that lead to the server."""
    port = f":{int(url.rpartition(':')[2].partition('/')[0]):04X}"
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text("ascii").splitlines()[1:]]
    return sockets() & {f"socket:[{line[9]}]" for line in lines if line[2].endswith(port)}


def blocking_of(url: str) -> BlockingLimiter:
    """Return a limiter for threads, in memory when there is no address."""
    if url == "memory":
        return BlockingLimiter(logger=NullLogger())
    return BlockingLimiter.connect(url, deadline=DEADLINE_S, logger=NullLogger())


def limiter_of(url: str) -> Limiter:
    """Return a limiter that is awaited."""
    if url == "memory":
        return Limiter(logger=NullLogger())
    return Limiter.connect(url, deadline=DEADLINE_S, logger=NullLogger())


def blocking(url: str) -> dict[str, Any]:
    """Fork beside a blocking limiter that has decided, twice deep."""
    with blocking_of(url) as limiter:

        def acquire() -> int | None:
            decision = limiter.acquire(SHARED, "key")
            assert not decision.degraded
            return decision.remaining

        def child(*, deeper: bool) -> dict[str, Any]:
            at_once = sorted(sockets())
            told = {"before": limiter.statistics().decisions.get(("shared", "allowed")), "remaining": acquire()}
            told |= {"at_once": at_once, "sockets": sorted(sockets())}
            told["grandchild"] = in_child(lambda: child(deeper=False)) if deeper else None
            limiter.close()
            return told

        before = [acquire(), acquire()]
        own = sockets()
        children = [in_child(lambda: child(deeper=True)), in_child(lambda: child(deeper=False))]
        assert sockets() == own
        return {"before": before, "children": children, "sockets": sorted(own), "after": acquire()}


async def awaited(url: str) -> dict[str, Any]:
    """Fork inside the event loop of a limiter that has decided."""
    async with limiter_of(url) as limiter:

        async def acquire() -> int | None:
            decision = await limiter.acquire(SHARED, "key")
            assert not decision.degraded
            return decision.remaining

        async def in_own_loop() -> dict[str, Any]:
            told = {"remaining": await acquire()}
            await asyncio.gather(*[acquire() for _ in range(5)])
            told["sockets"] = sorted(connections(url)) if url != "memory" else []  # type: ignore[assignment] # names
            await limiter.aclose()
            return told

        before = [await acquire(), await acquire()]
        own = connections(url) if url != "memory" else set()
        child = await asyncio.to_thread(in_child, lambda: asyncio.run(in_own_loop()))
        after = [await acquire() for _ in range(3)]
        assert url == "memory" or connections(url) == own
        return {"before": before, "child": child, "after": after, "sockets": sorted(own)}


async def unused(url: str) -> dict[str, Any]:
    """Fork beside a limiter that was made and never used, as a server that forks its workers does."""
    limiter = limiter_of(url)

    async def decide() -> list[int | None]:
        async with limiter:
            return [(await limiter.acquire(SHARED, "key")).remaining for _ in range(2)]

    children = [await asyncio.to_thread(in_child, lambda: asyncio.run(decide())) for _ in range(2)]
    return {"children": children, "own": await decide()}


def holding(url: str) -> dict[str, Any]:
    """Fork while a unit is held, and let the child leave the hold's context too."""
    with blocking_of(url) as limiter, limiter.hold(HELD, "key") as hold:

        def child() -> dict[str, Any]:
            told = {"lost": hold.lost}
            hold.release()
            own = limiter.hold(HELD, "other")
            own.__enter__()
            told |= {"own_lost": own.lost}
            time.sleep(0.5)  # so its own is renewed
            told |= {"own_lost_later": own.lost}
            own.release()
            limiter.close()
            return told

        told = in_child(child)
        time.sleep(0.5)  # with the child's longer than a term: renewed it is only by the parent
        return {"child": told, "lost": hold.lost, "remaining": limiter.peek(HELD, "key").remaining}


async def holding_awaited(url: str) -> dict[str, Any]:
    """Fork while a unit is held by an event loop."""
    async with limiter_of(url) as limiter, limiter.hold(HELD, "key") as hold:

        async def in_own_loop() -> dict[str, Any]:
            lost = hold.lost
            await hold.release()
            async with limiter.hold(HELD, "other") as own:
                told = {"lost": lost, "own_lost": own.lost}
                await asyncio.sleep(0.5)
                told["own_lost_later"] = own.lost
            await limiter.aclose()
            return told

        told = await asyncio.to_thread(in_child, lambda: asyncio.run(in_own_loop()))
        await asyncio.sleep(0.5)
        return {"child": told, "lost": hold.lost, "remaining": (await limiter.peek(HELD, "key")).remaining}


def hammered(url: str) -> dict[str, Any]:
    """Fork many times while threads decide, so that some lock is held at the instant of a fork."""
    sys.setswitchinterval(0.0001)
    limit = Limit("hammered", "1000000/day")
    stop = threading.Event()
    wrong: list[str] = []
    counts = [0] * 4
    with blocking_of(url) as limiter:

        def hammer(number: int) -> None:
            while not stop.is_set():
                decision = limiter.acquire(limit, f"key{counts[number] % 64}")
                counts[number] += 1
                if decision.degraded or not decision.allowed:
                    wrong.append(str(decision))

        def child() -> list[bool]:
            decisions = [limiter.acquire(limit, f"key{number}") for number in range(64)]
            decisions += limiter.acquire_all([(limit, f"key{number}") for number in range(32)]).decisions
            limiter.statistics()
            return [decision.allowed and not decision.degraded for decision in decisions]

        threads = [threading.Thread(target=hammer, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        children = [in_child(child) for _ in range(25 if url == "memory" else 8)]
        stop.set()
        for thread in threads:
            thread.join()
        counted = limiter.statistics().decisions["hammered", "allowed"]
    return {"children": children, "wrong": wrong, "counted": counted, "asked": sum(counts)}


JOBS: dict[str, Any] = {job.__name__: job for job in (blocking, awaited, unused, holding, holding_awaited, hammered)}


# The tests.


def done(job: str, store: str, request: pytest.FixtureRequest, loop: str = "uvloop") -> Any:
    """Let a process of its own do *job*; return what it found. Whatever hangs is ended with all its children."""
    url = request.getfixturevalue("redis_url") if store == "redis" else "memory"
    # What measures coverage keeps a lock of its own in each traced thread, which no child could ever take.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.processes.test_fork", job, url, loop],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            told, errors = process.communicate(timeout=JOB_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # a group of its own, which nobody else is in
            raise
    assert process.returncode == 0, errors
    return json.loads(told)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("store", STORES)
def test_the_child_of_a_blocking_limiter_decides_and_shares_no_socket(
    store: str, loop: str, request: pytest.FixtureRequest
) -> None:
    """Children and a grandchild go on from the state there was, with sockets of their own, and so does the parent."""
    told = done("blocking", store, request, loop)
    first, second = told["children"]
    grandchild = first.pop("grandchild")
    assert told["before"] == [49, 48]
    remaining = [first["remaining"], grandchild["remaining"], second["remaining"], told["after"]]
    assert remaining == ([47, 46, 45, 44] if store == "redis" else [47, 46, 47, 47])
    assert [first["before"], second["before"]] == [2, 2]
    families = [told["sockets"], first["sockets"], grandchild["sockets"]]
    assert not set(told["sockets"]) & {*first["at_once"], *first["sockets"], *second["sockets"]}
    assert not set(first["sockets"]) & {*grandchild["at_once"], *grandchild["sockets"]}
    if store == "redis":
        assert all(families)


@pytest.mark.parametrize("store", STORES)
def test_the_child_of_an_awaited_limiter_decides_and_shares_no_connection(
    store: str, request: pytest.FixtureRequest
) -> None:
    """In a loop of its own it goes on from the state there was; its closing closes nothing of its parent's."""
    told = done("awaited", store, request)
    assert told["before"] == [49, 48]
    assert told["child"]["remaining"] == 47
    assert told["after"] == ([41, 40, 39] if store == "redis" else [47, 46, 45])
    assert not set(told["sockets"]) & set(told["child"]["sockets"])
    if store == "redis":
        assert told["sockets"]
        assert told["child"]["sockets"]


@pytest.mark.parametrize("store", STORES)
def test_a_limiter_that_was_made_before_the_fork_serves_each_child(store: str, request: pytest.FixtureRequest) -> None:
    """Workers that are forked from one process each enter and use it, and so can that process."""
    told = done("unused", store, request)
    if store == "redis":
        assert [*told["children"], told["own"]] == [[49, 48], [47, 46], [45, 44]]
    else:
        assert [*told["children"], told["own"]] == [[49, 48]] * 3


@pytest.mark.parametrize("job", ["holding", "holding_awaited"])
@pytest.mark.parametrize("store", STORES)
def test_the_parents_holds_are_lost_in_the_child_and_kept_in_the_parent(
    store: str, job: str, request: pytest.FixtureRequest
) -> None:
    """The child neither holds nor releases nor renews them, and can hold units of its own."""
    told = done(job, store, request)
    assert told["child"] == {"lost": True, "own_lost": False, "own_lost_later": False}
    assert (told["lost"], told["remaining"]) == (False, 2)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("store", STORES)
def test_a_fork_while_locks_are_held_hangs_nobody(store: str, loop: str, request: pytest.FixtureRequest) -> None:
    """Whatever threads of the parent did at that instant, children decide on every key, and the threads go on."""
    told = done("hammered", store, request, loop)
    assert told["children"] == [[True] * 96] * len(told["children"])
    assert told["wrong"] == []
    assert told["counted"] == told["asked"] > 0


if __name__ == "__main__":
    if sys.argv[3] == "asyncio":
        sys.modules["uvloop"] = None  # type: ignore[assignment] # so that it cannot be imported
    found = JOBS[sys.argv[1]](sys.argv[2])
    print(json.dumps(asyncio.run(found) if asyncio.iscoroutine(found) else found))
