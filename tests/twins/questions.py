"""Questions to the pure functions of both twins, with the oracle's answers: many edges in little time.

A question names a function as the Lua twins do, lists its arguments as whole numbers, and lists all that it
must return. Nothing here calls a twin, so that a mutant of one cannot answer for itself.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import ceil, floor
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tests.oracle import calendar_quota, fixed_window, gcra, sliding_window_counter
from tests.twins.carrying_questions import (
    ask_calendar_quota,
    ask_fixed_window,
    ask_gcra,
    ask_nearest,
    ask_sliding,
    ask_units_of,
)
from tests.twins.drawing import (
    CAPACITY_US_MAX,
    EXACT_MAX,
    PERIOD_US_MAX,
    UNITS_MAX,
    Asked,
    calendar,
    counted,
    gcra_rule,
    gcra_state,
    in_window,
    mixed,
    moment,
    near,
    rate,
    spread,
    started,
    two_counts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.oracle import Oracle

__all__ = ["QUESTIONED", "Question", "gcra_rule", "questions"]

LOG_LIMIT_MAX = 10_000
_EDGES_OF_DIGITS = tuple(128**power + by for power in range(1, 7) for by in (-1, 0, 1))
_POWERS = tuple(2**power for power in range(54))
_JUST_PAST_EXACT = (321, 28_059_810_762_433)  # their product is 2^53 + 1, which a double takes for 2^53


class Question(NamedTuple):
    """What is asked of a function, and what it must return."""

    function: str
    args: tuple[int, ...]
    expected: tuple[int, ...]


@cache
def questions(function: str) -> tuple[Question, ...]:
    """Return the questions to *function*: always the same ones."""
    ask, number = QUESTIONED[function]
    random = Random(function)
    return tuple(Question(function, *ask(random)) for _ in range(number))


def _costs(random: Random, remaining: int, most: int) -> tuple[int, int]:
    cost = random.choice(
        (
            0,
            1,
            1,
            2,
            remaining,
            remaining + 1,
            remaining // 2,
            remaining // 3 + 1,
            most,
            most + 1,
            spread(random, most),
        )
    )
    return min(cost, UNITS_MAX), random.choice((0, 1, 1, 1, 2, 3, 5))


def _acquired(oracle: Oracle, now_us: int, cost: int, count: int) -> tuple[int, int, int, int]:
    answer = oracle.acquire(now_us, cost, count)
    return answer.granted, answer.remaining, answer.retry_after_us, answer.reset_after_us


def _gcra_case(random: Random) -> tuple[Oracle, tuple[int, ...], tuple[int, ...], int, int]:
    limit, period_us = rate(random)
    most = max(1, min(10 * limit, UNITS_MAX, CAPACITY_US_MAX * limit // period_us))
    burst = min(most, random.choice((1, 2, limit, random.randint(1, most))))
    rule, now_us = gcra_rule(limit, period_us, burst), moment(random)
    paid_us, paid_rem, debt_us = gcra_state(random, rule, now_us)
    oracle = gcra(limit, period_us, burst, state=(paid_us + Fraction(paid_rem, rule[3]), debt_us))
    return oracle, (paid_us, paid_rem, debt_us), rule, now_us, burst


def _gcra_kept(oracle: Oracle, per: int) -> tuple[int, int, int]:
    paid, debt_us = oracle.state()  # type: ignore[misc] # it was given a state
    return (*mixed(paid, per), debt_us)


def _ask_gcra_decide(random: Random) -> Asked:
    oracle, state, rule, now_us, burst = _gcra_case(random)
    cost, count = _costs(random, oracle.peek(now_us).remaining, burst)
    answers = _acquired(oracle, now_us, cost, count)
    return (*state, now_us, cost, count, *rule), (*_gcra_kept(oracle, rule[3]), *answers)


def _ask_gcra_refund(random: Random) -> Asked:
    oracle, state, rule, now_us, burst = _gcra_case(random)
    cost = random.choice((1, min(2, burst), burst, random.randint(1, burst)))
    pays_us = rule[1] * cost + rule[2] * cost // rule[3]
    ahead_us = max(0, state[0] - now_us)
    reset_at_us = now_us + near(random, 0, pays_us, ahead_us, random.randint(0, 2 * pays_us + 1), least=-3)
    decided_at_us = random.choice((0, now_us))
    refunded = oracle.refund(now_us, cost, decided_at_us=decided_at_us, reset_at_us=reset_at_us)
    reset_after_us = oracle.reset_after_us(now_us)
    expected = (*_gcra_kept(oracle, rule[3]), refunded, reset_after_us)
    return (*state, now_us, cost, decided_at_us, reset_at_us, *rule), expected


def _kept(oracle: Oracle) -> tuple[int, int, int]:
    """Return a window's state as the twins keep it: three numbers, of which a plain counter uses two."""
    first, second, *third = oracle.state()  # type: ignore[misc] # it was given a state
    return first, second, *(third or (0,))


