"""Questions to the functions that carry a state over to another rate, with the answers that fractions give.

As in questions.py nothing here calls a twin.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from tests.oracle import gcra, sliding_window_counter
from tests.twins.drawing import (
    CAPACITY_US_MAX,
    calendar,
    counted,
    gcra_rule,
    gcra_state,
    in_window,
    mixed,
    moment,
    near,
    rate,
    started,
    two_counts,
)

if TYPE_CHECKING:
    from random import Random

    from tests.twins.drawing import Asked

__all__ = ["ask_calendar_quota", "ask_fixed_window", "ask_gcra", "ask_nearest", "ask_sliding", "ask_units_of"]

KEEP, PROPORTIONAL, ADDITIVE, ANEW = range(4)


def _units(way: int, remaining: int, old: int, new: int) -> int:
    return {
        KEEP: min(remaining, new),
        PROPORTIONAL: floor(Fraction(remaining * new, old)),
        ADDITIVE: max(0, new - (old - remaining)),
        ANEW: new,
    }[way]


def ask_units_of(random: Random) -> Asked:
    """Ask what remains of one limit where so much did of another."""
    old, new = rate(random)[0], rate(random)[0]
    remaining = min(old, near(random, 0, old, new, abs(old - new), random.randint(0, old)))
    way = random.randrange(4)
    return (way, remaining, old, new), (_units(way, remaining, old, new),)


def ask_nearest(random: Random) -> Asked:
    """Ask which of several rates looks back for about as long as another."""
    lengths = tuple(rate(random)[1] for _ in range(random.randint(1, 4)))
    length = random.choice((*lengths, rate(random)[1], 2 * lengths[0]))
    distances = [max(Fraction(own, length), Fraction(length, own)) for own in lengths]
    return (lengths, length), (distances.index(min(distances)),)  # type: ignore[return-value] # one is a list


def ask_gcra(random: Random) -> Asked:
    """Ask for a time, with the part of a unit that is being paid for."""
    limit, period_us = rate(random)
    burst = random.choice((1, 2, limit, random.randint(1, limit)))
    old, now_us = gcra_rule(limit, period_us, burst), moment(random)
    state = gcra_state(random, old, now_us)
    new_limit, new_period_us = (limit, period_us) if random.random() < 0.1 else rate(random)
    most = max(1, min(new_limit * 10, CAPACITY_US_MAX * new_limit // new_period_us))
    new_burst = min(most, random.choice((1, burst, new_limit, random.randint(1, most))))
    new = gcra_rule(new_limit, new_period_us, new_burst)
    way, new_at_us = random.randrange(4), _new_at(random, now_us)
    args = (*state, now_us, new_at_us, way, *old, *new)

    oracle = gcra(limit, period_us, burst, state=(state[0] + Fraction(state[1], old[3]), state[2]))
    looked = oracle.peek(now_us)
    settled = oracle.copy().model
    settled.settle(now_us)
    paid, _ = settled.state()  # type: ignore[misc] # it was given a state
    ahead = max(Fraction(0), paid - now_us)
    new_at_us = new_at_us or now_us + ceil(ahead)
    if now_us >= new_at_us:
        return args, (now_us, 0, 0, now_us)
    interval, new_interval = Fraction(period_us, limit), Fraction(new_period_us, new_limit)
    units = _units(way, looked.remaining, burst, new_burst)
    free = units * new_interval
    kept = way == KEEP or (way == ADDITIVE and looked.remaining + new_burst >= burst)
    if units < new_burst and kept:
        part_us = max(0, floor(burst * interval - ahead) - ceil(looked.remaining * interval))
        free += floor(Fraction(floor(new_interval) * part_us, floor(interval) + 1))
    return args, (*mixed(now_us + new_burst * new_interval - free, new[3]), 0, new_at_us)


def ask_fixed_window(random: Random) -> Asked:
    """Ask for the count of a window whose period and limit become others."""
    limit, period_us = rate(random)
    new_limit, new_period_us = (rate(random)[0], period_us) if random.random() < 0.3 else rate(random)
    now_us = in_window(random, random.choice((period_us, new_period_us)))
    start_us = now_us - now_us % period_us
    state = (started(random, start_us, start_us - period_us, now_us - period_us), counted(random, limit))
    way, new_at_us = random.randrange(4), _new_at(random, now_us)
    args = (*state, now_us, new_at_us, way, limit, period_us, new_limit, new_period_us)
    new_start_us = now_us // new_period_us * new_period_us
    return args, _window(state, now_us, new_at_us, way, (limit, state[0] + period_us), new_limit, new_start_us)


def ask_calendar_quota(random: Random) -> Asked:
    """Ask for the count of a calendar's window."""
    limit, edges_us, now_us = calendar(random)
    old_limit, _ = rate(random)
    state = (started(random, *edges_us), counted(random, old_limit))
    way, new_at_us = random.randrange(4), _new_at(random, now_us)
    start_us = max(edge_us for edge_us in edges_us[:3] if edge_us <= now_us)
    end_us = min(edge_us for edge_us in edges_us if edge_us > now_us)
    old_end_us = end_us if state[0] >= start_us else now_us
    args = (*state, now_us, new_at_us, way, old_limit, limit, *edges_us)
    return args, _window(state, now_us, new_at_us, way, (old_limit, old_end_us), limit, start_us)


def _window(
    state: tuple[int, int], now_us: int, new_at_us: int, way: int, old: tuple[int, int], limit: int, start_us: int
) -> tuple[int, ...]:
    old_limit, old_end_us = old
    used = 0 if old_end_us <= now_us else min(state[1], old_limit)
    new_at_us = new_at_us or (old_end_us if used else 0)
    if now_us >= new_at_us:
        return start_us, 0, 0, now_us
    return start_us, limit - _units(way, old_limit - used, old_limit, limit), 0, new_at_us


def ask_sliding(random: Random) -> Asked:
    """Ask for what two windows weigh."""
    limit, period_us = rate(random)
    new_limit, new_period_us = (rate(random)[0], period_us) if random.random() < 0.6 else rate(random)
    now_us = in_window(random, period_us)
    state = two_counts(random, limit, period_us, now_us)
    way, new_at_us = random.randrange(4), _new_at(random, now_us)
    args = (*state, now_us, new_at_us, way, limit, period_us, new_limit, new_period_us)
    oracle = sliding_window_counter(limit, period_us, state=state)
    looked = oracle.peek(now_us)
    remaining, reset_after_us = looked.remaining, looked.reset_after_us
    start_us = now_us // new_period_us * new_period_us
    new_at_us = new_at_us or now_us + reset_after_us
    if now_us >= new_at_us:
        return args, (start_us, 0, 0, now_us)
    used = new_limit - _units(way, remaining, limit, new_limit)
    if new_period_us != period_us:
        return args, (start_us, 0, used, new_at_us)
    settled = oracle.copy().model
    settled.settle(now_us)
    _, before, _ = settled.state()  # type: ignore[misc] # it was given a state
    left = Fraction(start_us + period_us - now_us, period_us)
    previous = min(before, 2 * new_limit)
    if ceil(previous * left) > used:
        previous = floor(Fraction(previous * used, ceil(previous * left)))
    return args, (start_us, previous, used - ceil(previous * left), new_at_us)


def _new_at(random: Random, now_us: int) -> int:
    return random.choice((0, 0, now_us - 1, now_us, now_us + 1, now_us + 10**6))
