"""One connection to a server: a command goes out in one piece, and what it is answered comes back to who asked.

redis-py opens the connection: address, TLS, credentials, protocol, database, name. Its socket is then taken
over, because its streams cost several times what a call needs. Here a call is one write, one timer and one promise.

None of what follows has a public way, so it is touched here and nowhere else:

- ``Connection._writer`` and ``_reader`` of redis-py: the only way to the transport, and the only way to tell redis-py
  that the socket is gone, of which it would warn later.
- ``_sock`` and ``_closing`` of asyncio's own transports, and ``_closed``, ``_ssl_protocol`` and ``_transport`` where
  TLS stands before one: in a forked child, what would speak to the server or warn.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from hiredis import PushNotification, Reader
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse

if TYPE_CHECKING:
    from redis.asyncio import Connection

__all__ = ["Channel", "cut", "forget", "let_go", "taken_over"]

INCOMPLETE = object()  # what the reader says where a reply is not there yet: every other value may be one


class Channel(asyncio.Protocol):
    """A connection that carries one call at a time.

    Whatever the server says while no call is under way ends it, so that no reply reaches who did not ask for it.
    Nothing waits for the transport to write: one call's command is all that can stand in its buffer, and replies
    are read meanwhile.

    Args:
        transport: An open connection on which nothing is due; it is the channel's from now on.
        loop: The loop that it belongs to.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        # As redis-py makes its own, so that what the server refuses is told by the same classes.
        self._reader = Reader(
            protocolError=InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=INCOMPLETE
        )
        self._open = True
        self._promise: asyncio.Future[list[Any]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._replies: list[Any] = []
        self._expected = 0
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether it is open and nothing is due on it."""
        return self._open and self._promise is None

    def ask(self, packed: bytes, expected: int, due_s: float) -> asyncio.Future[list[Any]]:
        """Send and return a promise of the replies; who stops waiting for it must close the channel.

        Args:
            packed: One or several commands as they travel.
            expected: How many they are.
            due_s: The loop's time at which to give up.

        The promise holds errors that the server sent among the replies. It fails with `TimeoutError` when the time
        is over, with `InvalidResponse` when something came that is no reply, and with redis-py's `ConnectionError`
        when the connection ended. All of these close the channel.
        """
        self._replies = []
        self._expected = expected
        self._timer = self._loop.call_at(due_s, self._expire)
        promise = self._promise = self._loop.create_future()
        self._transport.write(packed)
        return promise

    def close(self, error: Exception | None = None) -> None:
        """End the connection at once, unsent bytes included, and tell who waits the *error*."""
        self._open = False
        self._transport.abort()
        promise = self._ended()
        if promise is not None and not promise.done():
            promise.set_exception(error or RedisConnectionError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        """Take what the server says; a push message, which answers nothing, is passed over."""
        if self._promise is None:
            self.close()
            return
        reader, replies, expected = self._reader, self._replies, self._expected
        try:
            reader.feed(data)
            while len(replies) < expected:
                reply = reader.gets()
                if reply is INCOMPLETE:
                    return
                if type(reply) is not PushNotification:
                    replies.append(reply)
        except InvalidResponse as error:
            self.close(error)
            return
        promise = self._ended()
        if promise is not None and not promise.done():
            promise.set_result(replies)
        if reader.has_data():
            self.close()

    def eof_received(self) -> None:
        """Note that the server says no more."""
        self.close(RedisConnectionError("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection has ended."""
        self.close(RedisConnectionError(f"the connection was lost: {exc}"))

    def _expire(self) -> None:
        self.close(TimeoutError())

    def _ended(self) -> asyncio.Future[list[Any]] | None:
        """Return the promise of the call that ends here, after which none is under way."""
        promise, self._promise = self._promise, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return promise


async def taken_over(connection: Connection) -> Channel:
    """Return a channel on what redis-py has opened; *connection* has to live as long, and does nothing more.

    Raises:
        RedisConnectionError: The server has ended it already, or has said something that nobody asked for.
    """
    if await connection.can_read():
        raise RedisConnectionError("the server closed the connection, or said what nobody had asked for")
    writer: Any = connection._writer  # noqa: SLF001 - see above
    return Channel(writer.transport, asyncio.get_running_loop())


def forget(connection: Connection) -> None:
    """Tell redis-py that its socket is gone."""
    connection._writer = connection._reader = None  # noqa: SLF001 - see above


def cut(connection: Connection) -> None:
    """End a connection at once that redis-py reads itself."""
    writer: Any = getattr(connection, "_writer", None)
    forget(connection)
    if writer is not None:
        writer.transport.abort()


def let_go(connection: Connection) -> None:
    """Let go of a socket whose loop is gone, without a word to the server, so that nothing is left to warn of later.

    The null device takes the socket's place first: in a forked child the parent goes on using it, and whoever closes
    that number later closes nothing else.
    """
    writer: Any = getattr(connection, "_writer", None)
    forget(connection)
    sock = writer.get_extra_info("socket") if writer is not None else None
    if sock is None or sock.fileno() < 0:
        return
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, sock.fileno())
    os.close(null)
    transport = writer.transport
    tls = getattr(transport, "_ssl_protocol", None)
    if tls is not None:
        transport._closed = True  # noqa: SLF001 - see above
        transport = tls._transport  # noqa: SLF001
    own = getattr(transport, "_sock", None)
    if own is None:
        transport.abort()  # another loop's closes the number by itself; where that loop does not run, this is a note
    else:
        own.close()
        transport._sock = None  # noqa: SLF001
        transport._closing = True  # noqa: SLF001
