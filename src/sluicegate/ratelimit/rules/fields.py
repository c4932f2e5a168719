"""The fields that a rule may have: how each is read from a document, and what is accepted there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sluicegate.ratelimit.algorithms import ALGORITHMS
from sluicegate.ratelimit.limit import MODES, ON_FAILURE, WAYS
from sluicegate.ratelimit.rate import Rate
from sluicegate.ratelimit.rules.ban_field import BAN_ACCEPTED, BAN_SCHEMA, read_ban
from sluicegate.ratelimit.rules.descriptors import (
    DECLARED_PATTERN,
    DESCRIPTORS,
    GLOBAL,
    HEADER_PREFIX,
    checked_descriptor,
)
from sluicegate.ratelimit.rules.globs import GLOB_LENGTH_MAX, Glob
from sluicegate.ratelimit.rules.matching import PATTERN_LENGTH_MAX, PathPattern
from sluicegate.ratelimit.rules.model import KEY_PARTS_MAX, KeyTemplate
from sluicegate.ratelimit.rules.problems import suggestion
from sluicegate.utils import COST_MAX, InvalidInputError, checked_seconds, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from sluicegate.ratelimit.rules.conditions import Pattern
    from sluicegate.ratelimit.rules.document import Node

__all__ = [
    "HEADER_PATTERN",
    "MATCHED_ONCE_MAX",
    "OFF",
    "OFF_FIELD",
    "RATE_FIELD",
    "ZONE_FIELD",
    "Field",
    "match_field",
    "match_names",
    "rule_fields",
]

HEADER_PATTERN: Final = "^header:[A-Za-z0-9_-]{1,64}$"
_RATE_ACCEPTED = "a rate such as 20/minute, or for concurrency a number of holders"
_KEY_ACCEPTED = f"a descriptor or a list of them: {', '.join(DESCRIPTORS)}, {HEADER_PREFIX}NAME; or {GLOBAL}"
_PATH_ACCEPTED = "a glob such as /api/**, or a list of them"
_GLOB_ACCEPTED = "a glob such as acme-*, or a list of them"
_METHOD_ACCEPTED = "a method such as GET, or a list of them"
_COST_ACCEPTED = f"a whole number from 1 to {COST_MAX:,}"
_CHARGE_ACCEPTED = "{status: [401, 403]}: statuses from 100 to 599, or 4xx for all of a hundred"
_ANCHOR_ACCEPTED = "a date such as 2024-01-31, or a local date and time"
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")
MATCHED_ONCE_MAX = 100  # a list that is longer is data, which belongs into a descriptor of its own
_STATUSES_MAX = 100  # more are told by their hundreds
_METHODS_MAX = 32  # several times as many as there are
_METHOD_LENGTH_MAX = 32  # twice the longest that is registered
_STATUSES = range(100, 600)
_STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_ZONE_ACCEPTED = "the name of a time zone, such as Europe/Berlin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a rule.

    Attributes:
        read: Takes the field's node to its value, or raises `InvalidInputError`.
        accepted: What may stand there, for messages.
        schema: The same as far as a JSON Schema can say it.
    """

    read: Callable[[Node], Any]
    accepted: str
    schema: Mapping[str, Any]


def rule_fields(declared: Collection[str] = ()) -> Mapping[str, Field]:
    """Return the fields of a rule, where a file declares further descriptors."""
    return {
        **_RULE_FIELDS,
        "key": _key_field(_key_reader(declared)),
        "provided": _key_field(_provided_reader(declared)),
        "group": _key_field(_key_reader(declared)),
    }


