"""How many may hold a unit at once; each holder's claim expires by the store's clock.

The store keeps the holders; this decides. When a unit will be free again nobody can know.

Source: Stripe, "Scaling your API with rate limiters" (2017), "Concurrent requests limiter".
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CONCURRENCY_LIMIT_MAX", "Rule", "decide"]

CONCURRENCY_LIMIT_MAX = 100_000  # after a step of the clock each holder's expiry is written anew


class Rule(NamedTuple):
    """A number of holders, each for a time unless renewed."""

    limit: int
    hold_us: int


def decide(holders: int, count: int, limit: int) -> tuple[int, int]:
    """Grant up to *count* units beside the *holders* there are; return how many, and what remains."""
    remaining = max(0, limit - holders)
    granted = min(count, remaining)
    return granted, remaining - granted
