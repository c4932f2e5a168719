"""Keeps user and password of the settings from servers that an argument names and the settings do not mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from sluicegate.database import Address, address_of
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["entrusted"]

GROUP: Final = "redis"
WHO: Final = frozenset({"username", "password", "password_file"})


def entrusted(arguments: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what the *others* say, without who connects where *arguments* name a server that this is not meant for.

    Args:
        arguments: What the caller says, group by group.
        others: What the other sources say, the first of them first.
    """
    named = _url_in(arguments)
    own = next((url for url in map(_url_in, others) if url is not None), None)
    if named is None or _is_meant(named, own):
        return list(others)
    return [_without_who(values) for values in others]


def _is_meant(named: str, own: str | None) -> bool:
    """Say whether who the settings connect as, at their *own* URL if they have one, may be told to the one *named*."""
    try:
        address = address_of(named)
    except InvalidInputError:
        return True  # it is refused, and nothing is told to it
    if own is None:  # then they can only be for the one that is named, unless it brings its own
        return _who(address) == (None, None)
    try:
        beside = address_of(own)
    except InvalidInputError:
        return False
    return _who(address) in {(None, None), _who(beside)} and _hosts(address) <= _hosts(beside)


def _who(address: Address) -> tuple[str | None, str | None]:
    return address.username, address.password


def _hosts(address: Address) -> set[str]:
    return {host for host, _ in address.seeds} or {""}  # this machine, without a port


def _url_in(values: Mapping[str, Any]) -> str | None:
    group = values.get(GROUP)
    url = group.get("url") if isinstance(group, dict) else None
    url = url.get_secret_value() if isinstance(url, SecretStr) else url
    return url if isinstance(url, str) else None


def _without_who(values: Mapping[str, Any]) -> Mapping[str, Any]:
    group = values.get(GROUP)
    if not isinstance(group, dict):
        return values
    return {**values, GROUP: {name: value for name, value in group.items() if name not in WHO}}
