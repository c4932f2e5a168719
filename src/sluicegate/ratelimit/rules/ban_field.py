"""Reads when a rule bans who is denied too often: `{after: 20, within: 1 minute, for: 10 minutes}`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sluicegate.ratelimit.ban_rule import AFTER_MAX, BAN_SECONDS_MAX, BAN_SECONDS_MIN, ESCALATE_MAX, BanRule
from sluicegate.ratelimit.rate import Rate
from sluicegate.ratelimit.rules.problems import suggestion
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit.rules.document import Node

__all__ = ["BAN_ACCEPTED", "BAN_SCHEMA", "read_ban"]

BAN_ACCEPTED: Final = "{after: 20, within: 1 minute, for: 10 minutes}, beside it escalate, at_most and forget_after"
_DURATION_ACCEPTED = "a time such as 10 minutes, or a number of seconds"
_NAMES: Final[Mapping[str, str]] = MappingProxyType(  # in the file, and of a BanRule
    {
        "after": "after",
        "within": "within",
        "for": "duration",
        "escalate": "escalate",
        "at_most": "at_most",
        "forget_after": "forget_after",
    }
)
_NEEDED = ("after", "within", "for")
_PLAIN = ("after", "escalate")  # all others are times
_CALENDAR = ("month", "year")

_DURATION_SCHEMA: Final[Mapping[str, Any]] = {
    "anyOf": [
        {"type": "number", "minimum": BAN_SECONDS_MIN, "maximum": BAN_SECONDS_MAX},
        {"type": "string", "minLength": 1},
    ]
}
BAN_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "after": {"type": "integer", "minimum": 1, "maximum": AFTER_MAX},
        "escalate": {"type": "number", "minimum": 1, "maximum": ESCALATE_MAX},
        **{name: _DURATION_SCHEMA for name in _NAMES if name not in _PLAIN},
    },
    "required": [*_NEEDED],
    "additionalProperties": False,
}


def read_ban(node: Node) -> BanRule:
    """Return what the field says.

    Raises:
        InvalidInputError: It says nothing that is accepted.
    """
    if node.entries is None:
        raise InvalidInputError("", node.shape, BAN_ACCEPTED)
    values: dict[str, Any] = {}
    for entry in node.entries:
        if not isinstance(entry.name, str) or entry.name not in _NAMES:
            accepted = ", ".join(_NAMES) + suggestion(entry.name, tuple(_NAMES))
            raise InvalidInputError("", f"the name {shape_of(entry.name)}", accepted)
        if _NAMES[entry.name] in values:
            raise InvalidInputError("", f"{entry.name} twice", "each name once")
        value = entry.node.value if entry.name in _PLAIN else _seconds(entry.name, entry.node)
        values[_NAMES[entry.name]] = value
    missing = next((name for name in _NEEDED if _NAMES[name] not in values), None)
    if missing is not None:
        raise InvalidInputError("", f"no {missing}", BAN_ACCEPTED)
    try:
        return BanRule(**values)
    except InvalidInputError as error:
        name = error.where.removeprefix("ban ").replace("duration", "for")
        raise InvalidInputError("", f"{name}: {error.found}", error.accepted) from None


def _seconds(name: str, node: Node) -> float:
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        rate = Rate.parse(f"1 per {value}") if isinstance(value, str) else None
    except InvalidInputError:
        rate = None
    if rate is None or rate.burst is not None or rate.unit in _CALENDAR:
        raise InvalidInputError("", f"{name}: {node.shape}", _DURATION_ACCEPTED)
    return rate.period
