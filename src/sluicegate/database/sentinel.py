"""A master that sentinels watch: who it is now, asked of any of them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from sluicegate.database.making import maker_of
from sluicegate.database.node import Call, Node
from sluicegate.database.renewing import Renewing
from sluicegate.utils import StoreError, StoreTopologyError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.database.access import Access
    from sluicegate.database.addresses import Address, Endpoint
    from sluicegate.database.client import Argument

__all__ = ["SentinelDirectory"]

LOOK_PAUSE_S = 0.25  # while requests come: a master that was replaced goes on deciding until it is told
LOOK_DEADLINE_US = 250_000  # for one sentinel to answer, before another is asked
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
        self._renewing = Renewing(self._look, pause_s=LOOK_PAUSE_S)
        self._sentinels = [self._sentinel_at(seed) for seed in address.seeds]
        random.shuffle(self._sentinels)  # so that a fleet does not ask one of them alone
        self.node_at(address.seeds[0])  # what is wrong with the URL is found here
        self._nodes.clear()

    def known(self, _key: Argument | None) -> Node | None:
        """Return the master, if it is known."""
        if self._master is None:
            return None
        self._renewing.soon()
        return self.node_at(self._master)

    async def node_for(self, key: Argument | None) -> Node:
        """Return the master."""
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
            url = self._address.url_of(endpoint)
            node = self._nodes[endpoint] = Node(*maker_of(url, self._access), self._access, stays=True)
        return node

    def moved(self, _slot: int, _endpoint: Endpoint) -> None:
        """Look soon: a master that has no slots says nothing of the kind."""
        self.doubt()

    async def renewed(self) -> None:
        """Ask the sentinels anew; see `Directory`."""
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
        await asyncio.gather(*[node.aclose() for node in (*self._nodes.values(), *self._sentinels)])

    def after_fork(self) -> None:
        """Let go of the parent's sockets."""
        for node in (*self._nodes.values(), *self._sentinels):
            node.after_fork()
        self._renewing.after_fork()

    def _sentinel_at(self, endpoint: Endpoint) -> Node:
        access = replace(self._access, credentials=None)  # they have users of their own, which the URL says
        return Node(*maker_of(self._address.sentinel_url_of(endpoint), access), access, stays=True)

    async def _look(self) -> None:
        """Ask one sentinel after another, and the one that answered first the next time."""
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
        problem: StoreError = StoreUnavailableError("find the master", "no sentinel is known")
        for sentinel in list(self._sentinels):
            try:
                told = await sentinel.execute(Call.of("SENTINEL", LOOK_DEADLINE_US), command)
            except StoreError as error:
                problem = error
                continue
            if told is None:
                problem = StoreTopologyError("find the master", "the sentinels know of no such service")
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)
            await self._adopt((told[0].decode(), int(told[1])))
            return
        raise problem

    async def _adopt(self, endpoint: Endpoint) -> None:
        self._master = endpoint
        if len(self._nodes) > PAST_MASTERS_MAX:
            gone = [self._nodes.pop(other) for other in [*self._nodes] if other != endpoint]
            await asyncio.gather(*[node.aclose() for node in gone])
