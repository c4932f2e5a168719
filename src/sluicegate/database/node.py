"""One server as whoever speaks to it sees it: its connections, the scripts that it knows, and what it is asked.

Each call owns its connection from the first byte sent to the last byte read; if it ends in between, for whatever
reason, that connection is closed, so an answer can never reach the wrong caller.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from hiredis import pack_command
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from sluicegate.database.classification import UNNAMED, classified, code_of
from sluicegate.database.connections import Connections, awaited
from sluicegate.utils import OutcomeUnknownError, ScriptError, StoreError, StoreTopologyError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Connection

    from sluicegate.database.access import Access
    from sluicegate.database.channel import Channel
    from sluicegate.database.client import Argument, ScriptCall
    from sluicegate.database.scripts import Script

__all__ = ["COMMAND_DEADLINE_US", "Call", "Node", "packed_command", "value_of"]

COMMAND_DEADLINE_US = 1_000_000  # for commands that no request waits for
MARGIN_RATIO = 0.1  # who has less of its deadline left is not sent: a call that is cut off costs its connection
ASKING = pack_command(("ASKING",))  # what a node in the midst of taking over a slot wants to hear first


class Call(NamedTuple):
    """What is asked, as messages call it, and when it is given up by the loop's time."""

    operation: str
    deadline_us: int
    due_s: float

    @classmethod
    def of(cls, operation: str, deadline_us: int) -> Call:
        """Begin now."""
        return cls(operation, deadline_us, asyncio.get_running_loop().time() + deadline_us / 1_000_000)

    @property
    def lateness(self) -> str:
        """What is told when the time is over."""
        return f"no answer within {self.deadline_us / 1000:g} ms"


