"""The few connections to one server: each used by one call at a time, and opened apart from all calls.

A new connection is opened by a task of its own, one at a time, within the connect time-out. A caller
whose deadline is shorter stops waiting and leaves the task alone; so a server that does not answer
sees one attempt, not one for every request. After a failure the next attempt waits a little, and until
then everybody is told why the last one failed. Where as many are in use as may be, callers wait in line.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from sluicegate.database.channel import forget, let_go, taken_over
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

    from sluicegate.database.access import Access
    from sluicegate.database.channel import Channel

__all__ = ["OPENED_S_MAX", "Connections", "awaited"]

CLOSED = "the client is closed"
WAITING_MAX = 10_000  # more than all connections together answer within any usual deadline
OPENED_S_MAX = (
    0.25  # for one that is just being opened when all end: asyncio leaks a socket whose handshake is cancelled
)


class Connections:
    """The connections of one client.

    Args:
        make: Makes a connection that is not opened yet.
        access: How many there are at most, and how soon another attempt is made.
    """

    def __init__(self, make: Callable[[], Connection], access: Access) -> None:
        self._make = make
        self._access = access
        self._all: dict[Channel, Connection] = {}  # who lets go of a connection has it closed, with a warning
        self._idle: list[Channel] = []
        self._waiting: OrderedDict[asyncio.Future[Channel], str] = OrderedDict()  # in order of arrival; what for
        self._opening: asyncio.Task[None] | None = None
        self._unopened: Connection | None = None
        self._retry_at_s = 0.0
        self._pause_s = access.reconnect_pause_min
        self._failure: StoreError | None = None
        self._closed = False

    def idle(self) -> Channel | None:
        """Return an open connection for the caller's own use, until it is put back, or none where all are in use."""
        while self._idle:
            channel = self._idle.pop()
            if channel.usable:
                return channel
            self._drop(channel)
        return None

    async def take(self, operation: str) -> Channel:
        """Return a connection like `idle`; where that has none, wait for one, opened or put back, in order of arrival.

        Who is cancelled gives up its place, and keeps no connection.

        Args:
            operation: What it is for; messages say so.

        Raises:
            StoreError: There is none, and why.
        """
        while not self._closed:
            channel = self.idle()  # while anybody waits there is none: it would have gone to the first of them
            if channel is None:
                channel = await self._in_turn(operation)
            if channel.usable:
                return channel
            self._drop(channel)  # it ended before its turn came
        raise LimiterClosedError(CLOSED)

    def put_back(self, channel: Channel) -> None:
        """Give *channel* back; one on which a reply may still come is closed."""
        if not channel.usable or channel not in self._all:
            self._drop(channel)
            self._open_another()
        elif not self._waiting or not self._hand_over(channel):
            self._idle.append(channel)

    def not_in_time(self, operation: str, lateness: str) -> StoreError:
        """Return why nobody could be given a connection until its deadline."""
        if len(self._all) >= self._access.connections_max:
            return StoreOverloadedError(operation, f"all {self._access.connections_max} connections are in use")
        return StoreUnavailableError(operation, lateness)

    def retry_now(self) -> None:
        """Forget that the last attempt failed."""
        self._retry_at_s = 0.0

    async def aclose(self) -> None:
        """Close all, those in use included."""
        self._closed = True
        self._tell_waiting(lambda _: LimiterClosedError(CLOSED))
        opening = self._opening
        if opening is not None:
            await asyncio.wait([opening], timeout=OPENED_S_MAX)
            opening.cancel()
            await asyncio.wait([opening])
        for channel in list(self._all):
            self._drop(channel)
        self._idle.clear()

    def after_fork(self) -> None:
        """Let go of the parent's sockets in a forked child, without a word to the server."""
        for connection in self._all.values():
            let_go(connection)
        if self._unopened is not None:
            let_go(self._unopened)
        self._all = {}
        self._idle = []
        self._waiting = OrderedDict()  # they wait in the parent
        self._opening = None
        self._unopened = None
        self._retry_at_s = 0.0

    async def _in_turn(self, operation: str) -> Channel:
        """Return a connection that may have ended meanwhile."""
        if len(self._waiting) >= WAITING_MAX:
            most = self._access.connections_max
            raise StoreOverloadedError(operation, f"{WAITING_MAX:,} calls wait already for {most} connections")
        waiter: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = operation
        self._open_another()
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:  # its turn came in the moment that it went
                self.put_back(waiter.result())
            raise
        finally:
            self._waiting.pop(waiter, None)

    def _hand_over(self, channel: Channel) -> bool:
        """Give *channel* to who came first; say whether anybody still waited."""
        while self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            if not waiter.done():  # else it was cancelled, and has not noticed yet
                waiter.set_result(channel)
                return True
        return False

    def _open_another(self) -> None:
        """Have another connection opened where somebody waits; where there is none and cannot be, tell why."""
        is_opening = self._opening is not None and not self._opening.done()
        if not self._waiting or self._closed or is_opening or len(self._all) >= self._access.connections_max:
            return
        loop = asyncio.get_running_loop()
        failure = self._failure
        if failure is None or loop.time() >= self._retry_at_s:
            self._opening = loop.create_task(self._open())
            self._opening.add_done_callback(self._note_opened)
        elif not self._all:  # else one that is in use is put back: a server may be full, and serve those that it has
            self._tell_waiting(lambda operation: type(failure)(operation, failure.reason))

    def _note_opened(self, opening: asyncio.Task[None]) -> None:
        if not opening.cancelled():
            opening.exception()  # it is noted already, and told to who waits
        if opening is self._opening:  # else it is one of a loop that was left
            self._open_another()

    def _tell_waiting(self, problem: Callable[[str], Exception]) -> None:
        """Tell each who waits, in the name of its own operation."""
        while self._waiting:
            waiter, operation = self._waiting.popitem(last=False)
            if not waiter.done():  # as above
                waiter.set_exception(problem(operation))

    async def _open(self) -> None:
        connection = self._unopened = self._make()
        try:
            async with asyncio.timeout(self._access.connect_timeout):
                await connection.connect()  # type: ignore[no-untyped-call] # redis-py's own
            channel = await taken_over(connection)
        except BaseException as error:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
            if isinstance(error, Exception):  # of any kind: redis-py trips over a handshake that is none
                raise self._failed(error) from error
            raise
        finally:
            self._unopened = None
        self._failure = None
        self._pause_s = self._access.reconnect_pause_min
        self._all[channel] = connection
        self.put_back(channel)

    def _failed(self, error: Exception) -> StoreError:
        failure = classified(error, "connect", sent=False)
        if isinstance(error, TimeoutError):
            failure = StoreUnavailableError("connect", f"no connection within {self._access.connect_timeout:g} s")
        refused = isinstance(failure, StoreAuthenticationError)
        pause_s = self._access.refused_pause if refused else self._pause_s
        self._pause_s = min(self._access.reconnect_pause_max, self._pause_s * 2)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - so that processes do not come back together; no secret
        self._retry_at_s = asyncio.get_running_loop().time() + pause_s * jitter
        self._failure = failure
        return failure

    def _drop(self, channel: Channel) -> None:
        connection = self._all.pop(channel, None)
        if connection is not None:  # else it is closed, or was let go of
            channel.close()
            forget(connection)


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
            raise LimiterClosedError(CLOSED) from None
        raise
