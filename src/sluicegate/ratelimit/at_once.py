"""The whole way of a request where the store answers at once: no promise, no loop, one function.

It runs for every decision of a limiter that keeps its state in this process, so what it needs lies in
the names of a closure: what an object holds is dearer to reach, and so is every further call.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Final, cast

from sluicegate.ratelimit.checking import checked_acquire, not_acquirable
from sluicegate.ratelimit.decision import NEVER_US, Decision
from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.outcomes import ALLOWED, DENIED, SHADOW_DENIED
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.shard import wait_for
from sluicegate.ratelimit.stores.store import ACQUIRE, Request
from sluicegate.utils import COST_MAX, StoreError, StoreOverloadedError, SystemClock, checked_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluicegate.ratelimit.engine import Engine
    from sluicegate.ratelimit.plan import Plan
    from sluicegate.ratelimit.stores.store import InstantStore, Reply

    Acquire = Callable[[Limit, str, int], Decision]
    Entry = tuple[Limit | None, int, int, list[None], dict[str, int], list[int]]

__all__ = ["acquirer"]

PLANS_MAX = 1_000  # limits to know at a time, half a megabyte: a program that makes limits without end stays small

_ONE: Final = 1  # there is one 1, so that the cost of nearly every request is told by what it is
_UNKNOWN_US: Final = 1 << 62  # further ahead than any capacity
_CLOSED: Entry = (None, 0, 0, [], {}, [])

_decision_of = tuple.__new__  # a third of the cost of the generated constructor


def acquirer(engine: Engine, store: InstantStore) -> Acquire:
    """Return what checks an acquire, has *store* decide it, and counts the decision."""
    anything = _long_way(engine, store)
    if type(store) is not MemoryStore:
        return anything
    clock = None if type(store.clock) is SystemClock else store.clock.now_us
    return _short_way(_Known(store, engine, anything), anything, clock)


def _long_way(engine: Engine, store: InstantStore) -> Acquire:
    acquire_one, row, ruling, by_key = store.acquire_one, engine.counters.row, engine.ruling, engine.ruling.by_key

    def acquire(limit: Limit, key: str, cost: int) -> Decision:
        # The common case is checked in place.
        if type(limit) is not Limit or type(cost) is not int or not 0 <= cost <= COST_MAX or type(key) is not str:
            key = checked_acquire(limit, key, cost)
        if by_key:
            key = checked_acquire(limit, key, cost)
            ruled = ruling.ruled(limit, key, cost)
            if isinstance(ruled, Decision):
                engine.check_open()
                return engine.counted((ruled,))[0]
            limit = ruled
        try:
            decision = acquire_one(limit, key, cost)
        except StoreError as error:
            return engine.acquired(Request(ACQUIRE, ((limit, checked_key(key), cost),)), error)
        if decision is not None:
            row(limit.name)[SHADOW_DENIED if limit.shadow and decision[10] else decision[0]] += 1
            if not decision[0] and (limit.ban is not None or engine.on_denied is not None):
                engine.denied(decision)
            return decision
        if limit.plan.holds:
            raise not_acquirable(limit)
        request = Request(ACQUIRE, ((limit, checked_key(key), cost),))
        return engine.acquired(request, cast("Reply | StoreError", engine.answer_here(request)))

    return acquire


def _short_way(known: _Known, anything: Acquire, clock: Callable[[], int] | None) -> Acquire:
    """Return what decides the commonest of all in one function, and leaves the rest to others.

    That is a limit of one rate whose units take whole microseconds, and a key that is remembered and granted, and of
    which no ban or override is in force. The arithmetic is that of `gcra.decide` where nothing is
    owed; *clock* is ``None`` for the machine's own.
    """
    parts, only, last, otherwise = known.by_shard, known.by_shard[0], len(known.by_shard) - 1, known.otherwise
    by_key = known.by_key

    def acquire(limit: Limit, key: str, cost: int) -> Decision:
        if type(key) is not str or (cost is not _ONE and (type(cost) is not int or not 0 < cost <= COST_MAX)):
            return anything(limit, key, cost)
        try:
            own, interval_us, capacity_us, turn, table, tally = (parts[hash(key) & last] if last else only)[limit.plan]
        except (AttributeError, KeyError, TypeError):  # it is no limit, or not yet known
            return known.first(limit, key, cost)
        if own is not limit or (by_key and key in by_key):
            return anything(limit, key, cost)
        try:
            del turn[0]
        except IndexError:
            wait_for(turn)
        try:
            now_us = time_ns() // 1000 if clock is None else clock()  # in turn, as time goes
            paid_us = table.get(key, _UNKNOWN_US)
            if paid_us < now_us:  # noqa: PLR1730 - max() would be a call
                paid_us = now_us
            paid_us += cost * interval_us
            reset_after_us = paid_us - now_us
            if reset_after_us <= capacity_us:
                table[key] = paid_us
                tally[0] = serial = tally[0] + 1
        except TypeError:  # more is kept of it than that time
            now_us, reset_after_us = 0, _UNKNOWN_US + cost * interval_us
        finally:
            turn.append(None)
        if reset_after_us <= capacity_us:
            return _decision_of(Decision, (
                True, limit, key, cost, (capacity_us - reset_after_us) // interval_us, 0, reset_after_us,
                now_us, "memory", False, False, serial,
            ))  # fmt: skip
        return otherwise(limit, key, cost, now_us, reset_after_us)

    return acquire


class _Known:
    """What the short way must know of limits, found in one step.

    Attributes:
        by_shard: For each shard, by the plan of a limit: the limit itself, where the short way is open to it; the time
            of a unit, and the capacity; the turn of the shard; what is kept there for the limit's keys; and the tally
            of what was allowed, which numbers the decisions too.
        by_key: The bans and overrides that are in force.
    """

    def __init__(self, store: MemoryStore, engine: Engine, anything: Acquire) -> None:
        self.by_shard: tuple[dict[Plan, Entry], ...] = tuple({} for _ in store.shards)
        self._store = store
        self._counters = engine.counters
        self._engine = engine
        self.by_key = engine.ruling.by_key
        self._anything = anything
        self._starts = [store.numbering() for _ in store.shards]

    def first(self, limit: Limit, key: str, cost: int) -> Decision:
        """Decide the long way, and find out whether the next may go the short one."""
        decision = self._anything(limit, key, cost)
        plan, at = limit.plan, hash(key) & len(self.by_shard) - 1
        plans, shard = self.by_shard[at], self._store.shards[at]
        table = shard.tables.get(plan.prefix)  # another one than before, when the last key was forgotten meanwhile
        known = plans.get(plan)
        if table is not None and (known is None or known[4] is not table):
            if len(plans) >= PLANS_MAX:
                plans.clear()
            plans[plan] = _CLOSED
            if plan.plain is not None:
                tally = self._counters.tally(plan.name, ALLOWED, self._starts[at])
                plans[plan] = (limit, *plan.plain, shard.turn, cast("dict[str, int]", table), tally)
        return decision

    def otherwise(self, limit: Limit, key: str, cost: int, now_us: int, reset_after_us: int) -> Decision:
        """Deny what would stand so far ahead; or decide for a new key; or the long way, where more is to be known."""
        plan = limit.plan
        assert plan.plain is not None
        interval_us, capacity_us = plan.plain
        cost_us = cost * interval_us
        ahead_us = reset_after_us - cost_us
        if ahead_us > capacity_us:
            return self._new(limit, key, cost, cost_us) or self.first(limit, key, cost)
        if limit.shadow:
            return self.first(limit, key, cost)
        self._counters.row(plan.name)[DENIED] += 1
        decision = _decision_of(Decision, (
            False, limit, key, cost, (capacity_us - ahead_us) // interval_us,
            NEVER_US if cost_us > capacity_us else reset_after_us - capacity_us, ahead_us,
            now_us, "memory", False, False, self._store.next_serial(),
        ))  # fmt: skip
        if limit.ban is not None or self._engine.on_denied is not None:
            self._engine.denied(decision)
        return decision

    def _new(self, limit: Limit, key: str, cost: int, cost_us: int) -> Decision | None:
        """Decide for a key that is new, if it is, and if it is granted what it asks for."""
        plan, at = limit.plan, hash(key) & len(self.by_shard) - 1
        _, interval_us, capacity_us, turn, table, tally = self.by_shard[at].get(plan, _CLOSED)
        if cost_us > capacity_us or checked_key(key) != key or not table:
            return None
        wait_for(turn)
        try:
            # With no key in it the table may be another's by now: none is forgotten while there is one.
            if key in table or not table or self._store.closed:
                return None
            now_us = self._store.clock.now_us()
            self._store.shards[at].put((plan.prefix, key), now_us + cost_us, now_us)
            tally[0] = serial = tally[0] + 1
        except StoreOverloadedError:
            return None
        finally:
            turn.append(None)
        return _decision_of(Decision, (
            True, limit, key, cost, (capacity_us - cost_us) // interval_us, 0, cost_us,
            now_us, "memory", False, False, serial,
        ))  # fmt: skip
