"""The fields that a rule may have: how each is read from a document, and what is accepted there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sluicegate.ratelimit.algorithms import ALGORITHMS
from sluicegate.ratelimit.limit import MODES, ON_FAILURE
from sluicegate.ratelimit.rate import Rate
from sluicegate.ratelimit.rules.matching import PathPattern
from sluicegate.ratelimit.rules.model import DESCRIPTORS, HEADER_PREFIX, KEY_PARTS_MAX, KeyTemplate
from sluicegate.utils import InvalidInputError, checked_seconds, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sluicegate.ratelimit.rules.document import Node

__all__ = ["FIELDS", "MATCH_FIELDS", "Field", "suggestion"]

_RATE_ACCEPTED = "a rate such as 20/minute, or for concurrency a number of holders"
_KEY_ACCEPTED = f"a descriptor or a list of them: {', '.join(DESCRIPTORS)}, {HEADER_PREFIX}NAME"
_METHOD_ACCEPTED = "a method such as GET, or a list of them"
_ANCHOR_ACCEPTED = "a date such as 2024-01-31, or a local date and time"
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")
_METHODS_MAX = 32  # several times as many as there are
_METHOD_LENGTH_MAX = 32  # twice the longest that is registered
_COMPARED_LENGTH_MAX = 64  # looking for the nearest name takes time in the square of the length
_ZONE_ACCEPTED = "the name of a time zone, such as Europe/Berlin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a rule.

    Attributes:
        read: Takes the field's node to its value, or raises `InvalidInputError`.
        accepted: What may stand there, for messages.
        shape: The same as a JSON Schema, for editors; what no schema can say is left to the reader.
        parameter: The parameter that takes the value, where its name is another.
    """

    read: Callable[[Node], Any]
    accepted: str
    shape: Mapping[str, Any]
    parameter: str = ""


def suggestion(name: object, names: Iterable[str]) -> str:
    """Return ``" (did you mean …?)"`` with the nearest of *names*, or nothing when none is near."""
    if not isinstance(name, str):
        return ""
    spellings = {known.lower(): known for known in names}
    nearest = get_close_matches(name.lower()[:_COMPARED_LENGTH_MAX], spellings, n=1, cutoff=0.65)
    return f" (did you mean {spellings[nearest[0]]!r}?)" if nearest else ""


def _text(node: Node, accepted: str) -> str:
    if isinstance(node.value, str):
        return node.value
    raise InvalidInputError("", node.shape, accepted)


def _rate(node: Node) -> str:
    # 'rate: 5' is how one writes five holders; the limit refuses it for other algorithms.
    if type(node.value) is int:
        return str(node.value)
    text = _text(node, _RATE_ACCEPTED)
    if not text.strip().isdigit():
        Rate.parse_several(text)
    return text


def _one_of(accepted: Iterable[str]) -> Callable[[Node], str]:
    names = tuple(accepted)

    def read(node: Node) -> str:
        value = node.value
        if isinstance(value, str) and value in names:
            return value
        raise InvalidInputError("", node.shape, ", ".join(names) + suggestion(value, names))

    return read


def _truth(node: Node) -> bool:
    if isinstance(node.value, bool):
        return node.value
    raise InvalidInputError("", node.shape, "true or false")


def _hold_seconds(node: Node) -> float:
    return checked_seconds(node.value, "hold_seconds", at_least=0.1, at_most=86_400.0)


def _lease_seconds(node: Node) -> float:
    return checked_seconds(node.value, "lease_seconds", at_least=0.05, at_most=60.0)


def _anchor(node: Node) -> date | datetime:
    if isinstance(node.value, date):  # a datetime is a date as well
        return node.value
    text = _text(node, _ANCHOR_ACCEPTED)
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError("", shape_of(text), _ANCHOR_ACCEPTED) from None


