"""Describes a request by the names that rules use, reading no more of it than they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping

    from sluicegate.integrations.client_address import ClientAddress
    from sluicegate.ratelimit.rules import Rules

    Scope = MutableMapping[str, Any]
    Reader = Callable[[Scope], str]

__all__ = ["descriptor_readers"]

_HEADER_PREFIX = "header:"


def descriptor_readers(rules: Rules, client_address: ClientAddress, *, given: bool) -> Mapping[str, Reader]:
    """Return how to read from an ASGI scope each descriptor that *rules* count or match by.

    Args:
        rules: The rules.
        client_address: How to tell clients apart.
        given: Whether the application supplies descriptors of its own, which may be any.

    Raises:
        InvalidInputError: A rule counts or matches by something that nobody supplies, so that it would
            never apply.
    """
    readers: dict[str, Reader] = {
        "path": lambda scope: str(scope["path"]) or "/",
        "method": _method,
        "client_address": client_address.of,
        "host": _host,
        "user_agent": _header_reader("user-agent"),
    }
    needed = {"path", "method"}
    if rules.plans:
        needed.add("plan")
        if not given:
            raise InvalidInputError("plans", "no descriptor plan", "a descriptors= function that supplies it")
    for name, where in _looked_at(rules):
        if name.startswith(_HEADER_PREFIX):
            readers[name] = _header_reader(name.removeprefix(_HEADER_PREFIX))
        elif name not in readers and not given:
            accepted = f"{', '.join(sorted(readers))}, header:NAME, or what a descriptors= function supplies"
            raise InvalidInputError(where, name, accepted)
        needed.add(name)
    return {name: reader for name, reader in readers.items() if name in needed}


def _looked_at(rules: Rules) -> Iterator[tuple[str, str]]:
    """Yield each descriptor that matters, and where."""
    for list_name, entries in (("allow", rules.allow), ("deny", rules.deny)):
        yield from ((name, f"{list_name}[{at}]") for at, entry in enumerate(entries) for name in entry.names)
    for rule in rules.all:
        yield from ((name, f"rule {rule.limit.name!r}: key") for name in rule.key.names)
        yield from ((name, f"rule {rule.limit.name!r}: match") for name in rule.match.names)
        if rule.provided is not None:
            yield from ((name, f"rule {rule.limit.name!r}: provided") for name in rule.provided.names)


def _method(scope: Scope) -> str:
    # A websocket's handshake is a GET, and ASGI does not say so.
    return str(scope.get("method", "GET"))


def _host(scope: Scope) -> str:
    # Capitals do not matter in a host's name, so they must not make another key.
    return _header_reader("host")(scope).lower()


def _header_reader(name: str) -> Reader:
    wanted = name.encode("latin-1")

    def read(scope: Scope) -> str:
        return ", ".join(value.decode("latin-1") for found, value in scope["headers"] if found == wanted)

    return read
