"""Which rules can cover one request, as far as that can be told without the requests.

A limiter decides a bounded number of limits at once, so who lets rules choose should know at the start
when a request would meet more. What is found can really happen; what is not found still may, where globs
with a ``*`` before their end meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluicegate.ratelimit.checking import MEMBERS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.rules.conditions import Pattern
    from sluicegate.ratelimit.rules.model import Rule, Rules

    Asked = Sequence[tuple[Limit, str] | tuple[Limit, str, int]]

__all__ = ["RULES_AT_ONCE_MAX", "Meeting", "largest_meeting", "meeting_apart", "those_that_fit"]

RULES_AT_ONCE_MAX = MEMBERS_MAX
COMPARISONS_MAX = 1_000_000  # a second's work: a thousand rules on as many paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Rules that one request meets.

    Attributes:
        rules: The rules, in the file's order.
        request: The request, in words.
    """

    rules: tuple[Rule, ...]
    request: str


def those_that_fit(asked: Asked) -> Asked:
    """Leave out of what one request asks those limits beside others, which are only counted, that have no room."""
    room = RULES_AT_ONCE_MAX - sum(not member[0].beside for member in asked)
    fitting = []
    for member in asked:
        if member[0].beside:
            room -= 1
            if room < 0:
                continue
        fitting.append(member)
    return fitting


def largest_meeting(rules: Rules) -> Meeting:
    """Return the most rules that are seen to cover one request: on a path that is named, whatever else it is."""
    best = [Meeting(rules=(), request=_told({"path": "/"}))]
    for meeting in _meetings(rules, lambda some: len(some) > len(best[-1].rules)):
        best[:] = [meeting]
    return best[-1]


def meeting_apart(rules: Rules) -> Meeting | None:
    """Return rules that are seen to cover one request and that a Cluster cannot decide together.

    Their groups differ, so that their states may lie on different servers. Leased limits do not count: they can be
    asked by themselves.
    """
    return next(_meetings(rules, lambda some: len({rule.group for rule in some if not _is_leased(rule)}) > 1), None)


def _is_leased(rule: Rule) -> bool:
    return all(limit.mode == "leased" for limit in rule.limits)


def _meetings(rules: Rules, is_worth_it: Callable[[Sequence[Rule]], bool]) -> Iterator[Meeting]:
    """Yield meetings that are worth it; where those that might meet are not, they are not looked at closer."""
    comparisons = COMPARISONS_MAX // (1 + len(rules.plans))
    for plan, listed in ((None, rules.limits), *rules.plans.items()):
        together = [rule for rule in listed if not rule.statuses]  # what a response is charged for is taken alone
        yield from _meetings_of(together, {} if plan is None else {"plan": plan}, comparisons, is_worth_it)


def _meetings_of(
    rules: Sequence[Rule], known: Mapping[str, str], comparisons: int, is_worth_it: Callable[[Sequence[Rule]], bool]
) -> Iterator[Meeting]:
    """Yield meetings of *rules* on requests of which some things are *known*."""
    examples = (pattern.example for rule in rules for pattern in rule.match.patterns("path"))
    for path in dict.fromkeys(("/", *(example for example in examples if example is not None))):
        comparisons -= len(rules)
        covering = [rule for rule in rules if _fits(rule.match.patterns("path"), path)]
        if comparisons < 0:
            return
        if not is_worth_it(covering):
            continue
        for request in _requests(covering, {"path": path, **known}):
            comparisons -= len(covering)
            met = tuple(rule for rule in covering if rule.match.covers(request))
            if is_worth_it(met):
                yield Meeting(rules=met, request=_told(request))
            if comparisons < 0:
                return


def _fits(patterns: Sequence[Pattern], path: str) -> bool:
    return not patterns or any(pattern.matches(path) for pattern in patterns)


def _requests(rules: Sequence[Rule], known: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield requests like the one that is *known* that some of *rules* mean."""
    methods = sorted({method for rule in rules for method in rule.match.methods})
    examples: dict[tuple[tuple[str, str], ...], None] = {(): None}
    for rule in rules:
        named = [(name, patterns[0].example or "") for name, patterns in rule.match.values if name not in known]
        examples.setdefault(tuple(named))
    for values in examples:
        for method in ("", *methods):
            yield {**known, **dict(values), **({"method": method} if method else {})}


def _told(request: Mapping[str, str]) -> str:
    rest = {name: value for name, value in request.items() if name != "method"}
    shown = [f"{name} {value if value.isprintable() else ascii(value)}" for name, value in rest.items()]
    return ", ".join([request.get("method", "any method"), *shown])
