"""Hears what sentinels announce: that another master is about to be put in place, a moment before it is.

A failover by sentinels has two masters for up to a second: the replica that was promoted, and the old one, which goes
on until it is told. What the old one decides meanwhile is lost. The sentinel in charge names the replica some fifty
milliseconds before it promotes it, to all who listen; so who listens can wait for it and lose nothing.
"""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sluicegate.database.acl import SENTINEL_CHANNELS
from sluicegate.database.channel import cut, let_go
from sluicegate.database.classification import classified
from sluicegate.database.connections import OPENED_S_MAX
from sluicegate.database.endpoints import told_endpoint
from sluicegate.utils import StoreAuthenticationError, StoreTopologyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Connection

    from sluicegate.database.addresses import Endpoint

__all__ = ["Announcements"]

WORDS: Final = 8  # slave NAME IP PORT @ SERVICE IP PORT
RETRY_PAUSE_S = 1.0  # to a sentinel that is away: the others announce as well


class Announcements:
    """What the sentinels of a service announce that a URL names: each tells of what it does itself.

    Args:
        makers: Make a connection to each of them, not opened yet.
        service: What they call the master.
        chosen: Called with the address of a replica that is about to be made the master, and that of the master.
        refused_pause_s: Seconds until one that does not let us listen is asked again.
    """

    def __init__(
        self,
        makers: Sequence[Callable[[], Connection]],
        service: str,
        chosen: Callable[[Endpoint, Endpoint], None],
        *,
        refused_pause_s: float,
    ) -> None:
        self._makers = makers
        self._service = service
        self._chosen = chosen
        self._refused_pause_s = refused_pause_s
        self._tasks: list[asyncio.Task[None]] = []
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Task[None] | None] = set()

    def begin(self) -> None:
        """Listen from now on, if that is not done yet."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._listen(make)) for make in self._makers]

    async def aclose(self) -> None:
        """Listen no more."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            if task not in self._connecting:
                task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=OPENED_S_MAX)
            for task in late:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def after_fork(self) -> None:
        """Let go of the parent's sockets."""
        for connection in self._open:
            let_go(connection)
        self._open = set()
        self._connecting = set()
        self._tasks = []

    async def _listen(self, make: Callable[[], Connection]) -> None:
        task = asyncio.current_task()
        while True:
            pause_s = RETRY_PAUSE_S
            connection = make()
            self._open.add(connection)
            try:
                self._connecting.add(task)
                await connection.connect()  # type: ignore[no-untyped-call] # redis-py's own
                self._connecting.discard(task)
                if task not in self._tasks:
                    return
                await connection.send_command("SUBSCRIBE", *SENTINEL_CHANNELS)
                while True:
                    # redis-py would end it with TLS's farewell, for which nobody waits here.
                    self._hear(
                        await connection.read_response(timeout=math.inf, push_request=True, disconnect_on_error=False)
                    )
            except Exception as error:  # noqa: BLE001 - of any kind: redis-py trips over a handshake that is none
                if isinstance(classified(error, "listen", sent=False), StoreAuthenticationError):
                    pause_s = self._refused_pause_s
            finally:
                self._connecting.discard(task)
                if connection in self._open:  # else it is the parent's
                    self._open.discard(connection)
                    cut(connection)
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))  # noqa: S311 - so that a fleet does not come at once

    def _hear(self, told: object) -> None:
        if not isinstance(told, list) or len(told) != 3 or told[0] != b"message":  # noqa: PLR2004 - kind, channel, text
            return  # that the subscription holds
        words = told[2].decode("utf-8", "replace").split(" ")
        if len(words) == WORDS and words[5] == self._service:
            with suppress(StoreTopologyError):
                self._chosen(told_endpoint(words[2], words[3], "listen"), told_endpoint(words[6], words[7], "listen"))
