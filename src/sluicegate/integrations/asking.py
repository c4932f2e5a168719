"""Has rules choose what limits a request of an ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sluicegate.integrations.descriptors import descriptor_readers
from sluicegate.ratelimit.rules import RULES_AT_ONCE_MAX, largest_meeting
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence

    from sluicegate.integrations.client_address import ClientAddress
    from sluicegate.ratelimit import Limit
    from sluicegate.ratelimit.rules import Charge, LiveRules, Rules
    from sluicegate.utils import Clock

    Scope = MutableMapping[str, Any]
    Asked = Sequence[tuple[Limit, str] | tuple[Limit, str, int]]
    Choose = Callable[[Scope], Asked | "Asking" | Awaitable[Asked | "Asking"]]

__all__ = ["NAMES_SHOWN_MAX", "Asking", "asked_by_live_rules", "asked_by_rules"]

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


def asked_by_rules(
    rules: Rules,
    client_address: ClientAddress,
    descriptors: Callable[[Scope], Mapping[str, str]] | None,
    clock: Clock,
) -> Choose:
    """Return what asks *rules*.

    Args:
        rules: The rules.
        client_address: How to tell clients apart.
        descriptors: Supplies further descriptors.
        clock: Tells which rate holds now.

    Raises:
        InvalidInputError: They cannot be used here.
    """
    readers = descriptor_readers(rules, client_address, given=descriptors is not None)
    meeting = largest_meeting(rules)
    if len(meeting.rules) > RULES_AT_ONCE_MAX:
        names = ", ".join(rule.limit.name for rule in meeting.rules[:NAMES_SHOWN_MAX])
        found = f"{len(meeting.rules)} rules that cover one request ({meeting.request}): {names}, …"
        raise InvalidInputError("limits", found, f"at most {RULES_AT_ONCE_MAX} for one request; narrow what they match")

    has_charges = any(rule.statuses for rule in rules.all)

    def asked(scope: Scope) -> Asked | Asking:
        described = {name: reader(scope) for name, reader in readers.items()}
        if descriptors is not None:
            described.update(descriptors(scope))
        found = rules.matching(described, clock)
        if not found and rules.deny and rules.listed(described) == "deny":
            return Asking((), is_refused=True)
        if has_charges and (charges := rules.charging(described, clock)):
            return Asking(found, charges)
        return found

    return asked


def asked_by_live_rules(
    live: LiveRules,
    client_address: ClientAddress,
    descriptors: Callable[[Scope], Mapping[str, str]] | None,
    clock: Clock,
) -> Choose:
    """Return what asks the rules that are in force; those by which nobody could ask here never come into force."""
    prepared: tuple[Rules | None, Choose] = (None, lambda _: [])

    def prepare(rules: Rules) -> Choose:
        return asked_by_rules(rules, client_address, descriptors, clock)

    def asked(scope: Scope) -> Asked | Asking | Awaitable[Asked | Asking]:
        nonlocal prepared
        rules = live.current
        if prepared[0] is not rules:
            prepared = rules, prepare(rules)
        return prepared[1](scope)

    live.check(prepare)
    return asked
