"""Finds what a file of rules may say but hardly means: limits that can never deny, rules that nothing reaches."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from sluicegate.ratelimit.rules.covering import superfluous, wider_match
from sluicegate.ratelimit.rules.document import Place
from sluicegate.ratelimit.rules.problems import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sluicegate.ratelimit.rate import Rate
    from sluicegate.ratelimit.rules.conditions import Match
    from sluicegate.ratelimit.rules.model import Rule, Rules
    from sluicegate.ratelimit.rules.problems import Problems
    from sluicegate.ratelimit.rules.reading import Reading

    Found = tuple[str, str, str]  # what it is about, what was found, what to do
    Placed = tuple[str, Rule]  # where a rule stands, and the rule

__all__ = ["DOUBTS_MAX", "Doubt", "doubts_of"]

DOUBTS_MAX = 100  # as of problems: who reads a hundred has another question
_COMPARED_MAX = 200  # rules of one list that are compared with each other: work in the square of it
_NEVER_IN_PATHS = "?#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Something that is legal but surely wrong.

    Attributes:
        where: File, line, column, and what it is about.
        found: What was found.
        advice: What to do.
    """

    where: str
    found: str
    advice: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; {self.advice}"


def doubts_of(reading: Reading, problems: Problems) -> tuple[Doubt, ...]:
    """Return what is doubtful about a file without problems, in its order, up to a hundred.

    Args:
        reading: What was read.
        problems: Knows where everything stands.
    """
    rules = reading.rules
    found: dict[Found, None] = dict.fromkeys(_of_lists(rules))
    for plan, paths in reading.paths.items():
        placed = list(zip(paths, rules.named(plan).values(), strict=True))
        for path, rule in placed:
            for look in _LOOKS:
                found.update(dict.fromkeys(look(path, rule, plan, rules)))
        found.update(dict.fromkeys(_of_siblings(placed)))
    places = problems.places
    sought = [(_nearest(about, places), *each) for each in found for about in each[:1]]
    start = Place(1)
    sought.sort(key=lambda each: ((place := places.get(each[0], start)).line, place.column or 0))
    return tuple(
        Doubt(where=problems.where(places.get(near, start), about), found=what, advice=advice)
        for near, about, what, advice in sought[:DOUBTS_MAX]
    )


def _nearest(about: str, places: Mapping[str, object]) -> str:
    """Return the nearest thing around that has a place: what a plan inherits stands elsewhere."""
    while about not in places and "." in about:
        about = about.rpartition(".")[0]
    return about


def _of_rates(path: str, rule: Rule, _plan: str, _rules: Rules) -> Iterator[Found]:
    for limit in rule.limits:
        if limit.beside:
            continue
        rate_at, cost_at = (f"{path}.rollout.rate",) * 2 if limit.candidate else (f"{path}.rate", f"{path}.cost")
        for idle, binding in _never_binding([(path, rate) for rate in limit.rates]):
            yield rate_at, f"{binding[1]} beside {idle[1]}, which can then never deny", "leave one of them out"
        if rule.cost > limit.plan.capacity:
            burst = next((rate for rate in limit.rates if rate.burst is not None and rate.capacity < rule.cost), None)
            least = f"a burst of {limit.plan.capacity:,}" if burst else f"a limit of {limit.plan.capacity:,}"
            what = f"a cost of {rule.cost:,}, which never fits {least}"
            yield cost_at, what, "every request will be denied; raise the one or lower the other"


def _of_reach(path: str, rule: Rule, plan: str, rules: Rules) -> Iterator[Found]:
    """Look for what keeps a rule from ever covering a request."""
    needed = rule.key.names
    for name, patterns in rule.match.values:
        if name in needed and all(not pattern.text for pattern in patterns):
            what = f"only requests without {name}, by which the rule counts"
            yield f"{path}.match.{name}", what, "it never applies; count by something else"
        if name in ("path", "route"):
            for pattern in patterns:
                if any(character in pattern.text for character in _NEVER_IN_PATHS):
                    yield (
                        f"{path}.match.{name}",
                        f"{pattern.text!r}",
                        "a path ends before its '?' and '#'; leave them out",
                    )
    for listed, entries in (("deny", rules.deny), ("allow", rules.allow)):
        at = next((at for at, entry in enumerate(entries) if wider_match(entry, rule.match, needed)), None)
        if at is not None:
            what = f"only requests that {listed}[{at}] already covers"
            yield path, what, "it never applies; narrow the list, or leave the rule out"
    yield from _of_plans(path, rule, plan, rules)


