"""Has rules choose what limits a request of an ASGI application."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from sluicegate.integrations.descriptors import descriptor_readers
from sluicegate.ratelimit.rules import RULES_AT_ONCE_MAX, largest_meeting, meeting_apart
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence

    from sluicegate.integrations.client_address import ClientAddress
    from sluicegate.ratelimit import Limit
    from sluicegate.ratelimit.rules import Charge, LiveRules, ProvidedLimits, Rules
    from sluicegate.utils import Clock

    Scope = MutableMapping[str, Any]
    Asked = Sequence[tuple[Limit, str] | tuple[Limit, str, int]]
    Choose = Callable[[Scope], Asked | "Asking" | Awaitable[Asked | "Asking"]]

__all__ = ["NAMES_SHOWN_MAX", "Asking", "Supply", "asked_by_live_rules", "asked_by_rules"]

NAMES_SHOWN_MAX: Final = 5  # enough to find the rules by


class Asking(NamedTuple):
    """What rules say of a request, where that is more than limits.

    Attributes:
        asked: What limits it.
        charges: What it may be charged by its response.
        is_refused: Whether it is on the list of those that are refused.
    """

    asked: Asked
    charges: Sequence[Charge] = ()
    is_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What rules need beside themselves.

    Attributes:
        client_address: How to tell clients apart.
        descriptors: Supplies further descriptors.
        provided: Knows other limits than those of the file.
        clock: Tells which rate holds now.
        is_spread: Whether state lies on several servers, which decide together only what is of one group.
    """

    client_address: ClientAddress
    descriptors: Callable[[Scope], Mapping[str, str]] | None
    provided: ProvidedLimits | None
    clock: Clock
    is_spread: bool = False


def asked_by_rules(rules: Rules, supply: Supply) -> Choose:
    """Return what asks *rules*.

    Raises:
        InvalidInputError: They cannot be used here.
    """
    descriptors, provided, clock = supply.descriptors, supply.provided, supply.clock
    readers = descriptor_readers(rules, supply.client_address, given=descriptors is not None)
    _check_meeting(rules)
    if supply.is_spread:
        _check_groups(rules)
    asks_provider = _asks_provider(rules, provided)
    has_charges = any(rule.statuses for rule in rules.all)

    def asked(scope: Scope) -> Asked | Asking | Awaitable[Asked | Asking]:
        described = {name: reader(scope) for name, reader in readers.items()}
        if descriptors is not None:
            described.update(descriptors(scope))
        found = rules.matching(described, clock)
        if not found and rules.deny and rules.listed(described) == "deny":
            return Asking((), is_refused=True)
        charges = rules.charging(described, clock) if has_charges else []
        if asks_provider:
            assert provided is not None
            return _provided(Asking(found, charges), _Provision(rules, provided, described))
        return Asking(found, charges) if charges else found

    return asked


def asked_by_live_rules(live: LiveRules, supply: Supply) -> Choose:
    """Return what asks the rules that are in force; those by which nobody could ask here never come into force."""
    prepared: tuple[Rules | None, Choose] = (None, lambda _: [])
    in_force = prepared

    def prepare(rules: Rules) -> None:
        nonlocal prepared
        prepared = rules, asked_by_rules(rules, supply)

    def asked(scope: Scope) -> Asked | Asking | Awaitable[Asked | Asking]:
        nonlocal in_force
        rules = live.current
        if in_force[0] is not rules:
            if prepared[0] is not rules:  # others were looked at meanwhile, and refused
                prepare(rules)
            in_force = prepared
        return in_force[1](scope)

    live.check(prepare)
    return asked


def _check_meeting(rules: Rules) -> None:
    meeting = largest_meeting(rules)
    if len(meeting.rules) > RULES_AT_ONCE_MAX:
        names = ", ".join(rule.limit.name for rule in meeting.rules[:NAMES_SHOWN_MAX])
        found = f"{len(meeting.rules)} rules that cover one request ({meeting.request}): {names}, …"
        raise InvalidInputError("limits", found, f"at most {RULES_AT_ONCE_MAX} for one request; narrow what they match")


def _check_groups(rules: Rules) -> None:
    meeting = meeting_apart(rules)
    if meeting is not None:
        groups = {rule.group: f"{rule.limit.name} by {', '.join(rule.group)}" for rule in meeting.rules}
        names = "; ".join(list(groups.values())[:NAMES_SHOWN_MAX])
        found = f"limits of several groups that cover one request on a Cluster ({meeting.request}): {names}"
        accepted = "one group, such as group: tenant beside key: [tenant, user]; and mode: leased for what all share"
        raise InvalidInputError("limits", found, accepted)


def _asks_provider(rules: Rules, provided: ProvidedLimits | None) -> bool:
    asking = next((rule.limit.name for rule in rules.all if rule.provided is not None), None)
    if asking is not None and provided is None:
        raise InvalidInputError(f"rule {asking!r}: provided", "nobody who provides", "a provided= argument")
    return asking is not None


@dataclass(slots=True)
class _Provision:
    """Finds for one request what the application knows of its limits."""

    rules: Rules
    provided: ProvidedLimits
    described: Mapping[str, str]
    missing: list[tuple[Limit, str, Mapping[str, str]]] = field(default_factory=list)

    def of(self, limit: Limit) -> Limit:
        """Return the limit that holds, as far as it is known, and note what has to be asked."""
        template = self.rules.named(self.described.get("plan", ""))[limit.name].provided
        key = None if template is None else template.key(self.described)
        if template is None or key is None:
            return limit
        descriptors = {name: self.described[name] for name in template.names}
        found, is_missing = self.provided.known(limit, key, descriptors)
        if is_missing:
            self.missing.append((limit, key, descriptors))
        return found

    def applied(self, asking: Asking) -> Asking:
        """Return *asking* with the limits that hold."""
        asked = [cast("tuple[Limit, str]", (self.of(limit), *rest)) for limit, *rest in asking.asked]
        return Asking(asked, [charge._replace(limit=self.of(charge.limit)) for charge in asking.charges])


def _provided(asking: Asking, provision: _Provision) -> Asked | Asking | Awaitable[Asked | Asking]:
    """Return what limits a request, at once where all is known."""
    found = provision.applied(asking)
    if provision.missing:
        return _learnt(asking, provision)
    return found if found.charges else found.asked


async def _learnt(asking: Asking, provision: _Provision) -> Asking:
    await asyncio.gather(*(provision.provided.learn(*missing) for missing in provision.missing))
    return provision.applied(asking)
