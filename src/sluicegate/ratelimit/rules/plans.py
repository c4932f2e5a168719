"""Reads plans: sets of limits, each changing the one that it inherits from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sluicegate.ratelimit.rules.defining import LIMITS_MAX
from sluicegate.ratelimit.rules.problems import entries_of, shown, suggestion
from sluicegate.utils import InvalidInputError, checked_name, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit.rules.defining import Defined, Reader
    from sluicegate.ratelimit.rules.document import Entry, Node
    from sluicegate.ratelimit.rules.problems import Problems

    Plans = dict[str, dict[str, Defined]]

__all__ = ["PLANS_MAX", "PLAN_FIELDS", "plans_of"]

PLANS_MAX = 100  # a price list that is longer is one limit for each customer, for which there are providers
PLAN_FIELDS: Final = ("inherits", "limits")


def plans_of(node: Node, common: Mapping[str, Defined], reader: Reader, problems: Problems) -> Plans:
    """Return by the name of a plan all limits that hold in it.

    Args:
        node: A mapping from names to plans.
        common: The limits that hold in every plan that does not say otherwise.
        reader: Reads rules.
        problems: Where to note what is wrong.
    """
    named = entries_of(node, "plans", None, problems)
    if not 0 < len(named) <= PLANS_MAX and node.entries is not None:
        problems.add(node.place, "plans", f"{len(named)} plans", f"1 to {PLANS_MAX} plans")
    parts = {name: entries_of(entry.node, _path(name), PLAN_FIELDS, problems) for name, entry in named.items()}
    for name, entry in named.items():
        _check_plan(name, entry, parts[name], problems)
    plans: Plans = {}
    for name in _in_order(parts, problems):
        inherited = plans.get(_parent(parts[name]) or "", dict(common))
        limits = parts[name].get("limits")
        plans[name] = reader.rules(limits.node, f"{_path(name)}.limits", inherited) if limits else inherited
        if len(plans[name]) > LIMITS_MAX:
            problems.add(named[name].place, _path(name), f"{len(plans[name])} rules", f"at most {LIMITS_MAX:,} rules")
    return {name: plans[name] for name in named if name in plans}


def _path(name: str) -> str:
    return f"plans.{shown(name)}"


def _parent(parts: Mapping[str, Entry]) -> str | None:
    value = parts["inherits"].node.value if "inherits" in parts else None
    return value if isinstance(value, str) else None


def _check_plan(name: str, entry: Entry, parts: Mapping[str, Entry], problems: Problems) -> None:
    try:
        checked_name(name, "plan")
    except InvalidInputError as error:
        problems.add(entry.place, "plans", error.found, error.accepted)
    if not parts and entry.node.entries is not None:
        problems.add(entry.place, _path(name), "nothing", f"a mapping with {' or '.join(PLAN_FIELDS)}")


def _in_order(parts: Mapping[str, Mapping[str, Entry]], problems: Problems) -> list[str]:
    """Return the plans, each after the one that it inherits from, and note what stands in the way."""
    ordered: dict[str, None] = {}
    for name in parts:
        chain: dict[str, None] = {}
        at: str | None = name
        while at is not None and at not in ordered and at not in chain:
            chain[at] = None
            at = _known_parent(at, parts, problems)
        if at in chain:
            _note_cycle([*chain][[*chain].index(at or "") :], parts, problems)
        ordered.update(dict.fromkeys(reversed(chain)))
    return [*ordered]


def _known_parent(name: str, parts: Mapping[str, Mapping[str, Entry]], problems: Problems) -> str | None:
    parent = _parent(parts[name])
    if "inherits" in parts[name] and parent not in parts:
        node = parts[name]["inherits"].node
        found = shape_of(node.value) if node.entries is None and node.items is None else node.shape
        others = [other for other in parts if other != name]
        accepted = f"another plan{suggestion(parent, others)}" if others else "nothing, for there is no other plan"
        problems.add(node.place, f"{_path(name)}.inherits", found, accepted)
        return None
    return parent


def _note_cycle(cycle: list[str], parts: Mapping[str, Mapping[str, Entry]], problems: Problems) -> None:
    names = " from ".join(shown(name) for name in (*cycle, cycle[0]))
    place = parts[cycle[0]]["inherits"].node.place
    problems.add(place, f"{_path(cycle[0])}.inherits", f"a circle: {names}", "a plan that does not inherit from it")
