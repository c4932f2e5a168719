"""Turns the document of a file into rules, and notes everything that keeps it from being some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sluicegate.ratelimit.rules.defining import Reader
from sluicegate.ratelimit.rules.descriptors import DECLARED_ACCEPTED, DECLARED_MAX, checked_declared
from sluicegate.ratelimit.rules.model import Rules
from sluicegate.ratelimit.rules.plans import plans_of
from sluicegate.ratelimit.rules.problems import entries_of
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit.rules.conditions import Match
    from sluicegate.ratelimit.rules.document import Node
    from sluicegate.ratelimit.rules.fallback import Fallback
    from sluicegate.ratelimit.rules.problems import Problems

__all__ = ["LISTED_MAX", "TOP_FIELDS", "Reading", "rules_of"]

TOP_FIELDS: Final = ("version", "limits", "plans", "allow", "deny", "descriptors")
LISTED_MAX = 1000  # a list that is longer is data, which belongs into a descriptor of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read.

    Attributes:
        rules: The rules.
        paths: For each list of rules, by the plan for which it holds or ``""``, where in the file each rule stands.
    """

    rules: Rules
    paths: Mapping[str, tuple[str, ...]]


def rules_of(root: Node, fallback: Fallback, problems: Problems) -> Reading:
    """Return the rules that *root* describes, as far as nothing is wrong with them.

    Args:
        root: The document.
        fallback: What answers in the store's place where a rule does not say it.
        problems: Where to note what is wrong; if anything is, what is returned is not to be used.
    """
    top = entries_of(root, "", TOP_FIELDS, problems)
    version = top.get("version")
    if version is None and root.entries is not None:
        problems.add(root.place, "version", "nothing", "version: 1")
    elif version is not None and (type(version.node.value) is not int or version.node.value != 1):
        problems.add(version.node.place, "version", version.node.shape, "1")
    declared = _declared(top["descriptors"].node, problems) if "descriptors" in top else ()
    if "limits" not in top and "plans" not in top and root.entries is not None:
        problems.add(root.place, "limits", "nothing", "limits: and at least one named rule below it")
    reader = Reader(declared, fallback, problems)
    common = reader.rules(top["limits"].node, "limits") if "limits" in top else {}
    plans = plans_of(top["plans"].node, common, reader, problems) if "plans" in top else {}
    lists = {name: _listed(top[name].node, name, reader, problems) for name in ("allow", "deny") if name in top}
    if problems.count():
        return Reading(rules=Rules(()), paths={})
    rules = Rules(
        tuple(each.made for each in common.values()),
        plans={name: tuple(each.made for each in found.values()) for name, found in plans.items()},
        declared=declared,
        **lists,
    )
    defined = {"": common, **plans}
    return Reading(
        rules=rules,
        paths={plan: tuple(each.path for each in some.values()) for plan, some in defined.items()},
    )


def _listed(node: Node, name: str, reader: Reader, problems: Problems) -> tuple[Match, ...]:
    if node.items is None or not 0 < len(node.items) <= LISTED_MAX:
        found = node.shape if node.items is None else f"{len(node.items)} entries"
        problems.add(node.place, name, found, f"a list of 1 to {LISTED_MAX:,} entries such as {{client_address: 10.*}}")
        return ()
    entries = []
    for at, item in enumerate(node.items):
        if item.entries == ():
            problems.add(item.place, f"{name}[{at}]", "an empty entry, which is every request", "one that says which")
        problems.places[f"{name}[{at}]"] = item.place
        entries.append(reader.match(item, f"{name}[{at}]"))
    return tuple(entries)


def _declared(node: Node, problems: Problems) -> tuple[str, ...]:
    items = node.items if node.items is not None else (node,)
    if not 0 < len(items) <= DECLARED_MAX:
        problems.add(node.place, "descriptors", f"{len(items)} of them", f"1 to {DECLARED_MAX} names")
    names: list[str] = []
    for item in items:
        try:
            name = checked_declared(item.value)
        except InvalidInputError:
            problems.add(item.place, "descriptors", item.shape, DECLARED_ACCEPTED)
            continue
        if name in names:
            problems.add(item.place, "descriptors", f"{name} again", "each name once")
        names.append(name)
    return tuple(names)
