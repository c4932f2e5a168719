"""A Redis Cluster: which master has which of the 16,384 slots, learnt from any of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.crc import key_slot

from sluicegate.database.endpoints import node_of, told_endpoint
from sluicegate.database.node import COMMAND_DEADLINE_US, Call, Node
from sluicegate.database.renewing import Renewing
from sluicegate.utils import StoreError, StoreTopologyError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluicegate.database.access import Access
    from sluicegate.database.addresses import Address, Endpoint
    from sluicegate.database.client import Argument

__all__ = ["ClusterDirectory"]

NODES_MAX = 1_000  # that a Cluster is made for; each takes connections only when it is asked
LOOK_PAUSE_S = 1.0  # between looks that nobody waits for: each has a server tell of all slots
LOOK_DEADLINE_US = 250_000  # for one server to tell of all slots, before another is asked


class ClusterDirectory:
    """The masters of a Cluster, by slot; see `Directory`.

    Args:
        address: What the URL says.
        access: How the servers are reached.
    """

    def __init__(self, address: Address, access: Access) -> None:
        self._address = address
        self._access = access
        self._nodes: dict[Endpoint, Node] = {}
        self._slots: dict[int, Endpoint] = {}
        self._renewing = Renewing(self._look, pause_s=LOOK_PAUSE_S)
        for seed in address.seeds:
            self.node_at(seed)  # what is wrong with the URL is found here

    def known(self, key: Argument) -> Node | None:
        """Return the master of *key*'s slot, if it is known."""
        endpoint = self._slots.get(key_slot(key if isinstance(key, bytes) else str(key).encode()))
        return self.node_at(endpoint) if endpoint is not None else None

    async def node_for(self, key: Argument | None) -> Node:
        """Return the master of *key*'s slot, or any master where it is ``None``."""
        if not self._slots:
            await self._renewing.now()
        if key is None:
            return self.masters()[0]
        node = self.known(key)
        if node is None:
            self.doubt()
            raise StoreTopologyError("find the node", "no master has the slot of the key")
        return node

    def node_at(self, endpoint: Endpoint) -> Node:
        """Return the server at *endpoint*."""
        node = self._nodes.get(endpoint)
        if node is None:
            node = self._nodes[endpoint] = node_of(self._address, endpoint, self._access)
        return node

    def moved(self, slot: int, endpoint: Endpoint) -> None:
        """Note that *slot* is that server's, and look soon what else has moved."""
        self._slots[slot] = endpoint
        self.doubt()

    async def renewed(self) -> None:
        """Learn the slots anew; see `Directory`."""
        await self._renewing.now()

    def doubt(self) -> None:
        """Learn the slots anew soon."""
        self._renewing.soon()

    def masters(self) -> Sequence[Node]:
        """Return the masters that have a slot."""
        return [self.node_at(endpoint) for endpoint in dict.fromkeys(self._slots.values())]

    def named(self) -> tuple[str, ...]:
        """Return the addresses of what the URL names."""
        return tuple(self.node_at(seed).address for seed in self._address.seeds)

    async def aclose(self) -> None:
        """Give up all connections."""
        self._renewing.cancel()
        await asyncio.gather(*[node.aclose() for node in self._nodes.values()])

    def after_fork(self) -> None:
        """Let go of the parent's sockets."""
        for node in self._nodes.values():
            node.after_fork()
        self._renewing.after_fork()

    async def _look(self) -> None:
        """Ask one server after another, those that are known to be masters first, until one tells all slots."""
        known = [*dict.fromkeys(self._slots.values()), *self._address.seeds, *self._nodes]
        problem: StoreError = StoreUnavailableError("learn the slots", "no server is known")
        for endpoint in list(dict.fromkeys(known)):
            node = self.node_at(endpoint)
            deadline_us = LOOK_DEADLINE_US if self._slots else COMMAND_DEADLINE_US
            try:
                told = await node.execute(Call.of("CLUSTER SLOTS", deadline_us), ("CLUSTER", "SLOTS"))
                slots = dict(_slots_told(told, endpoint[0]))
            except StoreError as error:
                problem = error
                continue
            if slots:
                await self._adopt(slots)
                return
            problem = StoreTopologyError("learn the slots", f"{node.address} knows of none")
        raise problem

    async def _adopt(self, slots: dict[int, Endpoint]) -> None:
        """Take over what was learnt, and give up servers that have nothing to do with it any more."""
        self._slots = slots
        if len(self._nodes) > NODES_MAX:
            wanted = {*slots.values(), *self._address.seeds}
            gone = [self._nodes.pop(endpoint) for endpoint in [*self._nodes] if endpoint not in wanted]
            await asyncio.gather(*[node.aclose() for node in gone])


def _slots_told(told: Any, asked_host: str) -> Iterable[tuple[int, Endpoint]]:  # noqa: ANN401 - a reply
    for first, last, master, *_ in told:
        host = master[0] if master[0] not in {None, b"", b"?"} else asked_host  # it does not know its own address
        endpoint = told_endpoint(host, master[1], "learn the slots")
        for slot in range(int(first), int(last) + 1):
            yield slot, endpoint
