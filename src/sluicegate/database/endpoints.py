"""Addresses as servers tell them, looked at before anybody connects: what is more than a name could say more.

A sentinel or a node of a Cluster names the others, and its word goes into a URL. One that is not what it was could end
the name there, and go on with options of its own, such as one that checks no certificate.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sluicegate.database.addresses import PORT_MAX
from sluicegate.database.making import maker_of
from sluicegate.database.node import Node
from sluicegate.utils import StoreTopologyError

if TYPE_CHECKING:
    from sluicegate.database.access import Access
    from sluicegate.database.addresses import Address, Endpoint

__all__ = ["node_of", "told_endpoint"]

HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,255}")
PORT: Final = re.compile(r"[0-9]{1,5}")


def told_endpoint(host: object, port: object, operation: str) -> Endpoint:
    """Return the address that a server told.

    Args:
        host: The name or number.
        port: The port, as a number or in digits.
        operation: What it was asked for; messages say so.

    Raises:
        StoreTopologyError: It is none.
    """
    texts = [part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part) for part in (host, port)]
    if not HOST.fullmatch(texts[0]) or not PORT.fullmatch(texts[1]) or not 0 < int(texts[1]) <= PORT_MAX:
        raise StoreTopologyError(operation, "a server named another by what is no address")
    return texts[0], int(texts[1])


def node_of(address: Address, endpoint: Endpoint, access: Access) -> Node:
    """Return the server at *endpoint*, which the URL named or another server told.

    Raises:
        StoreTopologyError: What was told is no address.
    """
    if endpoint not in address.seeds:
        told_endpoint(*endpoint, "connect")
    return Node(*maker_of(address.url_of(endpoint), access), access, stays=True)
