"""What a file of rules says, as frozen values: which requests, limited by what, counted for whom.

A request is a mapping from descriptor names to text (``{"client_address": "192.0.2.7", "path": "/"}``).
A rule covers a request when its match does and the request carries every descriptor of its key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sluicegate.ratelimit.rules.choosing import Choice
from sluicegate.ratelimit.rules.conditions import Match
from sluicegate.ratelimit.rules.descriptors import GLOBAL, checked_descriptor
from sluicegate.ratelimit.rules.lists import RequestList
from sluicegate.utils import COST_MAX, KEY_LENGTH_MAX, InvalidInputError, SystemClock, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.rules.rolling import Rollout
    from sluicegate.ratelimit.rules.scheduling import Schedule
    from sluicegate.utils import Clock

    Listed = Literal["deny", "allow"]
    Asked = tuple[Limit, str] | tuple[Limit, str, int]

__all__ = ["KEY_PARTS_MAX", "Charge", "KeyTemplate", "Rule", "Rules", "group_size", "shares_state", "state_of"]

KEY_PARTS_MAX = 8  # each part lengthens every key; nobody limits by more things at once
_DIGEST_BYTES = 16  # two keys of one digest would share a limit: 2^64 long keys until that is likely
_EVERYBODY: Final = (GLOBAL,)
_MACHINE: Final = SystemClock()
_EVERY_REQUEST: Final = Match()


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """Which descriptors of a request make its key.

    Attributes:
        parts: 1 to 8 names of descriptors, such as ``("tenant", "route")``; or ``("global",)``, which gives
            every request the same key.
        declared: Further names that the file declares.

    Raises:
        InvalidInputError: A name is none of `DESCRIPTORS`, no ``header:NAME``, and not declared.
    """

    parts: tuple[str, ...]
    declared: tuple[str, ...] = field(default=(), repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        if not 0 < len(self.parts) <= KEY_PARTS_MAX:
            raise InvalidInputError("key", f"{len(self.parts)} descriptors", f"1 to {KEY_PARTS_MAX} descriptors")
        if self.parts != _EVERYBODY:
            object.__setattr__(self, "parts", tuple(checked_descriptor(part, self.declared) for part in self.parts))

    @property
    def names(self) -> tuple[str, ...]:
        """The descriptors that a request must have."""
        return () if self.parts == _EVERYBODY else self.parts

    def key(self, descriptors: Mapping[str, str]) -> str | None:
        """Return the request's key, or ``None`` when it lacks a descriptor or has it empty.

        Two requests have one key only if all their parts are equal: separators, control characters
        and ``%`` are written as ``%XX``, and what is too long for a key as its digest.
        """
        if len(self.parts) == 1:
            value = descriptors.get(self.parts[0])
            if value:
                return _escaped(value, "%", KEY_LENGTH_MAX)
            return GLOBAL if self.parts == _EVERYBODY else None
        values = [descriptors.get(part) for part in self.parts]
        if not all(values):
            return None
        length_max = KEY_LENGTH_MAX // len(values) - 1  # and its separator
        return ":".join(_escaped(value or "", "%:", length_max) for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a file.

    Attributes:
        limit: What limits the requests.
        key: For whom they are counted.
        match: Which requests are meant; by default all.
        cost: The units that a request takes, 1 to 1,000,000,000.
        statuses: Where a request is charged by its response: the statuses that are charged. Empty: it is charged
            before, whatever comes of it.
        schedule: Limits of the same name that hold at certain times in place of *limit*.
        provided: Where the application may know another limit: what that depends on.
        rollout: What the limit is to become, and for which of its keys it is that already. Not with a schedule, nor
            where the application may know another limit; nor, where the limit changes, with statuses: what is denied
            is never answered, so nobody knows whether the other limit would have been charged.

    Raises:
        InvalidInputError: A value is refused, or does not go with the limit.
    """

    limit: Limit
    key: KeyTemplate
    match: Match = _EVERY_REQUEST
    cost: int = 1
    statuses: frozenset[int] = frozenset()
    schedule: Schedule | None = None
    provided: KeyTemplate | None = None
    rollout: Rollout | None = None

    @property
    def group(self) -> tuple[str, ...]:
        """The descriptors that decide where on a Cluster its state lies."""
        return self.key.parts[: self.limit.group or None]

    @property
    def limits(self) -> tuple[Limit, ...]:
        """All limits that it may have, the one outside of its schedule and its roll-out first."""
        if self.rollout is not None:
            return self.rollout.limits
        return (self.limit, *(limit for _, limit in (self.schedule.entries if self.schedule else ())))

    @property
    def in_force(self) -> tuple[Limit, ...]:
        """The limits of which each holds for some keys, at hours for which no other is scheduled."""
        return (self.limit,) if self.rollout is None else self.rollout.in_force

    @property
    def with_states(self) -> tuple[Limit, ...]:
        """One limit for each state that it has: its own, and that of what it is to become where there is such a one."""
        candidate = self.rollout.candidate if self.rollout is not None else None
        return (self.limit,) if candidate is None else (self.limit, candidate)

    def limit_at(self, now_us: int) -> Limit:
        """Return the limit that holds at a time, in microseconds since the epoch, where none is rolled out."""
        return (self.schedule and self.schedule.limit_at(now_us)) or self.limit

    def limits_for(self, key: str, now_us: int) -> tuple[Limit, ...]:
        """Return what has to be asked for a key at a time: what is in force, and what runs beside it, if anything."""
        return (self.limit_at(now_us),) if self.rollout is None else self.rollout.limits_for(key)

    def __post_init__(self) -> None:
        if type(self.cost) is not int or not 1 <= self.cost <= COST_MAX:
            raise InvalidInputError("cost", shape_of(self.cost), f"a whole number from 1 to {COST_MAX:,}")
        for name, value in (("cost", self.cost > 1), ("charge", self.statuses)):
            if value and self.limit.plan.holds:
                raise InvalidInputError(name, "algorithm concurrency", "it only where units are taken, not held")
        if self.rollout is not None:
            self._check_rollout(self.rollout)
            return
        for limit in self.limits:
            if limit.name != self.limit.name or not shares_state(limit, self.limit):
                accepted = f"limits named {shape_of(self.limit.name)} that share its state"
                raise InvalidInputError("schedule", shape_of(limit.name), accepted)

    def _check_rollout(self, rollout: Rollout) -> None:
        if rollout.limit != self.limit:
            raise InvalidInputError("rollout", f"one of {rollout.limit}", f"one of {self.limit}")
        for beside, value in (("a schedule", self.schedule), ("what is provided", self.provided)):
            if value is not None:
                raise InvalidInputError("rollout", f"{beside} beside it", "it only where the file has one limit")
        if self.statuses and rollout.candidate is not None:
            accepted = "it only where all requests are charged; a new limit takes percent alone"
            raise InvalidInputError("rollout", "a charge by the response beside it", accepted)


