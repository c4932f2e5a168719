"""A process that forks with leases in hand: started by a test, and printing what it and its children were granted."""

from __future__ import annotations

import json
import sys
from typing import Any

from sluicegate import BlockingLimiter, Limit, NullLogger
from tests.processes.test_fork import in_child

KEY = "key"
DEADLINE_S = 5.0
LIMIT = Limit("forked", "3000/day", algorithm="fixed_window", mode="leased", lease_seconds=60)


def spend(limiter: BlockingLimiter, times: int) -> dict[str, Any]:
    """Acquire so often; return how many were granted, and by what the first was decided."""
    decisions = [limiter.acquire(LIMIT, KEY) for _ in range(times)]
    assert not any(decision.degraded for decision in decisions)
    names = [f"{decision.decided_at_us}-{decision.serial}" for decision in decisions if decision.allowed]
    return {"first": decisions[0].source, "granted": len(names), "names": names}


def main(url: str) -> dict[str, Any]:
    """Fork twice with units in hand, and spend what is left together."""
    with BlockingLimiter.connect(url, deadline=DEADLINE_S, logger=NullLogger()) as limiter:
        before = spend(limiter, 300)

        def child() -> dict[str, Any]:
            keys = limiter._engine.leases.keys
            told = {"keys": keys, **spend(limiter, 400)}
            limiter.close()  # which gives back what it holds
            return told

        children = [in_child(child), in_child(child)]
        return {"before": before, "children": children, "after": spend(limiter, 4_000)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
