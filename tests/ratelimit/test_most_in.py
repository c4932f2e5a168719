"""What any interval can admit: never exceeded by any schedule, and reached where that is possible."""

from __future__ import annotations

import math
from bisect import bisect_left
from random import Random

import pytest

from sluicegate import InvalidInputError, Limit
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.store import ACQUIRE, Request
from sluicegate.testing import ManualClock

START = 1_700_006_400.0  # a midnight in UTC
REQUESTS = 700

LIMITS = {
    "gcra": Limit("most", "7/minute"),
    "gcra_burst": Limit("most", "7/minute burst 3"),
    "gcra_large_burst": Limit("most", "7/minute burst 20"),
    "token_bucket": Limit("most", "11/s burst 5", algorithm="token_bucket"),
    "token_bucket_fast": Limit("most", "700000/s burst 90", algorithm="token_bucket"),
    "leaky_bucket": Limit("most", "3/10s", algorithm="leaky_bucket"),
    "several": Limit("most", "4/minute; 9/hour"),
    "fixed_window": Limit("most", "7/minute", algorithm="fixed_window"),
    "fixed_several": Limit("most", "4/minute; 9/hour", algorithm="fixed_window"),
    "sliding_window_counter": Limit("most", "7/minute", algorithm="sliding_window_counter"),
    "sliding_window_log": Limit("most", "7/minute", algorithm="sliding_window_log"),
    "log_several": Limit("most", "4/minute; 9/hour", algorithm="sliding_window_log"),
    "calendar_quota": Limit("most", "7/day", algorithm="calendar_quota", time_zone="Europe/Berlin"),
    "calendar_month": Limit("most", "7/month", algorithm="calendar_quota", anchor="2024-01-31"),
}
REACHED = ("gcra", "gcra_burst", "gcra_large_burst", "token_bucket", "leaky_bucket", "fixed_window")


class Ledger:
    """A real store on a clock moved by hand, and all that it admitted."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.clock = ManualClock(START)
        self._store = MemoryStore(self.clock)
        self.times_us: list[int] = []
        self._totals = [0]

    def acquire(self, cost: int) -> int:
        """Ask for *cost* units; return the wait that a denial names, 0 for a grant."""
        reply = self._store.ask_now(Request(ACQUIRE, ((self.limit, "key", cost),)))
        assert reply is not None
        granted, _, retry_after_us, _ = reply.answers
        if granted:
            self.times_us.append(reply.now_us)
            self._totals.append(self._totals[-1] + cost)
        return retry_after_us

    def take_all(self) -> int:
        """Take what there is, unit by unit; return the wait for one more."""
        while (wait_us := self.acquire(1)) == 0:
            pass
        return wait_us

    def most_in(self, span_us: int) -> int:
        """Return the most that was admitted in any interval of this length, its end left out."""
        ends = [bisect_left(self.times_us, begin_us + span_us) for begin_us in self.times_us]
        return max(self._totals[end] - self._totals[at] for at, end in enumerate(ends))


def walk(ledger: Ledger, draw: Random) -> None:
    """Ask at random, often at the very edge of what is allowed, as greedily as one can be."""
    period_us = ledger.limit.rates[0].period_us
    capacity = ledger.limit.plan.capacity
    for _ in range(REQUESTS):
        chance = draw.random()
        if chance < 0.5:
            cost = draw.choice((1, 1, 2, draw.randint(1, capacity), capacity))
            wait_us = ledger.acquire(cost)
            if wait_us > 0 and draw.random() < 0.7:
                ledger.clock.advance_us(wait_us - draw.choice((0, 0, 0, 1)))
                ledger.acquire(cost)
        elif chance < 0.6:
            ledger.take_all()
        elif chance < 0.8:
            ledger.clock.advance_us(round(period_us * 10 ** draw.uniform(-4, 0.3)))
        else:  # to a microsecond beside the next edge of a window
            left_us = period_us - ledger.clock.now_us() % period_us
            ledger.clock.advance_us(max(0, left_us + draw.choice((-1, 0, 1))))


def spans_us(limit: Limit, draw: Random) -> list[int]:
    """Return lengths around those at which something changes, and some between."""
    periods = [rate.period_us for rate in limit.rates]
    edges = [period_us * times + by for period_us in periods for times in (1, 2, 3) for by in (-1, 0, 1)]
    units = [period_us * units // limit.rates[0].limit for period_us in periods for units in (1, 2, 5)]
    between = [round(periods[0] * 10 ** draw.uniform(-3, 1)) for _ in range(20)]
    return [span_us for span_us in (1, 2, *edges, *units, *between) if span_us > 0]


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("seed", range(2))
def test_no_interval_admits_more(kind: str, seed: int) -> None:
    """Over a random greedy schedule of a real store no interval of any length holds more than is told."""
    limit, draw = LIMITS[kind], Random(f"{kind}-{seed}")
    ledger = Ledger(limit)
    walk(ledger, draw)
    assert len(ledger.times_us) > REQUESTS / 10
    for span_us in spans_us(limit, draw):
        assert ledger.most_in(span_us) <= limit.most_in(span_us / 1_000_000), f"{span_us} us"


@pytest.mark.parametrize("kind", REACHED)
@pytest.mark.parametrize("periods", [0.001, 0.5, 0.999, 1.0, 1.7, 3.0])
def test_the_most_is_reached(kind: str, periods: float) -> None:
    """Somebody who takes all there is, as soon as there is, just before a window ends, gets that much."""
    limit = LIMITS[kind]
    period_us = limit.rates[0].period_us
    span_us = max(1, round(period_us * periods))
    ledger = Ledger(limit)
    ledger.clock.advance_us(period_us - 1 - ledger.clock.now_us() % period_us)
    begin_us = ledger.clock.now_us()
    while (wait_us := ledger.take_all()) and ledger.clock.now_us() + wait_us < begin_us + span_us:
        ledger.clock.advance_us(wait_us)
    assert ledger.most_in(span_us) == limit.most_in(span_us / 1_000_000)


def test_the_most_of_a_log_is_reached() -> None:
    """It admits its limit at one instant, and as much again when all of that has left the window."""
    limit = LIMITS["sliding_window_log"]
    ledger = Ledger(limit)
    ledger.clock.advance_us(ledger.take_all())
    ledger.take_all()
    assert ledger.most_in(60_000_000) == limit.most_in(60) == 7
    assert ledger.most_in(60_000_001) == limit.most_in(60.000001) == 14


def test_the_most_of_a_quota_is_reached() -> None:
    """A day's quota just before its zone's midnight, and the next day's just after it."""
    limit = LIMITS["calendar_quota"]
    ledger = Ledger(limit)
    ledger.clock.advance_us(23 * 3_600_000_000 - 1)  # Berlin is an hour ahead
    ledger.clock.advance_us(ledger.take_all())
    ledger.take_all()
    assert ledger.most_in(1_000_000) == limit.most_in(1) == 14