class Charge(NamedTuple):
    """What a response may be charged for a request.

    Attributes:
        limit: Of which limit.
        key: Whose.
        cost: How many units.
        statuses: The statuses that are charged.
    """

    limit: Limit
    key: str
    cost: int
    statuses: frozenset[int]


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of a file, in its order.

    Attributes:
        limits: The rules for requests of no plan that is named.
        plans: By the name of a plan all rules for its requests, those of `limits` that hold there included.
        allow: Requests that pass without being counted, each entry what must hold of one.
        deny: Requests that are refused, also those that are allowed as well.
        declared: The descriptors that the file declares beside those that are known.

    Raises:
        InvalidInputError: Two rules of one list have different limits of one name, or two of different lists
            have limits of one name that would not share their state.
    """

    limits: tuple[Rule, ...]
    plans: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict, kw_only=True, hash=False)
    allow: tuple[Match, ...] = field(default=(), kw_only=True)
    deny: tuple[Match, ...] = field(default=(), kw_only=True)
    declared: tuple[str, ...] = field(default=(), kw_only=True)
    _lists: tuple[tuple[Listed, RequestList], ...] = field(init=False, repr=False, compare=False)
    _choice: Choice = field(init=False, repr=False, compare=False)
    _choices: dict[str, Choice] = field(init=False, repr=False, compare=False)
    _charged: dict[str, Choice] = field(init=False, repr=False, compare=False)
    _named: dict[str, dict[str, Rule]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first: dict[tuple[str, bool], Limit] = {}
        named: dict[str, dict[str, Rule]] = {}
        for plan, rules in self._lists_of_rules():
            within = named.setdefault(plan, {})
            for at, rule in enumerate(rules):
                where = f"plans[{plan!r}][{at}]" if plan else f"rules[{at}]"
                _check_one_limit(rule, within.setdefault(rule.limit.name, rule), where)
                for limit in rule.with_states:
                    _check_one_state(limit, first.setdefault((limit.name, limit.candidate), limit), where)
        lists: tuple[tuple[Listed, tuple[Match, ...]], ...] = (("deny", self.deny), ("allow", self.allow))
        object.__setattr__(self, "_lists", tuple((name, RequestList(entries)) for name, entries in lists if entries))
        object.__setattr__(self, "_named", named)
        choices = {
            plan: Choice([rule for rule in rules if not rule.statuses]) for plan, rules in self._lists_of_rules()
        }
        charged = {plan: Choice([rule for rule in rules if rule.statuses]) for plan, rules in self._lists_of_rules()}
        object.__setattr__(self, "_choice", choices.pop(""))
        object.__setattr__(self, "_choices", choices)
        object.__setattr__(self, "_charged", charged)

    @property
    def all(self) -> tuple[Rule, ...]:
        """Each rule once, those of `limits` first."""
        rules = {id(rule): rule for some in (self.limits, *self.plans.values()) for rule in some}
        return tuple(rules.values())

    @property
    def rollouts(self) -> dict[tuple[str, str], Rollout]:
        """What is being rolled out, by plan and name of the limit; of plans only where it differs from no plan."""
        common = {rule.limit.name: rule.rollout for rule in self.limits}
        return {
            (plan, rule.limit.name): rule.rollout
            for plan, rules in self._lists_of_rules()
            for rule in rules
            if rule.rollout is not None and not (plan and common.get(rule.limit.name) == rule.rollout)
        }

    def named(self, plan: str = "") -> Mapping[str, Rule]:
        """Return by name the rules for requests of a plan: those of `limits` where it is unknown."""
        return self._named.get(plan, self._named[""])

    def listed(self, descriptors: Mapping[str, str]) -> Listed | None:
        """Return which list a request is on: that of the refused first; ``None`` where it is on none."""
        return next((name for name, entries in self._lists if entries.covers(descriptors)), None)

    def matching(self, descriptors: Mapping[str, str], clock: Clock = _MACHINE) -> list[Asked]:
        """Return the limits that cover a request, each with its key, in the file's order; none where it is listed.

        A cost stands behind the key where it is not 1. Limits that are charged by the response are left out: see
        `charging`.

        Args:
            descriptors: What is known of the request; names that are not known are simply left out.
            clock: Tells which rate holds now, where rules have schedules. Default: the machine's.
        """
        if self._lists and self.listed(descriptors) is not None:
            return []
        choice = self._choice
        if self._choices:
            choice = self._choices.get(descriptors.get("plan", ""), choice)
        return choice.matching(descriptors, clock)

    def charging(self, descriptors: Mapping[str, str], clock: Clock = _MACHINE) -> list[Charge]:
        """Return what a request may be charged by its response; nothing where it is listed."""
        if self._lists and self.listed(descriptors) is not None:
            return []
        plan = descriptors.get("plan", "")
        plan = plan if plan in self._named else ""
        asked = self._charged[plan].matching(descriptors, clock)
        rules = self._named[plan]
        return [Charge(limit, key, rules[limit.name].cost, rules[limit.name].statuses) for limit, key, *_ in asked]

    def _lists_of_rules(self) -> tuple[tuple[str, tuple[Rule, ...]], ...]:
        return ("", self.limits), *self.plans.items()


def state_of(limit: Limit) -> dict[str, object]:
    """Return what limits of one name must have in common, for their state is one."""
    return {
        "algorithm": limit.algorithm,
        "time_zone": limit.time_zone,
        "anchor": limit.anchor,
        "hold_seconds": limit.hold_seconds,
        "group": limit.group,
    }


def group_size(key: KeyTemplate, group: KeyTemplate) -> int:
    """Return how many of a key's first parts make its group, as limits count them: 0 where it is the whole key.

    Raises:
        InvalidInputError: The key does not begin with the group.
    """
    parts = len(group.parts)
    if key.parts[:parts] != group.parts:
        accepted = f"descriptors that the key begins with: {', '.join(key.parts)}"
        raise InvalidInputError("group", ", ".join(group.parts), accepted)
    return 0 if parts == len(key.parts) else parts


def shares_state(limit: Limit, other: Limit) -> bool:
    """Say whether two limits of one name can have one state."""
    return limit is other or (limit.plan.prefix == other.plan.prefix and state_of(limit) == state_of(other))


def _check_one_limit(rule: Rule, first: Rule, where: str) -> None:
    if (rule.limits, rule.rollout) != (first.limits, first.rollout):
        found = f"another limit named {shape_of(rule.limit.name)} before it"
        raise InvalidInputError(where, found, "one limit for one name")


def _check_one_state(limit: Limit, first: Limit, where: str) -> None:
    own = state_of(limit)
    for name, value in state_of(first).items():
        if own[name] != value:
            found = f"{name} {own[name]} of {shape_of(limit.name)}"
            raise InvalidInputError(where, found, f"{value}, as in another plan: one name is one state")


def _escaped(value: str, escaped: str, length_max: int) -> str:
    # Nearly every value is printable and short, and passes in four C calls.
    if not (value.isascii() and value.isprintable() and "%" not in value and (len(escaped) == 1 or ":" not in value)):
        pieces = [c if c not in escaped and c.isprintable() else _hexadecimal(c) for c in value[: length_max + 1]]
        if len(value) <= length_max:
            text = "".join(pieces)
            if len(text) <= length_max:
                return text
    elif len(value) <= length_max:
        return value
    # No escaped text has '%~' in it, so no value can pose as another's digest.
    return "%~" + blake2b(value.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()


def _hexadecimal(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
