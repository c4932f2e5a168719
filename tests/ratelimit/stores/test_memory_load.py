"""The memory store under load: exact across threads, and bounded in what it keeps through any churn."""

from __future__ import annotations

import sys
import threading
import tracemalloc
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from sluicegate import BlockingLimiter, Decision, Limit
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.records import expiry_of
from sluicegate.ratelimit.stores.store import ACQUIRE, REFUND, RELEASE, RENEW, RESET, TAKE, Reply, Request
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sluicegate.ratelimit.stores.expiry import Name

START = 1_700_006_400.0
THREADS = 8
KEYS = ("a", "b", "c")
UNITS = 400  # of each key
LIMITS = {
    "gcra": Limit("shared", f"{UNITS}/day"),
    "gcra_fractional": Limit("shared", f"1/day burst {UNITS}"),
    "several": Limit("shared", f"{UNITS}/day; {UNITS + 9} per 2 days"),
    "fixed_window": Limit("shared", f"{UNITS}/day", algorithm="fixed_window"),
    "sliding_window_counter": Limit("shared", f"{UNITS}/day", algorithm="sliding_window_counter"),
    "sliding_window_log": Limit("shared", f"{UNITS}/day", algorithm="sliding_window_log"),
    "calendar_quota": Limit("shared", f"{UNITS}/day", algorithm="calendar_quota"),
}


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Let threads change places fifty times as often as usual, so that they meet in the middle of things."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    yield
    sys.setswitchinterval(before)


