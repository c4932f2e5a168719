"""Turns the document of a file into rules, and notes everything that keeps it from being some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.rules.conditions import Match
from sluicegate.ratelimit.rules.descriptors import (
    DECLARED_ACCEPTED,
    DECLARED_MAX,
    HEADER_PREFIX,
    checked_declared,
    checked_descriptor,
)
from sluicegate.ratelimit.rules.fields import match_field, match_names, rule_fields
from sluicegate.ratelimit.rules.model import Rule, Rules
from sluicegate.ratelimit.rules.problems import entries_of, shown
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit.rules.document import Entry, Node
    from sluicegate.ratelimit.rules.fields import Field
    from sluicegate.ratelimit.rules.problems import Problems

__all__ = ["LIMITS_MAX", "TOP_FIELDS", "rules_of"]

LIMITS_MAX = 1000  # every request is held against each of them
TOP_FIELDS: Final = ("version", "limits", "descriptors")


def rules_of(root: Node, problems: Problems) -> Rules:
    """Return the rules that *root* describes, as far as nothing is wrong with them.

    Args:
        root: The document.
        problems: Where to note what is wrong; if anything is, what is returned is not to be used.
    """
    top = entries_of(root, "", TOP_FIELDS, problems)
    version = top.get("version")
    if version is None and root.entries is not None:
        problems.add(root.place, "version", "nothing", "version: 1")
    elif version is not None and (type(version.node.value) is not int or version.node.value != 1):
        problems.add(version.node.place, "version", version.node.shape, "1")
    declared = _declared(top["descriptors"].node, problems) if "descriptors" in top else ()
    if "limits" not in top:
        if root.entries is not None:
            problems.add(root.place, "limits", "nothing", "limits: and at least one named rule below it")
        return Rules((), declared=declared)
    rules = _Reader(declared, problems).rules(top["limits"].node, "limits")
    return Rules(tuple(rules), declared=declared)


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


class _Reader:
    """Reads what stands in several places of a file.

    Args:
        declared: The descriptors that the file declares.
        problems: Where to note what is wrong.
    """

    def __init__(self, declared: tuple[str, ...], problems: Problems) -> None:
        self._declared = declared
        self._problems = problems
        self._fields = rule_fields(declared)

    def rules(self, node: Node, path: str) -> list[Rule]:
        """Return the rules of a mapping from names to them."""
        named = entries_of(node, path, None, self._problems)
        if not 0 < len(named) <= LIMITS_MAX and node.entries is not None:
            self._problems.add(node.place, path, f"{len(named)} rules", f"1 to {LIMITS_MAX:,} rules")
        rules = [self._rule(name, entry, path) for name, entry in named.items()]
        return [rule for rule in rules if rule is not None]

    def match(self, node: Node, path: str) -> Match:
        """Return the match that a mapping describes."""
        known = match_names(self._declared)
        named = [entry.name for entry in node.entries or () if isinstance(entry.name, str)]
        headers = [name for name in named if name.startswith(HEADER_PREFIX) and match_field(name) is not None]
        entries = entries_of(node, path, (*known, *headers) if headers else known, self._problems)
        fields = {name: field for name in entries if (field := match_field(name, self._declared))}
        values = self._values(entries, fields, path)
        methods = values.pop("method", frozenset())
        patterns = tuple((checked_descriptor(name, self._declared), value) for name, value in values.items())
        return Match(methods=methods, values=patterns)

    def _rule(self, name: str, entry: Entry, within: str) -> Rule | None:
        path, problems = f"{within}.{shown(name)}", self._problems
        before = problems.count()
        entries = entries_of(entry.node, path, (*self._fields, "match"), problems)
        for needed in ("rate", "key"):
            if needed not in entries and entry.node.entries is not None:
                problems.add(entry.place, f"{path}.{needed}", "nothing", f"{needed}: {self._fields[needed].accepted}")
        values = self._values(entries, self._fields, path)
        match = self.match(entries["match"].node, f"{path}.match") if "match" in entries else Match()
        if problems.count() > before:
            return None
        key = values.pop("key")
        try:
            return Rule(limit=Limit(name, values.pop("rate"), **values), key=key, match=match)
        except InvalidInputError as error:  # fields that are right alone but not together
            field = next((word for word in error.where.split() if word in entries), "")
            place = entries[field].node.place if field else entry.place
            problems.add(place, f"{path}.{field}" if field else path, error.found, error.accepted)
            return None

    def _values(self, entries: Mapping[str, Entry], fields: Mapping[str, Field], path: str) -> dict[str, Any]:
        values = {}
        for name, entry in entries.items():
            if name in fields:
                try:
                    values[name] = fields[name].read(entry.node)
                except InvalidInputError as error:
                    self._problems.add(entry.node.place, f"{path}.{shown(name)}", error.found, error.accepted)
        return values