def test_a_hundred_a_minute_is_199_in_the_first_minute() -> None:
    """Without a burst as much flows back as is there at once, save the unit of the minute's end."""
    limit = Limit("api", "100/minute")
    assert limit.most_in(60) == 199
    ledger = Ledger(limit)
    while ledger.clock.now_us() < (START + 60) * 1_000_000:
        ledger.clock.advance_us(ledger.take_all())
    assert ledger.most_in(60_000_000) == 199


@pytest.mark.parametrize(
    ("limit", "seconds", "most"),
    [
        (Limit("m", "100/minute burst 20"), 60, 119),
        (Limit("m", "100/minute burst 1"), 60, 100),
        (Limit("m", "100/minute"), 0.6, 100),
        (Limit("m", "100/minute"), 0.600001, 101),
        (Limit("m", "100/minute; 1000/day"), 86_400, 1999),
        (Limit("m", "5/minute", algorithm="fixed_window"), 0.000001, 5),
        (Limit("m", "5/minute", algorithm="fixed_window"), 0.000002, 10),
        (Limit("m", "5/minute", algorithm="fixed_window"), 60.000001, 10),
        (Limit("m", "5/minute", algorithm="fixed_window"), 60.000002, 15),
        (Limit("m", "5/minute", algorithm="sliding_window_log"), 60, 5),
        (Limit("m", "5/minute", algorithm="sliding_window_log"), 60.000001, 10),
        (Limit("m", "5/day", algorithm="calendar_quota"), 3600, 10),
        (Limit("m", "5", algorithm="concurrency"), 3600, 5),
    ],
    ids=str,
)
def test_the_most_is_a_number_that_can_be_told_beforehand(limit: Limit, seconds: float, most: int) -> None:
    """By hand: the capacity and what flows back, or the limit for each window that is touched."""
    assert limit.most_in(seconds) == most


@pytest.mark.parametrize("seconds", [0, -1, 1e-7, math.nan, math.inf, 1e10, "60", None, True])
def test_an_interval_that_is_none_is_refused(seconds: float) -> None:
    """By name, as everything is."""
    with pytest.raises(InvalidInputError, match="seconds: found"):
        Limit("api", "5/s").most_in(seconds)
