"""The address that a limit counts for, out of the one that a log shows.

The same as for live requests: one machine owns a whole IPv6 network of 64 bits, so counting single
addresses would limit nobody; and an IPv4 address within an IPv6 one (mapped, NAT64) is that IPv4 address.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network

__all__ = ["limited_address"]

_NAT64 = IPv6Network("64:ff9b::/96")
_IPV4_BITS = 0xFFFFFFFF
_NETWORK_BITS = 64  # what a customer is given at the least (RFC 6177)


def limited_address(text: str) -> str:
    """Return an IPv6 address as its network of 64 bits, and everything else as it is."""
    if ":" not in text:
        return text
    try:
        address = IPv6Address(text.strip("[]").partition("%")[0])
    except AddressValueError:
        return text
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address in _NAT64:
        return str(IPv4Address(int(address) & _IPV4_BITS))
    return str(IPv6Network((int(address), _NETWORK_BITS), strict=False))
