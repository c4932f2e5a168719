"""What the memory store keeps for one key: a state for each rate, a log, or holders.

As on Redis, a state that is one whole number is kept as that number and nothing else: when a key of
``gcra`` is paid until, which is also when it expires, and which means the same under every rule.

The kinds of record for rates answer the same two calls, as decide.lua does: `ask` says what would be,
and `adopt` keeps it. Between the two every other member of the request has been asked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

from sluicegate.ratelimit.algorithms import concurrency, sliding_window_log
from sluicegate.ratelimit.algorithms.carrying import KEEP, nearest
from sluicegate.ratelimit.algorithms.exact import EXACT_MAX, time_of
from sluicegate.ratelimit.algorithms.gcra import Rule as GcraRule
from sluicegate.ratelimit.stores.expiry import EndOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.ratelimit.plan import Plan

__all__ = [
    "NO_STATE",
    "Ask",
    "Companion",
    "CounterRecord",
    "HolderRecord",
    "Kept",
    "LogRecord",
    "expiry_of",
    "kept_of",
    "state_of",
]

Ask = tuple[Any, int, int, int, int]  # what to adopt, granted, remaining, retry_after_us, reset_after_us

NO_STATE = (-EXACT_MAX, 0, 0)  # before every clock's reading, one that was moved back by hand included
SHIFT_MAX = 256  # entries on the shorter side of one that is refunded: on Redis they all move
_COMPACT_AT = 256  # forgotten entries at the head of a log before its lists are cut


class CounterRecord:
    """Three whole numbers for each rate, with the rule that they were written under.

    The first rate's stand apart, for most limits have no other: a key is then one object and its state.

    Attributes:
        tag: That of the rule, where states are marked with it; 0 where they are not.
        came_from: The tag of the rule from which it was carried over.
        is_carried: Whether it was, and is not kept yet.
        new_at_us: When it is as good as new by the rules under which units were taken, where states are marked.
    """

    __slots__ = ("came_from", "expires_us", "is_carried", "new_at_us", "others", "rules", "state", "tag")

    def __init__(
        self, rules: Sequence[tuple[int, ...]], state: tuple[int, int, int] = NO_STATE, expires_us: int = 0
    ) -> None:
        self.rules = rules
        self.state = state
        self.others: Sequence[tuple[int, int, int]] = ()
        self.expires_us = expires_us
        self.tag = self.came_from = 0
        self.is_carried = False
        self.new_at_us = 0

    def under(self, rules: Sequence[tuple[int, ...]]) -> list[tuple[int, int, int]]:
        """Return the states as *rules* read them: of other ones remainders round up, missing slots are empty."""
        states = [self.state, *self.others, *[NO_STATE] * len(rules)][: len(rules)]
        if rules is self.rules:
            return states
        for slot, (old, new) in enumerate(zip(self.rules, rules, strict=False)):
            paid_us, rem, debt_us = states[slot]
            if isinstance(old, GcraRule) and isinstance(new, GcraRule) and old.per != new.per and rem > 0:
                states[slot] = (paid_us + 1, 0, debt_us)
        return states

    @classmethod
    def of(cls, kept: object, rules: Sequence[tuple[int, ...]]) -> CounterRecord:
        """Return the record of what is *kept* for a key, or of a key of which nothing is."""
        if isinstance(kept, CounterRecord):
            return kept
        return cls(rules, (kept, 0, 0), kept) if isinstance(kept, int) else cls(rules)

    @classmethod
    def read(cls, kept: object, plan: Plan, rules: Sequence[tuple[int, ...]], now_us: int) -> CounterRecord:
        """Return what a rule finds in what is *kept*: what is of another rule, and says so, is carried over."""
        if isinstance(kept, CounterRecord) and kept.tag and kept.expires_us <= now_us:
            kept = None  # as on a server, where it is gone
        record = cls.of(kept, rules)
        was = plan.was if plan.was is not None and now_us < plan.was[2] else None
        if kept is not None and record.tag != plan.tag and (record.tag or was is not None):
            return _carried(record, plan, rules, now_us)
        if plan.marks and not record.tag:
            marked = cls(record.rules, record.state, record.expires_us)
            marked.others, marked.tag = record.others, plan.tag
            return marked
        return record

    def kept(self) -> CounterRecord | int:
        """Return what to keep of it: the number alone where that says everything."""
        plain = not self.tag and len(self.rules) == 1 and isinstance(kept_of(self.state, self.rules, 0), int)
        return self.state[0] if plain else self

    def keep(self, rules: Sequence[tuple[int, ...]], states: Sequence[tuple[int, int, int]], expires_us: int) -> None:
        """Hold *states*, written under *rules*."""
        self.rules = rules
        self.state, *self.others = states
        self.expires_us = max(expires_us, self.new_at_us)
        self.is_carried = False

    def ask(self, plan: Plan, rules: Sequence[tuple[int, ...]], slot: int, now_us: int, cost: int, count: int) -> Ask:
        """Say what *count* requests of *cost* would be answered under one rate."""
        return plan.algorithm.decide(self.under(rules)[slot], now_us, cost, count, rules[slot])

    def adopt(self, rules: Sequence[tuple[int, ...]], asks: Sequence[Ask], now_us: int, taken: int) -> bool:
        """Keep the states when units were taken, or those that had been ahead of the clock; say whether."""
        before = self.under(rules)
        states = [ask[0] if taken > 0 or ask[0] < old else old for ask, old in zip(asks, before, strict=True)]
        if states == before and not self.is_carried:
            return False
        if taken > 0 and self.tag:
            self.new_at_us = max(self.new_at_us, now_us + max(ask[4] for ask in asks))
        self.keep(rules, states, now_us + max(ask[4] for ask in asks))
        return True

    def refund(
        self,
        plan: Plan,
        rules: Sequence[tuple[int, ...]],
        now_us: int,
        cost: int,
        decided_at_us: int,
        reset_at_us: int,
    ) -> tuple[int, int]:
        """Give back in each rate what still counts there; return the most of it, and the time to reset."""
        refunded, reset_after_us = 0, 0
        states = []
        for slot, (old, rule) in enumerate(zip(self.under(rules), rules, strict=True)):
            own_at_us = _own_reset_at_us(rules, slot, cost, decided_at_us, reset_at_us)
            state, given, own_us = plan.algorithm.refund(old, now_us, cost, decided_at_us, own_at_us, rule)
            states.append(state)
            refunded = max(refunded, given)
            reset_after_us = max(reset_after_us, own_us)
        if self.tag:
            self.new_at_us = max(self.new_at_us, now_us + reset_after_us)
        # What equals no state is none, so that a clock that steps back finds nothing ahead of it.
        self.keep(rules, states if reset_after_us > 0 else [NO_STATE] * len(rules), now_us + reset_after_us)
        return refunded, reset_after_us


def _carried(record: CounterRecord, plan: Plan, rules: Sequence[tuple[int, ...]], now_us: int) -> CounterRecord:
    """Return what a rule makes of another's; back to the rule from which it came it is kept, so that nobody gains."""
    came_from, numbers = (record.tag, record.rules) if record.tag or plan.was is None else plan.was[:2]
    way = KEEP if record.tag and record.came_from == plan.tag else plan.carry
    algorithm, states = plan.algorithm, record.under(numbers)
    lengths_us = [algorithm.length_of(old) for old in numbers]
    carried = []
    for new in rules:
        at = nearest(lengths_us, algorithm.length_of(new))
        carried.append(algorithm.carry(states[at], now_us, record.new_at_us, way, numbers[at], new))
    made = CounterRecord(rules, expires_us=record.expires_us)
    made.state, *made.others = [state for state, _ in carried]
    made.new_at_us = max(until_us for _, until_us in carried)
    made.tag, made.is_carried = plan.tag, True
    made.came_from = came_from if made.new_at_us > now_us else 0
    return made


