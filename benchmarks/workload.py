"""What every contender is asked to decide: the same keys, in the same order, under the same limit."""

from __future__ import annotations

import gc
import random
from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LIMIT_PER_HOUR", "RATE", "keys_named", "next_key_of"]

LIMIT_PER_HOUR = 10_000  # nobody reaches it, so that all is admitted; a unit is a whole number of microseconds
RATE = f"{LIMIT_PER_HOUR}/hour"
DRAWS_PER_KEY = 20  # keys drawn before the order repeats
DRAWS_MAX = 1_000_000
SEED = 20


def keys_named(count: int) -> list[str]:
    """Return *count* keys of 20 bytes."""
    return [f"user:{number:015d}" for number in range(count)]


def next_key_of(count: int) -> Callable[[], str]:
    """Return what gives one of *count* keys at each call: drawn uniformly, from the same seed for everybody.

    From a million keys on each key comes once before any comes again.
    """
    chance = random.Random(SEED)
    keys = keys_named(count)
    if count >= DRAWS_MAX:
        chance.shuffle(keys)
        drawn = keys
    else:
        drawn = chance.choices(keys, k=min(DRAWS_MAX, count * DRAWS_PER_KEY))
    # The load's own data must not be walked by the collector while a contender is on the clock.
    gc.collect()
    gc.freeze()
    return cycle(drawn).__next__
