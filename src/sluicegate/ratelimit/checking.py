"""What a request must be before anything is asked: checked here, once, and refused with the parameter's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluicegate.ratelimit.decision import NOTHING_TAKEN, Decision
from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, RESET, Request
from sluicegate.utils import InvalidInputError, checked_cost, checked_key, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.ratelimit.stores.store import Member

__all__ = [
    "BULK_MAX",
    "MEMBERS_MAX",
    "checked_acquire",
    "checked_all",
    "checked_hold",
    "checked_many",
    "checked_peek",
    "checked_refund",
    "checked_reset",
    "not_acquirable",
]

MEMBERS_MAX = 32  # limits that one request may stand under
BULK_MAX = 1_000  # independent requests in one call: what Redis decides well within a deadline, beside everybody else

_MEMBER_ACCEPTED = "(limit, key) or (limit, key, cost)"


def checked_acquire(limit: Limit, key: str, cost: int) -> str:
    """Check what an acquire would be given; return the key."""
    if type(limit) is not Limit or limit.plan.holds:
        raise not_acquirable(limit)
    checked_cost(cost)
    return checked_key(key)


def checked_hold(limit: Limit, key: str) -> str:
    """Check a hold and return its key."""
    if type(limit) is not Limit or not limit.plan.holds:
        found = f"{limit.algorithm} limit {limit.name!r}" if type(limit) is Limit else shape_of(limit)
        raise InvalidInputError("limit", found, "a Limit with algorithm concurrency")
    return checked_key(key)


def checked_all(members: Sequence[Any]) -> tuple[Request, list[int]]:
    """Check an acquire of several limits; a pair named twice is taken once, with the greater cost.

    Returns:
        The request, and for each member as it was named its place in the request.
    """
    checked = _checked_members(members, MEMBERS_MAX)
    places: dict[tuple[str, str], int] = {}
    merged: list[Member] = []
    order = []
    for limit, key, cost in checked:
        place = places.setdefault((limit.plan.prefix, key), len(merged))
        if place == len(merged):
            merged.append((limit, key, cost))
        elif not merged[place][0].decides_like(limit):
            raise InvalidInputError("limits", f"two rules named {limit.name!r}", "one rule for one name")
        else:
            merged[place] = (limit, key, max(cost, merged[place][2]))
        order.append(place)
    return Request(ACQUIRE, tuple(merged)), order


def checked_many(members: Sequence[Any]) -> list[Member]:
    """Check independent acquires."""
    return _checked_members(members, BULK_MAX)


def checked_peek(limit: Limit, key: str, cost: int) -> Request:
    """Check a peek."""
    if type(limit) is not Limit:
        raise not_acquirable(limit)
    return Request(PEEK, ((limit, checked_key(key), checked_cost(cost)),))


def checked_reset(limit: Limit, key: str) -> Request:
    """Check a reset."""
    if type(limit) is not Limit:
        raise not_acquirable(limit)
    return Request(RESET, ((limit, checked_key(key), 0),))


def checked_refund(decision: Decision) -> Request | None:
    """Check a refund; ``None`` when the decision took nothing from the store."""
    if type(decision) is not Decision:
        raise InvalidInputError("decision", shape_of(decision), "a Decision of this limiter")
    if decision.limit.plan.holds:
        raise InvalidInputError(
            "decision", f"one of concurrency limit {decision.limit.name!r}", "release() of its hold"
        )
    if not decision.allowed or decision.serial == NOTHING_TAKEN or decision.shadow_denied or decision.cost == 0:
        return None
    detail = (decision.decided_at_us, decision.decided_at_us + decision.reset_after_us, decision.serial)
    return Request(REFUND, ((decision.limit, decision.key, decision.cost),), detail)


def _checked_members(members: Sequence[Any], most: int) -> list[Member]:
    if not isinstance(members, list | tuple) or not 1 <= len(members) <= most:
        found = f"{len(members):,} of them" if isinstance(members, list | tuple) else shape_of(members)
        raise InvalidInputError("limits", found, f"a list of 1 to {most:,} of {_MEMBER_ACCEPTED}")
    checked = []
    for at, member in enumerate(members):
        if not isinstance(member, list | tuple) or len(member) not in (2, 3):
            raise InvalidInputError(f"limits[{at}]", shape_of(member), _MEMBER_ACCEPTED)
        limit, key, cost = (*member, 1)[:3]
        if type(limit) is not Limit or limit.plan.holds:
            raise not_acquirable(limit, f"limits[{at}]")
        checked.append((limit, checked_key(key, f"limits[{at}] key"), checked_cost(cost, f"limits[{at}] cost")))
    return checked


def not_acquirable(limit: object, where: str = "limit") -> InvalidInputError:
    """Return the refusal of what cannot be acquired."""
    if type(limit) is Limit:
        return InvalidInputError(where, f"concurrency limit {limit.name!r}", "hold() for it, or a limit with a rate")
    return InvalidInputError(where, shape_of(limit), "a Limit")
