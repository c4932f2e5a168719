"""Looks at the Redis server over a plain socket, so that looking costs the contender's process nothing."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Any

__all__ = ["Probe", "ServerFigures"]

_SCRIPTS = re.compile(r"^cmdstat_(?:evalsha|evalsha_ro|eval|fcall):calls=(\d+),usec=(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFigures:
    """What the server has spent so far.

    Attributes:
        cpu_us: CPU of the whole server process, in microseconds.
        script_calls: Script calls received.
        script_us: Time spent in them.
        commands: Commands run, those inside scripts included.
        wire_bytes: Bytes received and sent.
        memory_bytes: Memory in use, but for the buffers of its clients.
    """

    cpu_us: float
    script_calls: int
    script_us: int
    commands: int
    wire_bytes: int
    memory_bytes: int

    def since(self, before: ServerFigures) -> dict[str, float]:
        """Return what the server spent since *before*, by the names that samples have for it."""
        return {
            "redis_cpu_us": self.cpu_us - before.cpu_us,
            "redis_script_calls": self.script_calls - before.script_calls,
            "redis_script_us": self.script_us - before.script_us,
            "wire_bytes": self.wire_bytes - before.wire_bytes,
        }


class Probe:
    """One connection for looking.

    Args:
        port: The server's port on the loopback.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._replies = self._socket.makefile("rb")

    def command(self, *words: str) -> Any:
        """Send one command and return its reply."""
        parts = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
        self._socket.sendall(b"*%d\r\n" % len(words) + parts)
        return self._reply()

    def figures(self) -> ServerFigures:
        """Return what the server has spent so far."""
        text = self.command("INFO", "cpu", "stats", "commandstats", "memory").decode()
        facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return ServerFigures(
            cpu_us=(float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])) * 1e6,
            script_calls=sum(int(calls) for calls, _ in _SCRIPTS.findall(text)),
            script_us=sum(int(us) for _, us in _SCRIPTS.findall(text)),
            commands=int(facts["total_commands_processed"]),
            wire_bytes=int(facts["total_net_input_bytes"]) + int(facts["total_net_output_bytes"]),
            memory_bytes=int(facts["used_memory"]) - int(facts["mem_clients_normal"]),
        )

    def version(self) -> str:
        """Return the server's version."""
        text = self.command("INFO", "server").decode()
        return str(re.search(r"redis_version:(\S+)", text)[1])

    def close(self) -> None:
        """End the connection."""
        self._replies.close()
        self._socket.close()

    def _reply(self) -> Any:
        kind, rest = (line := self._replies.readline().rstrip())[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self._replies.read(length + 2)[:-2]
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        return rest
