"""The whole way of a request where the store answers at once: no promise, no loop, one function.

It runs for every decision of a limiter that keeps its state in this process, so what it needs lies in
the names of a closure: what an object holds is dearer to reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sluicegate.ratelimit.checking import checked_acquire, not_acquirable
from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.outcomes import SHADOW_DENIED
from sluicegate.ratelimit.stores.store import ACQUIRE, Request
from sluicegate.utils import COST_MAX, StoreError, checked_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluicegate.ratelimit.decision import Decision
    from sluicegate.ratelimit.engine import Engine
    from sluicegate.ratelimit.stores.store import InstantStore, Reply

__all__ = ["acquirer"]


def acquirer(engine: Engine, store: InstantStore) -> Callable[[Limit, str, int], Decision]:
    """Return what checks an acquire, has *store* decide it, and counts the decision."""
    acquire_one, row = store.acquire_one, engine.counters.row

    def acquire(limit: Limit, key: str, cost: int) -> Decision:
        # The common case is checked in place.
        if type(limit) is not Limit or type(cost) is not int or not 0 <= cost <= COST_MAX or type(key) is not str:
            key = checked_acquire(limit, key, cost)
        try:
            decision = acquire_one(limit, key, cost)
        except StoreError as error:
            return engine.acquired(Request(ACQUIRE, ((limit, checked_key(key), cost),)), error)
        if decision is not None:
            row(limit.name)[SHADOW_DENIED if limit.shadow and decision[10] else decision[0]] += 1
            return decision
        if limit.plan.holds:
            raise not_acquirable(limit)
        request = Request(ACQUIRE, ((limit, checked_key(key), cost),))
        return engine.acquired(request, cast("Reply | StoreError", engine.answer_here(request)))

    return acquire