def _key(node: Node) -> KeyTemplate:
    names = [item.value for item in node.items] if node.items is not None else [node.value]
    try:
        return KeyTemplate(tuple(names))  # type: ignore[arg-type]  # it checks its parts itself
    except InvalidInputError as error:
        strange = next((name for name in names if name not in DESCRIPTORS), None)
        found = node.shape if node.entries is not None else error.found
        raise InvalidInputError("", found, error.accepted + suggestion(strange, DESCRIPTORS)) from None


def _path(node: Node) -> PathPattern:
    return PathPattern(_text(node, "a glob such as /api/**"))


def _methods(node: Node) -> frozenset[str]:
    items = node.items if node.items is not None else (node,)
    if not 0 < len(items) <= _METHODS_MAX:
        raise InvalidInputError("", f"{len(items)} methods", f"1 to {_METHODS_MAX} methods")
    return frozenset(_method(item) for item in items)


def _method(node: Node) -> str:
    text = _text(node, _METHOD_ACCEPTED).upper()
    plain = text.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalpha()) or len(text) > _METHOD_LENGTH_MAX:
        raise InvalidInputError("", shape_of(node.value), _METHOD_ACCEPTED)
    # Anyone may invent a method, but 'GTE' is more likely a slip than an invention.
    slip = suggestion(text, _METHODS)
    if text not in _METHODS and slip:
        raise InvalidInputError("", shape_of(node.value), _METHOD_ACCEPTED + slip)
    return text


_TEXT: Final[Mapping[str, Any]] = MappingProxyType({"type": "string", "minLength": 1})
_TRUTH: Final[Mapping[str, Any]] = MappingProxyType({"type": "boolean"})
_DESCRIPTOR: Final[Mapping[str, Any]] = MappingProxyType(
    {"anyOf": [{"enum": list(DESCRIPTORS)}, {"type": "string", "pattern": f"^{HEADER_PREFIX}[A-Za-z0-9_-]+$"}]}
)


def _enum(names: Iterable[str]) -> Mapping[str, Any]:
    return {"enum": list(names)}


def _several(one: Mapping[str, Any], most: int) -> Mapping[str, Any]:
    """Return the schema of one such value, or a list of them."""
    return {"anyOf": [dict(one), {"type": "array", "items": dict(one), "minItems": 1, "maxItems": most}]}


FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "rate": Field(read=_rate, accepted=_RATE_ACCEPTED, shape={"type": ["string", "integer"]}),
        "algorithm": Field(read=_one_of(ALGORITHMS), accepted=", ".join(ALGORITHMS), shape=_enum(ALGORITHMS)),
        "key": Field(read=_key, accepted=_KEY_ACCEPTED, shape=_several(_DESCRIPTOR, KEY_PARTS_MAX)),
        "mode": Field(read=_one_of(MODES), accepted=" or ".join(MODES), shape=_enum(MODES)),
        "on_failure": Field(read=_one_of(ON_FAILURE), accepted=" or ".join(ON_FAILURE), shape=_enum(ON_FAILURE)),
        "critical": Field(read=_truth, accepted="true or false", shape=_TRUTH),
        "shadow": Field(read=_truth, accepted="true or false", shape=_TRUTH),
        "time_zone": Field(read=lambda node: _text(node, _ZONE_ACCEPTED), accepted="a time zone", shape=_TEXT),
        "anchor": Field(read=_anchor, accepted=_ANCHOR_ACCEPTED, shape=_TEXT),
        "hold_seconds": Field(
            read=_hold_seconds,
            accepted="a number of seconds from 0.1 to 86,400",
            shape={"type": "number", "minimum": 0.1, "maximum": 86_400},
        ),
        "lease_seconds": Field(
            read=_lease_seconds,
            accepted="a number of seconds from 0.05 to 60",
            shape={"type": "number", "minimum": 0.05, "maximum": 60},
        ),
    }
)

MATCH_FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "path": Field(read=_path, accepted="a glob such as /api/**", shape=_TEXT),
        "method": Field(
            read=_methods, accepted=_METHOD_ACCEPTED, shape=_several(_TEXT, _METHODS_MAX), parameter="methods"
        ),
    }
)
