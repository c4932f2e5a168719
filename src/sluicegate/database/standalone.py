"""One Redis or Valkey server: scripts are run on connections that redis-py opens.

redis-py's own retries are off, because they would repeat commands that consume.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.exceptions import TryAgainError

from sluicegate.database.client import Argument, DividedSlot, Identity
from sluicegate.database.making import maker_of
from sluicegate.database.node import COMMAND_DEADLINE_US, Call, Node, value_of
from sluicegate.utils import (
    ConfigurationError,
    InvalidInputError,
    StoreError,
    StoreOverloadedError,
    StoreUnavailableError,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluicegate.database.access import Access
    from sluicegate.database.client import ScriptCall
    from sluicegate.database.scripts import Script

__all__ = ["StandaloneClient", "all_settled", "check_facts", "facts_when_loaded", "identity_of", "patiently"]

START_PAUSE_S = 0.05  # between two looks for a server that starts just now
VERSION_MIN = 7


class StandaloneClient:
    """A single server; see `RedisClient` for the promises.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with user, password and database where needed.
        access: How it is reached; `start` waits for it as long as for a connection.

    Raises:
        InvalidInputError: The URL cannot be read.
    """

    def __init__(self, url: str, access: Access) -> None:
        self._access = access
        self._node = Node(*maker_of(url, access), access)

    async def run(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool, deadline_us: int
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run *script* and return its reply; see `RedisClient`."""
        call = Call.of(f"run {script.name}", deadline_us)
        return value_of(call, await self._node.run(call, script, keys, args, read_only=read_only))

    async def run_many(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run several scripts in one round trip; see `RedisClient`."""
        if not calls:
            return []
        together = Call.of("run scripts", min(call.deadline_us for call in calls))
        replies = await self._node.run_all(together, calls)
        return all_settled(together, calls, replies)

    async def execute(self, *command: Argument, deadline_us: int = COMMAND_DEADLINE_US) -> Any:  # noqa: ANN401
        """Send one command and return its reply; see `RedisClient`."""
        return await self._node.execute(Call.of(str(command[0]), deadline_us), command)

    def nodes(self) -> tuple[str, ...]:
        """Return the server's address, without credentials."""
        return (self._node.address,)

    async def identity(self) -> tuple[Identity, ...]:
        """Return which history the server tells."""
        return (await identity_of(self._node),)

    async def start(self) -> None:
        """Wait for the server, up to the connect time-out, and refuse one that is too old.

        Raises:
            StoreError: The server cannot be reached within the connect time-out.
            ConfigurationError: It is older than 7.0.
        """
        self._node.retry_now()
        check_facts(await patiently(lambda: facts_when_loaded(self._node), self._access.connect_timeout))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._node.aclose()

    def after_fork(self) -> None:
        """Let go of the parent's sockets in a forked child, without a word to the server."""
        self._node.after_fork()


async def patiently(look: Callable[[], Any], timeout_s: float) -> dict[str, str]:
    """Look until it finds something, up to *timeout_s*: a server that starts just now does not answer at first.

    Raises:
        StoreError: It found nothing.
    """
    loop = asyncio.get_running_loop()
    due_s = loop.time() + timeout_s
    while True:
        try:
            found: dict[str, str] = await look()
        except (StoreUnavailableError, StoreOverloadedError):
            if loop.time() + START_PAUSE_S >= due_s:
                raise
        else:
            return found
        await asyncio.sleep(START_PAUSE_S)


async def facts_when_loaded(node: Node) -> dict[str, str]:
    """Return what *node* tells of itself, when it has its data.

    Raises:
        StoreError: It does not answer, or still loads.
    """
    facts = await node.facts()
    if facts.get("loading") == "1":  # it tells about itself, and refuses all else
        raise StoreUnavailableError("start", "the server is loading its data")
    return facts


def check_facts(facts: dict[str, str]) -> None:
    """Refuse a server that is too old.

    Raises:
        ConfigurationError: It is.
    """
    version = facts.get("redis_version", "")
    major = version.partition(".")[0]
    if not major.isdigit() or int(major) < VERSION_MIN:
        problem = InvalidInputError("redis version", shape_of(version), "7.0 or newer, or Valkey")
        raise ConfigurationError([problem])


async def identity_of(node: Node) -> Identity:
    """Return which history *node* tells."""
    facts = await node.facts(("server", "replication"))
    return Identity(node.address, facts.get("run_id", ""), facts.get("master_replid", ""))


def all_settled(together: Call, calls: Sequence[ScriptCall], replies: list[Any]) -> list[Any]:
    """Return what came of several calls, each error in its place."""
    for at, reply in enumerate(replies):
        if isinstance(reply, Exception):
            replies[at] = _settled(together, calls[at], reply)
    return replies


def _settled(together: Call, call: ScriptCall, reply: Exception) -> Any:  # noqa: ANN401 - a reply
    if call.divisible and isinstance(reply, TryAgainError):
        return DividedSlot()
    try:
        return value_of(together._replace(operation=f"run {call.script.name}"), reply)
    except StoreError as error:
        return error
