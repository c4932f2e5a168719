"""What may pass the boundary: names, keys, costs, spans of time and URLs of a service, checked once and cheaply.

Text is NFC-normalised, because two spellings of one user must not be two users. Control characters,
NUL and lone surrogates are refused, because keys travel into logs, headers and file names.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import urlsplit

from sluicegate.utils.errors import InvalidInputError, shape_of

__all__ = [
    "COST_MAX",
    "KEY_LENGTH_MAX",
    "NAME_LENGTH_MAX",
    "checked_cost",
    "checked_key",
    "checked_name",
    "checked_seconds",
    "checked_service_url",
]

NAME_LENGTH_MAX = 64  # a name stands in every key, metric label and header
KEY_LENGTH_MAX = 4096  # a key of a URL's length is still meant; beyond it somebody is playing
COST_MAX = 1_000_000_000  # the largest limit; a cost above it could never be granted

URL_LENGTH_MAX = 4096

_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_NAME_ACCEPTED = f"text of 1 to {NAME_LENGTH_MAX} characters without control characters"
_KEY_ACCEPTED = f"text of 1 to {KEY_LENGTH_MAX:,} characters without control characters"
_COST_ACCEPTED = f"a whole number from 0 to {COST_MAX:,}"


def checked_name(value: object, where: str) -> str:
    """Return *value*, normalised, if it may name a limit.

    Args:
        value: The name: text of 1 to 64 characters without control characters.
        where: The parameter's name, for the message.

    Raises:
        InvalidInputError: It is not such a text.
    """
    return _checked_text(value, where, NAME_LENGTH_MAX, _NAME_ACCEPTED)


def checked_key(value: object, where: str = "key") -> str:
    """Return *value*, normalised, if it may be a key.

    Args:
        value: Who is limited: text of 1 to 4,096 characters without control characters.
        where: The parameter's name, for the message.

    Raises:
        InvalidInputError: It is not such a text.
    """
    # The common case in three C calls: this runs for every decision.
    if type(value) is str and value.isascii() and value.isprintable() and 0 < len(value) <= KEY_LENGTH_MAX:
        return value
    return _checked_text(value, where, KEY_LENGTH_MAX, _KEY_ACCEPTED)


def checked_cost(value: object, where: str = "cost") -> int:
    """Return *value* if it may be a cost: a whole number from 0 to 1,000,000,000.

    Raises:
        InvalidInputError: It is not. A negative cost would be a refund without a decision.
    """
    if type(value) is int and 0 <= value <= COST_MAX:
        return value
    raise InvalidInputError(where, shape_of(value), _COST_ACCEPTED)


def checked_seconds(value: object, where: str, *, at_least: float, at_most: float) -> float:
    """Return *value* as seconds if it is a finite number from *at_least* to *at_most*.

    Raises:
        InvalidInputError: It is not.
    """
    # Compared before float() is called: a huge whole number would overflow there. No nan passes a comparison.
    if isinstance(value, int | float) and not isinstance(value, bool) and at_least <= value <= at_most:
        return float(value)
    accepted = f"a number of seconds from {at_least:g} to {at_most:g}"
    raise InvalidInputError(where, shape_of(value), accepted)


def checked_service_url(value: object, where: str) -> str:
    """Return *value* if it may say where a service is: http or https, a host, and nothing that may be secret.

    Args:
        value: The URL, of at most 4,096 characters. It is shown wherever the service is spoken of, so it has no user.
        where: The parameter's name, for the message.

    Raises:
        InvalidInputError: It is not such a URL. One that may have a secret in it is not shown.
    """
    accepted = "a URL such as http://127.0.0.1:8000, without user, password and options"
    if not isinstance(value, str):
        raise InvalidInputError(where, shape_of(value), accepted)
    if not 0 < len(value) <= URL_LENGTH_MAX:
        raise InvalidInputError(where, f"a text of {len(value):,} characters", accepted)
    if not value.isascii() or not value.isprintable() or set(value) & set("@?# "):
        raise InvalidInputError(where, "a URL with more in it than where the service is", accepted)
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:  # what is no URL may be a password in the wrong place, so not even that is shown
        scheme, separator, _ = value.partition("://")
        found = f"a URL that begins with {shape_of(scheme)}" if separator else f"a text of {len(value):,} characters"
        raise InvalidInputError(where, found, accepted)
    return value


def _checked_text(value: object, where: str, length_max: int, accepted: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= length_max:
        raise InvalidInputError(where, shape_of(value), accepted)
    for position, character in enumerate(value):
        if unicodedata.category(character) in _REFUSED_CATEGORIES:
            found = f"{shape_of(value)} with U+{ord(character):04X} at position {position}"
            raise InvalidInputError(where, found, accepted)
    normal = unicodedata.normalize("NFC", value)
    if len(normal) > length_max:  # a few characters become three: what is returned must pass again
        found = f"{shape_of(value)}, {len(normal):,} when normalised"
        raise InvalidInputError(where, found, accepted)
    return normal