class Node:
    """One server.

    Args:
        address: Its name in messages, without credentials.
        make: Makes a connection that is not opened yet.
        access: How it is reached.
        stays: Whether the address leads to this server for ever; else a server that is the wrong one is left, and
            the name is looked up anew.

    Attributes:
        address: Its name in messages.
    """

    def __init__(self, address: str, make: Callable[[], Connection], access: Access, *, stays: bool = False) -> None:
        self.address = address
        self._stays = stays
        self._timeout_s = access.connect_timeout
        self._connections = Connections(make, access)
        self._known: set[str] = set()  # SHA-1 of scripts that this server has confirmed
        self._loading: dict[str, asyncio.Task[None]] = {}

    async def run(
        self, call: Call, script: Script, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run *script* and return what the server replied, an error of its included.

        Raises:
            StoreError: It replied nothing.
        """
        for _ in range(2):
            await self._make_known(call, script)
            (reply,) = await self.ask(call, _packed("EVALSHA", script.sha1, keys, args, read_only=read_only))
            if not isinstance(reply, NoScriptError):
                return reply
            self._known.discard(script.sha1)  # a restart, or somebody flushed the scripts; nothing has run
        # They are flushed faster than loaded: the text itself cannot be flushed away.
        (reply,) = await self.ask(call, _packed("EVAL", script.source, keys, args, read_only=read_only))
        return reply

    async def run_all(self, call: Call, calls: Sequence[ScriptCall], asking: Sequence[bool] = ()) -> list[Any]:
        """Run several scripts in one round trip and return what the server replied to each, errors of its included.

        Args:
            call: The whole.
            calls: What to run.
            asking: Which of them are sent here although the slot is another node's still.

        Raises:
            StoreError: It replied nothing.
        """
        for script in {each.script.sha1: each.script for each in calls}.values():
            await self._make_known(call, script)
        packed = [
            _packed("EVALSHA", each.script.sha1, each.keys, each.args, read_only=each.read_only) for each in calls
        ]
        expected = list(range(len(calls)))
        if any(asking):
            expected = [at for at, first in enumerate(asking) for at in ([-1, at] if first else [at])]
            packed = [ASKING + each if first else each for each, first in zip(packed, asking, strict=True)]
        answers = await self.ask(call, b"".join(packed), len(expected))
        replies = [answer for at, answer in zip(expected, answers, strict=True) if at >= 0]
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        self._known.difference_update(calls[at].script.sha1 for at in unknown)
        for at in unknown:
            replies[at] = await self._again(call, calls[at])
        return replies

    async def execute(self, call: Call, command: Sequence[Argument]) -> Any:  # noqa: ANN401 - whatever it replies
        """Send one command and return the reply.

        Raises:
            StoreError: There is none, or it is an error.
        """
        (reply,) = await self.ask(call, packed_command(command))
        return value_of(call, reply)

    async def ask(self, call: Call, packed: bytes, expected: int = 1) -> list[Any]:
        """Send and return the replies, with the errors among them that the server sent.

        Raises:
            StoreError: There are none.
        """
        channel = self._connections.idle()
        if channel is None:
            channel = await self._taken(call)
        try:
            replies = await channel.ask(packed, expected, call.due_s)
        except TimeoutError:
            raise OutcomeUnknownError(call.operation, call.lateness) from None
        except RedisError as error:
            raise classified(error, call.operation, sent=True) from error
        else:
            for reply in replies:
                if isinstance(reply, RedisError) and _ends_connection(reply, stays=self._stays):
                    channel.close()
            return replies
        finally:
            self._connections.put_back(channel)

    async def facts(self, sections: Sequence[str] = ("server", "persistence", "replication")) -> dict[str, str]:
        """Return what the server tells of itself.

        Raises:
            StoreError: It tells nothing.
        """
        text = b""
        for section in sections:
            text += await self.execute(Call.of("INFO", round(self._timeout_s * 1_000_000)), ("INFO", section))
        lines = text.decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def retry_now(self) -> None:
        """Forget that the last attempt to connect failed."""
        self._connections.retry_now()

    async def aclose(self) -> None:
        """Close all connections."""
        for task in list(self._loading.values()):
            task.cancel()
        await self._connections.aclose()

    def after_fork(self) -> None:
        """Let go of the parent's sockets in a forked child, without a word to the server."""
        self._connections.after_fork()
        self._loading = {}

    async def _again(self, call: Call, one: ScriptCall) -> Any:  # noqa: ANN401 - a reply
        """Run one of several again that met no script; what goes wrong with it is its own."""
        own = call._replace(operation=f"run {one.script.name}")
        try:
            return await self.run(own, one.script, one.keys, one.args, read_only=one.read_only)
        except StoreError as error:
            return error

    async def _taken(self, call: Call) -> Channel:
        """Wait for a connection, for as long as there is a point in sending anything afterwards."""
        try:
            async with asyncio.timeout_at(call.due_s - call.deadline_us / 1_000_000 * MARGIN_RATIO):
                return await self._connections.take(call.operation)
        except TimeoutError:
            raise self._connections.not_in_time(call.operation, call.lateness) from None

    async def _make_known(self, call: Call, script: Script) -> None:
        """Come back when the server knows *script*, and tell in the caller's own name when that fails.

        Who waits for it holds no connection, so the one that it takes is never theirs.
        """
        if script.sha1 in self._known:
            return
        try:
            async with asyncio.timeout_at(call.due_s):
                await self._load(script)
        except TimeoutError:
            raise StoreUnavailableError(call.operation, call.lateness) from None
        except OutcomeUnknownError as error:  # whether it is loaded; what was to run has not been sent
            raise StoreUnavailableError(call.operation, error.reason) from None
        except StoreError as error:
            raise type(error)(call.operation, error.reason) from None

    async def _load(self, script: Script) -> None:
        """Load *script* once, however many ask for it."""
        task = self._loading.get(script.sha1)
        if task is None:
            task = self._loading[script.sha1] = asyncio.create_task(self._load_once(script))
            task.add_done_callback(lambda done: self._note_loaded(script, done))
        await awaited(task)

    async def _load_once(self, script: Script) -> None:
        call = Call.of("SCRIPT", COMMAND_DEADLINE_US)
        digest = await self.execute(call, ("SCRIPT", "LOAD", script.source))
        if digest.decode() != script.sha1:
            raise ScriptError(f"load {script.name}", "the server's SHA-1 is not that of the shipped script")
        self._known.add(script.sha1)

    def _note_loaded(self, script: Script, task: asyncio.Task[None]) -> None:
        self._loading.pop(script.sha1, None)
        if not task.cancelled():
            task.exception()  # nobody may wait for it any more


def packed_command(command: Sequence[Argument]) -> bytes:
    """Return a command as it travels."""
    packed: bytes = pack_command(tuple(command))  # type: ignore[arg-type] # of any length
    return packed


def _packed(command: str, script: str, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool) -> bytes:
    words = (f"{command}_RO" if read_only else command, script, len(keys), *keys, *args)
    packed: bytes = pack_command(words)  # type: ignore[arg-type] # of any length
    return packed


def value_of(call: Call, reply: Any) -> Any:  # noqa: ANN401 - whatever the server replies
    """Return a reply that is a value, and raise what one means that is an error."""
    if isinstance(reply, StoreError):
        raise reply
    if isinstance(reply, RedisError):
        raise classified(reply, call.operation, sent=True) from reply
    return reply


def _ends_connection(error: RedisError, *, stays: bool) -> bool:
    """Say whether *error* speaks of the connection, not of one command, or of a node that was the wrong one."""
    if isinstance(error, RedisConnectionError) and code_of(error) == UNNAMED:
        return True
    # The name may lead to another by now.
    return not stays and isinstance(classified(error, "", sent=True), StoreTopologyError)
