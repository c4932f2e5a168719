"""Reads rules one by one: what a rule says itself, and what it takes over from the one that it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from sluicegate.ratelimit.rules.changes import read_change, rollout_of
from sluicegate.ratelimit.rules.conditions import Match
from sluicegate.ratelimit.rules.descriptors import HEADER_PREFIX, checked_descriptor
from sluicegate.ratelimit.rules.fields import OFF, OFF_FIELD, match_field, match_names, rule_fields
from sluicegate.ratelimit.rules.model import Rule, group_size, state_of
from sluicegate.ratelimit.rules.problems import entries_of, shown
from sluicegate.ratelimit.rules.timetable import read_timetable, schedule_of
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit.rules.document import Entry, Node
    from sluicegate.ratelimit.rules.fallback import Fallback
    from sluicegate.ratelimit.rules.fields import Field
    from sluicegate.ratelimit.rules.problems import Problems

__all__ = ["LIMITS_MAX", "Defined", "Reader"]

LIMITS_MAX = 1000  # every request is held against each of them
_SCHEDULE = "schedule"
_ROLLOUT = "rollout"
_OF_RULES = {
    "key": "key",
    "match": "match",
    "cost": "cost",
    "charge": "statuses",
    "provided": "provided",
}  # all other fields are the limit's


@dataclass(frozen=True, slots=True, kw_only=True)
class Defined:
    """A rule as it was read.

    Attributes:
        path: Where in the file, in words.
        values: Its fields.
        rule: The rule; ``None`` where something is wrong with it.
    """

    path: str
    values: Mapping[str, Any]
    rule: Rule | None

    @property
    def made(self) -> Rule:
        """The rule of a file in which nothing is wrong."""
        assert self.rule is not None
        return self.rule


class Reader:
    """Reads what stands in several places of a file.

    Args:
        declared: The descriptors that the file declares.
        fallback: What answers in the store's place where a rule does not say it.
        problems: Where to note what is wrong.
    """

    def __init__(self, declared: tuple[str, ...], fallback: Fallback, problems: Problems) -> None:
        self._declared = declared
        self._fallback = fallback
        self._problems = problems
        self._fields = rule_fields(declared)
        self._first: dict[str, Defined] = {}
        self._first_rolled_out: dict[str, Defined] = {}

    def rules(self, node: Node, path: str, inherited: Mapping[str, Defined] | None = None) -> dict[str, Defined]:
        """Return the rules of a mapping from names to them.

        Args:
            node: The mapping.
            path: What it is, for messages.
            inherited: In a plan those that hold unless it says otherwise; they come first.
        """
        named = entries_of(node, path, None, self._problems)
        if not 0 < len(named) <= LIMITS_MAX and node.entries is not None:
            self._problems.add(node.place, path, f"{len(named)} rules", f"1 to {LIMITS_MAX:,} rules")
        found = dict(inherited or {})
        for text, entry in named.items():
            name = normalize("NFC", text)
            defined = self._defined(name, entry, f"{path}.{shown(text)}", None if inherited is None else found)
            if defined is None:
                found.pop(name, None)
            else:
                found[name] = defined
        return found

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

    def _defined(self, name: str, entry: Entry, path: str, inherited: Mapping[str, Defined] | None) -> Defined | None:
        """Return a rule, or ``None`` where it is switched off."""
        before = self._problems.count()
        base = inherited.get(name) if inherited else None
        fields = self._fields if inherited is None else {**self._fields, OFF: OFF_FIELD}
        entries = entries_of(entry.node, path, (*fields, _SCHEDULE, _ROLLOUT, "match"), self._problems)
        values = self._values(entries, fields, path)
        if values.pop(OFF, False):
            self._check_off(entries, path, base)
            return None
        if _SCHEDULE in entries:
            values[_SCHEDULE] = read_timetable(entries[_SCHEDULE].node, f"{path}.{_SCHEDULE}", self._problems)
        if _ROLLOUT in entries:
            values[_ROLLOUT] = read_change(entries[_ROLLOUT].node, f"{path}.{_ROLLOUT}", self._problems)
        if "match" in entries:
            values["match"] = self.match(entries["match"].node, f"{path}.match")
        if base is not None:
            values = _overlaid(base.values, values)
        elif entry.node.entries is not None:
            for needed in ("rate", "key"):
                if needed not in entries:
                    accepted = f"{needed}: {self._fields[needed].accepted}"
                    self._problems.add(entry.place, f"{path}.{needed}", "nothing", accepted)
        spoilt = self._problems.count() > before or (base is not None and base.rule is None)
        rule = None if spoilt else self._rule(name, values, entry, entries, path)
        defined = Defined(path=path, values=values, rule=rule)
        self._check_state(defined, self._first.setdefault(name, defined), entry, entries)
        if rule is not None and len(rule.with_states) > 1:
            self._check_candidate(rule, self._first_rolled_out.setdefault(name, defined), path, entry)
        return defined

    def _rule(
        self, name: str, values: Mapping[str, Any], entry: Entry, entries: Mapping[str, Entry], path: str
    ) -> Rule | None:
        options = {field: value for field, value in values.items() if field not in (*_OF_RULES, _SCHEDULE, _ROLLOUT)}
        more = {_OF_RULES[field]: value for field, value in values.items() if field in _OF_RULES}
        try:
            if "group" in options:
                options["group"] = group_size(values["key"], options["group"])
            limit = self._fallback.limit(name, **options)
            if _ROLLOUT in values:
                more[_ROLLOUT] = rollout_of(values[_ROLLOUT], limit, options, self._fallback, self._problems)
            if _SCHEDULE in values:
                del options["rate"]
                more[_SCHEDULE] = schedule_of(values[_SCHEDULE], name, options, self._fallback, self._problems)
            return Rule(limit=limit, **more)
        except InvalidInputError as error:  # fields that are right alone but not together
            field = next((word for word in error.where.split() if word in entries), "")
            place = entries[field].node.place if field else entry.place
            self._problems.add(place, f"{path}.{field}" if field else path, error.found, error.accepted)
            return None

    def _check_off(self, entries: Mapping[str, Entry], path: str, base: Defined | None) -> None:
        place = entries[OFF].place
        if base is None:
            self._problems.add(place, f"{path}.{OFF}", "no limit of that name that holds here", "one to switch off")
        elif len(entries) > 1:
            self._problems.add(place, f"{path}.{OFF}", "other fields beside it", f"{OFF}: true alone")

    def _check_state(self, defined: Defined, first: Defined, entry: Entry, entries: Mapping[str, Entry]) -> None:
        """Note what would give one name two meanings: a key is the same text in every plan."""
        if defined.rule is None or first.rule is None:
            return
        known = {**state_of(first.rule.limit), "key": first.rule.key}
        for field, value in {**state_of(defined.rule.limit), "key": defined.rule.key}.items():
            if value != known[field]:
                place = entries[field].node.place if field in entries else entry.place
                found = f"another {field} than in {first.path}"
                self._problems.add(place, f"{defined.path}.{field}", found, "the same; one name is one state")

    def _check_candidate(self, rule: Rule, first: Defined, path: str, entry: Entry) -> None:
        """Note what would give the one state of what a name is to become two meanings."""
        known = state_of(first.made.with_states[1])
        for field, value in state_of(rule.with_states[1]).items():
            if value != known[field]:
                place = self._problems.places.get(f"{path}.{_ROLLOUT}", entry.place)
                found = f"another {field} than in {first.path}.{_ROLLOUT}"
                self._problems.add(place, f"{path}.{_ROLLOUT}", found, "the same; one name is one state")

    def _values(self, entries: Mapping[str, Entry], fields: Mapping[str, Field], path: str) -> dict[str, Any]:
        values = {}
        for name, entry in entries.items():
            if name in fields:
                try:
                    values[name] = fields[name].read(entry.node)
                except InvalidInputError as error:
                    self._problems.add(entry.node.place, f"{path}.{shown(name)}", error.found, error.accepted)
        return values


def _overlaid(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a rule in a plan: its own, and others that it takes over."""
    change = inherited.get(_ROLLOUT)
    if change is not None and not change.holds_beside(own):  # it was made for another limit
        inherited = {name: value for name, value in inherited.items() if name != _ROLLOUT}
    return {**inherited, **own}
