"""Finds out how many requests one script call should carry: what a decision costs the server in batches of each size.

The server's own account of the time inside EVALSHA, the least of some rounds in which the sizes take turns. The
requests are written as the store writes them: plain `gcra`, distinct keys that have a state.
"""

from __future__ import annotations

from typing import Any

import redis
from benchmarks.contenders.sluicegate import limit_of
from benchmarks.workload import Wish, keys_named

from sluicegate.database import Keyspace
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.redis import decide_script
from sluicegate.ratelimit.stores.store import ACQUIRE, Request
from sluicegate.ratelimit.stores.wire import Encoder

__all__ = ["SIZES", "batch_costs"]

SIZES = (1, 4, 16, 32, 64, 128, 256)
ROUNDS = 9
DECISIONS = 2_048  # a round of one size


def batch_costs(port: int) -> dict[str, float]:
    """Return the microseconds of script time for one decision, by the number of requests in a call."""
    limit = limit_of(Wish())
    with redis.Redis(port=port) as server:
        sha1: Any = server.script_load(decide_script().source)
        calls = {size: _call(limit, size) for size in SIZES}
        least = dict.fromkeys(SIZES, float("inf"))
        for _ in range(ROUNDS):
            for size, (keys, args) in calls.items():
                server.config_resetstat()
                for _ in range(DECISIONS // size):
                    server.evalsha(sha1, len(keys), *keys, *args)
                stats: Any = server.info("commandstats")
                spent_us = stats["cmdstat_evalsha"]["usec"]
                least[size] = min(least[size], spent_us / (DECISIONS // size * size))
    return {str(size): round(us, 3) for size, us in least.items()}


def _call(limit: Any, size: int) -> tuple[list[str], list[Any]]:
    encoder = Encoder(Keyspace("sg"), CalendarRules(), 0)
    args = encoder.encode([Request(ACQUIRE, ((limit, key, 1),)) for key in keys_named(size)])
    return encoder.keys, args
