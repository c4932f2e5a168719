"""The store in this process: every decision is a plain function call, safe across threads.

Keys are spread over shards, each with a lock of its own that is held for the arithmetic only. The
number of keys is bounded; what is forgotten first is what is nearest to having no state at all.
"""

from __future__ import annotations

from contextlib import ExitStack
from itertools import count as counter
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from sluicegate.ratelimit.algorithms import CALENDAR, CONCURRENCY, LOG
from sluicegate.ratelimit.decision import Decision
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.expiry import ExpiryOrder
from sluicegate.ratelimit.stores.records import NO_STATE, Ask, CounterRecord, HolderRecord, LogRecord
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, RELEASE, RENEW, RESET, TAKE, Reply, Request
from sluicegate.utils import InvalidInputError, LimiterClosedError, StoreOverloadedError, checked_key, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluicegate.ratelimit.limit import Limit, Plan
    from sluicegate.ratelimit.stores.store import Member
    from sluicegate.utils import Clock

__all__ = ["KEYS_MAX", "MemoryStore"]

KEYS_MAX = 100_000  # about 50 MB; a flood of keys must not become a flood of memory
SWEEP_EVERY = 200  # new keys between two sweeps of a shard: many at once cost less, and 99 of 100 decisions nothing
SWEEP_MOST = 250  # keys that one looks at: a sixth of a millisecond, and more than came meanwhile
_SHARDS = 16  # more than the threads that decide at one instant
_KEYS_FOR_SHARDS = 1_000 * _SHARDS  # below it shards would fill unevenly; one keeps the order exact

UNKNOWN_US = -2
_decision_of = tuple.__new__  # a third of the cost of the generated constructor

Record = CounterRecord | LogRecord | HolderRecord


class _Companion:
    """The answer of something that happens once, kept for as long as it could be asked again."""

    __slots__ = ("expires_us", "refunded")

    def __init__(self, refunded: int, expires_us: int) -> None:
        self.refunded = refunded
        self.expires_us = expires_us


class _Shard:
    __slots__ = ("keys_max", "lock", "lost", "order", "records", "until_sweep")

    def __init__(self, keys_max: int) -> None:
        self.keys_max = keys_max
        self.lock = Lock()
        self.records: dict[str, Any] = {}
        self.order = ExpiryOrder()
        self.lost = 0
        self.until_sweep = SWEEP_EVERY

    def keep(self, name: str, record: Record | _Companion, now_us: int) -> None:
        """Put down a new record, and make room for it: first where nothing is lost by it."""
        self.until_sweep -= 1
        if self.until_sweep == 0:
            self._sweep(now_us)
        if len(self.records) >= self.keys_max:
            self._forget_one(now_us)
        self.records[name] = record
        self.order.add(name, record.expires_us)

    def _sweep(self, now_us: int) -> None:
        """Forget what expired, somewhat more than came since the last time."""
        self.until_sweep = SWEEP_EVERY
        records, order = self.records, self.order
        for name in order.take_due(now_us, SWEEP_MOST):
            record = records.get(name)
            if record is not None and record.expires_us > now_us:
                order.add(name, record.expires_us)
            else:
                records.pop(name, None)

    def _forget_one(self, now_us: int) -> None:
        kept: list[tuple[str, int]] = []
        while (name := self.order.pop(self._expires_of)) is not None:
            record = self.records[name]
            if isinstance(record, HolderRecord) and record.expires_us > now_us:
                kept.append((name, record.expires_us))  # a hold is never evicted
                continue
            del self.records[name]
            self.lost += record.expires_us > now_us
            break
        for held in kept:
            self.order.add(*held)
        if name is None:
            raise StoreOverloadedError("hold", f"all {self.keys_max} keys of the memory store are held")

    def _expires_of(self, name: str) -> int | None:
        record = self.records.get(name)
        return None if record is None else record.expires_us


