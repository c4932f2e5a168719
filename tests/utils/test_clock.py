"""The machine's clocks, read as whole microseconds."""

from __future__ import annotations

import time
from itertools import pairwise

from sluicegate.utils import SystemClock


def test_now_is_the_machines_wall_clock() -> None:
    """It lies between two readings of the wall clock, in whole microseconds."""
    before_us = time.time_ns() // 1000
    now_us = SystemClock().now_us()
    assert type(now_us) is int
    assert before_us <= now_us <= time.time_ns() // 1000


def test_monotonic_time_is_the_machines() -> None:
    """It lies between two readings of the monotonic clock, in whole microseconds."""
    before_us = time.monotonic_ns() // 1000
    now_us = SystemClock().monotonic_us()
    assert type(now_us) is int
    assert before_us <= now_us <= time.monotonic_ns() // 1000


def test_monotonic_time_never_steps_back() -> None:
    """Of many readings none is before the one that preceded it."""
    clock = SystemClock()
    readings = [clock.monotonic_us() for _ in range(10_000)]
    assert all(before <= after for before, after in pairwise(readings))