def together(work: Callable[[int], None]) -> None:
    """Run *work* in eight threads that begin at once; the first that fails fails the test."""
    barrier = threading.Barrier(THREADS)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as failure:  # noqa: BLE001 - told by the thread of the test
            failures.append(failure)

    threads = [threading.Thread(target=run, args=[number]) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("kind", LIMITS)
def test_eight_threads_get_the_limit_of_each_key_exactly(kind: str) -> None:
    """However they meet on shared keys, not one unit more or less is admitted, and each decision is counted."""
    limit = LIMITS[kind]
    allowed: list[Counter[str]] = [Counter() for _ in range(THREADS)]
    requests = UNITS  # three keys' units are asked for eight thirds as often as there are
    with BlockingLimiter(clock=ManualClock(START)) as limiter:

        def work(number: int) -> None:
            draw = Random(number)
            for _ in range(requests):
                key = draw.choice(KEYS)
                allowed[number][key] += limiter.acquire(limit, key).allowed

        together(work)
        total = sum(allowed, Counter())
        left = {key: limiter.peek(limit, key).remaining for key in KEYS}
        counted = limiter.statistics()
    assert {key: total[key] + (left[key] or 0) for key in KEYS} == dict.fromkeys(KEYS, UNITS)
    assert max(total.values()) == UNITS
    assert counted.decisions["shared", "allowed"] == sum(total.values())
    assert sum(counted.decisions.values()) == THREADS * requests
    assert (counted.keys, counted.lost_keys) == (3, 0)


@pytest.mark.usefixtures("quick_switches")
def test_joint_requests_of_eight_threads_are_all_or_nothing() -> None:
    """Threads that name overlapping pairs in different orders do not wait for each other for ever, nor take half."""
    one, other = Limit("one", "300/day"), Limit("other", "300/day", algorithm="fixed_window")
    limits = [(limit, key) for limit in (one, other) for key in KEYS]
    taken: list[Counter[tuple[str, str]]] = [Counter() for _ in range(THREADS)]
    with BlockingLimiter(clock=ManualClock(START), keys_max=16_000) as limiter:

        def work(number: int) -> None:
            draw = Random(number)
            for _ in range(300):
                members = draw.sample(limits, 3)
                joint = limiter.acquire_all(members)
                if joint.allowed:
                    taken[number].update((limit.name, key) for limit, key in members)

        together(work)
        total = sum(taken, Counter())
        for limit, key in limits:
            assert total[limit.name, key] + (limiter.peek(limit, key).remaining or 0) == 300
        counted = limiter.statistics().decisions
    assert max(total.values()) == 300
    assert sum(counted.values()) == THREADS * 300 * 3


@pytest.mark.usefixtures("quick_switches")
def test_eight_threads_refund_each_decision_once() -> None:
    """Whoever of them is first, the units come back once."""
    limit = Limit("shared", "100/day")
    given = [0] * THREADS
    with BlockingLimiter(clock=ManualClock(START)) as limiter:
        decisions: list[Decision] = [limiter.acquire(limit, "key") for _ in range(50)]

        def work(number: int) -> None:
            for decision in Random(number).sample(decisions, len(decisions)):
                given[number] += limiter.refund(decision)

        together(work)
        assert given == [50] * THREADS
        assert limiter.peek(limit, "key").remaining == 100


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("keys_max", [50, 16_000])
def test_a_churn_of_eight_threads_stays_within_the_bound(keys_max: int) -> None:
    """Many keys, few places: the store never keeps more than it may, and counts each live key that it lost."""
    limit = Limit("churn", "5/day")
    most = 0
    with BlockingLimiter(clock=ManualClock(START), keys_max=keys_max) as limiter:

        def work(number: int) -> None:
            nonlocal most
            for turn in range(4_000):
                limiter.acquire(limit, f"{number}:{turn}")
                if turn % 50 == 0:
                    most = max(most, limiter.statistics().keys)

        together(work)
        counted = limiter.statistics()
    assert most <= keys_max
    assert counted.keys + counted.lost_keys == THREADS * 4_000
    assert counted.decisions == {("churn", "allowed"): THREADS * 4_000}


class Churn:
    """A memory store, and all that it keeps, the order of expiry included."""

    def __init__(self, keys_max: int) -> None:
        self.clock = ManualClock(START)
        self.store = MemoryStore(self.clock, keys_max=keys_max)

    def ask(self, verb: int, limit: Limit, key: str, detail: tuple[int, int, int] | str | None = None) -> Reply:
        """Ask for one unit."""
        reply = self.store.ask_now(Request(verb, ((limit, key, 1),), detail))
        assert reply is not None
        return reply

    @property
    def in_order(self) -> int:
        """How much the order of expiry keeps: its entries and its buckets."""
        orders = [shard.order for shard in self.store.shards]
        return sum(len(order._order) + sum(map(len, order._buckets.values())) // 2 for order in orders)

    @property
    def held(self) -> dict[Name, int]:
        """When each key that is held ends, as its order has it."""
        return {name: end_us for shard in self.store.shards for block in shard.held._blocks for end_us, name in block}


def test_a_churn_of_distinct_keys_keeps_no_more_than_the_bound() -> None:
    """Of 300,000 keys that come once, a tenth of what may be kept is never exceeded, nor its order's own size."""
    churn = Churn(30_000)
    limit = Limit("churn", "5/minute")
    for number in range(300_000):
        churn.store.acquire_one(limit, f"key{number}", 1)
        if number % 1_000 == 0:
            churn.clock.advance_us(7_000_000 if number % 50_000 else 40_000_000)
            assert churn.store.keys <= 30_000
            assert churn.in_order <= 2 * churn.store.keys + 32
    assert churn.store.keys <= 30_000


def memory_of(rounds: Callable[[], None]) -> int:
    """Return the bytes that are kept more after *rounds* than before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        rounds()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [kind for kind in LIMITS if kind not in ("gcra_fractional", "several")])
def test_nothing_piles_up_when_keys_are_reset_refunded_and_taken_again(kind: str) -> None:
    """A hundred keys that are used over and over take the room of a hundred keys, and of refunds not yet over."""
    limit = Limit("again", "5/minute" if kind != "calendar_quota" else "5/day", algorithm=LIMITS[kind].algorithm)
    churn, draw = Churn(1_000), Random(kind)

    def rounds() -> None:
        for _ in range(2_500):
            key = f"key{draw.randrange(100)}"
            reply = churn.ask(ACQUIRE, limit, key)
            if draw.random() < 0.3:
                churn.ask(RESET, limit, key)
            elif reply.answers[0] and draw.random() < 0.5:
                churn.ask(REFUND, limit, key, (reply.now_us, reply.now_us + reply.answers[3], reply.serial))
            churn.clock.advance_us(draw.randrange(2_000_000))
            assert churn.in_order <= 2 * churn.store.keys + 2

    rounds()
    grown = memory_of(rounds)
    print(f"\n{kind}: {churn.store.keys} keys, {churn.in_order} in order, {grown:,} bytes more after 2,500 rounds")
    assert churn.store.keys <= 1_000
    assert grown < 300_000


def test_nothing_piles_up_when_holds_are_renewed_and_taken_again() -> None:
    """Holders come, renew, go and die; the store keeps a place for a key and nothing else."""
    limit = Limit("held", "9", algorithm="concurrency", hold_seconds=60)
    churn, draw = Churn(1_000), Random(1)

    def rounds() -> None:
        for number in range(3_000):
            key, verb = f"key{draw.randrange(100)}", draw.choice((TAKE, TAKE, *(RENEW,) * 3, RELEASE, RESET))
            churn.ask(verb, limit, key, f"holder{number if verb == TAKE else draw.randrange(number + 1)}")
            churn.clock.advance_us(draw.randrange(2_000_000))
            assert churn.in_order <= 2 * churn.store.keys + 2
            assert churn.held == {name: expiry_of(kept) for name, kept in churn.store.shards[0].records.items()}

    rounds()
    assert churn.store.keys <= 100
    assert memory_of(rounds) < 200_000
