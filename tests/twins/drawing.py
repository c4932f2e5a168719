"""What the questions to the twins draw at random: rates, instants and states, mostly about their edges."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

__all__ = [
    "CAPACITY_US_MAX",
    "EXACT_MAX",
    "PERIOD_US_MAX",
    "UNITS_MAX",
    "Asked",
    "calendar",
    "counted",
    "gcra_rule",
    "gcra_state",
    "in_window",
    "mixed",
    "moment",
    "near",
    "rate",
    "spread",
    "started",
    "two_counts",
]

EXACT_MAX = 2**53
PERIOD_US_MAX = 366 * 86_400_000_000
UNITS_MAX = 10**9
CAPACITY_US_MAX = 2**50
NOW_US_MAX = 4 * 10**15
AWKWARD = (
    (7, 60_000_000),
    (300_000, 1_000_000),
    (700_000, 1_000_000),
    (10**9, 31 * 86_400_000_000),
    (999_999_937, 604_800_000_000),
    (9_973, 7_919_000),
    (3, 10),
    (1, 1),
    (1, PERIOD_US_MAX),
    (UNITS_MAX, 1),
    (999_999_937, PERIOD_US_MAX),
)
Asked = tuple[tuple[int, ...], tuple[int, ...]]  # arguments, what must be returned


def gcra_rule(limit: int, period_us: int, burst: int) -> tuple[int, ...]:
    """Return a rate as gcra's whole numbers, reckoned with fractions."""
    interval = Fraction(period_us, limit)
    per = interval.denominator
    return (burst, *mixed(interval, per), per, *mixed(burst * interval, per))


def mixed(value: Fraction, per: int) -> tuple[int, int]:
    """Return a value as whole and a numerator over *per*."""
    whole = floor(value)
    return whole, int((value - whole) * per)


def near(random: Random, *edges: int, least: int = 0) -> int:
    """Draw one of *edges*, or a neighbour."""
    return max(least, random.choice(edges) + random.choice((-1, 0, 0, 0, 1)))


def moment(random: Random) -> int:
    """Draw an instant: soon after the epoch, or in our time."""
    return random.choice((random.randrange(200), random.randrange(10**9), random.randrange(10**15, NOW_US_MAX)))


def spread(random: Random, most: int) -> int:
    """Draw a number of any magnitude."""
    return min(most, round(most ** random.random()))


def rate(random: Random) -> tuple[int, int]:
    """Draw a limit and a period: tiny, so that all edges meet; awkward; or anything."""
    chance = random.random()
    if chance < 0.55:
        return random.randint(1, 7), random.randint(1, 40)
    if chance < 0.75:
        return random.choice(AWKWARD)
    return spread(random, UNITS_MAX), spread(random, PERIOD_US_MAX)


def gcra_state(random: Random, rule: tuple[int, ...], now_us: int) -> tuple[int, int, int]:
    """Draw a time that is paid for, about the edges of a rule."""
    _, _, _, per, capacity_us, capacity_rem = rule
    full_us = now_us + capacity_us
    debt_us = random.choice((0, 0, 0, 1, random.randint(0, 2 * capacity_us + 2), near(random, capacity_us)))
    between_us = random.randint(max(0, now_us - capacity_us), full_us + capacity_us)
    paid_us = near(random, now_us, full_us, full_us + debt_us, full_us + capacity_us, between_us)
    paid_us = random.choice((paid_us, paid_us, between_us, between_us, 0, EXACT_MAX - 1))
    rem = random.choice((0, 1, per - 1, capacity_rem, capacity_rem - 1, capacity_rem + 1, random.randrange(per)))
    return paid_us, rem % per, debt_us


def counted(random: Random, limit: int) -> int:
    """Draw how many were counted, about a limit."""
    return near(random, 0, 0, limit, 2 * limit, random.randint(0, limit), random.randint(0, 3 * limit))


def started(random: Random, *edges_us: int) -> int:
    """Draw when a window began."""
    return random.choice((0, *edges_us, *edges_us)) + random.choice((-1, 0, 0, 0, 1))


def in_window(random: Random, period_us: int) -> int:
    """Draw an instant, often at the edge of a window."""
    now_us = moment(random)
    if random.random() < 0.5:
        now_us = now_us - now_us % period_us + random.choice((0, 0, 1, period_us // 2, period_us - 1))
    return now_us


def calendar(random: Random) -> tuple[int, tuple[int, int, int, int], int]:
    """Draw a limit, three neighbouring windows and an instant in one of them."""
    limit, _ = rate(random)
    edges_us = [random.choice((0, -5, moment(random)))]
    for _ in range(3):
        edges_us.append(edges_us[-1] + random.choice((1, 2, 10, spread(random, PERIOD_US_MAX))))
    near_us = random.choice((*edges_us, *edges_us, random.randint(edges_us[0], edges_us[3])))
    now_us = near_us + random.choice((-1, 0, 1))
    return limit, (edges_us[0], edges_us[1], edges_us[2], edges_us[3]), min(max(now_us, edges_us[0]), edges_us[3] - 1)


def two_counts(random: Random, limit: int, period_us: int, now_us: int) -> tuple[int, int, int]:
    """Draw the counts of two windows."""
    start_us = now_us - now_us % period_us
    edges_us = (start_us, start_us - period_us, start_us - 2 * period_us, start_us + period_us)
    return started(random, *edges_us), counted(random, limit), counted(random, limit)
