"""The port to Redis: what the upper layers may ask of a server, and nothing more. Anyone may implement it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.database.scripts import Script

__all__ = ["Argument", "Ask", "DividedSlot", "Identity", "RedisClient", "ScriptCall"]

Argument = bytes | str | int


@dataclass(frozen=True, slots=True)
class Identity:
    """Which history a node tells: both change when newest writes may have been lost.

    Attributes:
        node: The node's address.
        run_id: Drawn anew at each start of the server.
        replication_id: Drawn anew at each promotion.
    """

    node: str
    run_id: str
    replication_id: str


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of a script.

    Attributes:
        script: What to run.
        keys: The keys that it touches, all in one hash slot.
        args: What it is told.
        read_only: Whether it must not write.
        deadline_us: The time allowed, in microseconds.
        divisible: Whether who asks can ask in parts. While a slot moves, some of its keys lie on one server and some on
            another: then such a call is answered with `DividedSlot` at once, where others wait a little.
    """

    script: Script
    keys: Sequence[Argument]
    args: Sequence[Argument]
    read_only: bool
    deadline_us: int
    divisible: bool = False


@dataclass(frozen=True, slots=True)
class DividedSlot:
    """Stands for the reply to a divisible call whose keys lie on two servers: nothing was done; in parts it can be."""


class Ask(Protocol):
    """Sends one command to one server and returns its reply; see `RedisClient.execute`.

    A client of several servers may have a method ``each_master()``, which returns one for each of the masters, by
    address; then the doctor looks at all of them.
    """

    async def __call__(self, *command: Argument, deadline_us: int = ...) -> Any:  # noqa: ANN401 - whatever it replies
        """Send it."""
        ...


class RedisClient(Protocol):
    """A server, or several that act as one.

    Every call ends within its deadline, with a reply of its own or a `StoreError`. A call that may
    have taken effect raises `OutcomeUnknownError` and is never repeated. Cancelling a call gives up
    its connection, and nobody else's answer is touched.
    """

    async def run(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool, deadline_us: int
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run *script* on the node that owns *keys* and return its reply.

        Args:
            script: What to run; loaded first where the node does not know it.
            keys: The keys that it touches, all in one hash slot.
            args: What it is told.
            read_only: Whether to refuse writes.
            deadline_us: The time allowed, in microseconds.

        Raises:
            StoreError: There is no usable answer.
        """
        ...

    async def run_many(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run several scripts in one round trip a node; a failed one has its `StoreError` in its place."""
        ...

    async def execute(self, *command: Argument, deadline_us: int = ...) -> Any:  # noqa: ANN401 - whatever it replies
        """Send one command that is not on the path of decisions, and return its reply."""
        ...

    def nodes(self) -> tuple[str, ...]:
        """Return the addresses of the masters that are known."""
        ...

    async def identity(self) -> tuple[Identity, ...]:
        """Return which history each master tells."""
        ...

    async def start(self) -> None:
        """Connect once, within the connect time-out, so that a wrong address is found early."""
        ...

    def after_fork(self) -> None:
        """Close the parent's sockets in a forked child, without a word to the server."""
        ...

    async def aclose(self) -> None:
        """Give up all connections."""
        ...
