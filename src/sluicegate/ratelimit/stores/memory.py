"""The store in this process: every decision is a plain function call, safe across threads.

Keys lie in shards, in which one thread at a time has its turn, for the arithmetic only. Threads that can
run at one instant need several of them; where the interpreter's lock lets one thread run, one shard is less
to reckon. The number of keys is bounded; what is forgotten first is what is nearest to having no state at all.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from itertools import count as counter
from typing import TYPE_CHECKING, Literal

from sluicegate.ratelimit.algorithms import CALENDAR, CONCURRENCY, LOG
from sluicegate.ratelimit.decision import Decision
from sluicegate.ratelimit.plan import BESIDE
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.records import (
    NO_STATE,
    Companion,
    CounterRecord,
    HolderRecord,
    LogRecord,
    expiry_of,
    kept_of,
    state_of,
)
from sluicegate.ratelimit.stores.several import asked, for_all_rates, least_of, settled
from sluicegate.ratelimit.stores.shard import Shard, wait_for
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, RELEASE, RENEW, RESET, TAKE, Reply, Request
from sluicegate.utils import InvalidInputError, LimiterClosedError, checked_key, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.plan import Plan
    from sluicegate.ratelimit.stores.expiry import Name
    from sluicegate.utils import Clock

__all__ = ["KEYS_MAX", "MemoryStore"]

KEYS_MAX = 100_000  # about 50 MB; a flood of keys must not become a flood of memory
_SHARDS = 16  # more than the threads that decide at one instant, where there is no lock of the interpreter
_KEYS_FOR_SHARDS = 1_000 * _SHARDS  # below it shards would fill unevenly; one keeps the order exact

_SERIALS = 1 << 48  # for each who numbers decisions apart: nine years of a million a second

_ONCE = "once:"  # stands before the names of companions

UNKNOWN_US = -2
_decision_of = tuple.__new__  # a third of the cost of the generated constructor


class MemoryStore:
    """State in this process.

    Args:
        clock: The time that decides.
        keys_max: The most keys to remember, from 1. Default 100,000.
        shards: In how many parts, each of which decides one request at a time: a power of two. Default: one where
            the interpreter runs one thread at a time or the keys are few, else sixteen.

    Attributes:
        clock: As given.
        closed: Whether it has been closed, and remembers no more keys.
        shards: The parts, as many as a power of two; the hash of a key says in which of them it lies.
        next_serial: Tells the next decision from others of its key at the same microsecond.
    """

    source = "memory"
    at_once: Literal[True] = True

    def __init__(self, clock: Clock, *, keys_max: int = KEYS_MAX, shards: int | None = None) -> None:
        if type(keys_max) is not int or keys_max < 1:
            raise InvalidInputError("keys_max", shape_of(keys_max), "a whole number from 1")
        if shards is None:
            shards = _SHARDS if _threads_run_together() and keys_max >= _KEYS_FOR_SHARDS else 1
        if type(shards) is not int or not 1 <= shards <= keys_max or shards & (shards - 1):
            raise InvalidInputError("shards", shape_of(shards), "a power of two, not above keys_max")
        self.clock = clock
        self.next_serial = counter().__next__
        self._now_us = clock.now_us
        self._next_numbering = counter(_SERIALS, _SERIALS).__next__
        self._calendars = CalendarRules()
        self.closed = False
        self.shards = tuple(Shard(keys_max // shards) for _ in range(shards))
        self._last_shard = shards - 1  # shards are a power of two
        self._verbs: dict[int, Callable[[Request, int], tuple[int, ...]]] = {
            ACQUIRE: self._acquire,
            PEEK: self._peek,
            RESET: self._reset,
            REFUND: self._refund,
            TAKE: self._hold,
            RENEW: self._hold,
            RELEASE: self._hold,
        }

    @property
    def keys(self) -> int:
        """The number of keys that are remembered now."""
        return sum(shard.keys for shard in self.shards)

    @property
    def lost(self) -> int:
        """How many keys had to be forgotten while they still had a state."""
        return sum(shard.lost for shard in self.shards)

    def ask_now(self, request: Request) -> Reply:
        """Decide here; see `InstantStore`."""
        if self._last_shard:
            with self._turns_for(request):
                return self._answered(request)
        turn = self.shards[0].turn
        wait_for(turn)
        try:
            return self._answered(request)
        finally:
            turn.append(None)

    def acquire_one(self, limit: Limit, key: str, cost: int) -> Decision | None:
        """Decide for a limit of one rate whose numbers stand still; see `InstantStore`."""
        plan = limit.plan
        if not plan.simple:
            return None
        shard = self.shards[hash(key) & self._last_shard]
        if key not in shard.tables.get(plan.prefix, ()):  # else it was checked when it came
            key = checked_key(key)
            shard = self.shards[hash(key) & self._last_shard]
        turn = shard.turn
        try:
            del turn[0]
        except IndexError:
            wait_for(turn)
        try:
            now_us = self._now_us()
            answer = self._decided(shard, key, plan, now_us, cost)
        finally:
            turn.append(None)
        if answer is None:
            return None
        granted, remaining, retry_after_us, reset_after_us = answer
        shadow_denied = limit.shadow and not granted
        allowed = granted > 0 or shadow_denied
        return _decision_of(Decision, (
            allowed, limit, key, cost, remaining, 0 if allowed else retry_after_us, reset_after_us,
            now_us, "memory", False, shadow_denied, self.next_serial(),
        ))  # fmt: skip

    def _decided(self, shard: Shard, key: str, plan: Plan, now_us: int, cost: int) -> tuple[int, int, int, int] | None:
        table, rules = shard.tables.get(plan.prefix), plan.rules
        kept = None if table is None else table.get(key)
        if kept is None and self.closed:
            raise LimiterClosedError("the limiter is closed")
        known = None
        if type(kept) is CounterRecord:
            known = kept if kept.rules is rules else None
            if kept.tag:  # it may be another rule's, which is carried over
                return None
        before = state_of(kept, rules) if known is None else known.state
        state, granted, remaining, retry_after_us, reset_after_us = plan.decide(before, now_us, cost, 1, rules[0])
        # Kept when units were taken, or when it had been ahead of the clock.
        if (granted and cost) or state < before:
            if known is not None:
                known.state, known.expires_us = state, now_us + reset_after_us
            else:
                shard.put((plan.prefix, key), kept_of(state, rules, now_us + reset_after_us), now_us)
        return granted, remaining, retry_after_us, reset_after_us

    def numbering(self) -> int:
        """Return from where somebody may number decisions by himself, in steps of one."""
        return self._next_numbering()

    async def start(self) -> None:
        """Nothing has to be got ready; see `InstantStore`."""

    async def aclose(self) -> None:
        """Forget everything; see `InstantStore`."""
        self.closed = True
        for shard in self.shards:
            with shard:
                shard.clear()

    def after_fork(self) -> None:
        """Take back the turns that other threads of the parent had; state is kept as it was."""
        for shard in self.shards:
            shard.after_fork()

    def _turns_for(self, request: Request) -> ExitStack:
        """Return what waits for the shards of all that is touched, in one order, so that no two wait for each other."""
        keys = [key for _, key, _ in request.members]
        if request.verb in (RESET, REFUND):
            limit, key, _ = request.members[0]
            name = limit.plan.prefix, key
            keys.append(_marker_of(name)[1])
            if request.verb == REFUND:
                keys.append(_companion_of(name, request)[1])
        stack = ExitStack()
        for index in sorted({hash(key) & self._last_shard for key in keys}):
            stack.enter_context(self.shards[index])
        return stack

    def _answered(self, request: Request) -> Reply:
        if self.closed:
            raise LimiterClosedError("the limiter is closed")
        # Read in turn: to who had waited with an older time, what others took meanwhile would stand too far ahead.
        now_us = self._now_us()
        return Reply(now_us, self.next_serial(), self._verbs[request.verb](request, now_us))

    # The verbs. Whoever calls one has the turns.

    def _acquire(self, request: Request, now_us: int) -> tuple[int, ...]:
        """Ask all, grant the least, take that from all; shadow members never bind."""
        members = request.members
        names = [(limit.plan.prefix, key) for limit, key, _ in members]
        records = [self._record(limit.plan, name, now_us) for (limit, _, _), name in zip(members, names, strict=True)]
        rules = [self._rules(limit.plan, now_us) for limit, _, _ in members]
        told = [
            asked(record, limit.plan, own, now_us, cost, 1)
            for record, own, (limit, _, cost) in zip(records, rules, members, strict=True)
        ]
        least = least_of(members, told)
        answers: tuple[int, ...] = ()
        for at, (limit, _, cost) in enumerate(members):
            record, own, (asks, granted) = records[at], rules[at], told[at]
            wanted, answered = least, least
            if limit.plan.shadow:
                others = least_of(members, told, but=at - 1) if limit.plan.shadow == BESIDE else least
                wanted, answered = min(others, granted), granted
            asks = settled(record, limit.plan, own, now_us, cost, asks, wanted)
            if record.adopt(own, asks, now_us, wanted * cost):
                self._shard(names[at]).put(names[at], record.kept(), now_us)
            answers += (answered, *for_all_rates(asks))
        return answers

    def _peek(self, request: Request, now_us: int) -> tuple[int, ...]:
        ((limit, key, cost),) = request.members
        plan, name = limit.plan, (limit.plan.prefix, key)
        if plan.algorithm.kind == CONCURRENCY:
            holders = self._holders(name)
            granted, remaining = holders.look(now_us, plan.capacity)
            reset_after_us = holders.reset_after_us(now_us)
            return granted, remaining, 0 if granted else UNKNOWN_US, reset_after_us
        record = self._record(plan, name, now_us)
        rules = self._rules(plan, now_us)
        asks, granted = asked(record, plan, rules, now_us, cost, 1)
        untouched, _ = asked(record, plan, rules, now_us, cost, 0)
        looks = [(None, 0, now[2], ask[3], now[4]) for ask, now in zip(asks, untouched, strict=True)]
        return granted, *for_all_rates(looks)

    def _reset(self, request: Request, now_us: int) -> tuple[int, ...]:
        ((limit, key, _),) = request.members
        name = limit.plan.prefix, key
        shard = self._shard(name)
        kept = shard.get(name)
        if kept is None:
            return 0, 0, 0, 0
        # Its place in the order stays, so it stays too, without a state.
        shard.put(name, type(kept)() if isinstance(kept, LogRecord | HolderRecord) else NO_STATE[0], now_us)
        if not limit.plan.holds:  # for as long as decisions of before could be refunded
            marker = _marker_of(name)
            self._shard(marker).put(marker, Companion(now_us, 0, expiry_of(kept)), now_us)
        return int(expiry_of(kept) > now_us), 0, 0, 0

    def _refund(self, request: Request, now_us: int) -> tuple[int, ...]:
        ((limit, key, cost),) = request.members
        assert isinstance(request.detail, tuple)
        decided_at_us, reset_at_us, _ = request.detail
        plan, name = limit.plan, (limit.plan.prefix, key)
        companion = _companion_of(name, request)
        known = self._companion(companion, now_us)
        if known is not None:
            return known.refunded, 0, 0, 0
        if reset_at_us <= now_us or decided_at_us <= self._void_until_us(name):
            return 0, 0, 0, 0
        record, rules = self._refunded(plan, name, now_us)
        reset_after_us = 0
        if isinstance(record, LogRecord):
            refunded = record.refund(rules, now_us, cost, decided_at_us)
        else:
            refunded, reset_after_us = record.refund(plan, rules, now_us, cost, decided_at_us, reset_at_us)
        shard = self._shard(name)
        if shard.get(name) is not None:  # else it was forgotten, and there is nothing to give back to
            shard.put(name, record.kept(), now_us)
        self._shard(companion).put(companion, Companion(decided_at_us, refunded, reset_at_us), now_us)
        return refunded, 0, 0, reset_after_us

    def _refunded(
        self, plan: Plan, name: Name, now_us: int
    ) -> tuple[CounterRecord | LogRecord, Sequence[tuple[int, ...]]]:
        """Return what units go back to, and the rule that it is of: another's, too, for nothing is to be lost by it."""
        kept = self._shard(name).get(name)
        if isinstance(kept, CounterRecord) and kept.tag not in (0, plan.tag) and plan.algorithm.kind != CALENDAR:
            return (kept, kept.rules) if kept.expires_us > now_us else (CounterRecord(plan.rules), plan.rules)
        return self._record(plan, name, now_us), self._rules(plan, now_us)

    def _companion(self, name: Name, now_us: int) -> Companion | None:
        kept = self._shard(name).get(name)
        return kept if isinstance(kept, Companion) and kept.expires_us > now_us else None

    def _void_until_us(self, name: Name) -> int:
        """Return until when nobody knows any more whether decisions were refunded, or their key was reset."""
        marker_name = _marker_of(name)
        marker = self._shard(marker_name).get(marker_name)
        forgotten_us = max(shard.forgot_until_us for shard in self.shards)
        return max(forgotten_us, marker.at_us) if isinstance(marker, Companion) else forgotten_us

    def _hold(self, request: Request, now_us: int) -> tuple[int, ...]:
        ((limit, key, _),) = request.members
        holder = request.detail
        assert isinstance(holder, str)
        name = limit.plan.prefix, key
        limit_units, hold_us = limit.plan.rules[0]
        record = self._holders(name)
        retry_after_us = 0
        if request.verb == TAKE:
            granted, remaining = record.take(holder, now_us, limit_units, hold_us)
            retry_after_us = 0 if granted else UNKNOWN_US
        elif request.verb == RENEW:
            granted, remaining = record.renew(holder, now_us, limit_units, hold_us)
        else:
            granted, remaining = record.release(holder, now_us, limit_units)
        shard = self._shard(name)
        if granted or shard.get(name) is not None:  # its place among those that are held changes with it
            shard.put(name, record, now_us)
        return granted, remaining, retry_after_us, record.reset_after_us(now_us)

    def _shard(self, name: Name) -> Shard:
        return self.shards[hash(name[1]) & self._last_shard]

    def _record(self, plan: Plan, name: Name, now_us: int) -> CounterRecord | LogRecord:
        kept = self._shard(name).get(name)
        if plan.algorithm.kind == LOG:
            return kept if isinstance(kept, LogRecord) else LogRecord()
        return CounterRecord.read(kept, plan, self._rules(plan, now_us), now_us)

    def _holders(self, name: Name) -> HolderRecord:
        kept = self._shard(name).get(name)
        return kept if isinstance(kept, HolderRecord) else HolderRecord()

    def _rules(self, plan: Plan, now_us: int) -> Sequence[tuple[int, ...]]:
        return self._calendars.around(plan, now_us) if plan.algorithm.kind == CALENDAR else plan.rules


def _threads_run_together() -> bool:
    gil_enabled = getattr(sys, "_is_gil_enabled", None)  # what does not know of such a thing has the lock
    return gil_enabled is not None and not gil_enabled()


def _companion_of(name: Name, request: Request) -> Name:
    """Return the name of what remembers that a decision on a key was refunded."""
    assert isinstance(request.detail, tuple)
    decided_at_us, _, serial = request.detail
    return _ONCE, f"{name[0]}{name[1]}:{decided_at_us}:{serial}"


def _marker_of(name: Name) -> Name:
    """Return the name of what tells until when decisions on a key are void, for it was reset."""
    return _ONCE, f"{name[0]}{name[1]}:reset"
