"""Hears what sentinels announce: that another master is about to be put in place, a moment before it is.

A failover by sentinels has two masters for up to a second: the replica that was promoted, and the old one, which goes
on until it is told. What the old one decides meanwhile is lost. The sentinel in charge names the replica some fifty
milliseconds before it promotes it, to all who listen; so who listens can wait for it and lose nothing.
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from sluicegate.database.acl import SENTINEL_CHANNELS
from sluicegate.database.channel import cut, let_go
from sluicegate.database.connections import OPENED_S_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Connection

    from sluicegate.database.addresses import Endpoint

__all__ = ["Announcements"]

WORDS: Final = 7  # slave NAME IP PORT @ SERVICE …
RETRY_PAUSE_S = 1.0  # to a sentinel that is away: the others announce as well
REFUSED_PAUSE_S = 30.0  # to one that does not let us listen: masters are looked up all the same


class Announcements:
    """What all sentinels of a service announce.

    Args:
        makers: Make a connection to each of the sentinels, not opened yet.
        service: What they call the master.
        chosen: Called with the address of a replica that is about to be made the master.
    """

    def __init__(
        self, makers: Sequence[Callable[[], Connection]], service: str, chosen: Callable[[Endpoint], None]
    ) -> None:
        self._makers = makers
        self._service = service
        self._chosen = chosen
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
            except (TimeoutError, OSError):
                pass
            except RedisError as error:
                if str(error).startswith(("NOPERM", "NOAUTH", "WRONGPASS")):
                    pause_s = REFUSED_PAUSE_S
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
        if len(words) >= WORDS and words[5] == self._service and words[3].isdecimal():
            self._chosen((words[2], int(words[3])))