def match_names(declared: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names that a match may have, but for those of headers."""
    return tuple(dict.fromkeys((*_MATCH_FIELDS, *DESCRIPTORS, *declared)))


def match_field(name: str, declared: Collection[str] = ()) -> Field | None:
    """Return the field of a match, or ``None`` when there is none of that name."""
    try:
        checked_descriptor(name, declared)
    except InvalidInputError:
        return None
    return _MATCH_FIELDS.get(name, _GLOB_FIELD)


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


def _key_reader(declared: Collection[str]) -> Callable[[Node], KeyTemplate]:
    names = (*DESCRIPTORS, *(name for name in declared if name not in DESCRIPTORS))

    def read(node: Node) -> KeyTemplate:
        parts = [item.value for item in node.items] if node.items is not None else [node.value]
        try:
            return KeyTemplate(tuple(parts), declared=tuple(declared))  # type: ignore[arg-type]  # it checks its parts itself
        except InvalidInputError as error:
            if GLOBAL in parts and len(parts) > 1:
                raise InvalidInputError("", f"{GLOBAL} beside others", f"{GLOBAL} alone, for one key for all") from None
            strange = next((part for part in parts if part not in names), None)
            found = node.shape if node.entries is not None else error.found
            raise InvalidInputError("", found, error.accepted + suggestion(strange, (*names, GLOBAL))) from None

    return read


def _provided_reader(declared: Collection[str]) -> Callable[[Node], KeyTemplate]:
    read_key = _key_reader(declared)

    def read(node: Node) -> KeyTemplate:
        if node.value == GLOBAL:  # who provides one limit for everybody writes it into the file
            raise InvalidInputError("", GLOBAL, "a descriptor, or a list of them, on which the limit depends")
        return read_key(node)

    return read


def _patterns_reader(pattern_of: Callable[[str], Pattern], accepted: str) -> Callable[[Node], tuple[Pattern, ...]]:
    def read(node: Node) -> tuple[Pattern, ...]:
        items = node.items if node.items is not None else (node,)
        if not 0 < len(items) <= MATCHED_ONCE_MAX:
            raise InvalidInputError("", f"{len(items)} globs", f"1 to {MATCHED_ONCE_MAX} globs")
        return tuple(pattern_of(_text(item, accepted)) for item in items)

    return read


def _cost(node: Node) -> int:
    if type(node.value) is int and 1 <= node.value <= COST_MAX:
        return node.value
    raise InvalidInputError("", node.shape, _COST_ACCEPTED)


def _charge(node: Node) -> frozenset[int]:
    entries = node.entries or ()
    if [entry.name for entry in entries] != ["status"]:
        raise InvalidInputError("", node.shape, _CHARGE_ACCEPTED)
    value = entries[0].node
    items = value.items if value.items is not None else (value,)
    if not 0 < len(items) <= _STATUSES_MAX:
        raise InvalidInputError("", f"{len(items)} statuses", f"1 to {_STATUSES_MAX} statuses")
    return frozenset(status for item in items for status in _statuses(item))


def _statuses(node: Node) -> Iterable[int]:
    value = node.value
    if type(value) is int and value in _STATUSES:
        return (value,)
    if isinstance(value, str) and value in _STATUS_CLASSES:
        first = int(value[0]) * 100
        return range(first, first + 100)
    raise InvalidInputError("", node.shape, _CHARGE_ACCEPTED)


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


def _one_or_list(schema: Mapping[str, Any], most: int) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "array", "minItems": 1, "maxItems": most, "items": schema}]}


def _key_field(read: Callable[[Node], KeyTemplate]) -> Field:
    # Names that a file declares are not known here.
    names = {"anyOf": [{"enum": [GLOBAL, *DESCRIPTORS]}, {"pattern": HEADER_PATTERN}, {"pattern": DECLARED_PATTERN}]}
    schema = _one_or_list({"type": "string", **names}, KEY_PARTS_MAX)
    return Field(read=read, accepted=_KEY_ACCEPTED, schema=schema)


def _words_field(words: Iterable[str]) -> Field:
    names = tuple(words)
    accepted = " or ".join(names) if len(names) == 2 else ", ".join(names)  # noqa: PLR2004 - one or the other
    return Field(read=_one_of(names), accepted=accepted, schema={"enum": list(names)})


def _seconds_field(read: Callable[[Node], float], least: float, most: float) -> Field:
    accepted = f"a number of seconds from {least:g} to {most:,g}"
    return Field(read=read, accepted=accepted, schema={"type": "number", "minimum": least, "maximum": most})


_TRUTH_FIELD: Final = Field(read=_truth, accepted="true or false", schema={"type": "boolean"})
_STATUS_SCHEMA: Final[Mapping[str, Any]] = {
    "anyOf": [
        {"type": "integer", "minimum": _STATUSES.start, "maximum": _STATUSES.stop - 1},
        {"enum": [*_STATUS_CLASSES]},
    ]
}
_CHARGE_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"status": _one_or_list(_STATUS_SCHEMA, _STATUSES_MAX)},
    "required": ["status"],
    "additionalProperties": False,
}
RATE_FIELD: Final = Field(
    read=_rate, accepted=_RATE_ACCEPTED, schema={"type": ["string", "integer"], "minLength": 1, "minimum": 1}
)
ZONE_FIELD: Final = Field(
    read=lambda node: _text(node, _ZONE_ACCEPTED), accepted=_ZONE_ACCEPTED, schema={"type": "string", "minLength": 1}
)
_RULE_FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "rate": RATE_FIELD,
        "algorithm": _words_field(ALGORITHMS),
        "key": _key_field(_key_reader(())),
        "cost": Field(
            read=_cost, accepted=_COST_ACCEPTED, schema={"type": "integer", "minimum": 1, "maximum": COST_MAX}
        ),
        "charge": Field(read=_charge, accepted=_CHARGE_ACCEPTED, schema=_CHARGE_SCHEMA),
        "provided": _key_field(_provided_reader(())),
        "group": _key_field(_key_reader(())),
        "mode": _words_field(MODES),
        "on_failure": _words_field(ON_FAILURE),
        "critical": _TRUTH_FIELD,
        "shadow": _TRUTH_FIELD,
        "on_change": _words_field(WAYS),
        "time_zone": ZONE_FIELD,
        "anchor": Field(read=_anchor, accepted=_ANCHOR_ACCEPTED, schema={"type": "string"}),
        "hold_seconds": _seconds_field(_hold_seconds, 0.1, 86_400),
        "lease_seconds": _seconds_field(_lease_seconds, 0.05, 60),
        "ban": Field(read=read_ban, accepted=BAN_ACCEPTED, schema=BAN_SCHEMA),
    }
)
OFF: Final = "off"
OFF_FIELD: Final = _TRUTH_FIELD
"""In a plan: whether a limit that would hold there does not."""

_PATH_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "maxLength": PATTERN_LENGTH_MAX,
    "pattern": "^[/*]",
}
_GLOB_SCHEMA: Final[Mapping[str, Any]] = {"type": "string", "maxLength": GLOB_LENGTH_MAX}
_METHOD_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "string",
    "pattern": "^[A-Za-z_-]+$",
    "maxLength": _METHOD_LENGTH_MAX,
}
_PATH_FIELD: Final = Field(
    read=_patterns_reader(PathPattern, _PATH_ACCEPTED),
    accepted=_PATH_ACCEPTED,
    schema=_one_or_list(_PATH_SCHEMA, MATCHED_ONCE_MAX),
)
_GLOB_FIELD: Final = Field(
    read=_patterns_reader(Glob, _GLOB_ACCEPTED),
    accepted=_GLOB_ACCEPTED,
    schema=_one_or_list(_GLOB_SCHEMA, MATCHED_ONCE_MAX),
)
_MATCH_FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "path": _PATH_FIELD,
        "route": _PATH_FIELD,
        "method": Field(read=_methods, accepted=_METHOD_ACCEPTED, schema=_one_or_list(_METHOD_SCHEMA, _METHODS_MAX)),
    }
)