def _of_plans(path: str, rule: Rule, plan: str, rules: Rules) -> Iterator[Found]:
    patterns = rule.match.patterns("plan")
    if not patterns or not rules.plans:
        return
    if plan and not any(pattern.matches(plan) for pattern in patterns):
        yield f"{path}.match.plan", f"another plan than {plan}", "it never applies in its plan; leave the field out"
    for pattern in patterns:
        if pattern.text and not any(pattern.matches(name) for name in rules.plans):
            advice = f"no plan here fits it{suggestion(pattern.text, rules.plans)}"
            yield f"{path}.match.plan", f"{pattern.text!r}", advice


def _of_conditions(path: str, rule: Rule, _plan: str, _rules: Rules) -> Iterator[Found]:
    return _of_match(f"{path}.match", rule.match)


def _of_match(path: str, match: Match) -> Iterator[Found]:
    for name, patterns in match.values:
        for pattern, wider in superfluous(patterns):
            again = "again" if pattern.text == wider.text else f"beside {wider.text!r}, which covers it"
            yield f"{path}.{name}", f"{pattern.text!r} {again}", "leave it out"


_LOOKS: tuple[Callable[[str, Rule, str, Rules], Iterator[Found]], ...] = (_of_rates, _of_reach, _of_conditions)


def _of_lists(rules: Rules) -> Iterator[Found]:
    for name, entries in (("allow", rules.allow), ("deny", rules.deny)):
        for at, entry in enumerate(entries[:_COMPARED_MAX]):
            path = f"{name}[{at}]"
            yield from _of_match(path, entry)
            denied = next(
                (of for of, wide in enumerate(rules.deny) if name == "allow" and wider_match(wide, entry)), None
            )
            if denied is not None:
                yield path, f"requests that deny[{denied}] refuses in any case", "leave one of them out"
            for of, other in enumerate(entries[:_COMPARED_MAX]):
                alike = wider_match(entry, other)
                if of != at and wider_match(other, entry) and not (alike and of > at):
                    again = "the same again as" if alike else "what is covered by"
                    yield path, f"{again} {name}[{of}]", "leave it out"
                    break


def _of_siblings(placed: Sequence[Placed]) -> Iterator[Found]:
    """Compare rules that count the same requests for the same key."""
    groups: dict[tuple[object, ...], list[Placed]] = {}
    for path, rule in placed:
        alike = rule.key, rule.match.methods, frozenset(rule.match.values), rule.statuses, rule.cost, rule.limit.shadow
        groups.setdefault(alike, []).append((path, rule))
    for group in groups.values():
        first: dict[tuple[int, str], str] = {}
        for path, rule in group:
            same = first.setdefault((rule.limit.plan.tag, rule.limit.mode), path)
            if same != path:
                yield path, f"the same limit for the same requests and key as {same}", "leave one of them out"
        for (one_path, one), (path, rule) in combinations(group[:_COMPARED_MAX], 2):
            rates = [*((one_path, rate) for rate in one.limit.rates), *((path, rate) for rate in rule.limit.rates)]
            for idle, binding in _never_binding(rates):
                if idle[0] != binding[0]:
                    what = f"{binding[1]}, beside which {idle[1]} of {idle[0]} can never deny"
                    yield f"{binding[0]}.rate", what, "let the longer period have the larger limit, or leave one out"


def _never_binding(placed: Sequence[tuple[str, Rate]]) -> Iterator[tuple[tuple[str, Rate], tuple[str, Rate]]]:
    """Yield pairs of which the first allows at least as much in a period that is no longer, and so never denies."""
    for one, other in combinations(placed, 2):
        idle, binding = sorted((one, other), key=lambda each: (each[1].period_us, -each[1].limit, -each[1].capacity))
        if idle[1] != binding[1] and binding[1].limit <= idle[1].limit and binding[1].capacity <= idle[1].capacity:
            yield idle, binding