def _own_reset_at_us(
    rules: Sequence[tuple[int, ...]], slot: int, cost: int, decided_at_us: int, reset_at_us: int
) -> int:
    """Return when one rate's part of a decision is paid off, where rates are paced.

    The decision says when the last of its rates is: that is this one where no other can have stood so
    far ahead. Else only what the decision itself paid for is sure to lie ahead.
    """
    own = rules[slot]
    others = [rule for other, rule in enumerate(rules) if other != slot and isinstance(rule, GcraRule)]
    if not isinstance(own, GcraRule) or all(decided_at_us + rule.capacity_us + 1 < reset_at_us for rule in others):
        return reset_at_us
    units_us, rem = time_of(cost, own.interval_us, own.interval_rem, own.per)
    return min(reset_at_us, decided_at_us + units_us + (rem > 0))


class LogRecord:
    """When how many units were admitted, as running totals, so that a window is a difference."""

    __slots__ = ("_forgotten", "_head", "_times", "_totals", "expires_us")

    def __init__(self) -> None:
        self._times: list[int] = []
        self._totals: list[int] = []
        self._head = 0  # entries before it have left every window
        self._forgotten = 0  # their total
        self.expires_us = 0

    def kept(self) -> LogRecord:
        """Return what to keep of it: all."""
        return self

    def ask(self, _plan: Plan, rules: Sequence[tuple[int, ...]], slot: int, now_us: int, cost: int, count: int) -> Ask:
        """Say what *count* requests of *cost* would be answered under one rate."""
        limit, period_us = rules[slot]
        first = bisect_right(self._times, now_us - period_us, self._head)
        before = self._totals[first - 1] if first > self._head else self._forgotten
        stored = self._totals[-1] if self._totals else self._forgotten
        granted, remaining, must_leave = sliding_window_log.decide(stored - before, cost, count, limit)
        retry_after_us = must_leave
        if must_leave > 0:
            at = bisect_left(self._totals, before + must_leave, first)
            retry_after_us = period_us
            if at < len(self._times):
                retry_after_us = min(self._times[at], now_us) + period_us - now_us
        reset_after_us = 0
        if granted * cost > 0:
            reset_after_us = period_us
        elif stored > before:
            reset_after_us = min(self._times[-1], now_us) + period_us - now_us
        return None, granted, remaining, retry_after_us, reset_after_us

    def adopt(self, rules: Sequence[tuple[int, ...]], asks: Sequence[Ask], now_us: int, taken: int) -> bool:
        """Log *taken* units as admitted now, or bring entries ahead of the clock back; say whether anything changed."""
        ahead = bisect_right(self._times, now_us, self._head)
        if taken == 0 and ahead == len(self._times):
            return False
        self._times[ahead:] = [now_us] * (len(self._times) - ahead)
        self._forget(now_us - max(rule[1] for rule in rules))
        if taken > 0:
            total = self._totals[-1] if self._totals else self._forgotten
            self._times.append(now_us)
            self._totals.append(total + taken)
        self.expires_us = now_us + max(ask[4] for ask in asks)
        return True

    def refund(self, rules: Sequence[tuple[int, ...]], now_us: int, cost: int, decided_at_us: int) -> int:
        """Take up to *cost* units out of the entries of exactly that instant."""
        longest_us = max(rule[1] for rule in rules)
        if decided_at_us <= now_us - longest_us:
            return 0
        first = bisect_left(self._times, decided_at_us, self._head)
        last = bisect_right(self._times, decided_at_us, first)
        if first == last or min(first - self._head, len(self._times) - last) > SHIFT_MAX:
            return 0
        before = self._totals[first - 1] if first > self._head else self._forgotten
        refunded = min(cost, self._totals[last - 1] - before)
        kept = self._totals[last - 1] - refunded
        # What remains of the instant becomes one entry, if anything does: all of it leaves the window together.
        entry = [kept] if kept > before else []
        self._totals[first:] = [*entry, *(total - refunded for total in self._totals[last:])]
        self._times[first:last] = [decided_at_us] * len(entry)
        self.expires_us = self._times[-1] + longest_us if len(self._times) > self._head else now_us
        return refunded

    def _forget(self, until_us: int) -> None:
        """Forget the entries up to *until_us*, which have left every window."""
        head = bisect_right(self._times, until_us, self._head)
        if head > self._head:
            self._forgotten = self._totals[head - 1]
            self._head = head
        if self._head >= _COMPACT_AT and self._head * 2 >= len(self._times):
            del self._times[: self._head], self._totals[: self._head]
            self._head = 0


