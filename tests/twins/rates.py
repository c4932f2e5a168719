"""Limits as awkward as users could write them, at one scale so that their edges meet."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.rate import CAPACITY_US_MAX, LIMIT_MAX, Rate
from tests.oracle import Kept, calendar_quota, fixed_window, gcra, sliding_window_counter, sliding_window_log

from .calendars import window_at

if TYPE_CHECKING:
    from random import Random

__all__ = ["WALKED", "kept_for", "random_limits"]

DAY_US = 86_400_000_000
MONTH_US = 31 * DAY_US

# What is walked: the names of the algorithms, gcra twice.
WALKED = (
    "gcra_whole",
    "gcra_fractional",
    "fixed_window",
    "sliding_window_counter",
    "sliding_window_log",
    "calendar_quota",
)
_ORACLES = {
    "fixed_window": fixed_window,
    "sliding_window_counter": sliding_window_counter,
    "sliding_window_log": sliding_window_log,
}
_AWKWARD = (
    (7, 60_000_000),
    (300_000, 1_000_000),
    (700_000, 1_000_000),
    (1_000_000_000, MONTH_US),
    (1_000_000, DAY_US),
    (999_999_937, 604_800_000_000),
    (9_973, 7_919_000),
    (3, 10),
    (1, 1),
    (1, MONTH_US),
    (1_000_003, 1_000_000),
)
_LOG_LIMIT_MAX = 10_000
_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")


def random_limits(random: Random, walked: str, world: int) -> list[Limit]:
    """Make the limits of one world: two plain ones, one of several rates, one that is a shadow."""
    if walked == "calendar_quota":
        return _calendar_limits(random, world)
    algorithm = walked.partition("_")[0] if walked.startswith("gcra") else walked
    if algorithm == "gcra":
        algorithm = random.choice(("gcra", "token_bucket", "leaky_bucket"))
    scale_us = _scale_us(random)

    def rates(number: int) -> list[Rate]:
        return [_rate(random, walked, scale_us) for _ in range(number)]

    return [
        Limit(f"one{world}", rates(1), algorithm=algorithm),
        Limit(f"other{world}", rates(1), algorithm=algorithm),
        Limit(f"several{world}", rates(random.choice((2, 2, 3, 8))), algorithm=algorithm),
        Limit(f"shadow{world}", rates(random.choice((1, 2))), algorithm=algorithm, shadow=True),
    ]


def kept_for(limit: Limit) -> Kept:
    """Return the oracle of one key under *limit*."""
    if limit.algorithm == "calendar_quota":
        rates = tuple(calendar_quota(most, window_at(period)) for most, period in limit.plan.calendar)
    elif limit.plan.algorithm.takes_burst:
        rates = tuple(gcra(rate.limit, rate.period_us, rate.burst) for rate in limit.rates)
    else:
        rates = tuple(_ORACLES[limit.algorithm](rate.limit, rate.period_us) for rate in limit.rates)
    return Kept(rates, limit.shadow)


def _scale_us(random: Random) -> int:
    if random.random() < 0.5:
        return random.choice(_AWKWARD)[1]
    return round(10 ** random.uniform(1, 12.4))


def _rate(random: Random, walked: str, scale_us: int) -> Rate:
    limit, period_us = random.choice(_AWKWARD)
    if random.random() < 0.7 or not scale_us / 100 <= period_us <= scale_us * 100:
        period_us = min(MONTH_US, max(1, round(scale_us * 10 ** random.uniform(-1, 1))))
        limit = round(10 ** random.choice((random.uniform(0, 1.5), random.uniform(0, 9))))
    if random.random() < 0.3:
        period_us = max(1, period_us // 1_000_000) * 1_000_000  # whole seconds have a shorter form of state
    if walked == "sliding_window_log":
        limit = min(limit, random.choice((20, 300, _LOG_LIMIT_MAX)))
    if walked == "gcra_whole":
        limit = min(limit, period_us)
        period_us -= period_us % limit
    if walked == "gcra_fractional" and period_us % limit == 0:
        limit, period_us = limit + 1, max(3, period_us)
        limit += 1 if period_us % limit == 0 else 0
    limit = min(limit, LIMIT_MAX)
    burst = None
    if walked.startswith("gcra") and random.random() < 0.5:
        most = min(LIMIT_MAX, 10 * limit, CAPACITY_US_MAX * limit // period_us)
        burst = min(most, random.choice((1, 2, random.randint(1, most))))
    return Rate(limit, Fraction(period_us, 1_000_000), "second", burst)


def _calendar_limits(random: Random, world: int) -> list[Limit]:
    zone = random.choice(_ZONES)
    anchor = random.choice((None, None, "2024-01-31", "2015-02-28T06:30", "2090-05-01"))

    def rates(number: int) -> list[Rate]:
        made = []
        for _ in range(number):
            unit = random.choice(("day", "day", "week", "month", "year"))
            limit = round(10 ** random.choice((random.uniform(0, 1.5), random.uniform(0, 9))))
            count = random.choice((1, 1, 1, 2, 3, 100 if unit == "year" else 7))
            made.append(Rate(min(limit, LIMIT_MAX), Fraction(count), unit))
        return made

    def limit(name: str, number: int, *, shadow: bool = False) -> Limit:
        return Limit(
            f"{name}{world}", rates(number), algorithm="calendar_quota", time_zone=zone, anchor=anchor, shadow=shadow
        )

    return [limit("one", 1), limit("other", 1), limit("several", 2), limit("shadow", 1, shadow=True)]
