"""Asks for decisions from a shell: of a running service, or of Redis itself."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from unicodedata import normalize

import typer
from rich.console import Console
from rich.text import Text

from sluicegate.cli.defaults import direct_limiter, rules_here, where_to_ask
from sluicegate.cli.exits import ALLOWED, DENIED, UNANSWERED
from sluicegate.cli.output import printable
from sluicegate.cli.places import Where, placed
from sluicegate.cli.remote import Service
from sluicegate.integrations import decision_json
from sluicegate.utils import InvalidInputError, SystemClock, shape_of

if TYPE_CHECKING:
    from sluicegate.ratelimit import Limit
    from sluicegate.ratelimit.rules import Rule, Rules

__all__ = ["acquire", "peek", "reset", "rule_named"]

LimitName = Annotated[str, typer.Argument(metavar="LIMIT", help="The limit's name.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="Who is limited, such as user:42.")]
Cost = Annotated[
    int | None, typer.Option(help="Units, 0 to 1,000,000,000; default: what the rule says that a request takes.")
]
PlanName = Annotated[str, typer.Option(help="The plan of which the limit is taken; default: as it is without one.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class Source(Protocol):
    """What answers: a service, or a limiter in this process."""

    def acquire(self, limit: str, key: str, cost: int | None, plan: str) -> dict[str, Any]:
        """Take units, by default what the rule says, and return the decision."""
        ...

    def peek(self, limit: str, key: str, cost: int | None, plan: str) -> dict[str, Any]:
        """Return the decision that an acquire would get."""
        ...

    def reset(self, limit: str, key: str, plan: str) -> bool:
        """Forget a key, and say whether there was something to forget."""
        ...


@placed()
def acquire(
    limit: LimitName,
    key: Key,
    cost: Cost = None,
    plan: PlanName = "",
    *,
    where: Where,
    as_json: Json = False,
) -> int:
    """Take units of a limit for a key; exit code 1 when denied, 3 when the store is away and nobody has counted."""
    decision = _source(where).acquire(limit, key, cost, plan)
    return _shown(decision, as_json=as_json)


@placed()
def peek(
    limit: LimitName,
    key: Key,
    cost: Cost = None,
    plan: PlanName = "",
    *,
    where: Where,
    as_json: Json = False,
) -> int:
    """Say what an acquire would be answered, taking nothing; exit code 1 when it would be denied."""
    decision = _source(where).peek(limit, key, cost, plan)
    return _shown(decision, as_json=as_json)


@placed()
def reset(
    limit: LimitName,
    key: Key,
    plan: PlanName = "",
    *,
    where: Where,
    as_json: Json = False,
) -> int:
    """Forget what a key has used."""
    done = _source(where).reset(limit, key, plan)
    if as_json:
        sys.stdout.write(json.dumps({"reset": done}) + "\n")
    else:
        Console(soft_wrap=True).print(Text("forgotten" if done else "there was nothing to forget"))
    return ALLOWED


def _source(where: Where) -> Source:
    service, redis = where_to_ask(where)
    return Service(service) if redis is None else _Direct(where, redis, rules_here(where))


def rule_named(rules: Rules, name: str, plan: str) -> Rule:
    """Return the rule of that name as it is in a plan, or without one.

    Raises:
        InvalidInputError: There is none.
    """
    named = rules.named(plan)
    rule = named.get(normalize("NFC", name))
    if rule is None:
        raise InvalidInputError("limit", shape_of(name), f"one of the file's: {', '.join(named)}")
    return rule


class _Direct:
    """A limiter in this process, whose state is in Redis."""

    def __init__(self, where: Where, redis: str, rules: Rules) -> None:
        self._where = where
        self._redis = redis
        self._rules = rules

    def acquire(self, limit: str, key: str, cost: int | None, plan: str) -> dict[str, Any]:
        rule, limits = self._named(limit, key, plan)
        units = rule.cost if cost is None else cost
        with direct_limiter(self._where, self._redis) as limiter:
            if len(limits) == 1:
                return decision_json(limiter.acquire(limits[0], key, units))
            return decision_json(limiter.acquire_all([(each, key, units) for each in limits]).decisions[0])

    def peek(self, limit: str, key: str, cost: int | None, plan: str) -> dict[str, Any]:
        rule, limits = self._named(limit, key, plan)
        with direct_limiter(self._where, self._redis) as limiter:
            return decision_json(limiter.peek(limits[0], key, rule.cost if cost is None else cost))

    def reset(self, limit: str, key: str, plan: str) -> bool:
        _, limits = self._named(limit, key, plan)
        with direct_limiter(self._where, self._redis) as limiter:
            return sum([limiter.reset(each, key) for each in limits]) > 0  # all of them

    def _named(self, name: str, key: str, plan: str) -> tuple[Rule, tuple[Limit, ...]]:
        """Return a rule, and what has to be asked of it for a key."""
        rule = rule_named(self._rules, name, plan)
        return rule, rule.limits_for(key, SystemClock().now_us())


def _shown(decision: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps(decision) + "\n")
    else:
        Console(soft_wrap=True).print(_sentence(decision))
    if decision["degraded"]:  # nobody has counted: neither the script's yes nor its no
        return UNANSWERED
    return ALLOWED if decision["allowed"] else DENIED


def _sentence(decision: dict[str, Any]) -> Text:
    allowed = decision["allowed"]
    text = Text.assemble(("allowed" if allowed else "denied", "bold green" if allowed else "bold red"))
    text.append(f"  {decision['limit']} for {printable(decision['key'])}, cost {decision['cost']}: ")
    if decision["remaining"] is not None:
        text.append(f"{decision['remaining']} remaining")
    else:
        text.append("what remains is not known")
    if decision["banned"] and decision["never"]:
        text.append(", until the ban is lifted")
    elif decision["never"]:
        text.append(", and this cost never fits")
    elif decision["retry_after"]:
        text.append(f", come back in {decision['retry_after']:.3f} s")
    elif decision["reset_after"]:
        text.append(f", all restored in {decision['reset_after']:.3f} s")
    if decision["banned"]:
        text.append("  (banned)", "yellow")
    if decision["shadow_denied"]:
        text.append("  (on trial: it would have been denied)", "yellow")
    if decision["degraded"]:
        text.append("  (degraded: the store did not answer)", "yellow")
    return text