def _ask_fixed_window_decide(random: Random) -> Asked:
    limit, period_us = rate(random)
    now_us = in_window(random, period_us)
    start_us = now_us - now_us % period_us
    state = (started(random, start_us, start_us - period_us, start_us + period_us), counted(random, limit))
    oracle = fixed_window(limit, period_us, state=state)
    cost, count = _costs(random, oracle.peek(now_us).remaining, limit)
    answers = _acquired(oracle, now_us, cost, count)
    return (*state, now_us, cost, count, limit, period_us), (*_kept(oracle), *answers)


def _ask_fixed_window_refund(random: Random) -> Asked:
    limit, period_us = rate(random)
    now_us = in_window(random, period_us)
    start_us = now_us - now_us % period_us
    state = (started(random, start_us, start_us - period_us, start_us + period_us), counted(random, limit))
    oracle = fixed_window(limit, period_us, state=state)
    cost, decided_at_us = _taken(random, limit, now_us, start_us, start_us + period_us)
    refunded = oracle.refund(now_us, cost, decided_at_us=decided_at_us, reset_at_us=start_us + period_us)
    expected = (*_kept(oracle), refunded, oracle.reset_after_us(now_us))
    return (*state, now_us, cost, decided_at_us, limit, period_us), expected


def _taken(random: Random, limit: int, *edges_us: int) -> tuple[int, int]:
    """Draw what is given back, and when it was taken."""
    cost = random.choice((1, 2, limit, random.randint(1, limit)))
    return cost, near(random, *edges_us, random.randint(min(edges_us), max(edges_us)), least=-(10**15))


def _window_at(edges_us: tuple[int, ...]) -> Callable[[int], tuple[int, int]]:
    def find(at_us: int) -> tuple[int, int]:
        later = [edge_us for edge_us in edges_us if edge_us > at_us]
        earlier = [edge_us for edge_us in edges_us if edge_us <= at_us]
        return (earlier[-1], later[0]) if later else (earlier[-1], EXACT_MAX)

    return find


def _ask_calendar_quota_decide(random: Random) -> Asked:
    limit, edges_us, now_us = calendar(random)
    state = (started(random, *edges_us), counted(random, limit))
    oracle = calendar_quota(limit, _window_at(edges_us), state=state)
    cost, count = _costs(random, oracle.peek(now_us).remaining, limit)
    answers = _acquired(oracle, now_us, cost, count)
    return (*state, now_us, cost, count, limit, *edges_us), (*_kept(oracle), *answers)


def _ask_calendar_quota_refund(random: Random) -> Asked:
    limit, edges_us, now_us = calendar(random)
    state = (started(random, *edges_us), counted(random, limit))
    oracle = calendar_quota(limit, _window_at(edges_us), state=state)
    cost, decided_at_us = _taken(random, limit, now_us, *edges_us)
    refunded = oracle.refund(now_us, cost, decided_at_us=decided_at_us, reset_at_us=edges_us[3])
    expected = (*_kept(oracle), refunded, oracle.reset_after_us(now_us))
    return (*state, now_us, cost, decided_at_us, limit, *edges_us), expected


def _ask_calendar_quota_covers(random: Random) -> Asked:
    _, edges_us, now_us = calendar(random)
    now_us = random.choice((now_us, edges_us[0] - 1, edges_us[0], edges_us[3] - 1, edges_us[3], edges_us[3] + 1))
    return (now_us, edges_us[0], edges_us[3]), (int(now_us in range(edges_us[0], edges_us[3])),)


def _ask_sliding_window_counter_decide(random: Random) -> Asked:
    limit, period_us = rate(random)
    now_us = in_window(random, period_us)
    state = two_counts(random, limit, period_us, now_us)
    oracle = sliding_window_counter(limit, period_us, state=state)
    cost, count = _costs(random, oracle.peek(now_us).remaining, limit)
    answers = _acquired(oracle, now_us, cost, count)
    return (*state, now_us, cost, count, limit, period_us), (*_kept(oracle), *answers)


def _ask_sliding_window_counter_refund(random: Random) -> Asked:
    limit, period_us = rate(random)
    now_us = in_window(random, period_us)
    start_us = now_us - now_us % period_us
    state = two_counts(random, limit, period_us, now_us)
    oracle = sliding_window_counter(limit, period_us, state=state)
    cost, decided_at_us = _taken(random, limit, now_us, start_us - period_us, start_us, start_us + period_us)
    refunded = oracle.refund(now_us, cost, decided_at_us=decided_at_us, reset_at_us=start_us + 2 * period_us)
    expected = (*_kept(oracle), refunded, oracle.reset_after_us(now_us))
    return (*state, now_us, cost, decided_at_us, limit, period_us), expected


