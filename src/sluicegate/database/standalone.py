"""One Redis or Valkey server: scripts are run on connections that redis-py opens.

redis-py's own retries are off, because they would repeat commands that consume. Each call owns its
connection from the first byte sent to the last byte read; if it ends in between, for whatever
reason, that connection is closed, so an answer can never reach the wrong caller.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, urlsplit

from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from sluicegate.database.classification import UNNAMED, classified, code_of
from sluicegate.database.client import Argument, Identity
from sluicegate.database.connections import Connections, awaited
from sluicegate.utils import (
    ConfigurationError,
    InvalidInputError,
    OutcomeUnknownError,
    ScriptError,
    StoreError,
    StoreOverloadedError,
    StoreTopologyError,
    StoreUnavailableError,
    checked_seconds,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from sluicegate.database.client import ScriptCall
    from sluicegate.database.scripts import Script

__all__ = ["StandaloneClient"]

Waited = TypeVar("Waited")

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

    async def run(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool, deadline_us: int
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run *script* and return its reply; see `RedisClient`."""
        return await self._run(_Call.of(f"run {script.name}", deadline_us), script, keys, args, read_only=read_only)

    async def run_many(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run several scripts in one round trip; see `RedisClient`."""
        if not calls:
            return []
        together = _Call.of("run scripts", min(call.deadline_us for call in calls))
        for script in {call.script.sha1: call.script for call in calls}.values():
            if script.sha1 not in self._known:
                await self._in_time(together, self._loaded(together.operation, script))
        packed = b"".join(
            _packed("EVALSHA", call.script.sha1, call.keys, call.args, read_only=call.read_only) for call in calls
        )
        replies = await self._asked(together, packed, len(calls))
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, NoScriptError):
                self._known.discard(call.script.sha1)
        return [await self._settled(together, call, reply) for call, reply in zip(calls, replies, strict=True)]

    async def execute(self, *command: Argument, deadline_us: int = COMMAND_DEADLINE_US) -> Any:  # noqa: ANN401
        """Send one command and return its reply; see `RedisClient`."""
        call = _Call.of(str(command[0]), deadline_us)
        (reply,) = await self._asked(call, pack_command(command))  # type: ignore[arg-type] # of any length
        return _value(call, reply)

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

    async def _run(
        self, call: _Call, script: Script, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        for _ in range(2):
            if script.sha1 not in self._known:
                await self._in_time(call, self._loaded(call.operation, script))
            (reply,) = await self._asked(call, _packed("EVALSHA", script.sha1, keys, args, read_only=read_only))
            if not isinstance(reply, NoScriptError):
                return _value(call, reply)
            self._known.discard(script.sha1)  # a restart, or somebody flushed the scripts; nothing has run
        # They are flushed faster than loaded: the text itself cannot be flushed away.
        (reply,) = await self._asked(call, _packed("EVAL", script.source, keys, args, read_only=read_only))
        return _value(call, reply)

    async def _settled(self, together: _Call, call: ScriptCall, reply: Any) -> Any:  # noqa: ANN401 - a reply
        """Return what came of one of several calls, its error in its place; one that met no script is run again."""
        own = together._replace(operation=f"run {call.script.name}")
        try:
            if isinstance(reply, NoScriptError):
                return await self._run(own, call.script, call.keys, call.args, read_only=call.read_only)
            return _value(own, reply)
        except StoreError as error:
            return error

    async def _asked(self, call: _Call, packed: bytes, expected: int = 1) -> list[Any]:
        """Send and return the replies, with the errors among them that the server sent."""
        channel = self._connections.idle()
        if channel is None:
            channel = await self._in_time(call, self._connections.take(call.operation))
        try:
            replies = await channel.ask(packed, expected, call.due_s)
        except TimeoutError:
            raise OutcomeUnknownError(call.operation, call.lateness) from None
        except RedisError as error:
            raise classified(error, call.operation, sent=True) from error
        else:
            for reply in replies:
                if isinstance(reply, RedisError) and _ends_connection(reply):
                    channel.close()
            return replies
        finally:
            self._connections.put_back(channel)

    async def _in_time(self, call: _Call, waited: Awaitable[Waited]) -> Waited:
        """Wait for what comes before anything of the call is sent."""
        try:
            async with asyncio.timeout_at(call.due_s):
                return await waited
        except TimeoutError:
            raise StoreUnavailableError(call.operation, call.lateness) from None

    async def _loaded(self, operation: str, script: Script) -> None:
        """Come back when the server knows *script*, and tell in the caller's own name when that fails."""
        # A connection is had first, beside the loader's: so two are open before two batches go side by side.
        channel = await self._connections.take(operation)
        try:
            await self._load(script)
        except OutcomeUnknownError as error:  # whether it is loaded; what was to run has not been sent
            raise StoreUnavailableError(operation, error.reason) from None
        except StoreError as error:
            raise type(error)(operation, error.reason) from None
        finally:
            self._connections.put_back(channel)

    async def _load(self, script: Script) -> None:
        """Load *script* once, however many ask for it."""
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


class _Call(NamedTuple):
    """What is asked, as messages call it, and when it is given up by the loop's time."""

    operation: str
    deadline_us: int
    due_s: float

    @classmethod
    def of(cls, operation: str, deadline_us: int) -> _Call:
        """Begin now."""
        return cls(operation, deadline_us, asyncio.get_running_loop().time() + deadline_us / 1_000_000)

    @property
    def lateness(self) -> str:
        """What is told when the time is over."""
        return f"no answer within {self.deadline_us / 1000:g} ms"


def _packed(command: str, script: str, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool) -> bytes:
    words = (f"{command}_RO" if read_only else command, script, len(keys), *keys, *args)
    packed: bytes = pack_command(words)  # type: ignore[arg-type] # of any length
    return packed


def _value(call: _Call, reply: Any) -> Any:  # noqa: ANN401 - whatever the server replies
    """Return a reply that is a value, and raise what one means that is an error."""
    if isinstance(reply, RedisError):
        raise classified(reply, call.operation, sent=True) from reply
    return reply


def _ends_connection(error: RedisError) -> bool:
    """Say whether *error* speaks of the connection, not of one command, or of a node that was the wrong one."""
    if isinstance(error, RedisConnectionError) and code_of(error) == UNNAMED:
        return True
    return isinstance(classified(error, "", sent=True), StoreTopologyError)  # the name may lead to another by now


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
