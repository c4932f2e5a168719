"""Looks at a file of rules before a service does."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sluicegate.cli.exits import ALLOWED, REFUSED
from sluicegate.cli.output import printable
from sluicegate.ratelimit.rules import RULES_AT_ONCE_MAX, inspect_rules, largest_meeting, rules_schema
from sluicegate.utils import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sluicegate.ratelimit import Limit
    from sluicegate.ratelimit.rules import Doubt, Rule, Rules

__all__ = ["check", "schema"]

_MINUTE_SECONDS = 60.0
_TOLD_BY_VALUE = ("algorithm", "mode")  # these words say themselves what they are
_TOLD_OF_CHANGES = (*_TOLD_BY_VALUE, "on_failure", "critical", "time_zone", "anchor", "lease_seconds")


def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file of rules, YAML or TOML.")],
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings end with exit code 2, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Say what a file of rules means, or everything that is wrong with it; exit code 2 when something is.

    What is legal but surely wrong is a warning.
    """
    if not as_json:
        rules, doubts = inspect_rules(file)
        _print_table(rules)
        _print_warnings(doubts)
        return REFUSED if strict and doubts else ALLOWED
    try:
        rules, doubts = inspect_rules(file)
    except ConfigurationError as error:
        problems = [{"where": each.where, "found": each.found, "accepted": each.accepted} for each in error.problems]
        sys.stdout.write(json.dumps({"valid": False, "problems": problems}) + "\n")
        return REFUSED
    told = {
        "valid": True,
        "most_for_one_request": len(largest_meeting(rules).rules),
        "limits": [_as_json(rule) for rule in rules.limits],
        "plans": {plan: [_as_json(rule) for rule in listed] for plan, listed in rules.plans.items()},
        "warnings": [asdict(doubt) for doubt in doubts],
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return REFUSED if strict and doubts else ALLOWED


def schema() -> int:
    """Print the JSON Schema of files of rules, for editors."""
    sys.stdout.write(json.dumps(rules_schema(), indent=2) + "\n")
    return ALLOWED


def _as_json(rule: Rule) -> dict[str, object]:
    limit = rule.limit
    return {
        "name": limit.name,
        "rates": _rates(limit),
        "algorithm": limit.algorithm,
        "key": list(rule.key.parts),
        "match": rule.match.as_json(),
        "cost": rule.cost,
        "charge": sorted(rule.statuses),
        "schedule": rule.schedule.as_json() if rule.schedule else [],
        "provided": list(rule.provided.parts) if rule.provided else [],
        "rollout": rule.rollout.as_json() if rule.rollout else None,
        "on_failure": limit.on_failure,
        "critical": limit.critical,
        "shadow": limit.shadow,
        "most_in_a_minute": limit.most_in(_MINUTE_SECONDS),
    }


def _print_table(rules: Rules) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("limit", "rate", "key"):
        table.add_column(heading, no_wrap=True)
    table.add_column("requests", overflow="fold")
    table.add_column("if away", no_wrap=True)
    table.add_column("most/min", justify="right", no_wrap=True)
    for plan, rule in _with_plans(rules):
        limit = rule.limit
        table.add_row(
            Text.assemble(
                (limit.name, "bold"),
                (f"\nplan {plan}" if plan else "", "cyan"),
                ("\non trial" if limit.shadow else "", "yellow"),
            ),
            Text.assemble(
                "\n".join([*_rates(rule.limit), *_scheduled(rule)]), (f"\n{limit.algorithm}", "dim"), _rolled_out(rule)
            ),
            Text("\n".join(rule.key.parts)),
            Text(_requests(rule)),
            Text("passes" if limit.on_failure == "open" else "is denied"),
            Text(f"{limit.most_in(_MINUTE_SECONDS):,}"),
        )
    console = Console()
    console.print(table)
    plans = f", {_counted(len(rules.plans), 'plan')}" if rules.plans else ""
    names = {rule.limit.name for rule in rules.all}
    rolled_out = f", {len(rules.rollouts)} being rolled out" if rules.rollouts else ""
    console.print(Text.assemble(("valid", "bold green"), f": {_counted(len(names), 'limit')}{plans}{rolled_out}"))
    meeting = largest_meeting(rules)
    if len(meeting.rules) > RULES_AT_ONCE_MAX:
        # The service names its limits and a replay takes one at a time, so the file is not wrong.
        note = f"{len(meeting.rules)} of them cover one request ({meeting.request}); the middleware takes at most "
        console.print(Text(f"{note}{RULES_AT_ONCE_MAX}", "yellow"), soft_wrap=True)


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _print_warnings(doubts: Sequence[Doubt]) -> None:
    console = Console(stderr=True, soft_wrap=True)
    for doubt in doubts:
        console.print(Text.assemble(("warning: ", "bold yellow"), printable(str(doubt))))


def _with_plans(rules: Rules) -> Iterator[tuple[str, Rule]]:
    """Yield the rules, each where it is said: of a plan those that differ from what holds without it."""
    common = rules.named()
    yield from (("", rule) for rule in rules.limits)
    for plan, listed in rules.plans.items():
        yield from ((plan, rule) for rule in listed if common.get(rule.limit.name) != rule)


def _requests(rule: Rule) -> str:
    """Return in words which requests are meant."""
    told = rule.match.as_json()
    words = [*told.pop("method", ()), *told.pop("path", ())]
    words += [f"{name}={'|'.join(texts)}" for name, texts in told.items()]
    if rule.statuses:
        words.append(f"answered with {_statuses(rule.statuses)}")
    return printable(" ".join(words)) or "all"


def _statuses(statuses: Collection[int]) -> str:
    """Return statuses as a file would say them."""
    hundreds = [hundred for hundred in range(1, 6) if all(hundred * 100 + at in statuses for at in range(100))]
    rest = [str(status) for status in sorted(statuses) if status // 100 not in hundreds]
    return ", ".join([*(f"{hundred}xx" for hundred in hundreds), *rest])


def _scheduled(rule: Rule) -> list[str]:
    schedule = rule.schedule
    entries = schedule.entries if schedule else ()
    return [f"{times}: {'; '.join(map(str, limit.rates)) or limit.plan.capacity}" for times, limit in entries]


def _rolled_out(rule: Rule) -> tuple[str, str]:
    """Return what the limit is to become, and how far that is."""
    rollout = rule.rollout
    if rollout is None:
        return "", ""
    limit = rollout.becomes
    changes = _rates(limit) if limit.rates != rule.limit.rates else []
    for name in _TOLD_OF_CHANGES:
        value = getattr(limit, name)
        if value != getattr(rule.limit, name):
            told = str(value).lower() if isinstance(value, bool) else str(value)
            changes.append(told if name in _TOLD_BY_VALUE else f"{name} {told}")
    becomes = "; ".join(changes) if rollout.candidate is not None else "enforced"
    return f"\n{rollout.percent:g} % {becomes}", "yellow"


def _rates(limit: Limit) -> list[str]:
    return [str(rate) for rate in limit.rates] or [f"{limit.plan.capacity} at once"]
