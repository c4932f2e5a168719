"""The embedded server is started when it is needed, shared by who names its directory, and ends with its last user."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from sluicegate import InvalidInputError, Limit, Limiter, NullLogger
from sluicegate.database import connect

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow
LIMIT = Limit("api", "100/hour", algorithm="fixed_window")
SECONDS_MAX = 15.0
USER = """
import asyncio, sys
from sluicegate import Limit, Limiter, NullLogger

async def main():
    async with Limiter.connect(sys.argv[1], deadline=5.0, logger=NullLogger()) as limiter:
        limit = Limit("api", "100/hour", algorithm="fixed_window")
        for _ in range(int(sys.argv[2])):
            assert not (await limiter.acquire(limit, "k")).degraded
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


def server_of(folder: Path) -> int | None:
    """Return the process id of the server in *folder*, if it runs."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                state = (entry / "stat").read_text("ascii").rpartition(")")[2].split()[0]
            except OSError:
                continue
            if b"valkey-server" in command[0] and str(folder).encode() in b" ".join(command) and state != "Z":
                return int(entry.name)
    return None


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait a bounded time."""
    deadline = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def user(url: str, times: int) -> subprocess.Popen[str]:
    """Start a process that acquires so often, and then stays."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, url, str(times)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    """End a process that this test started."""
    process.send_signal(number)
    process.communicate()


def limiter_at(url: str) -> Limiter:
    """Return a limiter on it."""
    return Limiter.connect(url, deadline=5.0, logger=NullLogger())


async def test_a_private_server_ends_with_its_process_and_leaves_nothing() -> None:
    """It listens on no port, and its directory is its own."""
    client: Any = connect("embedded://")
    await client.start()
    folder = client._folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert await client.execute("CONFIG", "GET", "port") in ([b"port", b"0"], {b"port": b"0"})
    pid = server_of(folder)
    assert pid is not None
    await client.aclose()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() and not folder.exists())


async def test_a_limiter_starts_it_by_itself() -> None:
    """All verbs work as on any server; two private ones know nothing of each other."""
    async with limiter_at("embedded://") as one, limiter_at("embedded://") as other:
        assert (await one.acquire(LIMIT, "k")).remaining == 99
        assert (await one.acquire(LIMIT, "k")).remaining == 98
        assert (await other.acquire(LIMIT, "k")).remaining == 99
        assert await one.reset(LIMIT, "k")


async def test_who_names_one_directory_shares_the_server(tmp_path: Path) -> None:
    """However many start at once, there is one server, and it counts for all."""
    url = f"embedded://{tmp_path}/shared"
    others = [user(url, 10) for _ in range(3)]
    async with limiter_at(url) as limiter:
        assert (await limiter.acquire(LIMIT, "k")).remaining == 100 - 31
    for other in others:
        ended(other)
    wait_until(lambda: server_of(tmp_path / "shared") is None)


async def test_it_ends_with_its_last_user_however_that_one_ends(tmp_path: Path) -> None:
    """Killed or not; and whoever comes afterwards starts another."""
    folder = tmp_path / "shared"
    url = f"embedded://{folder}"
    first, second = user(url, 1), user(url, 1)
    pid = server_of(folder)
    ended(first)
    await asyncio.sleep(0.5)
    assert server_of(folder) == pid
    ended(second)
    wait_until(lambda: server_of(folder) is None)
    async with limiter_at(url) as limiter:
        assert (await limiter.acquire(LIMIT, "k")).remaining == 99


async def test_a_server_that_was_killed_leaves_what_the_next_one_can_clear_away(tmp_path: Path) -> None:
    """A socket without a server, and a keeper that ends by itself, keep nobody from starting again."""
    folder = tmp_path / "shared"
    url = f"embedded://{folder}"
    process = user(url, 1)
    pid = server_of(folder)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    ended(process)
    async with limiter_at(url) as limiter:
        assert (await limiter.acquire(LIMIT, "k")).remaining == 99


async def test_a_server_that_dies_is_started_again_by_who_still_uses_it(tmp_path: Path) -> None:
    """Meanwhile the fallback answers; what was counted is lost with the server."""
    folder = tmp_path / "shared"
    async with limiter_at(f"embedded://{folder}") as limiter:
        assert (await limiter.acquire(LIMIT, "k")).remaining == 99
        pid = server_of(folder)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(SECONDS_MAX):
            while (await limiter.acquire(LIMIT, "k")).degraded:  # noqa: ASYNC110 - what is waited for is another's doing
                await asyncio.sleep(0.02)
        assert server_of(folder) not in (None, pid)
    wait_until(lambda: server_of(folder) is None)


async def test_a_forked_child_keeps_it_alive(tmp_path: Path) -> None:
    """Workers that are forked from one use the same server until the last of them has ended."""
    folder = tmp_path / "shared"
    client: Any = connect(f"embedded://{folder}")
    await client.start()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    await client.aclose()
    await asyncio.sleep(0.5)
    assert server_of(folder) is not None
    os.close(writing)
    os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once
    wait_until(lambda: server_of(folder) is None)


@pytest.mark.parametrize("name", ["some dir", "50%", "a%20b", "a?b", "a#b", "at@home"])
async def test_a_directory_may_have_any_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a URL says it, percent-encoded, or the system for directories of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as short:
        folder = Path(short) / name
        async with limiter_at(f"embedded://{quote(str(folder))}") as limiter:
            assert not (await limiter.acquire(LIMIT, "k")).degraded
            assert server_of(folder) is not None
        assert [entry.name for entry in Path(short).iterdir()] == [name]
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        async with limiter_at("embedded://") as limiter:
            assert not (await limiter.acquire(LIMIT, "k")).degraded


def test_a_directory_with_a_long_name_is_refused(tmp_path: Path) -> None:
    """The system has no room for the name of its socket."""
    with pytest.raises(InvalidInputError, match="a directory with a long name"):
        connect(f"embedded://{tmp_path}/{'x' * 100}")