class HolderRecord:
    """Who holds a unit, and until when, in the order of expiry, so that no decision looks at all holders.

    Terms may differ, for a rule may change while it is held under; nobody's hold ends sooner than it was promised.
    Who stands further ahead of the clock than the last did when somebody last took or renewed does so because the
    clock stepped back since, and is brought back to there.
    """

    __slots__ = ("_ahead_us", "_ends", "expires_us")

    def __init__(self) -> None:
        self._ends: EndOrder[str] = EndOrder()
        self._ahead_us = 0
        self.expires_us = NO_STATE[0]

    def tidy(self, now_us: int) -> None:
        """Forget who expired, and bring back who stands further ahead than anybody was promised."""
        while self._ends.pop_ended(now_us) is not None:
            pass
        self._ends.bring_back(now_us + self._ahead_us)
        self._note_expiry()

    def take(self, holder: str, now_us: int, limit: int, hold_us: int) -> tuple[int, int]:
        """Give *holder* a unit if there is one; who asks again keeps the unit and takes no second."""
        self.tidy(now_us)
        held = len(self._ends)
        if holder in self._ends:
            granted, remaining = 1, max(0, limit - held)
        else:
            granted, remaining = concurrency.decide(held, 1, limit)
        if granted > 0:
            self._extend(holder, now_us, hold_us)
        return granted, remaining

    def renew(self, holder: str, now_us: int, limit: int, hold_us: int) -> tuple[int, int]:
        """Extend the unit of *holder*, unless it has expired."""
        self.tidy(now_us)
        granted = 1 if holder in self._ends else 0
        if granted:
            self._extend(holder, now_us, hold_us)
        return granted, max(0, limit - len(self._ends))

    def release(self, holder: str, now_us: int, limit: int) -> tuple[int, int]:
        """Take the unit of *holder* back."""
        self.tidy(now_us)
        granted = int(self._ends.remove(holder))
        self._note_expiry()
        return granted, max(0, limit - len(self._ends))

    def look(self, now_us: int, limit: int) -> tuple[int, int]:
        """Say whether one more would be granted, and what remains."""
        held = self._ends.count_after(now_us)
        granted, _ = concurrency.decide(held, 1, limit)
        _, remaining = concurrency.decide(held, 0, limit)
        return granted, remaining

    def reset_after_us(self, now_us: int) -> int:
        """Return the time until the last holder will have expired."""
        return min(max(0, self.expires_us - now_us), self._ahead_us)

    def _extend(self, holder: str, now_us: int, hold_us: int) -> None:
        self._ahead_us = max(hold_us, self.reset_after_us(now_us))
        self._ends.put(holder, now_us + hold_us)
        self._note_expiry()

    def _note_expiry(self) -> None:
        self.expires_us = self._ends.last_us(NO_STATE[0])


