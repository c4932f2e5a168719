"""The memory store's bounds: never more keys than allowed, the right ones forgotten, no decision that looks at all."""

from __future__ import annotations

import sys
import time
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import InvalidInputError, Limit, StoreOverloadedError
from sluicegate.ratelimit.stores.memory import KEYS_MAX, MemoryStore
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, RELEASE, RENEW, RESET, TAKE, Request
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluicegate import Decision

START = 1_700_006_400.0
HOUR = Limit("hour", "3600/hour")  # a unit is a second of state
WINDOW = Limit("window", "5/minute", algorithm="fixed_window")
LOG = Limit("log", "5/minute", algorithm="sliding_window_log")
HELD = Limit("held", "5", algorithm="concurrency", hold_seconds=60)
BOUNDS = (1, 2, 3, 10, 1_000, 15_999, 16_000, 20_000)


class Store:
    """A memory store on a clock moved by hand, asked in short."""

    def __init__(self, keys_max: int = KEYS_MAX, shards: int | None = None) -> None:
        self.clock = ManualClock(START)
        self.memory = MemoryStore(self.clock, keys_max=keys_max, shards=shards)

    def take(self, key: str, cost: int = 1, limit: Limit = HOUR) -> bool:
        """Take units, by the shortest path there is."""
        decision = self.memory.acquire_one(limit, key, cost)
        assert decision is not None
        return decision.allowed

    def hold(self, key: str, verb: int = TAKE) -> tuple[int, ...]:
        """Take a unit for a holder of that key, or give it back."""
        return self.ask(Request(verb, ((HELD, key, 1),), "holder"))

    def taken(self, key: str, limit: Limit = HOUR) -> int:
        """Return how many units of *key* are taken."""
        remaining = self.ask(Request(PEEK, ((limit, key, 1),)))[1]
        return limit.plan.capacity - remaining

    def ask(self, request: Request) -> tuple[int, ...]:
        """Return the answers."""
        reply = self.memory.ask_now(request)
        assert reply is not None
        return tuple(reply.answers)


