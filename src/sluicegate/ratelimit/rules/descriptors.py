"""What a request may be described by: the names that are known, and those that a file declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "DECLARED_ACCEPTED",
    "DECLARED_MAX",
    "DECLARED_PATTERN",
    "DESCRIPTORS",
    "GLOBAL",
    "HEADER_PREFIX",
    "checked_declared",
    "checked_descriptor",
]

DESCRIPTORS: Final = (
    "client_address",
    "path",
    "route",
    "method",
    "status",
    "user",
    "user_agent",
    "host",
    "tenant",
    "plan",
)
HEADER_PREFIX: Final = "header:"
GLOBAL: Final = "global"
"""Stands in a key's place where everybody has the same."""

DECLARED_MAX = 32  # each may be asked of every request
DECLARED_ACCEPTED = "a name of 1 to 64 small letters, digits and '_', which begins with a letter"
DECLARED_PATTERN: Final = "^[a-z][a-z0-9_]{0,63}$"
_NAME_LENGTH_MAX = 64
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
_REST = _LETTERS | frozenset("0123456789_")


def checked_descriptor(name: object, declared: Collection[str] = ()) -> str:
    """Return *name*, a header's in small letters, if a request may be described by it.

    Args:
        name: One of `DESCRIPTORS`, ``header:NAME``, or one that is declared.
        declared: Further names.

    Raises:
        InvalidInputError: It is none of these.
    """
    if isinstance(name, str):
        if name in DESCRIPTORS or name in declared:
            return name
        header = name.removeprefix(HEADER_PREFIX)
        letters = header.replace("-", "").replace("_", "")
        if header != name and letters.isascii() and letters.isalnum() and len(header) <= _NAME_LENGTH_MAX:
            return HEADER_PREFIX + header.lower()
    further = [other for other in declared if other not in DESCRIPTORS]
    accepted = f"one of {', '.join((*DESCRIPTORS, *further))}, or {HEADER_PREFIX}NAME"
    raise InvalidInputError("key", shape_of(name), accepted)


def checked_declared(name: object) -> str:
    """Return *name* if a file may declare a descriptor of that name.

    Raises:
        InvalidInputError: It may not.
    """
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= _NAME_LENGTH_MAX
        or name[0] not in _LETTERS
        or not _REST.issuperset(name)
        or name == GLOBAL
    ):
        raise InvalidInputError("descriptors", shape_of(name), DECLARED_ACCEPTED)
    return name
