"""The store in Redis: requests travel in batches to one script, which decides them on the server's clock."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import TYPE_CHECKING, Literal

from sluicegate.database import Batcher, Keyspace, load_bundle
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.store import PEEK, Reply
from sluicegate.ratelimit.stores.wire import OUT_OF_RANGE, Encoder, replies_of
from sluicegate.utils import LimiterClosedError, ScriptError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.database import RedisClient, Script
    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.stores.store import Promise, Request
    from sluicegate.utils import Clock, CorruptStateError

__all__ = ["DEADLINE_US", "RedisStore", "decide_script"]

DEADLINE_US = 50_000  # a limiter stands before every request: later than this the fallback is the better answer


def decide_script() -> Script:
    """Return the script that decides, verified against its manifest."""
    return load_bundle("decide", resources.files("sluicegate.ratelimit"), "stores/script/manifest.json")


class RedisStore:
    """State in Redis.

    Args:
        client: The server, or what acts as one.
        clock: This process's time: guesses the current calendar window, and decides nothing.
        logger: Told of values that could not be read.
        keyspace: Names the keys.
        deadline_us: The time for an answer, in microseconds.
        script: The script that decides; only tests put in another.
    """

    source = "redis"
    at_once: Literal[False] = False

    def __init__(
        self,
        client: RedisClient,
        clock: Clock,
        logger: Logger,
        *,
        keyspace: Keyspace | None = None,
        deadline_us: int = DEADLINE_US,
        script: Script | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._logger = logger
        self._keyspace = keyspace or Keyspace()
        self._deadline_us = deadline_us
        self._script = script or decide_script()
        self._calendars = CalendarRules()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._batcher = self._new_batcher()

    def ask(self, request: Request, promise: Promise, loop: asyncio.AbstractEventLoop) -> None:
        """Put *request* into the next batch; see `DistantStore`.

        Raises:
            LimiterClosedError: It is closed, or belongs to another event loop that still runs.
        """
        if loop is not self._loop:
            self._bind(loop)
        self._batcher.submit(request, promise, loop)

    async def start(self) -> None:
        """Connect once; see `DistantStore`."""
        self._bind(asyncio.get_running_loop())
        await self._client.start()

    async def aclose(self) -> None:
        """Answer everybody who waits, then close the client; see `DistantStore`.

        Raises:
            LimiterClosedError: It belongs to another event loop that still runs.
        """
        if self._closed:
            return
        self._bind(asyncio.get_running_loop())
        self._closed = True
        await self._batcher.aclose()
        await self._client.aclose()

    def after_fork(self) -> None:
        """Forget the parent's requests and connections; see `DistantStore`."""
        self._client.after_fork()
        self._loop = None
        self._batcher = self._new_batcher()

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to *loop*; a loop that has ended leaves connections behind that no other can use."""
        if self._closed:
            raise LimiterClosedError("the limiter is closed")
        if self._loop is not None and loop is not self._loop:
            if not self._loop.is_closed():
                raise LimiterClosedError("the limiter belongs to another event loop")
            self.after_fork()
        self._loop = loop

    def _new_batcher(self) -> Batcher[Request]:
        return Batcher(self._send, deadline_us=self._deadline_us)

    async def _send(self, requests: Sequence[Request], left_us: int) -> Sequence[Reply | StoreError]:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + left_us / 1_000_000
        replies: list[Reply | StoreError] = [*await self._run(requests, self._clock.now_us(), left_us)]
        again = [
            at for at, reply in enumerate(replies) if isinstance(reply, Reply) and OUT_OF_RANGE in reply.answers[::4]
        ]
        if not again:
            return replies
        # This process's clock is in another window than the server's, whose time the reply brought.
        first = replies[again[0]]
        assert isinstance(first, Reply)
        left_us = max(1, round((due_s - loop.time()) * 1_000_000))
        try:
            retried: Sequence[Reply | StoreError] = await self._run(
                [requests[at] for at in again], first.now_us, left_us
            )
        except StoreError as error:  # the others have been decided
            retried = [error] * len(again)
        for at, reply in zip(again, retried, strict=True):
            outside = isinstance(reply, Reply) and OUT_OF_RANGE in reply.answers[::4]
            replies[at] = (
                ScriptError("decide", "the server's clock stands in none of the windows sent") if outside else reply
            )
        return replies

    async def _run(self, requests: Sequence[Request], now_us: int, left_us: int) -> Sequence[Reply | CorruptStateError]:
        encoder = Encoder(self._keyspace, self._calendars, now_us)
        args = encoder.encode(requests)
        read_only = all(request.verb == PEEK for request in requests)
        raw = await self._client.run(self._script, encoder.keys, args, read_only=read_only, deadline_us=left_us)
        if raw[1]:
            self._logger.warning("state.unreadable", values=raw[1])
        return replies_of(raw, requests)