class MemoryStore:
    """State in this process.

    Args:
        clock: The time that decides.
        keys_max: The most keys to remember, from 1. Default 100,000.
    """

    source = "memory"
    at_once: Literal[True] = True

    def __init__(self, clock: Clock, *, keys_max: int = KEYS_MAX) -> None:
        if type(keys_max) is not int or keys_max < 1:
            raise InvalidInputError("keys_max", shape_of(keys_max), "a whole number from 1")
        self._keys_max = keys_max
        self._now_us = clock.now_us
        self._next_serial = counter().__next__
        self._calendars = CalendarRules()
        self._closed = False
        shards = _SHARDS if keys_max >= _KEYS_FOR_SHARDS else 1
        self._shards = tuple(_Shard(keys_max // shards) for _ in range(shards))
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
        return sum(len(shard.records) for shard in self._shards)

    @property
    def lost(self) -> int:
        """How many keys had to be forgotten while they still had a state."""
        return sum(shard.lost for shard in self._shards)

    def ask_now(self, request: Request) -> Reply:
        """Decide here; see `InstantStore`."""
        if self._closed:
            raise LimiterClosedError("the limiter is closed")
        now_us = self._now_us()
        answers = self._verbs[request.verb](request, now_us)
        return Reply(now_us, self._next_serial(), answers)

    def acquire_one(self, limit: Limit, key: str, cost: int) -> Decision | None:
        """Decide for a limit of one rate; see `InstantStore`."""
        plan = limit.plan
        if not plan.simple:
            return None
        rules, name = plan.rules, plan.prefix + key
        shard = self._shards[hash(name) & self._last_shard]
        if name not in shard.records:  # else it was checked when it came
            key = checked_key(key)
            name = plan.prefix + key
            shard = self._shards[hash(name) & self._last_shard]
        with shard.lock:
            record = shard.records.get(name)
            if record is None:
                if self._closed:
                    raise LimiterClosedError("the limiter is closed")
                before = NO_STATE
            elif record.rules is rules:
                before = record.state
            else:
                before = record.under(rules)[0]
            clock, decide = self._now_us, plan.decide  # what an object holds is dearer to call than what a name holds
            now_us = clock()
            state, granted, remaining, retry_after_us, reset_after_us = decide(before, now_us, cost, 1, rules[0])
            # Kept when units were taken, or when it had been ahead of the clock.
            if (granted and cost) or state < before:
                if record is None:
                    shard.keep(name, CounterRecord(rules, state, now_us + reset_after_us), now_us)
                elif record.rules is rules:
                    record.state = state
                    record.expires_us = now_us + reset_after_us
                else:
                    record.keep(rules, (state,), now_us + reset_after_us)
        shadow_denied = limit.shadow and not granted
        allowed = granted > 0 or shadow_denied
        next_serial = self._next_serial
        return _decision_of(Decision, (
            allowed, limit, key, cost, remaining, 0 if allowed else retry_after_us, reset_after_us,
            now_us, "memory", False, shadow_denied, next_serial(),
        ))  # fmt: skip

    async def start(self) -> None:
        """Nothing has to be got ready; see `InstantStore`."""

    async def aclose(self) -> None:
        """Forget everything; see `InstantStore`."""
        self._closed = True
        for shard in self._shards:
            with shard.lock:
                shard.records.clear()
                shard.order = ExpiryOrder()

    def after_fork(self) -> None:
        """Replace the locks, which another thread of the parent may have held; state is kept as it was."""
        for shard in self._shards:
            shard.lock = Lock()

    # The verbs. Each locks the shards of its keys, in one order, so that no two wait for each other.

    def _acquire(self, request: Request, now_us: int) -> tuple[int, ...]:
        names = [limit.plan.prefix + key for limit, key, _ in request.members]
        with self._locked(names):
            return self._acquire_all(request.members, names, now_us)

    def _acquire_all(self, members: tuple[Member, ...], names: list[str], now_us: int) -> tuple[int, ...]:
        """Ask all, grant the least, take that from all; shadow members never bind."""
        records = [self._record(limit.plan, name, now_us) for (limit, _, _), name in zip(members, names, strict=True)]
        rules = [self._rules(limit.plan, now_us) for limit, _, _ in members]
        asked = [
            _asked(record, limit.plan, own, now_us, cost, 1)
            for record, own, (limit, _, cost) in zip(records, rules, members, strict=True)
        ]
        least = 1
        for (limit, _, _), (_, granted) in zip(members, asked, strict=True):
            if not limit.plan.shadow:
                least = min(least, granted)
        answers: tuple[int, ...] = ()
        for at, (limit, _, cost) in enumerate(members):
            record, own, (asks, granted) = records[at], rules[at], asked[at]
            wanted, told = least, least
            if limit.plan.shadow:
                wanted, told = min(least, granted), granted
            asks = _settled(record, limit.plan, own, now_us, cost, asks, wanted)
            if record.adopt(own, asks, now_us, wanted * cost):
                self._keep(names[at], record, now_us)
            answers += (told, *_binding(asks))
        return answers

    def _peek(self, request: Request, now_us: int) -> tuple[int, ...]:
        ((limit, key, cost),) = request.members
        plan, name = limit.plan, limit.plan.prefix + key
        with self._locked([name]):
            if plan.algorithm.kind == CONCURRENCY:
                holders = self._shard(name).records.get(name) or HolderRecord()
                granted, remaining = holders.look(now_us, plan.capacity)
                reset_after_us = holders.reset_after_us(now_us, plan.rules[0][1])
                return granted, remaining, 0 if granted else UNKNOWN_US, reset_after_us
            record = self._record(plan, name, now_us)
            rules = self._rules(plan, now_us)
            asks, granted = _asked(record, plan, rules, now_us, cost, 1)
            untouched, _ = _asked(record, plan, rules, now_us, cost, 0)
        looks = [(None, 0, now[2], ask[3], now[4]) for ask, now in zip(asks, untouched, strict=True)]
        return granted, *_binding(looks)

    def _reset(self, request: Request, now_us: int) -> tuple[int, ...]:
        ((limit, key, _),) = request.members
        name = limit.plan.prefix + key
        with self._locked([name]):
            records = self._shard(name).records
            record = records.get(name)
            if record is None:
                return 0, 0, 0, 0
            # Its place in the order stays, so the record stays too, without a state.
            records[name] = CounterRecord(record.rules) if isinstance(record, CounterRecord) else type(record)()
        return int(record.expires_us > now_us), 0, 0, 0

    def _refund(self, request: Request, now_us: int) -> tuple[int, ...]:
        ((limit, key, cost),) = request.members
        assert isinstance(request.detail, tuple)
        decided_at_us, reset_at_us, serial = request.detail
        plan, name = limit.plan, limit.plan.prefix + key
        companion = f"once:{name}:{decided_at_us}:{serial}"
        with self._locked([name, companion]):
            known = self._shard(companion).records.get(companion)
            if known is not None and known.expires_us > now_us:
                return known.refunded, 0, 0, 0
            if reset_at_us <= now_us:
                return 0, 0, 0, 0
            record = self._record(plan, name, now_us)
            rules = self._rules(plan, now_us)
            reset_after_us = 0
            if isinstance(record, LogRecord):
                refunded = record.refund(rules, now_us, cost, decided_at_us)
            else:
                refunded, reset_after_us = record.refund(plan, rules, now_us, cost, decided_at_us, reset_at_us)
            self._keep(companion, _Companion(refunded, reset_at_us), now_us)
        return refunded, 0, 0, reset_after_us

    def _hold(self, request: Request, now_us: int) -> tuple[int, ...]:
        ((limit, key, _),) = request.members
        holder = request.detail
        assert isinstance(holder, str)
        plan, name = limit.plan, limit.plan.prefix + key
        limit_units, hold_us = plan.rules[0]
        with self._locked([name]):
            record = self._shard(name).records.get(name) or HolderRecord()
            retry_after_us = 0
            if request.verb == TAKE:
                granted, remaining = record.take(holder, now_us, limit_units, hold_us)
                if granted:
                    self._keep(name, record, now_us)
                else:
                    retry_after_us = UNKNOWN_US
            elif request.verb == RENEW:
                granted, remaining = record.renew(holder, now_us, limit_units, hold_us)
            else:
                granted, remaining = record.release(holder, now_us, limit_units, hold_us)
            return granted, remaining, retry_after_us, record.reset_after_us(now_us, hold_us)

    def _shard(self, name: str) -> _Shard:
        return self._shards[hash(name) & self._last_shard]

    def _locked(self, names: list[str]) -> ExitStack:
        stack = ExitStack()
        for index in sorted({hash(name) & self._last_shard for name in names}):
            stack.enter_context(self._shards[index].lock)
        return stack

    def _record(self, plan: Plan, name: str, now_us: int) -> CounterRecord | LogRecord:
        record: CounterRecord | LogRecord | None = self._shard(name).records.get(name)
        if record is None:
            return LogRecord() if plan.algorithm.kind == LOG else CounterRecord(self._rules(plan, now_us))
        return record

    def _rules(self, plan: Plan, now_us: int) -> Sequence[tuple[int, ...]]:
        return self._calendars.around(plan, now_us) if plan.algorithm.kind == CALENDAR else plan.rules

    def _keep(self, name: str, record: Record | _Companion, now_us: int) -> None:
        shard = self._shard(name)
        if name not in shard.records:
            shard.keep(name, record, now_us)


def _asked(
    record: CounterRecord | LogRecord,
    plan: Plan,
    rules: Sequence[tuple[int, ...]],
    now_us: int,
    cost: int,
    count: int,
) -> tuple[list[Ask], int]:
    """Ask each rate of a limit; return the answers and how many requests all of them would grant."""
    asks = [record.ask(plan, rules, slot, now_us, cost, count) for slot in range(len(rules))]
    return asks, min(ask[1] for ask in asks)


def _settled(
    record: CounterRecord | LogRecord,
    plan: Plan,
    rules: Sequence[tuple[int, ...]],
    now_us: int,
    cost: int,
    asks: list[Ask],
    wanted: int,
) -> list[Ask]:
    """Ask those rates anew that would have granted another number than was agreed on; they do not wait."""
    settled = []
    for slot, ask in enumerate(asks):
        if ask[1] != wanted:
            state, granted, remaining, _, reset_after_us = record.ask(plan, rules, slot, now_us, cost, wanted)
            settled.append((state, granted, remaining, 0, reset_after_us))
        else:
            settled.append(ask)
    return settled


def _binding(asks: Sequence[Ask]) -> tuple[int, int, int]:
    """Pick the rate with the longest wait (never first), else the one with the least remaining."""
    binding = max(asks, key=lambda ask: (ask[3] == -1, ask[3], -ask[2]))
    return min(ask[2] for ask in asks), binding[3], binding[4]
