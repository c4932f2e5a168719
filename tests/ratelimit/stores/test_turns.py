"""Turns in the memory store: one thread decides at a time in a shard, and time goes on from one to the next."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from sluicegate import BlockingLimiter, InvalidInputError, Limit
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.testing import ManualClock

START = 1_700_006_400.0
HOUR = Limit("hour", "3600/hour")
WINDOW = Limit("window", "5/minute", algorithm="fixed_window")
LOG = Limit("log", "5/minute", algorithm="sliding_window_log")


class Watch:
    """A clock that tells whether nobody else could decide while it was read."""

    def __init__(self) -> None:
        self.turns: list[list[None]] = []
        self.alone: list[bool] = []

    def now_us(self) -> int:
        """Return a time later than the last."""
        self.alone.append([] in self.turns)
        return 1_700_006_400_000_000 + len(self.alone)

    def monotonic_us(self) -> int:
        """Return the same."""
        return self.now_us()


@pytest.mark.parametrize("shards", [0, -1, 3, 12, 32, 2.0, True, "4"])
def test_a_number_of_shards_that_is_none_is_refused(shards: Any) -> None:
    """It is a power of two, and each of them has room for a key."""
    with pytest.raises(InvalidInputError, match=r"shards: found .*; accepted: a power of two, not above keys_max"):
        MemoryStore(ManualClock(), keys_max=16, shards=shards)


@pytest.mark.parametrize(
    ("together", "keys_max", "shards"), [(True, 16_000, 16), (True, 15_999, 1), (False, 16_000, 1)]
)
def test_threads_that_run_together_get_shards_of_their_own(
    together: bool, keys_max: int, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the interpreter lets one thread run at a time there is one shard, and where keys are few."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: not together, raising=False)
    assert len(MemoryStore(ManualClock(), keys_max=keys_max).shards) == shards


def test_who_finds_the_turn_taken_waits_for_it() -> None:
    """A decision is made when the turn is put back, and not before; so it is when a fork forgets who had it."""
    store = MemoryStore(ManualClock(START))
    shard, decided = store.shards[0], threading.Event()

    def decide() -> None:
        store.acquire_one(HOUR, "key", 1)
        decided.set()

    for give_back in (lambda: shard.turn.append(None), store.after_fork):
        del shard.turn[0]
        decided.clear()
        thread = threading.Thread(target=decide, daemon=True)
        thread.start()
        assert not decided.wait(0.05)
        give_back()
        assert decided.wait(10)
        thread.join(10)
    decision = store.acquire_one(HOUR, "key", 1)
    assert decision is not None
    assert decision.remaining == 3_600 - 3
    assert shard.turn == [None]


@pytest.mark.parametrize("shards", [1, 16])
def test_the_clock_is_read_by_who_has_the_turn(shards: int) -> None:
    """Time goes on from one decision to the next, whichever verb; an older one would find units ahead of it."""
    clock = Watch()
    store = MemoryStore(clock, shards=shards)
    clock.turns = [shard.turn for shard in store.shards]
    limiter, several = BlockingLimiter(clock=clock, store=store), Limit("several", "9/s; 90/hour")
    clock.alone.clear()
    for limit in (HOUR, HOUR, WINDOW, LOG, several):
        limiter.refund(limiter.acquire(limit, "key"))
        limiter.peek(limit, "key")
    limiter.acquire_all([(HOUR, "key"), (WINDOW, "other")])
    limiter.reset(HOUR, "key")
    assert len(clock.alone) == 5 * 3 + 2
    assert all(clock.alone)
