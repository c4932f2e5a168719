"""Which limits take over the states of those before them, so that a key keeps what it has when a file changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.rules.model import Rule, Rules
    from sluicegate.ratelimit.rules.scheduling import Times

__all__ = ["taken_over"]


def taken_over(rules: Rules, before: Rules, now_us: int) -> Rules:
    """Return *rules* as those that take the place of *before*.

    Limits that are the same are the very same, so that what is known of them stays known. Those that have another rate
    than the one of their name before them know so, and carry states over.
    """
    known: dict[Limit, Limit] = {}
    first: dict[str, Rule] = {}
    for rule in before.all:
        first.setdefault(rule.limit.name, rule)
        for limit in rule.limits:
            known.setdefault(limit, limit)

    def successor(plan: str, limit: Limit, rule: Rule) -> Limit:
        same = known.get(limit)
        if same is not None:
            return same
        name = rule.limit.name
        earlier = _of_one_state(before.named(plan).get(name) or first.get(name), rule, limit)
        if earlier is None or (earlier.plan.tag == limit.plan.tag and not earlier.plan.marks and not limit.plan.marks):
            return limit
        return limit.changed_from(earlier, at=now_us / 1_000_000)

    return _with(rules, successor)


def _of_one_state(before: Rule | None, rule: Rule, limit: Limit) -> Limit | None:
    """Return the limit of a rule that has the same state at the same hours, if that can be carried over."""
    if before is None or not limit.plan.algorithm.carries:
        return None
    place = limit.plan.prefix, limit.group
    hours = _hours_of(before)
    if hours != _hours_of(rule):  # nobody knows which of its rates was written when
        return None
    if hours:
        earlier = before.limits[rule.limits.index(limit)]
        return earlier if (earlier.plan.prefix, earlier.group) == place else None
    return next((earlier for earlier in before.limits if (earlier.plan.prefix, earlier.group) == place), None)


def _hours_of(rule: Rule) -> list[Times]:
    return [times for times, _ in rule.schedule.entries] if rule.schedule is not None else []


def _with(rules: Rules, become: Callable[[str, Limit, Rule], Limit]) -> Rules:
    """Return *rules* with other limits; rules that are in several plans stay one."""
    made: dict[int, Rule] = {}

    def other(plan: str, rule: Rule) -> Rule:
        if id(rule) not in made:
            made[id(rule)] = _with_limits(rule, {limit: become(plan, limit, rule) for limit in rule.limits})
        return made[id(rule)]

    limits = tuple(other("", rule) for rule in rules.limits)
    plans = {plan: tuple(other(plan, rule) for rule in listed) for plan, listed in rules.plans.items()}
    return replace(rules, limits=limits, plans=plans)


def _with_limits(rule: Rule, become: Mapping[Limit, Limit]) -> Rule:
    if rule.rollout is not None:
        rollout = rule.rollout.with_known(become)
        return replace(rule, limit=rollout.limit, rollout=rollout)
    schedule = rule.schedule
    if schedule is not None:
        schedule = replace(schedule, entries=tuple((times, become[limit]) for times, limit in schedule.entries))
    return replace(rule, limit=become[rule.limit], schedule=schedule)
