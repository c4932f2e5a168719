"""A master that sentinels watch: who it is now, asked of any of them, and who is next, when they announce it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from sluicegate.database.announcements import Announcements
from sluicegate.database.connections import awaited
from sluicegate.database.endpoints import node_of, told_endpoint
from sluicegate.database.making import maker_of
from sluicegate.database.node import COMMAND_DEADLINE_US, Call, Node
from sluicegate.database.renewing import Renewing
from sluicegate.utils import StoreAuthenticationError, StoreError, StoreTopologyError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Connection

    from sluicegate.database.access import Access
    from sluicegate.database.addresses import Address, Endpoint
    from sluicegate.database.client import Argument

__all__ = ["SentinelDirectory"]

LOOK_PAUSE_S = 0.25  # while requests come: a master that was replaced goes on deciding until it is told
LOOK_DEADLINE_US = 250_000  # for one sentinel to answer, before another is asked
HANDOVER_PAUSE_S = 0.01  # between looks whether who is chosen is the master by now
HANDOVER_S_MAX = 1.0  # sentinels promote within a tenth of a second, or not at all
DEAF_S = 10.0  # after an announcement that came to nothing: who makes them at will keeps nobody from the master
LEFT_S = 10.0  # for so long a sentinel may still name the master that was left: they tell each other every two seconds
PAST_MASTERS_MAX = 8  # whose connections are kept: a failover often comes back


class SentinelDirectory:
    """The one master of a service; see `Directory`.

    Args:
        address: What the URL says.
        access: How the servers are reached.
    """

    def __init__(self, address: Address, access: Access) -> None:
        self._address = address
        self._access = access
        self._nodes: dict[Endpoint, Node] = {}
        self._master: Endpoint | None = None
        self._left: Endpoint | None = None
        self._left_until_s = self._deaf_until_s = float("-inf")
        self._handover: asyncio.Task[None] | None = None
        self._renewing = Renewing(self._look, pause_s=LOOK_PAUSE_S)
        made = [self._maker_of(seed) for seed in address.seeds]
        self._announcements = Announcements(
            [make for _, make in made],
            address.service,
            self._begin_handover,
            refused_pause_s=access.refused_pause,
        )
        self._sentinels = [Node(name, make, access, stays=True) for name, make in made]
        random.shuffle(self._sentinels)  # so that a fleet does not ask one of them alone
        self.node_at(address.seeds[0])  # what is wrong with the URL is found here
        self._nodes.clear()

    def known(self, _key: Argument | None) -> Node | None:
        """Return the master, if it is known and stays it."""
        if self._master is None or self._handover is not None:
            return None
        self._renewing.soon()
        return self.node_at(self._master)

    async def node_for(self, key: Argument | None) -> Node:
        """Return the master; while another is put in its place, wait for that."""
        if self._handover is not None:
            await awaited(self._handover)
        if self._master is None:
            await self._renewing.now()
        node = self.known(key)
        if node is None:
            raise StoreTopologyError("find the master", "no sentinel knows of one")
        return node

    def node_at(self, endpoint: Endpoint) -> Node:
        """Return the server at *endpoint*."""
        node = self._nodes.get(endpoint)
        if node is None:
            node = self._nodes[endpoint] = node_of(self._address, endpoint, self._access)
        return node

    def moved(self, _slot: int, _endpoint: Endpoint) -> None:
        """Look soon: a master that has no slots says nothing of the kind."""
        self.doubt()

    async def renewed(self) -> None:
        """Ask the sentinels anew; see `Directory`."""
        self._left = None  # whom they name now is right, for the one that was taken is not
        self._sentinels.append(self._sentinels.pop(0))  # it may be who has not heard of the new master
        await self._renewing.now()

    def doubt(self) -> None:
        """Ask the sentinels anew soon."""
        self._renewing.soon()

    def masters(self) -> Sequence[Node]:
        """Return the master, if it is known."""
        return [self.node_at(self._master)] if self._master is not None else []

    def named(self) -> tuple[str, ...]:
        """Return the addresses of the sentinels."""
        return tuple(sentinel.address for sentinel in self._sentinels)

    async def aclose(self) -> None:
        """Give up all connections."""
        self._renewing.cancel()
        if self._handover is not None:
            self._handover.cancel()
        await self._announcements.aclose()
        await asyncio.gather(*[node.aclose() for node in (*self._nodes.values(), *self._sentinels)])

    def after_fork(self) -> None:
        """Let go of the parent's sockets."""
        for node in (*self._nodes.values(), *self._sentinels):
            node.after_fork()
        self._handover = None
        self._announcements.after_fork()
        self._renewing.after_fork()

    def _maker_of(self, sentinel: Endpoint) -> tuple[str, Callable[[], Connection]]:
        access = replace(self._access, credentials=None)  # they have users of their own, which the URL says
        return maker_of(self._address.sentinel_url_of(sentinel), access)

    async def _look(self) -> None:
        """Ask one sentinel after another, and the one that answered first the next time."""
        if self._handover is not None:
            await awaited(self._handover)
            return
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
        deadline_us = LOOK_DEADLINE_US if self._master is not None else COMMAND_DEADLINE_US
        problem: StoreError | None = StoreUnavailableError("find the master", "no sentinel is known")
        for sentinel in list(self._sentinels):
            try:
                told = await sentinel.execute(Call.of("SENTINEL", deadline_us), command)
                if told is None:
                    raise StoreTopologyError("find the master", "the sentinels know of no such service")
                named = told_endpoint(told[0], told[1], "find the master")
            except StoreError as error:
                problem = error
                continue
            self._announcements.begin()
            if named == self._left and asyncio.get_running_loop().time() < self._left_until_s:
                problem = None  # it has not heard yet who the master is, and we have
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)
            await self._adopt(named)
            return
        if problem is not None:
            raise problem

    def _begin_handover(self, chosen: Endpoint, replaced: Endpoint) -> None:
        """Send nothing any more to the master that is about to be replaced, and wait for the one that is chosen."""
        loop = asyncio.get_running_loop()
        if self._handover is not None or replaced != self._master or chosen == replaced:
            return
        if loop.time() >= self._deaf_until_s:
            self._handover = loop.create_task(self._hand_over(chosen, replaced))
            self._handover.add_done_callback(self._end_handover)

    def _end_handover(self, task: asyncio.Task[None]) -> None:
        if self._handover is task:
            self._handover = None
        if not task.cancelled():
            task.exception()

    async def _hand_over(self, chosen: Endpoint, replaced: Endpoint) -> None:
        """Ask who is chosen until it is the master; where it does not become it, nothing has changed."""
        loop = asyncio.get_running_loop()
        node = self.node_at(chosen)
        due_s = loop.time() + HANDOVER_S_MAX
        while loop.time() < due_s:
            try:
                told = await node.execute(Call.of("INFO", LOOK_DEADLINE_US), ("INFO", "replication"))
            except StoreAuthenticationError:
                break  # no account is to be locked
            except StoreError:
                await asyncio.sleep(HANDOVER_PAUSE_S)
                node.retry_now()  # it ends all connections when it becomes the master
            else:
                if b"role:master" in told:
                    self._left, self._left_until_s = replaced, loop.time() + LEFT_S
                    await self._adopt(chosen)
                    return
            await asyncio.sleep(HANDOVER_PAUSE_S)
        self._deaf_until_s = loop.time() + DEAF_S
        if self._nodes.get(chosen) is node and chosen != self._master:
            await self._nodes.pop(chosen).aclose()

    async def _adopt(self, endpoint: Endpoint) -> None:
        self._master = endpoint
        if len(self._nodes) > PAST_MASTERS_MAX:
            gone = [self._nodes.pop(other) for other in [*self._nodes] if other != endpoint]
            await asyncio.gather(*[node.aclose() for node in gone])
