"""Finds out whose request it is, believing no header that a client could have written itself.

Each proxy adds the address it was called from at the right end of the header, so the list is read from
the right, and only as far as the proxies are ours; what stands left of that is the client's own text.
By default no proxy is trusted and the header is not read at all: the client is who opened the connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any, Final

from sluicegate.integrations.forwarded import HEADER_LENGTH_MAX, forwarded_nodes, node_address, plain_nodes
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

__all__ = ["PROXIES_MAX", "UNKNOWN_CLIENT", "ClientAddress"]

UNKNOWN_CLIENT: Final = "unknown"
"""What stands for a client without an address: a Unix socket, or a server that does not tell."""

PROXIES_MAX = 32  # no chain of proxies is as long, and each step costs the parsing of an address
NETWORKS_MAX = 256  # each is compared with each proxy's address
_CACHED_MAX = 4096  # addresses remembered in canonical form, about 1 MB; busy clients come back

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network
_NAT64 = IPv6Network("64:ff9b::/96")
_MAPPED = IPv6Network("::ffff:0:0/96")
_READERS = {"x-forwarded-for": plain_nodes, "forwarded": forwarded_nodes}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAddress:
    """How to tell one client from another by address.

    Attributes:
        trusted_proxies: The proxies in front of this server: their number (0 to 32), or the networks
            in which they live (at most 256, such as ``10.0.0.0/8``; ``unix`` stands for a Unix
            socket). Default 0: no header is believed.
        header: What they write: ``x-forwarded-for`` (default) or ``forwarded`` (RFC 7239). No other.
        ipv6_prefix: Leading bits that make one client of IPv6 addresses, 48 to 128. Default 64, which
            is what a single subscriber has at least.

    Raises:
        InvalidInputError: A value is none of these.
    """

    trusted_proxies: int | Collection[str] = 0
    header: str = "x-forwarded-for"
    ipv6_prefix: int = 64
    _networks: tuple[_Network, ...] | None = field(init=False, repr=False, compare=False)
    _unix_trusted: bool = field(init=False, repr=False, compare=False)
    _address_of: Callable[[str], _Address | None] = field(init=False, repr=False, compare=False)
    _masked: Callable[[_Address], str] = field(init=False, repr=False, compare=False)
    _client_at: Callable[[str | None], str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if str(self.header).lower() not in _READERS:
            raise InvalidInputError("header", shape_of(self.header), " or ".join(_READERS))
        if type(self.ipv6_prefix) is not int or not 48 <= self.ipv6_prefix <= 128:  # noqa: PLR2004 - a site, an address
            raise InvalidInputError("ipv6_prefix", shape_of(self.ipv6_prefix), "a whole number of bits from 48 to 128")
        proxies, networks, unix_trusted = _checked_proxies(self.trusted_proxies)
        set_ = object.__setattr__
        set_(self, "trusted_proxies", proxies)
        set_(self, "header", self.header.lower())
        set_(self, "_networks", networks)
        set_(self, "_unix_trusted", unix_trusted)
        set_(self, "_address_of", lru_cache(_CACHED_MAX)(_address_of))
        set_(self, "_masked", lru_cache(_CACHED_MAX)(_masking(self.ipv6_prefix)))
        set_(self, "_client_at", lru_cache(_CACHED_MAX)(_client_at(_masking(self.ipv6_prefix))))

    def of(self, scope: Mapping[str, Any]) -> str:
        """Return who the client of an ASGI connection is; see `resolve`."""
        client = scope.get("client")
        return self.resolve(client[0] if client else None, scope["headers"])

    def resolve(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return who the client is, as text that is fit to be a key.

        Whatever the header holds, this neither fails nor believes an element that no trusted proxy
        vouches for: one that is no address ends the walk at the last trustworthy one.

        Args:
            peer: Address of the connection's other end, ``None`` when it has none.
            headers: The request's header fields, names in small letters, as ASGI has them.

        Returns:
            An IPv4 address, an IPv6 network (``2001:db8::/64``) or address, or `UNKNOWN_CLIENT`.
            IPv4 addresses within IPv6 (mapped, NAT64) are taken out first.
        """
        if not self.trusted_proxies:
            return self._client_at(peer)
        address = self._walked(self._address_of(peer) if peer else None, headers)
        return UNKNOWN_CLIENT if address is None else self._masked(address)

    def _walked(self, address: _Address | None, headers: Iterable[tuple[bytes, bytes]]) -> _Address | None:
        nodes: Iterator[str] | None = None
        steps_max = self.trusted_proxies if isinstance(self.trusted_proxies, int) else PROXIES_MAX
        for _ in range(steps_max):
            if self._networks is not None and not self._is_trusted(address):
                break
            if nodes is None:
                nodes = _READERS[self.header](_joined(self.header.encode(), headers))
            node = next(nodes, None)
            before = self._address_of(node) if node else None
            if before is None:
                break
            address = before
        return address

    def _is_trusted(self, address: _Address | None) -> bool:
        if address is None:
            return self._unix_trusted
        return any(address in network for network in self._networks or ())


def _joined(name: bytes, headers: Iterable[tuple[bytes, bytes]]) -> str:
    # Several fields of one name are one list (RFC 9110, 5.3). Its right end is ours, so what is too
    # long loses its left.
    values = [value[-HEADER_LENGTH_MAX:] for found, value in headers if found == name]
    return b",".join(values[-PROXIES_MAX:])[-HEADER_LENGTH_MAX:].decode("latin-1")


def _address_of(text: str) -> _Address | None:
    address = node_address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:  # all of IPv4 would else be one client
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _masking(ipv6_prefix: int) -> Callable[[_Address], str]:
    def masked(address: _Address) -> str:
        if address.version == 4 or ipv6_prefix == 128:  # noqa: PLR2004 - protocol numbers
            return str(address)
        return str(IPv6Network((int(address), ipv6_prefix), strict=False))

    return masked


def _client_at(masked: Callable[[_Address], str]) -> Callable[[str | None], str]:
    """Return what tells the client by the connection alone."""

    def client_at(peer: str | None) -> str:
        address = _address_of(peer) if peer else None
        return UNKNOWN_CLIENT if address is None else masked(address)

    return client_at


def _checked_proxies(value: object) -> tuple[int | tuple[str, ...], tuple[_Network, ...] | None, bool]:
    if type(value) is int and 0 <= value <= PROXIES_MAX:
        return value, None, False
    if isinstance(value, list | tuple | set | frozenset) and len(value) <= NETWORKS_MAX:
        networks = tuple(_checked_network(text) for text in value if text != "unix")
        return tuple(value), networks, "unix" in value
    accepted = f"a number from 0 to {PROXIES_MAX}, or a list of at most {NETWORKS_MAX} networks"
    raise InvalidInputError("trusted_proxies", shape_of(value), accepted)


def _checked_network(text: object) -> _Network:
    try:
        network = ip_network(text if isinstance(text, str) else "")  # it would take numbers, too
    except ValueError:
        accepted = "networks such as 10.0.0.0/8 or 2001:db8::/32 (no bits beyond the prefix), addresses, or unix"
        raise InvalidInputError("trusted_proxies", shape_of(text), accepted) from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        # Addresses are compared as IPv4, so their networks must be too.
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network
