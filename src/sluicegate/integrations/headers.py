"""Tells a client what it has left and when to come back, in the fields that HTTP has for it.

``RateLimit`` and ``RateLimit-Policy`` are written as Structured Fields (RFC 9651) in the list form of
draft-ietf-httpapi-ratelimit-headers, ``Retry-After`` as RFC 9110 has it. Everything is read from one
decision: no clock and no second reply can make the fields contradict each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sluicegate.ratelimit import Decision, JointDecision
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluicegate.ratelimit import Limit, Rate

__all__ = [
    "RATELIMIT_DRAFT",
    "HeaderFields",
    "checked_draft",
    "denies",
    "limit_headers",
    "policy_name",
    "shown_decisions",
]

RATELIMIT_DRAFT: Final = 10
"""The number of the draft that the fields follow; the newest whose text has been read."""

_SECOND_US = 1_000_000
_PACED = ("gcra", "token_bucket", "leaky_bucket")
_WINDOWS = ("fixed_window", "calendar_quota")
_NO_FIXED_LENGTH = ("month", "year")
_POLICIES_MAX = 1_024  # limits are few; a program that makes them without end must not fill the memory


def limit_headers(
    decision: Decision | JointDecision | Sequence[Decision], *, draft: int | None = RATELIMIT_DRAFT
) -> list[tuple[str, str]]:
    """Render the header fields of a decision.

    Args:
        decision: One decision, a joint one, or several that were taken for one request. Each of
            their limits is listed once; a shadow limit is not shown, since it binds nobody.
        draft: Number of the draft whose ``RateLimit`` fields are wanted (default 10, the only one);
            ``None`` leaves them out.

    Returns:
        Names and values, in this order, of those that apply: ``Retry-After`` (whole seconds, rounded
        up; only on a denial whose end is known), ``RateLimit`` and ``RateLimit-Policy``.

    Raises:
        InvalidInputError: *draft* is not one that can be rendered.
    """
    return HeaderFields(draft=draft).of(decision)


class HeaderFields:
    """Renders the fields of one decision after another, and remembers of each limit what never changes.

    Args:
        draft: As for `limit_headers`.

    Raises:
        InvalidInputError: *draft* is not one that can be rendered.
    """

    __slots__ = ("_draft", "_policies")

    def __init__(self, *, draft: int | None = RATELIMIT_DRAFT) -> None:
        checked_draft(draft)
        self._draft = draft
        self._policies: dict[object, _Policy] = {}  # by plan

    def of(self, decision: Decision | JointDecision | Sequence[Decision]) -> list[tuple[str, str]]:
        """Return the fields; see `limit_headers`."""
        decisions = shown_decisions(decision)
        fields = []
        retry_after_s = _retry_after_s(decisions)
        if retry_after_s is not None:
            fields.append(("Retry-After", str(retry_after_s)))
        if self._draft is not None and decisions:
            tightest = _tightest_by_limit(decisions)
            policies = [self._policy(shown.limit) for shown in tightest]
            services = [
                _service_item(policy.name, shown, retry_after_s)
                for shown, policy in zip(tightest, policies, strict=True)
                if shown.remaining is not None
            ]
            if services:
                fields.append(("RateLimit", ", ".join(services)))
            fields.append(("RateLimit-Policy", ", ".join([policy.items for policy in policies])))
        return fields

    def encoded(self, decisions: Sequence[Decision]) -> list[tuple[bytes, bytes]]:
        """Return the fields of *decisions* as ASGI has them: bytes, with names in small letters."""
        if len(decisions) == 1 and self._draft is not None:
            (decision,) = decisions
            # The commonest of all, written down by itself: it stands on every response.
            remaining = decision.remaining
            if decision.allowed and remaining is not None and not decision.limit.shadow:
                policy = self._policy(decision.limit)
                if policy.paced is None or decision.reset_after_us <= 0:
                    service = _service_item(policy.name, decision, None)
                else:
                    capacity, period_us, units = policy.paced
                    more_us = decision.reset_after_us - (capacity - remaining - 1) * period_us // units
                    service = f"{policy.name};r={remaining};t={-(-more_us // _SECOND_US) if more_us > 0 else 0}"
                return [(b"ratelimit", service.encode()), policy.field]
        return [(name.lower().encode(), value.encode()) for name, value in self.of(decisions)]

    def _policy(self, limit: Limit) -> _Policy:
        """Return what is shown of the limit whatever was decided."""
        known = self._policies.get(limit.plan)
        if known is None:
            if len(self._policies) >= _POLICIES_MAX:
                self._policies.clear()
            known = self._policies[limit.plan] = _Policy.of(limit)
        return known


class _Policy(NamedTuple):
    """What is shown of a limit whatever was decided.

    Attributes:
        name: Its name, quoted.
        items: The value of ``RateLimit-Policy``.
        field: That field as ASGI has it.
        paced: The capacity, the period in microseconds and the units of its rate, where one rate paces it.
    """

    name: str
    items: str
    field: tuple[bytes, bytes]
    paced: tuple[int, int, int] | None

    @classmethod
    def of(cls, limit: Limit) -> _Policy:
        name = _quoted(policy_name(limit))
        items = ", ".join(_policy_items(name, limit))
        paced = None
        if limit.algorithm in _PACED and len(limit.rates) == 1:
            (rate,) = limit.rates
            paced = rate.capacity, rate.period_us, rate.limit
        return cls(name, items, (b"ratelimit-policy", items.encode()), paced)


def shown_decisions(decision: Decision | JointDecision | Sequence[Decision]) -> Sequence[Decision]:
    """Return what a client may know of: each decision of a limit that is enforced."""
    if isinstance(decision, JointDecision):
        decisions: Iterable[Decision] = decision.decisions
    elif isinstance(decision, Decision):  # which is itself a sequence
        decisions = (decision,)
    else:
        decisions = decision
    return [each for each in decisions if not each.limit.shadow]


def denies(decision: Decision) -> bool:
    """Say whether *decision* is a reason for the denial, and not only denied along with others."""
    return not decision.allowed and decision.retry_after_us != 0


def policy_name(limit: Limit) -> str:
    """Return the limit's name as fields and problem bodies show it.

    Characters that a Structured Fields string cannot hold, and ``%``, are written as the
    percent-encoded bytes of their UTF-8, so that two names never become one.
    """
    name = limit.name
    if name.isascii() and name.isprintable() and "%" not in name:
        return name
    return "".join(_percent_encoded(c) if not " " <= c <= "~" or c == "%" else c for c in name)


def checked_draft(draft: object) -> None:
    """Refuse a draft that cannot be rendered.

    Raises:
        InvalidInputError: *draft* is neither ``None`` nor a number that is known.
    """
    if draft is not None and (type(draft) is not int or draft != RATELIMIT_DRAFT):
        raise InvalidInputError("draft", shape_of(draft), f"{RATELIMIT_DRAFT}, or None for no RateLimit fields")


def _retry_after_s(decisions: Sequence[Decision]) -> int | None:
    waits_us = [decision.retry_after_us for decision in decisions if denies(decision)]
    # One that is never or of unknown length makes the whole wait so.
    return _whole_seconds(max(waits_us)) if waits_us and min(waits_us) >= 0 else None


def _tightest_by_limit(decisions: Sequence[Decision]) -> list[Decision]:
    """One decision for each limit: a limit asked for two keys is told by the one with least left."""
    if len(decisions) == 1:
        return [*decisions]
    found: dict[str, Decision] = {}
    for decision in decisions:
        name = decision.limit.name
        known = found.get(name)
        if known is None or _tightness(decision) < _tightness(known):
            found[name] = decision
    return list(found.values())


def _tightness(decision: Decision) -> tuple[bool, bool, int]:
    return not denies(decision), decision.remaining is None, decision.remaining or 0


def _service_item(name: str, decision: Decision, retry_after_s: int | None) -> str:
    item = f"{name};r={decision.remaining}"
    more_us = _more_after_us(decision)
    # Whoever obeys Retry-After must not be told by another limit to wait longer.
    if more_us is None or (retry_after_s is not None and _whole_seconds(more_us) > retry_after_s):
        return item
    return f"{item};t={_whole_seconds(more_us)}"


def _more_after_us(decision: Decision) -> int | None:
    """Return the time until more remains than now; ``None`` where this one decision does not show it."""
    remaining = decision.remaining
    if remaining is None or decision.limit.algorithm == "concurrency" or decision.banned:
        return None
    if denies(decision) and decision.retry_after_us < 0:
        return None
    if denies(decision) and decision.cost == remaining + 1:
        return decision.retry_after_us  # what it waits for is the next unit, whichever rate binds
    if decision.reset_after_us <= 0 or len(decision.limit.rates) > 1:
        return None  # which of several rates binds is not told
    return _unit_after_us(decision, decision.limit.rates[0], decision.limit.rates[0].capacity - remaining)


def _unit_after_us(decision: Decision, rate: Rate, used: int) -> int | None:
    """Return the time until one of the *used* units of a rate is back; ``None`` where that is not known."""
    algorithm, reset_after_us = decision.limit.algorithm, decision.reset_after_us
    if algorithm in _PACED:
        # The next unit comes when only what pays for the others is still outstanding.
        return max(0, reset_after_us - (used - 1) * rate.period_us // rate.limit)
    if algorithm in _WINDOWS or used == 1:
        return reset_after_us  # all comes back at once
    if not decision.allowed or decision.cost != used:
        return None  # requests that came before are in the way, and nobody tells when they came
    if algorithm == "sliding_window_log":
        return reset_after_us
    # Counted whole through its own window, the request loses its weight evenly through the next.
    return reset_after_us - (used - 1) * rate.period_us // used


def _policy_items(name: str, limit: Limit) -> list[str]:
    if limit.algorithm == "concurrency":
        return [f'{name};q={limit.plan.capacity};qu="concurrent-requests"']
    items = []
    for rate in limit.rates:
        item = f"{name};q={rate.limit}"
        if rate.unit not in _NO_FIXED_LENGTH:
            item += f";w={_whole_seconds(rate.period_us)}"
        if rate.burst is not None and rate.burst != rate.limit:
            item += f";sluicegate-burst={rate.burst}"
        items.append(item)
    return items


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _whole_seconds(duration_us: int) -> int:
    return -(-duration_us // _SECOND_US)


def _percent_encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
