"""What becomes of a state when its limit gets another rate: the new one begins with what remains under the old one.

A state that equals no state stays that. What is carried over is rounded down: nobody gains by a change but what the
limit's way of carrying says. Of 40 units that are left of 100, 200 then leave 40 (keep), 80 (proportional), 140
(additive) or 200 (reset), and 20 leave 20, 8, 0 or 20.

A small limit is soon as good as new, when the larger one from which it came would not be yet. So a state that may be
carried over knows when it is as good as new by the rules under which units were taken (*new_at_us*): until then it is
no better than it looks, from then on it is none, however often it was carried to and fro.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sluicegate.ratelimit.algorithms import calendar_quota, gcra, sliding_window_counter
from sluicegate.ratelimit.algorithms.exact import share_below, share_of, time_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.ratelimit.algorithms.calendar_quota import Rule as CalendarRule
    from sluicegate.ratelimit.algorithms.gcra import Rule as GcraRule
    from sluicegate.ratelimit.algorithms.sliding_window_counter import Rule as SlidingRule

__all__ = [
    "ADDITIVE",
    "ANEW",
    "KEEP",
    "PROPORTIONAL",
    "calendar_length_of",
    "calendar_quota_carried",
    "fixed_window_carried",
    "gcra_carried",
    "nearest",
    "sliding_carried",
    "units_of",
    "window_carried",
]

State = tuple[int, int, int]
Carried = tuple[State, int]  # and when it is as good as new

# The ways of carrying over, as the script numbers them.
KEEP: Final = 0
PROPORTIONAL: Final = 1
ADDITIVE: Final = 2
ANEW: Final = 3


def units_of(way: int, remaining: int, old: int, new: int) -> int:
    """Return the units that remain of *new* where *remaining* did of *old*."""
    if way == ANEW:
        return new
    if way == KEEP:
        return min(remaining, new)
    if way == PROPORTIONAL:
        return share_below(new, remaining, old)
    return max(0, remaining + new - old)


def nearest(lengths_us: Sequence[int], length_us: int) -> int:
    """Return the place of the one of several rates that looks back for about as long; of two the first."""
    return min(range(len(lengths_us)), key=lambda at: _ratio(lengths_us[at], length_us))


def _ratio(one: int, other: int) -> float:
    return one / other if one > other else other / one


def calendar_length_of(rule: tuple[int, ...]) -> int:
    """Return how long a window of a calendar is now, or was about, where only that is known of it."""
    return rule.edge_2_us - rule.edge_1_us if isinstance(rule, calendar_quota.Rule) else rule[1]


def gcra_carried(state: State, now_us: int, new_at_us: int, way: int, old: GcraRule, new: GcraRule) -> Carried:
    """Carry a time over; the part of a unit that is being paid for goes with it, unless units were scaled.

    Args:
        state: The time.
        now_us: What time it is.
        new_at_us: When the state is as good as new; 0 where only the old rule tells.
        way: How it is carried over.
        old: The rule under which it was written.
        new: The rule that holds now.
    """
    (paid_us, paid_rem, _), _, remaining, _, reset_after_us = gcra.decide(state, now_us, 0, 0, old)
    if new_at_us == 0:
        new_at_us = now_us + reset_after_us
    if now_us >= new_at_us:
        return (now_us, 0, 0), now_us
    units = units_of(way, remaining, old.burst, new.burst)
    free_us, free_rem = time_of(units, new.interval_us, new.interval_rem, new.per)
    if units < new.burst and (way == KEEP or (way == ADDITIVE and remaining + new.burst >= old.burst)):
        free_us += share_below(
            new.interval_us, _part_us(paid_us - now_us, paid_rem, remaining, old), old.interval_us + 1
        )
    ahead_us, ahead_rem = new.capacity_us - free_us, new.capacity_rem - free_rem
    if ahead_rem < 0:
        ahead_us -= 1
        ahead_rem += new.per
    return (now_us + ahead_us, ahead_rem, 0), new_at_us


def window_carried(
    state: State,
    now_us: int,
    new_at_us: int,
    way: int,
    old_limit: int,
    old_end_us: int,
    limit: int,
    start_us: int,
) -> Carried:
    """Carry the count of a window over into the one that began at *start_us*.

    Args:
        state: The window and its count.
        now_us: The time.
        new_at_us: When the state is as good as new; 0 where only the old rule tells.
        way: How it is carried over.
        old_limit: The limit under which it was counted.
        old_end_us: When the window ends or ended.
        limit: The limit that holds now.
        start_us: When the window began that is now.
    """
    used = min(state[1], old_limit) if old_end_us > now_us else 0
    if new_at_us == 0 and used > 0:
        new_at_us = old_end_us
    if now_us >= new_at_us:
        return (start_us, 0, 0), now_us
    return (start_us, limit - units_of(way, old_limit - used, old_limit, limit), 0), new_at_us


def fixed_window_carried(
    state: State, now_us: int, new_at_us: int, way: int, old: tuple[int, ...], new: tuple[int, ...]
) -> Carried:
    """Carry over what is counted in windows that are aligned to the epoch."""
    start_us = now_us - now_us % new[1]
    return window_carried(state, now_us, new_at_us, way, old[0], state[0] + old[1], new[0], start_us)


def calendar_quota_carried(
    state: State, now_us: int, new_at_us: int, way: int, old: tuple[int, ...], new: CalendarRule
) -> Carried:
    """Carry over what is counted in windows of a calendar; of the old one it is only known when it began."""
    start_us, end_us = calendar_quota.window(now_us, new)
    old_end_us = end_us if state[0] >= start_us else now_us
    return window_carried(state, now_us, new_at_us, way, old[0], old_end_us, new.limit, start_us)


def sliding_carried(state: State, now_us: int, new_at_us: int, way: int, old: SlidingRule, new: SlidingRule) -> Carried:
    """Carry what two windows weigh over: into windows of one length as it lies, else to where it counts longest."""
    (_, previous, _), _, remaining, _, reset_after_us = sliding_window_counter.decide(state, now_us, 0, 0, old)
    start_us = now_us - now_us % new.period_us
    if new_at_us == 0:
        new_at_us = now_us + reset_after_us
    if now_us >= new_at_us:
        return (start_us, 0, 0), now_us
    used = new.limit - units_of(way, remaining, old.limit, new.limit)
    if new.period_us != old.period_us:
        return (start_us, 0, used), new_at_us
    left_us = start_us + new.period_us - now_us
    previous = min(previous, new.limit * 2)
    weight = share_of(previous, left_us, new.period_us)
    if weight > used:
        previous = share_below(previous, used, weight)
        weight = share_of(previous, left_us, new.period_us)
    return (start_us, previous, used - weight), new_at_us


def _part_us(ahead_us: int, ahead_rem: int, remaining: int, rule: GcraRule) -> int:
    """Return how much of the next unit is paid for, in whole microseconds."""
    free_us = rule.capacity_us - ahead_us
    if ahead_rem > rule.capacity_rem:
        free_us -= 1
    units_us, units_rem = time_of(remaining, rule.interval_us, rule.interval_rem, rule.per)
    if units_rem > 0:
        units_us += 1
    return max(0, free_us - units_us)