class Companion:
    """The answer of something that happens once, kept for as long as it could be asked again.

    Attributes:
        at_us: The time of the decision that was refunded, or of the reset.
        refunded: The units given back.
        expires_us: When it could no longer be asked for.
    """

    __slots__ = ("at_us", "expires_us", "refunded")

    def __init__(self, at_us: int, refunded: int, expires_us: int) -> None:
        self.at_us = at_us
        self.refunded = refunded
        self.expires_us = expires_us


Kept = CounterRecord | LogRecord | HolderRecord | Companion | int


def state_of(kept: object, rules: Sequence[tuple[int, ...]]) -> tuple[int, int, int]:
    """Return the one state of what is *kept* for a key under *rules* of one rate."""
    if type(kept) is int:
        return kept, 0, 0
    if isinstance(kept, CounterRecord):
        return kept.state if kept.rules is rules else kept.under(rules)[0]
    return NO_STATE


def kept_of(state: tuple[int, int, int], rules: Sequence[tuple[int, ...]], expires_us: int) -> CounterRecord | int:
    """Return what to keep of the one *state* under *rules* of one rate."""
    plain = state[1] == 0 and state[2] == 0 and isinstance(rules[0], GcraRule)
    return state[0] if plain else CounterRecord(rules, state, expires_us)


def expiry_of(kept: Kept) -> int:
    """Return when what is *kept* equals nothing."""
    return kept if isinstance(kept, int) else kept.expires_us