def _ask_sliding_window_log_decide(random: Random) -> Asked:
    limit = random.choice((random.randint(1, 7), spread(random, LOG_LIMIT_MAX)))
    used = counted(random, limit)
    cost, count = _costs(random, max(0, limit - used), limit)
    granted = 0
    while granted < count and used + (granted + 1) * cost <= limit:
        granted += 1
    must_leave = 0
    while granted < count and used + granted * cost - must_leave + cost > limit:
        must_leave += 1
    remaining = max(0, limit - used - granted * cost)
    return (used, cost, count, limit), (granted, remaining, -1 if cost > limit and granted < count else must_leave)


def _ask_concurrency_decide(random: Random) -> Asked:
    holders, count, limit = random.randrange(9), random.randrange(9), random.randrange(1, 9)
    granted = len([unit for unit in range(count) if holders + unit < limit])
    return (holders, count, limit), (granted, max(0, limit - holders - granted))


def _fraction(random: Random) -> tuple[int, int, int]:
    """Draw a, b and m with b <= m, of which a and the product of a and b often lie at an edge of exactness."""
    if random.random() < 0.02:
        return *_JUST_PAST_EXACT, random.randint(_JUST_PAST_EXACT[1], PERIOD_US_MAX)
    most = random.choice((9, 10**9, PERIOD_US_MAX))
    m = random.choice((spread(random, most), most, random.randint(1, most)))
    b = min(m, random.choice((0, 1, m, m - 1, spread(random, m), random.choice(_POWERS))))
    a = random.choice((spread(random, PERIOD_US_MAX), random.choice(_EDGES_OF_DIGITS), random.randrange(9)))
    if b > 2**8 and random.random() < 0.5:
        a = near(random, -(-EXACT_MAX // b))
    return min(a, PERIOD_US_MAX), b, m


def _ask_muldiv(random: Random) -> Asked:
    a, b, m = _fraction(random)
    return (a, b, m), divmod(a * b, m)


def _ask_share_of(random: Random) -> Asked:
    whole, part, total = _fraction(random)
    return (whole, part, total), (ceil(Fraction(whole * part, total)),)


def _ask_share_below(random: Random) -> Asked:
    whole, part, total = _fraction(random)
    return (whole, part, total), (floor(Fraction(whole * part, total)),)


def _ask_time_of(random: Random) -> Asked:
    _, interval_us, interval_rem, per, *_ = gcra_rule(*rate(random), 1)
    units = min(random.choice((0, 1, 2, spread(random, UNITS_MAX), UNITS_MAX)), CAPACITY_US_MAX // (interval_us + 1))
    time = units * (interval_us + Fraction(interval_rem, per))
    return (units, interval_us, interval_rem, per), mixed(time, per)


def _ask_units_within(random: Random) -> Asked:
    _, interval_us, interval_rem, per, *_ = gcra_rule(*rate(random), 1)
    interval = interval_us + Fraction(interval_rem, per)
    units = min(random.choice((0, 1, 2, spread(random, UNITS_MAX), UNITS_MAX)), CAPACITY_US_MAX // (interval_us + 1))
    free = max(Fraction(0), units * interval + Fraction(random.choice((-1, 0, 0, 1, random.randrange(per))), per))
    return (*mixed(free, per), interval_us, interval_rem, per), (floor(free / interval),)


# By the Lua twins' names: what draws a question, and how many are drawn.
QUESTIONED: dict[str, tuple[Callable[[Random], Asked], int]] = {
    "exact_muldiv": (_ask_muldiv, 3_000),
    "exact_time_of": (_ask_time_of, 600),
    "exact_units_within": (_ask_units_within, 1_500),
    "exact_share_of": (_ask_share_of, 600),
    "exact_share_below": (_ask_share_below, 600),
    "gcra_decide": (_ask_gcra_decide, 5_000),
    "gcra_refund": (_ask_gcra_refund, 4_000),
    "fixed_window_decide": (_ask_fixed_window_decide, 1_500),
    "fixed_window_refund": (_ask_fixed_window_refund, 1_000),
    "calendar_quota_covers": (_ask_calendar_quota_covers, 200),
    "calendar_quota_decide": (_ask_calendar_quota_decide, 1_500),
    "calendar_quota_refund": (_ask_calendar_quota_refund, 1_500),
    "sliding_window_counter_decide": (_ask_sliding_window_counter_decide, 3_000),
    "sliding_window_counter_refund": (_ask_sliding_window_counter_refund, 2_000),
    "sliding_window_log_decide": (_ask_sliding_window_log_decide, 1_000),
    "concurrency_decide": (_ask_concurrency_decide, 400),
    "carrying_units_of": (ask_units_of, 600),
    "carrying_nearest": (ask_nearest, 600),
    "carrying_gcra_carried": (ask_gcra, 3_000),
    "carrying_fixed_window_carried": (ask_fixed_window, 1_500),
    "carrying_calendar_quota_carried": (ask_calendar_quota, 1_500),
    "carrying_sliding_carried": (ask_sliding, 1_500),
}
