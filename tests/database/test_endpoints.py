"""What servers tell of others is an address, and nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sluicegate.database import Access, address_of
from sluicegate.database.cluster import ClusterDirectory
from sluicegate.database.endpoints import told_endpoint
from sluicegate.database.sentinel import SentinelDirectory
from sluicegate.utils import StoreTopologyError

if TYPE_CHECKING:
    from sluicegate.database.addresses import Endpoint

HOSTILE = "evil.example/0?ssl_cert_reqs=none&client_name="


@pytest.mark.parametrize(
    ("host", "port", "endpoint"),
    [
        (b"10.0.0.1", b"6379", ("10.0.0.1", 6379)),
        ("gate_1.example-2.com", 1, ("gate_1.example-2.com", 1)),
        (b"fe80::1", b"65535", ("fe80::1", 65_535)),
    ],
)
def test_an_address_is_taken_as_it_is(host: Any, port: Any, endpoint: Endpoint) -> None:
    """Whether the server tells it in bytes or not."""
    assert told_endpoint(host, port, "look") == endpoint


@pytest.mark.parametrize(
    ("host", "port"),
    [
        (HOSTILE, 6379),
        ("user:word@h", 6379),
        ("", 6379),
        (None, None),
        ("h" * 256, 6379),
        ("a b", 6379),
        ("h\n", 6379),
        ("h", 0),
        ("h", 65_536),
        ("h", -1),
        ("h", "9" * 5_000),
        ("h", "1e3"),
    ],
)
def test_what_is_more_than_an_address_is_refused(host: Any, port: Any) -> None:
    """With an error that is one of a server, so that what is asked falls back; nothing of it is shown."""
    with pytest.raises(StoreTopologyError) as caught:
        told_endpoint(host, port, "look")
    assert str(caught.value) == "look: a server named another by what is no address"


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_no_connection_is_made_to_what_a_server_made_up(kind: str) -> None:
    """Not even one that would check no certificate, and be told the password."""
    address = address_of(f"rediss+{kind}://user:word@127.0.0.1:1" + ("/service" if kind == "sentinel" else ""))
    directory = (SentinelDirectory if kind == "sentinel" else ClusterDirectory)(address, Access())
    with pytest.raises(StoreTopologyError):
        directory.node_at((HOSTILE, 6379))
    assert directory.node_at(("10.0.0.1", 6379)).address == "10.0.0.1:6379"