@pytest.mark.parametrize(("keys_max", "shards"), [*((bound, None) for bound in BOUNDS), (16_000, 16), (16_001, 16)])
def test_there_are_never_more_keys_than_allowed(keys_max: int, shards: int | None) -> None:
    """While half as many again come, none of which ever expires, the bound holds after each of them."""
    store = Store(keys_max, shards)
    most = 0
    for number in range(keys_max + keys_max // 2 + 5):
        assert store.take(f"key{number}")
        most = max(most, store.memory.keys if keys_max < 100 or number % 97 == 0 else 0)
    assert most <= keys_max
    assert store.memory.keys >= keys_max * 0.9  # the bound is used: shards fill a little unevenly
    assert store.memory.lost == keys_max + keys_max // 2 + 5 - store.memory.keys


def test_by_default_a_hundred_thousand_keys_are_remembered() -> None:
    """The bound that nobody set is 100,000."""
    store = Store()
    for number in range(110_000):
        store.take(f"key{number}")
    assert 99_000 <= store.memory.keys <= 100_000 == KEYS_MAX
    assert store.memory.lost == 110_000 - store.memory.keys


@pytest.mark.parametrize("keys_max", [0, -1, 1.5, True, "5", None])
def test_a_bound_that_is_none_is_refused(keys_max: Any) -> None:
    """It is a whole number from 1."""
    with pytest.raises(InvalidInputError, match=r"keys_max: found .*; accepted: a whole number from 1"):
        MemoryStore(ManualClock(), keys_max=keys_max)


@pytest.mark.parametrize("limit", [HOUR, WINDOW, LOG], ids=str)
def test_every_kind_of_state_counts(limit: Limit) -> None:
    """A key of any algorithm takes one place, and so does what remembers a refund."""
    store = Store(3)
    for number in range(9):
        assert store.ask(Request(ACQUIRE, ((limit, f"key{number}", 1),)))[0] == 1
        assert store.memory.keys <= 3


def test_what_is_nearest_to_no_state_is_forgotten_first() -> None:
    """Of keys that will be free again at different times the soonest goes, whenever it came."""
    store, draw = Store(100), Random(1)
    costs = {f"key{number}": 1 + number for number in range(100)}  # so many seconds until nothing is left
    for key in draw.sample(sorted(costs), 100):
        store.take(key, costs[key])
    for number in range(40):
        store.take(f"new{number}", 3_000)
    assert [key for key in costs if store.taken(key) == 0] == [f"key{number}" for number in range(40)]
    assert store.memory.lost == 40


def test_a_key_that_took_more_since_is_not_forgotten_first() -> None:
    """What counts is what a key's state is now, not what it was when the key came."""
    store = Store(10)
    for number in range(10):
        store.take(f"key{number}", 1 + number)
    store.take("key0", 1_000)
    store.take("new", 2_000)
    assert (store.taken("key0"), store.taken("key1"), store.taken("key2")) == (1_001, 0, 3)


def test_what_expired_goes_first_and_is_no_loss() -> None:
    """Keys whose state is over make room without being counted."""
    store = Store(100)
    for number in range(50):
        store.take(f"short{number}", 10)
        store.take(f"long{number}", 3_000)
    store.clock.advance(11)
    for number in range(50):
        store.take(f"new{number}", 500)
    assert (store.memory.keys, store.memory.lost) == (100, 0)
    assert all(store.taken(f"long{number}") for number in range(50))
    store.take("one more", 3_000)
    assert (store.memory.keys, store.memory.lost) == (100, 1)


def test_expired_keys_are_forgotten_before_there_is_want_of_room() -> None:
    """A store that is never full does not keep for ever what nobody asks for again."""
    store = Store(1_000)
    for second in range(2_000):
        store.take(f"key{second}", 5)
        store.clock.advance(1)
    assert store.memory.keys <= 20
    assert store.memory.lost == 0


def test_a_reset_key_is_no_loss() -> None:
    """A key that was reset has no state that could be lost."""
    store = Store(2)
    store.take("first", 100)
    store.take("second", 200)
    assert store.ask(Request(RESET, ((HOUR, "second", 0),)))[0] == 1
    store.take("third", 300)
    store.take("fourth", 400)
    assert store.memory.lost == 1
    assert (store.taken("third"), store.taken("fourth")) == (300, 400)


def test_holds_are_never_forgotten() -> None:
    """Other keys make room for each other while a hold stays, until its term is over."""
    store = Store(3)
    assert store.hold("a")[0] == store.hold("b")[0] == 1
    for number in range(20):
        assert store.take(f"key{number}", 3_000)
    assert [store.taken(key, HELD) for key in "ab"] == [1, 1]
    assert store.memory.lost == 19
    store.clock.advance(61)
    for number in range(3):
        assert store.take(f"new{number}", 3_500)
    assert (store.memory.keys, store.memory.lost) == (3, 20)  # the holds were over


def test_a_store_full_of_holds_refuses() -> None:
    """A new key finds no room, whatever it wants; a known one is decided, and a released unit makes room."""
    store = Store(3)
    for key in "abc":
        assert store.hold(key)[0] == 1
    for refused in (lambda: store.take("new"), lambda: store.hold("d")):
        with pytest.raises(StoreOverloadedError, match="all 3 keys of the memory store are held"):
            refused()
    assert [store.taken(key, HELD) for key in "abc"] == [1, 1, 1]
    assert store.hold("b")[0] == 1
    assert store.hold("a", RELEASE)[0] == 1
    assert store.take("new")
    assert (store.memory.keys, store.memory.lost) == (3, 0)


def calls_in(action: Callable[[], object]) -> int:
    """Return how many functions are called by *action*, those of the interpreter included."""
    calls = 0

    def count(_frame: object, event: str, _what: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("keys_max", [1_000, 16_000])
def test_no_decision_on_a_full_store_looks_at_all_keys(keys_max: int) -> None:
    """A known key, a new one and a denial cost the same few calls with any number of keys."""
    store = Store(keys_max)
    for number in range(keys_max * 2):
        store.take(f"key{number}", 100)
        store.clock.advance_us(100)
    assert store.memory.lost > 0
    known = [calls_in(lambda n=number: store.take(f"key{2 * keys_max - 1 - n}")) for number in range(200)]  # type: ignore[misc] # a default
    new = [calls_in(lambda n=number: store.take(f"new{n}", 100)) for number in range(200)]  # type: ignore[misc] # a default
    denied = [calls_in(lambda n=number: store.take(f"key{2 * keys_max - 1 - n}", 3_600)) for number in range(200)]  # type: ignore[misc] # a default
    assert max(known) <= 40
    assert max(new) <= 120
    assert max(denied) <= 40


@pytest.mark.parametrize("held", [10, 1_000, 14_990])
def test_no_new_key_looks_at_the_holds(held: int) -> None:
    """In a full store a new key costs the same few calls however many keys are held, and however often renewed."""
    store = Store(15_000)
    for number in range(held):
        store.hold(f"held{number}")
    store.clock.advance(30)
    for number in range(held):
        store.hold(f"held{number}", RENEW)
    for number in range(15_000 - held):
        store.take(f"key{number}", 100)
    new = [calls_in(lambda n=number: store.take(f"new{n}", 100)) for number in range(200)]  # type: ignore[misc] # a default
    store.clock.advance(31)  # beyond the first terms
    new += [calls_in(lambda n=number: store.take(f"newer{n}", 100)) for number in range(200)]  # type: ignore[misc] # a default
    assert max(new) <= 120
    assert [store.taken(f"held{number}", HELD) for number in range(held)] == [1] * held


def test_a_store_full_of_holds_refuses_at_once() -> None:
    """With all of 15,000 keys held a new one is refused after a few calls."""
    store = Store(15_000)
    for number in range(15_000):
        store.hold(f"held{number}")

    def refused() -> None:
        with pytest.raises(StoreOverloadedError):
            store.take("new")

    assert max(calls_in(refused) for _ in range(300)) <= 60


@pytest.mark.parametrize("ending", ["released", "reset", "expired"])
def test_a_hold_that_is_over_makes_room_at_once_and_before_others(ending: str) -> None:
    """It is found among those that are held, to the microsecond, and nothing is lost by it."""
    store = Store(3)
    store.hold("over")
    store.clock.advance_us(1)
    store.hold("held")
    store.take("key", 3_000)
    if ending == "released":
        assert store.hold("over", RELEASE)[0] == 1
    elif ending == "reset":
        assert store.ask(Request(RESET, ((HELD, "over", 0),)))[0] == 1
    else:
        store.clock.advance_us(60_000_000 - 1)
    assert store.take("new", 3_500)
    assert store.taken("key") > 0
    assert store.taken("held", HELD) == 1
    assert (store.memory.keys, store.memory.lost) == (3, 0)


def test_holds_that_are_over_are_forgotten_before_there_is_want_of_room() -> None:
    """A store that is never full does not keep for ever what nobody holds any more."""
    store = Store(5_000)
    for number in range(4_000):
        store.hold(f"key{number}")
        store.clock.advance(1)
    assert store.memory.keys <= 500
    assert store.memory.lost == 0


def test_a_decision_takes_as_long_with_many_keys_as_with_few() -> None:
    """On a store a hundred times as large the median decision of a known key takes no longer, some noise aside."""

    def microseconds(keys: int) -> float:
        store = Store(keys)
        for number in range(keys):
            store.take(f"key{number}", 10)
        names = [f"key{number}" for number in Random(1).choices(range(keys), k=2_000)]
        took = []
        for name in names:
            before = time.perf_counter_ns()
            store.take(name)
            took.append((time.perf_counter_ns() - before) / 1_000)
        return median(took)

    few, many = microseconds(1_000), microseconds(100_000)
    print(f"\n{few:.2f} us with 1,000 keys, {many:.2f} us with 100,000")
    assert many <= 4 * few + 2


def test_moving_renewed_keys_back_costs_each_of_them_once() -> None:
    """On a full store whose keys all grew, the first newcomers move them, and together cost a few calls a key."""
    keys = 2_000
    store = Store(keys)
    for number in range(keys):
        store.take(f"key{number}")
    for number in range(keys):
        store.take(f"key{number}", 3_000)
    calls = calls_in(lambda: [store.take(f"new{number}", 3_500) for number in range(keys)])
    assert calls <= 150 * keys
    assert store.memory.keys == keys


def test_a_full_store_gives_nothing_back_twice() -> None:
    """What remembers a refund may be forgotten for want of room, and then old decisions are worth nothing."""
    limit, lasting = Limit("own", "5/hour"), Limit("lasting", "1/day")
    store = Store(keys_max=50)
    first = store.memory.acquire_one(limit, "key", 1)
    later = store.memory.acquire_one(limit, "key", 1)
    assert first is not None
    assert later is not None

    def refund(decision: Decision) -> int:
        detail = (decision.decided_at_us, decision.decided_at_us + decision.reset_after_us, decision.serial)
        return store.ask(Request(REFUND, ((limit, "key", 1),), detail))[0]

    assert (refund(first), refund(first)) == (1, 1)  # the same answer, and nothing more
    assert store.taken("key", limit) == 1
    for number in range(60):
        store.take(f"key{number}", 1, lasting)  # all of them outlast what remembers the refund
    assert (refund(first), refund(later)) == (0, 0)
    store.clock.advance(1)
    newer = store.memory.acquire_one(limit, "key", 1)
    assert newer is not None
    assert refund(newer) == 1
