"""Reads the roll-out of a rule: what its limit is to become, and for how many of its keys it is that already."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sluicegate.ratelimit.rules.fields import Field, rule_fields
from sluicegate.ratelimit.rules.problems import entries_of
from sluicegate.ratelimit.rules.rolling import PERCENT_ACCEPTED, Rollout, checked_percent
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.rules.document import Entry, Node, Place
    from sluicegate.ratelimit.rules.fallback import Fallback
    from sluicegate.ratelimit.rules.problems import Problems

__all__ = ["PERCENT", "ROLLOUT_FIELDS", "Change", "read_change", "rollout_of"]

PERCENT: Final = "percent"
_CHANGEABLE: Final = (
    "rate",
    "algorithm",
    "mode",
    "on_failure",
    "critical",
    "time_zone",
    "anchor",
    "lease_seconds",
)  # what makes the limit; for whom and what it counts stays, or the two could not be compared
_OF_CALENDARS: Final = ("time_zone", "anchor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A roll-out as it was read.

    Attributes:
        values: The fields that become others.
        percent: For how many of the keys.
        places: Where each of the fields stands.
        path: What it is, for messages.
    """

    values: Mapping[str, Any]
    percent: float
    places: Mapping[str, Place]
    path: str

    def holds_beside(self, changed: Collection[str]) -> bool:
        """Say whether it still holds in a plan that changes some fields of the rule: none of those that it is about."""
        return not any(name in changed for name in (*self.values, "shadow"))


def read_change(node: Node, path: str, problems: Problems) -> Change | None:
    """Return what a roll-out says, or ``None`` where something is wrong with it.

    Args:
        node: The mapping.
        path: What it is, for messages.
        problems: Where to note what is wrong.
    """
    before = problems.count()
    entries = entries_of(node, path, ROLLOUT_FIELDS, problems)
    values = {}
    for name, entry in entries.items():
        try:
            values[name] = ROLLOUT_FIELDS[name].read(entry.node)
        except InvalidInputError as error:
            problems.add(entry.node.place, f"{path}.{name}", error.found, error.accepted)
    if PERCENT not in entries and node.entries is not None:
        problems.add(node.place, f"{path}.{PERCENT}", "nothing", PERCENT_ACCEPTED)
    if problems.count() > before:
        return None
    percent = values.pop(PERCENT)
    return Change(values=values, percent=percent, places=_places(entries), path=path)


def rollout_of(
    change: Change, limit: Limit, options: Mapping[str, Any], fallback: Fallback, problems: Problems
) -> Rollout | None:
    """Return the roll-out of a rule, or ``None`` where a field does not go with the rest.

    Args:
        change: What was read.
        limit: The rule's own limit.
        options: All that makes a limit of it.
        fallback: What answers in the store's place where nothing says it.
        problems: Where to note what is wrong.

    Raises:
        InvalidInputError: The limit cannot be rolled out, or not to that.
    """
    if not change.values:
        return Rollout(limit, percent=change.percent)
    kept = dict(options)
    if change.values.get("algorithm", limit.algorithm) != limit.algorithm:  # these are of the one that is left
        kept = {name: value for name, value in options.items() if name not in _OF_CALENDARS}
    try:
        candidate = fallback.limit(limit.name, **{**kept, "shadow": False, **change.values})
    except InvalidInputError as error:
        field = next((word for word in error.where.split() if word in change.places), next(iter(change.places)))
        problems.add(change.places[field], f"{change.path}.{field}", error.found, error.accepted)
        return None
    return Rollout(limit, candidate, percent=change.percent)


def _places(entries: Mapping[str, Entry]) -> dict[str, Place]:
    return {name: entry.node.place for name, entry in entries.items() if name != PERCENT}


def _percent(node: Node) -> float:
    try:
        return checked_percent(node.value)
    except InvalidInputError as error:
        raise InvalidInputError("", node.shape, error.accepted) from None


_PERCENT_FIELD: Final = Field(
    read=_percent, accepted=PERCENT_ACCEPTED, schema={"type": "number", "minimum": 0, "maximum": 100}
)
ROLLOUT_FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {PERCENT: _PERCENT_FIELD, **{name: rule_fields()[name] for name in _CHANGEABLE}}
)
