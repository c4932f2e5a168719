"""No limiter at all: a dict of as many keys as Sluicegate remembers, which forgets the oldest for the newest.

What a flood of keys costs it is what the machine's memory costs, whatever is kept for a key.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from benchmarks.contenders.target import Target, given

if TYPE_CHECKING:
    from benchmarks.workload import Wish

KEYS_MAX = 100_000


def open_memory(_wish: Wish) -> Target:
    """Return what writes down the time of each key."""
    times: dict[str, tuple[int, int, int]] = {}
    order: deque[str] = deque()

    def note(key: str) -> int:
        now_us = time.time_ns() // 1000
        if key not in times:
            if len(times) >= KEYS_MAX:
                del times[order.popleft()]
            order.append(key)
        times[key] = (now_us, 0, 0)
        return now_us

    return Target(decide=note, read=given, keys=lambda: len(times))
