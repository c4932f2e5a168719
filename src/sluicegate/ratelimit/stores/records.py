"""What the memory store keeps for one key: a state for each rate, a log, or holders.

Each kind of record answers the same two calls, as decide.lua does: `ask` says what would be, and
`adopt` keeps it. Between the two every other member of the request has been asked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from sluicegate.ratelimit.algorithms import concurrency, sliding_window_log
from sluicegate.ratelimit.algorithms.gcra import Rule as GcraRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.ratelimit.limit import Plan

__all__ = ["CounterRecord", "HolderRecord", "LogRecord"]

Ask = tuple[Any, int, int, int, int]  # what to adopt, granted, remaining, retry_after_us, reset_after_us

_NO_STATE = (0, 0, 0)
_COMPACT_AT = 256  # forgotten entries at the head of a log before its lists are cut


class CounterRecord:
    """Three whole numbers for each rate, with the rule that they were written under."""

    __slots__ = ("expires_us", "rules", "states")

    def __init__(
        self, rules: Sequence[tuple[int, ...]], state: tuple[int, int, int] = _NO_STATE, expires_us: int = 0
    ) -> None:
        self.states = [state] * len(rules)
        self.rules = rules
        self.expires_us = expires_us

    def follow(self, rules: Sequence[tuple[int, ...]]) -> None:
        """Go on under other *rules* of the same name: remainders round up, missing slots are empty."""
        states = [*self.states, *[_NO_STATE] * len(rules)][: len(rules)]
        for slot, (old, new) in enumerate(zip(self.rules, rules, strict=False)):
            paid_us, rem, debt_us = states[slot]
            if isinstance(old, GcraRule) and isinstance(new, GcraRule) and old.per != new.per and rem > 0:
                states[slot] = (paid_us + 1, 0, debt_us)
        self.states = states
        self.rules = rules

    def ask(self, plan: Plan, slot: int, now_us: int, cost: int, count: int) -> Ask:
        """Say what *count* requests of *cost* would be answered under one rate."""
        return plan.algorithm.decide(self.states[slot], now_us, cost, count, self.rules[slot])

    def adopt(self, slot: int, state: tuple[int, int, int], now_us: int, taken: int, reset_after_us: int) -> bool:
        """Keep *state* when units were taken, or when it had been ahead of the clock; say whether."""
        if taken > 0 or state[0] < self.states[slot][0]:
            self.states[slot] = state
            expires_us = now_us + reset_after_us
            # With one rate the expiry follows the state; with several the latest counts.
            self.expires_us = expires_us if len(self.states) == 1 else max(self.expires_us, expires_us)
            return True
        return False

    def refund(self, plan: Plan, now_us: int, cost: int, decided_at_us: int, reset_at_us: int) -> tuple[int, int]:
        """Give back in every rate; return the units and the time to reset."""
        refunded, reset_after_us = cost, 0
        for slot, rule in enumerate(self.rules):
            state, given, own_us = plan.algorithm.refund(
                self.states[slot], now_us, cost, decided_at_us, reset_at_us, rule
            )
            self.states[slot] = state
            refunded = min(refunded, given)
            reset_after_us = max(reset_after_us, own_us)
        self.expires_us = now_us + reset_after_us
        return refunded, reset_after_us


class LogRecord:
    """When how many units were admitted, as running totals, so that a window is a difference."""

    __slots__ = ("_forgotten", "_head", "_times", "_totals", "expires_us")

    def __init__(self) -> None:
        self._times: list[int] = []
        self._totals: list[int] = []
        self._head = 0  # entries before it have left every window
        self._forgotten = 0  # their total
        self.expires_us = 0

    def ask(self, plan: Plan, slot: int, now_us: int, cost: int, count: int) -> Ask:
        """Say what *count* requests of *cost* would be answered under one rate."""
        limit, period_us = plan.rules[slot]
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

    def tidy(self, plan: Plan, now_us: int) -> None:
        """Bring entries ahead of the clock back to now, and forget those that have left every window."""
        ahead = bisect_right(self._times, now_us, self._head)
        self._times[ahead:] = [now_us] * (len(self._times) - ahead)
        longest_us = max(rule[1] for rule in plan.rules)
        head = bisect_right(self._times, now_us - longest_us, self._head)
        if head > self._head:
            self._forgotten = self._totals[head - 1]
            self._head = head
        if self._head >= _COMPACT_AT and self._head * 2 >= len(self._times):
            del self._times[: self._head], self._totals[: self._head]
            self._head = 0
        if self._times:
            self.expires_us = self._times[-1] + longest_us

    def add(self, plan: Plan, now_us: int, units: int) -> None:
        """Log *units* as admitted now."""
        total = self._totals[-1] if self._totals else self._forgotten
        self._times.append(now_us)
        self._totals.append(total + units)
        self.expires_us = now_us + max(rule[1] for rule in plan.rules)

    def refund(self, plan: Plan, now_us: int, cost: int, decided_at_us: int) -> int:
        """Take up to *cost* units out of the entries of exactly that instant."""
        if decided_at_us <= now_us - max(rule[1] for rule in plan.rules):
            return 0
        first = bisect_left(self._times, decided_at_us, self._head)
        last = bisect_right(self._times, decided_at_us, first)
        if first == last:
            return 0
        before = self._totals[first - 1] if first > self._head else self._forgotten
        refunded = min(cost, self._totals[last - 1] - before)
        kept = self._totals[last - 1] - refunded
        # What remains of the instant becomes one entry, if anything does: all of it leaves the window together.
        entry = [kept] if kept > before else []
        self._totals[first:] = [*entry, *(total - refunded for total in self._totals[last:])]
        self._times[first:last] = [decided_at_us] * len(entry)
        return refunded


class HolderRecord:
    """Who holds a unit, and until when.

    A heap tells who expires first; a renewal leaves it alone, and an entry that comes up too early is
    put back with its present expiry. So no decision looks at all holders, save after a step of the clock.
    """

    __slots__ = ("_latest_us", "_order", "_until_us", "expires_us")

    def __init__(self) -> None:
        self._until_us: dict[str, int] = {}
        self._order: list[tuple[int, str]] = []
        self._latest_us = 0
        self.expires_us = 0

    def tidy(self, now_us: int, hold_us: int) -> None:
        """Forget who expired; nobody holds longer than a full term, even after a step of the clock."""
        if now_us < self._latest_us:
            self._until_us = {holder: min(until, now_us + hold_us) for holder, until in self._until_us.items()}
            self._order = sorted((until, holder) for holder, until in self._until_us.items())
            self.expires_us = min(self.expires_us, now_us + hold_us)
        self._latest_us = now_us
        while self._order and self._order[0][0] <= now_us:
            _, holder = heappop(self._order)
            until_us = self._until_us.get(holder)
            if until_us is None:
                continue
            if until_us > now_us:
                heappush(self._order, (until_us, holder))
            else:
                del self._until_us[holder]

    def take(self, holder: str, now_us: int, limit: int, hold_us: int) -> tuple[int, int]:
        """Give *holder* a unit if there is one; who asks again keeps the unit and takes no second."""
        self.tidy(now_us, hold_us)
        held = len(self._until_us)
        if holder in self._until_us:
            granted, remaining = 1, max(0, limit - held)
        else:
            granted, remaining = concurrency.decide(held, 1, limit)
            if granted > 0:
                heappush(self._order, (now_us + hold_us, holder))
        if granted > 0:
            self._extend(holder, now_us, hold_us)
        return granted, remaining

    def renew(self, holder: str, now_us: int, limit: int, hold_us: int) -> tuple[int, int]:
        """Extend the unit of *holder*, unless it has expired."""
        self.tidy(now_us, hold_us)
        granted = 1 if holder in self._until_us else 0
        if granted:
            self._extend(holder, now_us, hold_us)
        return granted, max(0, limit - len(self._until_us))

    def release(self, holder: str, now_us: int, limit: int, hold_us: int) -> tuple[int, int]:
        """Take the unit of *holder* back."""
        self.tidy(now_us, hold_us)
        granted = 0 if self._until_us.pop(holder, None) is None else 1
        return granted, max(0, limit - len(self._until_us))

    def look(self, now_us: int, limit: int) -> tuple[int, int]:
        """Say whether one more would be granted, and what remains."""
        held = sum(until > now_us for until in self._until_us.values())
        granted, _ = concurrency.decide(held, 1, limit)
        _, remaining = concurrency.decide(held, 0, limit)
        return granted, remaining

    def reset_after_us(self, now_us: int) -> int:
        """Return the time until the last holder may have expired."""
        return max(0, self.expires_us - now_us) if self._until_us else 0

    def _extend(self, holder: str, now_us: int, hold_us: int) -> None:
        self._until_us[holder] = now_us + hold_us
        self.expires_us = now_us + hold_us
