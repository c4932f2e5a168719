"""One Redis or Valkey server, over redis-py's asyncio connections.

redis-py's own retries are off, because they would repeat commands that consume. Each call owns its
connection from the first byte sent to the last byte read; if it ends in between, for whatever
reason, that connection is closed, so an answer can never reach the wrong caller.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from sluicegate.database.classification import classified
from sluicegate.database.client import Argument, Identity
from sluicegate.utils import (
    ConfigurationError,
    InvalidInputError,
    LimiterClosedError,
    OutcomeUnknownError,
    ScriptError,
    StoreError,
    StoreOverloadedError,
    StoreUnavailableError,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from sluicegate.database.client import ScriptCall
    from sluicegate.database.scripts import Script

__all__ = ["StandaloneClient"]

CONNECTIONS_MAX = 8  # decisions travel in batches: more sockets would only wait for the same core
COMMAND_DEADLINE_US = 1_000_000  # for commands that no request waits for
BACKOFF_MIN_S = 0.05  # after a failed connect: no storm of reconnects ...
BACKOFF_MAX_S = 1.0  # ... and back within a second of the server
REPLY_BYTES_MAX = 16 * 1024 * 1024  # the largest batch answers in far less; a broken length must not fill the memory
VERSION_MIN = 7


class StandaloneClient:
    """A single server; see `RedisClient` for the promises.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with user, password and database where needed.
        connect_timeout: Seconds allowed for the first connection in `start`, and for each later one, 0.01 to 60.

    Raises:
        InvalidInputError: The URL cannot be read, or the time-out is out of its range.
    """

    def __init__(self, url: str, *, connect_timeout: float = 2.0) -> None:
        self._connect_timeout_s = connect_timeout
        self._pool = self._new_pool(url)
        self._new: Callable[[], ConnectionPool] = lambda: self._new_pool(url)
        self._slots = CONNECTIONS_MAX
        self._known: set[str] = set()  # SHA-1 of scripts that this server has confirmed
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._retry_at_s = 0.0
        self._connect_failure: StoreError | None = None  # told until the next try
        self._backoff_s = BACKOFF_MIN_S
        self._closed = False

    def _new_pool(self, url: str) -> ConnectionPool:
        try:
            return ConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS_MAX,
                retry=Retry(NoBackoff(), 0),
                retry_on_error=[],
                socket_timeout=None,  # every call brings its own deadline
                socket_connect_timeout=self._connect_timeout_s,
                health_check_interval=0,
                decode_responses=False,
            )
        except (ValueError, TypeError):
            scheme, separator, _ = url.partition("://")
            # Nothing behind the scheme is shown: a password may stand there.
            found = f"a URL that begins with {shape_of(scheme)}" if separator else "a text without a scheme"
            raise InvalidInputError("redis url", found, "redis://host:port/db, rediss://… or unix://path") from None

    async def run(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Argument], *, read_only: bool, deadline_us: int
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run *script* and return its reply; see `RedisClient`."""
        command = "EVALSHA_RO" if read_only else "EVALSHA"
        async with self._connection(f"run {script.name}", deadline_us) as connection:
            if script.sha1 not in self._known:
                await self._load(script)
            for final in (False, True):
                await connection.send(command, script.sha1, len(keys), *keys, *args)
                try:
                    return await connection.read()
                except NoScriptError:
                    # The server was restarted or its scripts were flushed; nothing has run.
                    self._known.discard(script.sha1)
                    if final:
                        raise
                    await self._load(script)
        raise AssertionError("unreachable")

    async def run_many(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run several scripts in one round trip; see `RedisClient`."""
        replies: list[Any] = []
        if not calls:
            return replies
        async with self._connection("run scripts", min(call.deadline_us for call in calls)) as connection:
            for script in {call.script.sha1: call.script for call in calls}.values():
                if script.sha1 not in self._known:
                    await self._load(script)
            for call in calls:
                command = "EVALSHA_RO" if call.read_only else "EVALSHA"
                await connection.send(command, call.script.sha1, len(call.keys), *call.keys, *call.args)
            for call in calls:
                try:
                    replies.append(await connection.read())
                except RedisError as error:
                    if connection.broken(error):
                        raise
                    replies.append(classified(error, f"run {call.script.name}", sent=True))
        return replies

    async def execute(self, *command: Argument, deadline_us: int = COMMAND_DEADLINE_US) -> Any:  # noqa: ANN401
        """Send one command and return its reply; see `RedisClient`."""
        async with self._connection(str(command[0]), deadline_us) as connection:
            await connection.send(*command)
            return await connection.read()

    def nodes(self) -> tuple[str, ...]:
        """Return the server's address, without credentials."""
        kwargs = self._pool.connection_kwargs
        return (kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}",)

    async def identity(self) -> tuple[Identity, ...]:
        """Return which history the server tells."""
        facts = await self._facts()
        return (Identity(self.nodes()[0], facts.get("run_id", ""), facts.get("master_replid", "")),)

    async def start(self) -> None:
        """Wait for the server, up to the connect time-out, and refuse one that is too old.

        Raises:
            StoreError: The server cannot be reached within the connect time-out.
            ConfigurationError: It is older than 7.0.
        """
        facts = await self._facts_in_time()
        version = facts.get("redis_version", "")
        major = version.partition(".")[0]
        if not major.isdigit() or int(major) < VERSION_MIN:
            problem = InvalidInputError("redis version", shape_of(version), "7.0 or newer, or Valkey")
            raise ConfigurationError([problem])

    async def aclose(self) -> None:
        """Close all connections."""
        self._closed = True
        for task in list(self._loading.values()):
            task.cancel()
        await self._pool.disconnect()

    def after_fork(self) -> None:
        """Close the parent's sockets in a forked child, without a word to the server."""
        inherited = [*self._pool._available_connections, *self._pool._in_use_connections]  # noqa: SLF001 - no public list
        for connection in inherited:
            _close_socket(connection)
        self._pool = self._new()
        self._slots = CONNECTIONS_MAX
        self._loading = {}

    async def _facts_in_time(self) -> dict[str, str]:
        """Ask until the server answers; one that starts just now refuses at first."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._connect_timeout_s
        while True:
            try:
                return await self._facts()
            except (StoreUnavailableError, StoreOverloadedError):
                if loop.time() + BACKOFF_MIN_S >= due_s:
                    raise
            await asyncio.sleep(BACKOFF_MIN_S)

    async def _facts(self) -> dict[str, str]:
        timeout_us = round(self._connect_timeout_s * 1_000_000)
        text = b""
        for section in ("server", "replication"):
            text += await self.execute("INFO", section, deadline_us=timeout_us)
        lines = text.decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    async def _load(self, script: Script) -> None:
        """Load *script* once, however many ask for it; its own connection, so that none is held waiting."""
        task = self._loading.get(script.sha1)
        if task is None:
            task = asyncio.create_task(self._load_once(script))
            self._loading[script.sha1] = task
            task.add_done_callback(lambda _: self._loading.pop(script.sha1, None))
        await asyncio.shield(task)

    async def _load_once(self, script: Script) -> None:
        digest = await self.execute("SCRIPT", "LOAD", script.source)
        if digest.decode() != script.sha1:
            raise ScriptError(f"load {script.name}", "the server's SHA-1 is not that of the shipped script")
        self._known.add(script.sha1)

    @asynccontextmanager
    async def _connection(self, operation: str, deadline_us: int) -> AsyncIterator[_Conversation]:
        if self._closed:
            raise LimiterClosedError("the client is closed")
        loop = asyncio.get_running_loop()
        if self._slots <= 0:
            raise StoreOverloadedError(operation, f"all {CONNECTIONS_MAX} connections are in use")
        if loop.time() < self._retry_at_s:
            failure = self._connect_failure
            assert failure is not None
            raise type(failure)(operation, failure.reason)
        self._slots -= 1
        conversation = _Conversation()
        try:
            async with asyncio.timeout(deadline_us / 1_000_000):
                conversation.connection = await self._connected(loop)
                yield conversation
        except StoreError:
            raise
        except TimeoutError:
            reason = f"no answer within {deadline_us / 1000:g} ms"
            wanted = OutcomeUnknownError if conversation.sent else StoreUnavailableError
            raise wanted(operation, reason) from None
        except (RedisError, OSError, EOFError) as error:
            raise classified(error, operation, sent=conversation.sent) from error
        finally:
            self._slots += 1
            await self._given_back(conversation)

    async def _connected(self, loop: asyncio.AbstractEventLoop) -> Connection:
        try:
            connection: Connection = await self._pool.get_connection()  # type: ignore[no-untyped-call] # redis-py's decorator
        except (RedisError, OSError) as error:
            self._connect_failure = classified(error, "connect", sent=False)
            self._retry_at_s = loop.time() + self._backoff_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
            self._backoff_s = min(BACKOFF_MAX_S, self._backoff_s * 2)
            raise
        self._backoff_s = BACKOFF_MIN_S
        return connection

    async def _given_back(self, conversation: _Conversation) -> None:
        connection = conversation.connection
        if connection is None:
            return
        if conversation.awaited:  # a reply may still come: nobody else may read it
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
        await self._pool.release(connection)


class _Conversation:
    """One call's use of a connection: what left, and how many answers are still due."""

    __slots__ = ("awaited", "connection", "sent")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.sent = False
        self.awaited = 0

    async def send(self, *command: Argument) -> None:
        assert self.connection is not None
        self.sent = True
        self.awaited += 1
        await self.connection.send_packed_command(self.connection.pack_command(*command), check_health=False)

    async def read(self) -> Any:  # noqa: ANN401 - whatever the server replies
        assert self.connection is not None
        try:
            reply = await self.connection.read_response(disconnect_on_error=False)
        except RedisError as error:
            if not self.broken(error):
                self.awaited -= 1
            raise
        self.awaited -= 1
        return reply

    @staticmethod
    def broken(error: RedisError) -> bool:
        """Say whether *error* speaks of the connection, not of one command."""
        from redis.exceptions import ConnectionError as RedisConnectionError  # noqa: PLC0415 - shadows a builtin
        from redis.exceptions import InvalidResponse  # noqa: PLC0415

        return isinstance(error, RedisConnectionError | InvalidResponse)


def _close_socket(connection: object) -> None:
    writer = getattr(connection, "_writer", None)
    sock = writer.get_extra_info("socket") if writer is not None else None
    if sock is None:
        return
    owner = getattr(sock, "_sock", None)
    with suppress(OSError):
        if owner is not None:
            owner.close()  # the real socket, so that its number is not closed a second time later
        else:
            os.close(sock.fileno())
