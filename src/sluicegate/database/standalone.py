"""One Redis or Valkey server, over redis-py's asyncio connections.

redis-py's own retries are off, because they would repeat commands that consume. Each call owns its
connection from the first byte sent to the last byte read; if it ends in between, for whatever
reason, that connection is closed, so an answer can never reach the wrong caller.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, NoScriptError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from sluicegate.database.classification import UNNAMED, classified, code_of
from sluicegate.database.client import Argument, Identity
from sluicegate.database.connections import Connections, awaited
from sluicegate.utils import (
    ConfigurationError,
    InvalidInputError,
    LimiterClosedError,
    OutcomeUnknownError,
    ScriptError,
    StoreError,
    StoreOverloadedError,
    StoreTopologyError,
    StoreUnavailableError,
    checked_seconds,
    shape_of,
)

try:
    from hiredis import pack_command
except ImportError:  # then redis-py packs, in Python
    pack_command = None  # type: ignore[assignment] # told apart where it is used

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from sluicegate.database.client import ScriptCall
    from sluicegate.database.scripts import Script

__all__ = ["StandaloneClient"]

COMMAND_DEADLINE_US = 1_000_000  # for commands that no request waits for
START_PAUSE_S = 0.05  # between two looks for a server that starts just now
VERSION_MIN = 7
OPTIONS = frozenset({"client_name", "db", "password", "protocol", "socket_keepalive", "username"})
OPTIONS_OF_TLS = "ssl_"  # all that begin with it: redis-py knows which there are


class StandaloneClient:
    """A single server; see `RedisClient` for the promises.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with user, password and database where needed.
        connect_timeout: Seconds allowed for the first connection in `start`, and for each later one, 0.01 to 60.

    Raises:
        InvalidInputError: The URL cannot be read, or the time-out is out of its range.
    """

    def __init__(self, url: str, *, connect_timeout: float = 2.0) -> None:
        self._connect_timeout_s = checked_seconds(connect_timeout, "connect_timeout", at_least=0.01, at_most=60)
        self._factory = _factory_of(url, connect_timeout)  # makes connections; they are kept here
        self._connections = Connections(self._factory.make_connection, timeout_s=connect_timeout)
        self._known: set[str] = set()  # SHA-1 of scripts that this server has confirmed
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    async def run(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Argument], *, read_only: bool, deadline_us: int
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run *script* and return its reply; see `RedisClient`."""
        async with self._conversation(f"run {script.name}", deadline_us) as conversation:
            return await self._run_on(conversation, script, keys, args, read_only=read_only)

    async def run_many(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run several scripts in one round trip; see `RedisClient`."""
        if not calls:
            return []
        async with self._conversation("run scripts", min(call.deadline_us for call in calls)) as conversation:
            for script in {call.script.sha1: call.script for call in calls}.values():
                if script.sha1 not in self._known:
                    await self._load(script)
            for call in calls:
                command = "EVALSHA_RO" if call.read_only else "EVALSHA"
                await conversation.send(command, call.script.sha1, len(call.keys), *call.keys, *call.args)
            replies = [await conversation.outcome() for _ in calls]
            return [await self._settled(conversation, call, reply) for call, reply in zip(calls, replies, strict=True)]

    async def execute(self, *command: Argument, deadline_us: int = COMMAND_DEADLINE_US) -> Any:  # noqa: ANN401
        """Send one command and return its reply; see `RedisClient`."""
        async with self._conversation(str(command[0]), deadline_us) as conversation:
            await conversation.send(*command)
            return await conversation.read()

    def nodes(self) -> tuple[str, ...]:
        """Return the server's address, without credentials."""
        kwargs = self._factory.connection_kwargs
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
        self._connections.retry_now()
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
        await self._connections.aclose()

    def after_fork(self) -> None:
        """Let go of the parent's sockets in a forked child, without a word to the server."""
        self._connections.after_fork()
        self._loading = {}

    async def _facts_in_time(self) -> dict[str, str]:
        """Ask until the server answers and has its data; one that starts just now does not at first."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._connect_timeout_s
        while True:
            try:
                return await self._facts_when_loaded()
            except (StoreUnavailableError, StoreOverloadedError):
                if loop.time() + START_PAUSE_S >= due_s:
                    raise
            await asyncio.sleep(START_PAUSE_S)

    async def _facts_when_loaded(self) -> dict[str, str]:
        facts = await self._facts()
        if facts.get("loading") == "1":  # it tells about itself, and refuses all else
            raise StoreUnavailableError("start", "the server is loading its data")
        return facts

    async def _facts(self) -> dict[str, str]:
        timeout_us = round(self._connect_timeout_s * 1_000_000)
        text = b""
        for section in ("server", "persistence", "replication"):
            text += await self.execute("INFO", section, deadline_us=timeout_us)
        lines = text.decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    async def _run_on(
        self,
        conversation: _Conversation,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[Argument],
        *,
        read_only: bool,
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        suffix = "_RO" if read_only else ""
        for _ in range(2):
            if script.sha1 not in self._known:
                await self._load(script)
            await conversation.send("EVALSHA" + suffix, script.sha1, len(keys), *keys, *args)
            try:
                return await conversation.read()
            except NoScriptError:
                self._known.discard(script.sha1)  # a restart, or somebody flushed the scripts; nothing has run
        # They are flushed faster than loaded: the text itself cannot be flushed away.
        await conversation.send("EVAL" + suffix, script.source, len(keys), *keys, *args)
        return await conversation.read()

    async def _settled(self, conversation: _Conversation, call: ScriptCall, reply: Any) -> Any:  # noqa: ANN401 - a reply
        if isinstance(reply, NoScriptError):
            return await self._run_on(conversation, call.script, call.keys, call.args, read_only=call.read_only)
        return classified(reply, f"run {call.script.name}", sent=True) if isinstance(reply, RedisError) else reply

    async def _load(self, script: Script) -> None:
        """Load *script* once, however many ask for it; its own connection, so that none is held waiting."""
        task = self._loading.get(script.sha1)
        if task is None:
            task = self._loading[script.sha1] = asyncio.create_task(self._load_once(script))
            task.add_done_callback(lambda done: self._note_loaded(script, done))
        await awaited(task)

    async def _load_once(self, script: Script) -> None:
        digest = await self.execute("SCRIPT", "LOAD", script.source)
        if digest.decode() != script.sha1:
            raise ScriptError(f"load {script.name}", "the server's SHA-1 is not that of the shipped script")
        self._known.add(script.sha1)

    def _note_loaded(self, script: Script, task: asyncio.Task[None]) -> None:
        self._loading.pop(script.sha1, None)
        if not task.cancelled():
            task.exception()  # nobody may wait for it any more

    @asynccontextmanager
    async def _conversation(self, operation: str, deadline_us: int) -> AsyncIterator[_Conversation]:
        if self._closed:
            raise LimiterClosedError("the client is closed")
        conversation = None
        try:
            async with asyncio.timeout(deadline_us / 1_000_000):
                conversation = _Conversation(await self._connections.take(operation))
                yield conversation
        except StoreError:
            raise
        except TimeoutError:
            reason = f"no answer within {deadline_us / 1000:g} ms"
            wanted = OutcomeUnknownError if conversation is not None and conversation.sent else StoreUnavailableError
            raise wanted(operation, reason) from None
        except (RedisError, OSError, EOFError) as error:
            failure = classified(error, operation, sent=conversation is not None and conversation.sent)
            if conversation is not None and isinstance(failure, StoreTopologyError):
                conversation.misled = True  # the name may lead to the right node by now
            raise failure from error
        finally:
            if conversation is not None:
                await self._connections.put_back(
                    conversation.connection, spoiled=conversation.awaited > 0 or conversation.misled
                )


class _Conversation:
    """One call's use of a connection: whether anything left, and how many answers are still due."""

    __slots__ = ("awaited", "connection", "misled", "sent")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.sent = False
        self.awaited = 0
        self.misled = False

    async def send(self, *command: Argument) -> None:
        self.sent = True
        self.awaited += 1
        connection = self.connection
        packed = connection.pack_command(*command) if pack_command is None else pack_command(command)  # type: ignore[arg-type] # of any length
        await connection.send_packed_command(packed, check_health=False)

    async def read(self) -> Any:  # noqa: ANN401 - whatever the server replies
        reply = await self.outcome()
        if isinstance(reply, RedisError):
            raise reply
        return reply

    async def outcome(self) -> Any:  # noqa: ANN401 - whatever the server replies
        """Read a reply, or the error that the server sent in its place."""
        try:
            reply = await self.connection.read_response(disconnect_on_error=False)
        except RedisError as error:
            if _is_broken(error):
                raise
            reply = error
        self.awaited -= 1
        return reply


def _is_broken(error: RedisError) -> bool:
    """Say whether *error* speaks of the connection, not of one command."""
    return isinstance(error, InvalidResponse) or (isinstance(error, RedisConnectionError) and code_of(error) == UNNAMED)


def _factory_of(url: str, connect_timeout_s: float) -> ConnectionPool:
    ours: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": None,  # every call brings its own deadline
        "socket_connect_timeout": connect_timeout_s,
        "health_check_interval": 0,
        "decode_responses": False,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    try:
        _check_options(url, ours)
        factory = ConnectionPool.from_url(url, **ours)
        factory.make_connection()  # type: ignore[no-untyped-call] # a value that no option takes is found here
    except InvalidInputError:
        raise
    except (ValueError, TypeError, RedisError):
        scheme, separator, _ = url.partition("://")
        # Nothing behind the scheme is shown: a password may stand there.
        schemed = separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme)
        found = f"a URL that begins with {shape_of(scheme)}" if schemed else "a text without a scheme"
        raise InvalidInputError("redis url", found, "redis://host:port/db, rediss://… or unix://path") from None
    return factory


def _check_options(url: str, ours: Mapping[str, object]) -> None:
    """Refuse what redis-py would misunderstand, or would take from the URL although it is ours to say."""
    parts = urlsplit(url)
    if parts.fragment:  # the rest of a password with a number sign, and what stands before it is no host
        raise ValueError
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError
    elif not re.fullmatch(r"/?|/[0-9]+/?", parts.path):  # of what is no number redis-py would make database 0
        raise ValueError
    options = parse_qs(parts.query, keep_blank_values=True).keys()
    overruled = sorted(ours.keys() & options)
    if overruled:  # redis-py would let the URL win, and repeat commands or wait for ever
        found = f"the option {', '.join(overruled)}"
        raise InvalidInputError("redis url", found, "deadline= and connect_timeout= for times, and no retries")
    if any(name not in OPTIONS and not name.startswith(OPTIONS_OF_TLS) for name in options):
        # It is not named, for it may be a part of a password. Many options of redis-py are objects, which no text is.
        accepted = f"{', '.join(sorted(OPTIONS))}, and {OPTIONS_OF_TLS}… with rediss://"
        raise InvalidInputError("redis url", "an option that is none of these", accepted)
