"""The few connections to one server: each used by one call at a time, and opened apart from all calls.

A new connection is opened by a task of its own, one at a time, within the connect time-out. A caller
whose deadline is shorter stops waiting and leaves the task alone; so a server that does not answer
sees one attempt, not one for every request. After a failure the next attempt waits a little, and until
then everybody is told why the last one failed.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from sluicegate.database.classification import classified
from sluicegate.utils import (
    LimiterClosedError,
    StoreAuthenticationError,
    StoreError,
    StoreOverloadedError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Connection

__all__ = ["CONNECTIONS_MAX", "Connections", "awaited"]

CONNECTIONS_MAX = 8  # decisions travel in batches: more sockets would only wait for the same core
BACKOFF_MIN_S = 0.05  # after a failed attempt: no storm of reconnects ...
BACKOFF_MAX_S = 1.0  # ... and back within a second of the server
BACKOFF_REFUSED_S = 30.0  # after wrong credentials: no account is locked and no audit log flooded by us


class Connections:
    """The connections of one client.

    Args:
        make: Makes a connection that is not opened yet.
        timeout_s: Seconds allowed for opening one.
    """

    def __init__(self, make: Callable[[], Connection], *, timeout_s: float) -> None:
        self._make = make
        self._timeout_s = timeout_s
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        self._opening: asyncio.Task[None] | None = None
        self._retry_at_s = 0.0
        self._backoff_s = BACKOFF_MIN_S
        self._failure: StoreError | None = None
        self._closed = False

    async def take(self, operation: str) -> Connection:
        """Return a connection for the caller's own use, until it is put back.

        Args:
            operation: What it is for; messages say so.

        Raises:
            StoreError: There is none, and why.
        """
        while not self._closed:
            while self._idle:
                connection = self._idle.pop()
                if await _is_fresh(connection):
                    return connection
                await self._drop(connection)
            if len(self._all) >= CONNECTIONS_MAX and (self._opening is None or self._opening.done()):
                raise StoreOverloadedError(operation, f"all {CONNECTIONS_MAX} connections are in use")
            await self._opened(operation)
        raise LimiterClosedError("the client is closed")

    async def put_back(self, connection: Connection, *, spoiled: bool) -> None:
        """Give *connection* back; a *spoiled* one, on which a reply may still come, is closed."""
        if spoiled or self._closed:
            await self._drop(connection)
        else:
            self._idle.append(connection)

    def retry_now(self) -> None:
        """Forget that the last attempt failed."""
        self._retry_at_s = 0.0

    async def aclose(self) -> None:
        """Close all, those in use included."""
        self._closed = True
        opening = self._opening
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
        for connection in list(self._all):
            await self._drop(connection)
        self._idle.clear()

    def after_fork(self) -> None:
        """Let go of the parent's sockets in a forked child, without a word to the server."""
        for connection in self._all:
            _let_go(connection)
        self._all = set()
        self._idle = []
        self._opening = None
        self._retry_at_s = 0.0

    async def _opened(self, operation: str) -> None:
        """Come back when another connection is open, which a caller before may take."""
        opening = self._opening
        if opening is None or opening.done():  # a done one whose connection somebody took already opens nothing more
            loop = asyncio.get_running_loop()
            if self._failure is not None and loop.time() < self._retry_at_s:
                raise type(self._failure)(operation, self._failure.reason)
            opening = self._opening = loop.create_task(self._open())
            opening.add_done_callback(_hear)
        try:
            await awaited(opening)
        except StoreError as error:  # one for each who waited
            raise type(error)(operation, error.reason) from None

    async def _open(self) -> None:
        connection = self._make()
        self._all.add(connection)
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call] # redis-py's own
        except BaseException as error:
            await self._drop(connection)
            if isinstance(error, RedisError | OSError):
                raise self._failed(error) from error
            raise
        self._failure = None
        self._backoff_s = BACKOFF_MIN_S
        self._idle.append(connection)

    def _failed(self, error: RedisError | OSError) -> StoreError:
        failure = classified(error, "connect", sent=False)
        if isinstance(error, TimeoutError):
            failure = StoreUnavailableError("connect", f"no connection within {self._timeout_s:g} s")
        backoff_s = BACKOFF_REFUSED_S if isinstance(failure, StoreAuthenticationError) else self._backoff_s
        self._backoff_s = min(BACKOFF_MAX_S, self._backoff_s * 2)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - so that processes do not come back together; no secret
        self._retry_at_s = asyncio.get_running_loop().time() + backoff_s * jitter
        self._failure = failure
        return failure

    async def _drop(self, connection: Connection) -> None:
        self._all.discard(connection)
        with suppress(RedisError, OSError):
            await connection.disconnect(nowait=True)


async def awaited(task: asyncio.Task[None]) -> None:
    """Wait for *task* beside others: who is cancelled leaves it alone, and closing the client ends it for all.

    Raises:
        LimiterClosedError: It was ended by closing. Nobody cancelled who waits, so it must not look like that.
    """
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        waiter = asyncio.current_task()
        if task.cancelled() and waiter is not None and not waiter.cancelling():
            raise LimiterClosedError("the client is closed") from None
        raise


def _hear(opening: asyncio.Task[None]) -> None:
    """Hear how it ended, for nobody may wait for it any more."""
    if not opening.cancelled():
        opening.exception()


async def _is_fresh(connection: Connection) -> bool:
    """Say whether the server still holds its end, and has said nothing that nobody asked for."""
    try:
        return not await connection.can_read()
    except (RedisError, OSError):
        return False


def _let_go(connection: Connection) -> None:
    """Let go of a socket whose loop is gone, without a word to the server, so that nothing is left to warn of later.

    The null device takes the socket's place first: in a forked child the parent goes on using it, and whoever closes
    that number later closes nothing else. None of this has a public way in asyncio or redis-py.
    """
    writer: Any = getattr(connection, "_writer", None)
    if writer is None:
        return
    sock = writer.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, sock.fileno())
    os.close(null)
    own = getattr(writer.transport, "_sock", None)
    if own is not None:  # asyncio's own transport: another loop's closes the number by itself
        own.close()
        writer.transport._sock = None  # noqa: SLF001 - as above
        writer.transport._closing = True  # noqa: SLF001
    for name in ("_writer", "_reader"):
        setattr(connection, name, None)
