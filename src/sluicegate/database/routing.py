"""Several servers that act as one: each call goes to the server that may decide it, and follows it when it moves.

A server that is the wrong one says so before it does anything, so such a call may be sent again within its deadline.
A call whose bytes left and that nobody answered is never sent again: it may have taken effect.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    TryAgainError,
)

from sluicegate.database.client import ScriptCall
from sluicegate.database.node import COMMAND_DEADLINE_US, Call, Node, packed_command, value_of
from sluicegate.database.standalone import all_settled, check_facts, facts_when_loaded, identity_of, patiently
from sluicegate.utils import OutcomeUnknownError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.database.addresses import Endpoint
    from sluicegate.database.client import Argument, Ask, Identity
    from sluicegate.database.scripts import Script

__all__ = ["Directory", "RoutedClient"]

KEYED: Final = frozenset({"DEL", "EXISTS", "EXPIRE", "GET", "HDEL", "HGET", "HGETALL", "HSET", "PTTL", "SET"})
HOPS_MAX: Final = 5  # servers that send a call on: more would be a circle
STREAMS: Final = "STREAMS"  # stands before the keys of a command that reads streams
WAITS_MAX: Final = 3  # times that half of a slot's keys lie elsewhere
WAIT_S: Final = (0.005, 0.02)  # until the other half has come
RENEWALS_MAX: Final = 2  # times that a server was no master any more
RENEWAL_PAUSE_S: Final = 0.02  # between them, while nobody else is one yet


class Directory(Protocol):
    """Knows which server is asked for what."""

    def known(self, key: Argument) -> Node | None:
        """Return who decides about *key*, or ``None`` where `node_for` has to find out."""
        ...

    async def node_for(self, key: Argument | None) -> Node:
        """Return who decides about *key*, or any master where it is ``None``.

        Raises:
            StoreError: Nobody is known.
        """
        ...

    def node_at(self, endpoint: Endpoint) -> Node:
        """Return the server at *endpoint*."""
        ...

    def moved(self, slot: int, endpoint: Endpoint) -> None:
        """Note that a slot is that server's from now on."""
        ...

    async def renewed(self) -> None:
        """Look anew who is asked for what, if that was not done just now.

        Raises:
            StoreError: Nobody tells.
        """
        ...

    def doubt(self) -> None:
        """Look anew soon; nobody waits for it."""
        ...

    def masters(self) -> Sequence[Node]:
        """Return the servers that decide."""
        ...

    def named(self) -> tuple[str, ...]:
        """Return the addresses of what is known: masters, or where to ask for them."""
        ...

    async def aclose(self) -> None:
        """Give up all connections."""
        ...

    def after_fork(self) -> None:
        """Let go of the parent's sockets."""
        ...


@dataclass(slots=True)
class _Way:
    """How far one of the calls has come."""

    at: int
    node: Node | None = None  # who was named by the last who was asked
    asking: bool = False
    hops: int = 0
    waits: int = 0
    renewals: int = 0


