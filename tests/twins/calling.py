"""Calls of the script by the thousand: sent in bulk, and each reply compared when it comes."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import hiredis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Calls", "Connection", "Mismatch", "ScriptStuckError"]

BULK = 128  # calls in one packet: the server works on one while the next is thought up
SOCKET_SECONDS_MAX = 60.0
_READ_BYTES = 65_536
_ANSWERS_AT = 2  # where a reply's answers begin

Command = tuple[Any, ...]


class Mismatch(AssertionError):  # noqa: N818 - it is an assertion that failed
    """A model answered another thing than expected."""


class ScriptStuckError(Exception):
    """The server did not answer in time."""


class Connection:
    """A plain connection that packs and reads as fast as Python can.

    Args:
        port: Of a server on this machine.
        seconds_max: How long to wait for a reply.
    """

    def __init__(self, port: int, *, seconds_max: float = SOCKET_SECONDS_MAX) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds_max)
        self._reader = hiredis.Reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def command(self, *words: Any) -> Any:
        """Run one command; a failure is raised."""
        self.send([words])
        reply = self.read()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def send(self, commands: Sequence[Command]) -> None:
        """Send *commands*, of which each will have to be read."""
        self._socket.sendall(b"".join(map(hiredis.pack_command, commands)))

    def read(self) -> Any:
        """Return the next reply."""
        while (reply := self._reader.gets()) is False:
            try:
                received = self._socket.recv(_READ_BYTES)
            except TimeoutError:
                raise ScriptStuckError from None
            if not received:
                raise ScriptStuckError
            self._reader.feed(received)
        return reply


@dataclass
class Calls:
    """The script in a server, called by virtual time.

    Attributes:
        connection: To the server.
        source: The script.
        expiring: Whether keys expire by the virtual time; it must then never step back.
        recorded: Where every command is written down with its reply, if anywhere.
    """

    connection: Connection
    source: str
    expiring: bool = False
    recorded: list[tuple[Command, Any]] | None = None
    sha1: bytes = field(init=False)
    _waiting: list[tuple[Command, Callable[[Any], None]]] = field(default_factory=list)
    _sent: list[tuple[Command, Callable[[Any], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sha1 = self.connection.command("SCRIPT", "LOAD", self.source)

    def call(self, keys: Sequence[Any], args: Sequence[Any], now_us: int, check: Callable[[Any], None]) -> None:
        """Call the script at *now_us*; *check* is given its reply, later."""
        clock = f"{now_us}!" if self.expiring else str(now_us)
        command = ("EVALSHA", self.sha1, len(keys) + 1, *keys, clock, *args)
        self._waiting.append((command, check))
        if len(self._waiting) >= BULK:
            self._send()

    def call_now(self, keys: Sequence[Any], args: Sequence[Any], now_us: int) -> Any:
        """Call the script at *now_us* and return its reply."""
        replies: list[Any] = []
        self.call(keys, args, now_us, replies.append)
        self.finish()
        return replies[0]

    def command(self, *words: Any) -> Any:
        """Run another command in its turn, and return the reply."""
        self.finish()
        reply = self.connection.command(*words)
        if self.recorded is not None:
            self.recorded.append((words, reply))
        return reply

    def finish(self) -> None:
        """Wait for every reply that is still under way."""
        self._send()
        self._receive()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.connection.send([command for command, _ in waiting])
        self._receive()
        self._sent = waiting

    def _receive(self) -> None:
        sent, self._sent = self._sent, []
        for command, check in sent:
            reply = self.connection.read()
            if self.recorded is not None:
                self.recorded.append((command, reply))
            check(reply)


def expecting(answers: Sequence[int | None], what: Any) -> Callable[[Any], None]:
    """Return a check that a reply has these answers; ``None`` stands for any."""

    def check(reply: Any) -> None:
        found = reply[_ANSWERS_AT:] if isinstance(reply, list) else reply
        if found == answers:
            return
        same_length = isinstance(reply, list) and len(found) == len(answers)
        if same_length and all(want in (None, got) for want, got in zip(answers, found, strict=True)):
            return
        raise Mismatch(f"{what}\nthe Lua twin answers {found}\nwhere expected is   {list(answers)}")

    return check
