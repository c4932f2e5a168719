"""Reads ``X-Forwarded-For`` and ``Forwarded`` from the right, where the elements stand that proxies wrote.

Reading from the right also means that an unbalanced quote which a client sends cannot swallow what a
proxy added after it. Nothing here raises: what cannot be read is ``None``, and reading ends there.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HEADER_LENGTH_MAX", "forwarded_nodes", "node_address", "plain_nodes"]

HEADER_LENGTH_MAX = 4096  # 32 proxies at 100 characters each; only the right end counts anyway
_ELEMENTS_MAX = 256  # empty elements are skipped, and a header full of commas must end somewhere
_NODE_LENGTH_MAX = 80  # the longest IPv6 address with brackets, zone and port
_PORT_LENGTH_MAX = 17  # '_' and an obfuscated name


def plain_nodes(value: str) -> Iterator[str]:
    """Yield the elements of ``X-Forwarded-For`` from the right; empty ones are no elements."""
    for _ in range(_ELEMENTS_MAX):
        value, comma, element = value.rpartition(",")
        element = element.strip(" \t")
        if element:
            yield element
        if not comma:
            return


def forwarded_nodes(value: str) -> Iterator[str]:
    """Yield the ``for`` of each element of ``Forwarded`` (RFC 7239) from the right.

    An element without exactly one readable ``for`` yields an empty text.
    """
    for _ in range(_ELEMENTS_MAX):
        at = _last_unquoted(value, ",")
        element = value[at + 1 :].strip(" \t")
        if element:
            yield _for_of(element)
        if at < 0:
            return
        value = value[:at]


def node_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a node (RFC 7239, 6), without port and zone, or ``None`` if it has none.

    ``unknown`` and obfuscated names (``_hidden``) have none.
    """
    if len(text) > _NODE_LENGTH_MAX:
        return None
    bracketed = text.startswith("[")
    port = ""
    if bracketed:
        text, bracket, port = text[1:].partition("]")
        if not bracket:
            return None
    elif text.count(":") == 1:
        text, colon, port = text.partition(":")
        port = colon + port
    if port and not _is_port(port):
        return None
    try:
        if bracketed or ":" in text:
            # The zone names an interface of the machine that wrote it; it means nothing here.
            return IPv6Address(text.partition("%")[0])
        return IPv4Address(text)
    except ValueError:
        return None


def _is_port(text: str) -> bool:
    number = text[1:]
    return (
        text[0] == ":"
        and number.isascii()
        and 0 < len(number) <= _PORT_LENGTH_MAX
        and (number.isdigit() or number[0] == "_")
    )


def _last_unquoted(value: str, separator: str) -> int:
    """Return where *separator* last stands outside quotes, or -1."""
    at = len(value)
    quotes = 0
    while True:
        found = value.rfind(separator, 0, at)
        quotes += value.count('"', found + 1, at)
        if found < 0 or quotes % 2 == 0:
            return found
        at = found


def _for_of(element: str) -> str:
    nodes = []
    while element:
        at = _last_unquoted(element, ";")
        name, _, node = element[at + 1 :].strip(" \t").partition("=")
        if name.lower() == "for":
            nodes.append(node)
        element = element[: max(at, 0)]
    if len(nodes) != 1:
        return ""
    node = nodes[0]
    if len(node) > 1 and node[0] == node[-1] == '"':
        return node[1:-1]
    return "" if '"' in node else node
