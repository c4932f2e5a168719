"""What every contender is asked to decide: the same keys, in the same order, under the same limit."""

from __future__ import annotations

import gc
import random
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ZIPF_EXPONENT", "Wish", "drawn_keys", "keys_named", "next_key_of"]

ZIPF_EXPONENT = 1.1
DRAWS_PER_KEY = 20  # keys drawn before the order repeats
DRAWS_MIN, DRAWS_MAX = 100_000, 1_000_000
SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a contender is to decide by, and how.

    Nobody reaches the limit by default, not even on the hottest key of a Zipf distribution, so that all
    is admitted; a unit is a whole number of microseconds, and what is written for a key outlives a round.

    Attributes:
        per_hour: Units that flow back in an hour.
        burst: Units at once. Who counts in windows, and knows no burst, counts to this in an hour.
        algorithm: Which of Sluicegate's algorithms; ``gcra-fraction`` and ``acquire_all`` beside their names.
        mode: ``strict``, ``leased``, ``uncached`` (no deny cache) or ``cached`` (a long one).
        denials: Whether a denial is what should come of it.
        verdict: Whether no more is read of an answer than whether the request may pass.
        keys_max: Keys that Sluicegate's memory store is to remember.
        cap: The most keys of a call of the bare micro-batch loop; 0 for no cap and one call in flight.
    """

    per_hour: int = 100
    burst: int = 1_000_000
    algorithm: str = "gcra"
    mode: str = "strict"
    denials: bool = False
    verdict: bool = False
    keys_max: int = 100_000
    cap: int = 0

    @property
    def interval_us(self) -> int:
        """The time in which a unit flows back."""
        return 3_600_000_000 // self.per_hour


def keys_named(count: int) -> list[str]:
    """Return *count* keys of 20 bytes."""
    return [f"user:{number:015d}" for number in range(count)]


def drawn_keys(count: int, spread: str = "uniform") -> list[str]:
    """Return keys in the order in which they will be asked for, from the same seed for everybody.

    Args:
        count: How many keys there are.
        spread: ``uniform``, or ``zipf``: the key of rank r comes in proportion to r to the power of -1.1. From
            a million uniform keys on each key comes once before any comes again.
    """
    chance = random.Random(SEED)
    keys = keys_named(count)
    chance.shuffle(keys)
    draws = min(DRAWS_MAX, max(DRAWS_MIN, count * DRAWS_PER_KEY))
    if spread == "zipf":
        weights = list(accumulate(rank**-ZIPF_EXPONENT for rank in range(1, count + 1)))
        return chance.choices(keys, cum_weights=weights, k=draws)
    return keys if count >= DRAWS_MAX else chance.choices(keys, k=draws)


def next_key_of(count: int, spread: str = "uniform") -> Callable[[], str]:
    """Return what gives one of *count* keys at each call, in the order of `drawn_keys`."""
    drawn = drawn_keys(count, spread)
    # The load's own data must not be walked by the collector while a contender is on the clock.
    gc.collect()
    gc.freeze()
    return cycle(drawn).__next__