class RoutedClient:
    """Servers behind a directory; see `RedisClient` for the promises.

    Args:
        directory: Knows which server is asked for what.
        connect_timeout_s: Seconds allowed for the first answer in `start`.
    """

    def __init__(self, directory: Directory, *, connect_timeout_s: float) -> None:
        self._directory = directory
        self._connect_timeout_s = connect_timeout_s

    async def run(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool, deadline_us: int
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run *script* on the server that owns *keys*; see `RedisClient`."""
        one = ScriptCall(script, keys, args, read_only=read_only, deadline_us=deadline_us)
        call = Call.of(f"run {script.name}", deadline_us)
        (reply,) = await self._routed(call, [one])
        return value_of(call, reply)

    async def run_many(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run several scripts in one round trip a server; see `RedisClient`."""
        if not calls:
            return []
        together = Call.of("run scripts", min(call.deadline_us for call in calls))
        replies = await self._routed(together, calls)
        return all_settled(together, calls, replies)

    async def execute(self, *command: Argument, deadline_us: int = COMMAND_DEADLINE_US) -> Any:  # noqa: ANN401
        """Send one command and return its reply; see `RedisClient`.

        The word behind the command's name is taken for its key where the command is one that has a key there, or the
        one behind ``STREAMS`` where that stands in it.
        """
        call = Call.of(str(command[0]), deadline_us)
        key = command[1] if len(command) > 1 and str(command[0]).upper() in KEYED else None
        if STREAMS in command:
            key = command[command.index(STREAMS) + 1]
        for _ in range(HOPS_MAX):
            node = await self._in_time(call, key)
            (reply,) = await node.ask(call, packed_command(command))
            if isinstance(reply, MovedError):
                self._directory.moved(reply.slot_id, (reply.host, reply.port))
            elif isinstance(reply, ReadOnlyError):
                await self._renewed(call)
            else:
                return value_of(call, reply)
        return value_of(call, reply)

    def nodes(self) -> tuple[str, ...]:
        """Return the addresses of the masters that are known, without credentials."""
        return tuple(node.address for node in self._directory.masters()) or self._directory.named()

    def each_master(self) -> dict[str, Ask]:
        """Return, for each master that is known, by its address, what sends commands to it alone."""
        return {node.address: _asker(node) for node in self._directory.masters()}

    async def identity(self) -> tuple[Identity, ...]:
        """Return which history each master tells."""
        await self._directory.node_for(None)
        return tuple(await asyncio.gather(*[identity_of(node) for node in self._directory.masters()]))

    async def start(self) -> None:
        """Wait for the servers, up to the connect time-out, and refuse those that are too old.

        Raises:
            StoreError: They cannot be reached within the connect time-out.
            ConfigurationError: One is older than 7.0.
        """

        async def look() -> dict[str, str]:
            await self._directory.renewed()
            await self._directory.node_for(None)
            found = {}
            for node in self._directory.masters():
                node.retry_now()
                found = await facts_when_loaded(node)
                check_facts(found)
            return found

        await patiently(look, self._connect_timeout_s)

    async def aclose(self) -> None:
        """Give up all connections."""
        await self._directory.aclose()

    def after_fork(self) -> None:
        """Let go of the parent's sockets in a forked child, without a word to the servers."""
        self._directory.after_fork()

    async def _routed(self, call: Call, calls: Sequence[ScriptCall]) -> list[Any]:
        """Return what each call came to: a reply, or the error in its place."""
        outcomes: list[Any] = [None] * len(calls)
        ways = [_Way(at) for at in range(len(calls))]
        while ways:
            groups = await self._grouped(call, ways, calls, outcomes)
            asked = [self._asked(call, node, own, calls) for node, own in groups.items()]
            # One alone needs no task of its own, which would cost as much as the call.
            told = [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked)
            ways = []
            pause_s = 0.0
            for (node, own), replies in zip(groups.items(), told, strict=True):
                for way, reply in zip(own, replies, strict=True):
                    outcomes[way.at] = reply
                    if not isinstance(reply, Exception):
                        continue  # as nearly all: only an error can be followed
                    again_s = await self._followed(call, node, way, reply, divisible=calls[way.at].divisible)
                    if again_s is not None:
                        pause_s = max(pause_s, again_s)
                        ways.append(way)
            if pause_s:
                await asyncio.sleep(pause_s)
        return outcomes

    async def _grouped(
        self, call: Call, ways: Sequence[_Way], calls: Sequence[ScriptCall], outcomes: list[Any]
    ) -> dict[Node, list[_Way]]:
        """Return who is asked for what; why nobody is, goes among the outcomes."""
        known = self._directory.known
        groups: dict[Node, list[_Way]] = {}
        for way in ways:
            key = calls[way.at].keys[0]
            try:
                node = way.node or known(key) or await self._in_time(call, key)
            except StoreError as error:
                outcomes[way.at] = error
            else:
                groups.setdefault(node, []).append(way)
        return groups

    async def _asked(self, call: Call, node: Node, ways: Sequence[_Way], calls: Sequence[ScriptCall]) -> list[Any]:
        try:
            return await node.run_all(call, [calls[way.at] for way in ways], [way.asking for way in ways])
        except StoreError as error:
            return [error] * len(ways)

    async def _followed(self, call: Call, node: Node, way: _Way, reply: Exception, *, divisible: bool) -> float | None:
        """Say after which pause to go on and where, in *way*; ``None`` where *reply* is what it comes to."""
        way.node, way.asking = None, False
        if isinstance(reply, OutcomeUnknownError | ClusterDownError):
            self._directory.doubt()
        elif call.due_s <= asyncio.get_running_loop().time():
            return None
        elif isinstance(reply, AskError) and way.hops < HOPS_MAX:
            way.hops += 1
            self._send_on(way, reply)
            return 0.0
        elif isinstance(reply, TryAgainError) and way.waits < WAITS_MAX and not divisible:
            way.waits += 1
            return random.uniform(*WAIT_S)  # noqa: S311 - so that not all come back together; no secret
        elif isinstance(reply, ReadOnlyError | MasterDownError | StoreUnavailableError) and way.renewals < RENEWALS_MAX:
            way.renewals += 1
            return await self._elsewhere(call, node, way)
        return None

    def _send_on(self, way: _Way, reply: AskError) -> None:
        """Follow a server that names another: for good, or for this call alone while the slot moves."""
        endpoint = (reply.host, reply.port)
        if isinstance(reply, MovedError):
            self._directory.moved(reply.slot_id, endpoint)
        else:
            way.node, way.asking = self._directory.node_at(endpoint), True

    async def _elsewhere(self, call: Call, node: Node, way: _Way) -> float | None:
        """Look who has taken over from *node*, which did nothing: it is no master any more, or cannot be reached."""
        await self._renewed(call)
        is_other = node not in self._directory.masters()
        return 0.0 if is_other else RENEWAL_PAUSE_S if way.renewals < RENEWALS_MAX else None

    async def _renewed(self, call: Call) -> None:
        try:
            async with asyncio.timeout_at(call.due_s):
                await self._directory.renewed()
        except (TimeoutError, StoreError):
            return  # what is known has to do

    async def _in_time(self, call: Call, key: Argument | None) -> Node:
        try:
            async with asyncio.timeout_at(call.due_s):
                return await self._directory.node_for(key)
        except TimeoutError:
            raise StoreUnavailableError(call.operation, call.lateness) from None


def _asker(node: Node) -> Ask:
    async def ask(*command: Argument, deadline_us: int = COMMAND_DEADLINE_US) -> Any:  # noqa: ANN401 - a reply
        return await node.execute(Call.of(str(command[0]), deadline_us), command)

    return ask
