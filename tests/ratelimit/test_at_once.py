"""The short way of a decision in this process: it answers as the whole arithmetic does, and nothing slips past it."""

from __future__ import annotations

import signal
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluicegate import BlockingLimiter, InvalidInputError, Limit, LimiterClosedError, SystemClock
from sluicegate.ratelimit import at_once
from sluicegate.ratelimit.algorithms import gcra
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.records import NO_STATE
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = 1_700_006_400.0
LIMIT = Limit("api", "10/s")
THREADS = 8
JOIN_SECONDS_MAX = 30


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Let threads change places as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def limiter_of(shards: int = 1, keys_max: int = 1_000) -> tuple[BlockingLimiter, ManualClock]:
    """Return a limiter in memory, on a clock moved by hand."""
    clock = ManualClock(START)
    return BlockingLimiter(clock=clock, store=MemoryStore(clock, keys_max=keys_max, shards=shards)), clock


def together(work: Callable[[int], None]) -> None:
    """Run *work* in eight threads that begin at once."""
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> None:
        barrier.wait(JOIN_SECONDS_MAX)
        work(number)

    threads = [threading.Thread(target=run, args=[number], daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_SECONDS_MAX)
        assert not thread.is_alive()


@given(
    interval_us=st.integers(1, 40),
    burst=st.integers(1, 10),
    steps=st.lists(st.tuples(st.integers(-60, 200) | st.just(0), st.integers(0, 12)), max_size=40),
    shards=st.sampled_from((1, 4)),
)
@example(interval_us=7, burst=10, steps=[(0, 10), (0, 0), (0, 1), (7, 1), (-1, 1), (0, 0)], shards=1)
@example(interval_us=7, burst=3, steps=[(0, 1), (0, 2), (0, 1), (0, 4), (20, 3), (-50, 1), (0, 1)], shards=1)
def test_it_answers_as_the_whole_arithmetic_does(
    interval_us: int, burst: int, steps: list[tuple[int, int]], shards: int
) -> None:
    """Whatever is asked, with the clock stepping either way, each field is what `gcra.decide` says of the same past."""
    limiter, clock = limiter_of(shards)
    limit = Limit("api", f"1 per {interval_us / 1_000_000:f} seconds burst {burst}")
    assert limit.plan.plain is not None
    state = NO_STATE
    for moved_us, cost in steps:
        clock.advance_us(moved_us)
        now_us = clock.now_us()
        after, granted, remaining, retry_after_us, reset_after_us = gcra.decide(
            state, now_us, cost, 1, gcra.Rule(*limit.plan.rules[0])
        )
        if (granted and cost) or after < state:
            state = after
        decision = limiter.acquire(limit, "key", cost)
        expected = (granted == 1, limit, "key", cost, remaining, retry_after_us, reset_after_us, now_us, "memory")
        assert decision[:9] == expected


def test_a_limit_that_was_changed_goes_on_with_the_state_there_is() -> None:
    """Rules of one name whose units take other times, whole microseconds or not, share what was paid."""
    limiter, _ = limiter_of()
    whole, fractional = Limit("api", "10/s"), Limit("api", "7/s burst 10")
    asked = (whole, whole, fractional, whole, fractional, whole)
    plain = MemoryStore(ManualClock(START))
    expected = [plain.acquire_one(limit, "key", 1) for limit in asked]
    assert [limiter.acquire(limit, "key")[:8] for limit in asked] == [tuple(answer or ())[:8] for answer in expected]


class Almost(Limit):
    """What looks like a limit in every way."""

    __slots__ = ()


class Fake:
    """What has the plan of a limit, and is none."""

    plan = LIMIT.plan


@pytest.mark.parametrize(
    ("limit", "key", "cost", "named"),
    [
        (Fake(), "key", 1, "limit"),
        (Almost("api", "10/s"), "key", 1, "limit"),
        (None, "key", 1, "limit"),
        (LIMIT, "key", True, "cost"),
        (LIMIT, "key", 1.0, "cost"),
        (LIMIT, "key", -1, "cost"),
        (LIMIT, "key", 1_000_000_001, "cost"),
        (LIMIT, b"key", 1, "key"),
        (LIMIT, "", 1, "key"),
        (LIMIT, "a\nb", 1, "key"),
        (LIMIT, "k" * 4_097, 1, "key"),
        (LIMIT, ["key"], 1, "key"),
    ],
)
def test_nothing_bad_slips_past_a_key_that_is_known(limit: Any, key: Any, cost: Any, named: str) -> None:
    """It is refused by the parameter's name, and nothing is consumed or counted."""
    limiter, _ = limiter_of()
    for _ in range(3):
        limiter.acquire(LIMIT, "key")
    with pytest.raises(InvalidInputError, match=f"^{named}: found "):
        limiter.acquire(limit, key, cost)
    assert limiter.peek(LIMIT, "key").remaining == 7
    assert limiter.statistics().decisions == {("api", "allowed"): 3}


def test_two_spellings_of_one_key_are_one() -> None:
    """A key is remembered as it is normalised, however often it comes in another form."""
    limiter, _ = limiter_of()
    spellings = ("caf\u00e9", "cafe\u0301") * 3
    assert [limiter.acquire(LIMIT, key).remaining for key in spellings] == [9, 8, 7, 6, 5, 4]
    assert limiter.statistics().keys == 1


def test_a_closed_limiter_answers_for_no_key() -> None:
    """Neither one that was known, nor a new one, and nothing is remembered again."""
    limiter, _ = limiter_of()
    for key in ("key", "key", "other"):
        limiter.acquire(LIMIT, key)
    limiter.close()
    for key in ("key", "new"):
        with pytest.raises(LimiterClosedError):
            limiter.acquire(LIMIT, key)
    assert limiter.statistics().keys == 0


def test_limits_without_end_are_decided_and_counted_and_not_all_known() -> None:
    """Who makes limits out of users' names has each of them decided, while a thousand are known at a time."""
    limits = [Limit(f"user{number}", "10/s") for number in range(at_once.PLANS_MAX + 500)]
    limiter, clock = limiter_of(keys_max=5_000)
    for turn in range(3):
        assert {limiter.acquire(limit, "key").remaining for limit in limits} == {9 - turn}
    assert limiter.statistics().decisions == {(limit.name, "allowed"): 3 for limit in limits}
    store = MemoryStore(clock)
    known = at_once._Known(store, limiter._engine, store.acquire_one)  # type: ignore[arg-type] # these are simple
    for limit in limits:
        known.first(limit, "key", 1)
        assert len(known.by_shard[0]) <= at_once.PLANS_MAX


def test_a_limit_is_known_again_when_its_keys_were_forgotten() -> None:
    """Tables go with their last key, and a limit that comes back is decided as before."""
    limiter, _ = limiter_of(keys_max=10)
    limits = [Limit(f"user{number}", "10/hour") for number in range(30)]
    rounds = [[limiter.acquire(limit, "key").remaining for _ in range(3)] for limit in limits * 3]
    assert all(left == [left[0], left[0] - 1, left[0] - 2] for left in rounds if left[0] is not None)
    assert rounds.count([9, 8, 7]) >= 60
    store = limiter._engine.store
    assert isinstance(store, MemoryStore)
    assert len(store.shards[0].tables) == 10
    assert limiter.statistics().decisions == {(limit.name, "allowed"): 9 for limit in limits}


def test_limiters_that_share_a_store_number_their_decisions_apart() -> None:
    """At one microsecond no two decisions on a key are taken for one, so each is refunded."""
    clock = ManualClock(START)
    store = MemoryStore(clock)
    one, other = (BlockingLimiter(clock=clock, store=store) for _ in range(2))
    decisions = [limiter.acquire(LIMIT, "key") for limiter in (one, other) * 4]
    decisions += one.acquire_all([(LIMIT, "key")]).decisions
    assert len({decision.serial for decision in decisions}) == 9
    assert [one.refund(decision) for decision in decisions] == [1] * 9
    assert one.peek(LIMIT, "key").remaining == 10


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.usefixtures("quick_switches")
def test_threads_get_each_unit_once_and_are_counted_exactly(shards: int) -> None:
    """Of what eight threads ask for, a third is admitted, each unit once; allowed and denied add up to all."""
    clock = ManualClock(START)
    limiter = BlockingLimiter(clock=clock, store=MemoryStore(clock, shards=shards))
    keys, asked = [f"key{number}" for number in range(5)], 600
    limit = Limit("shared", f"{THREADS * asked // 3}/day")
    taken: list[tuple[str, int | None]] = []

    def work(number: int) -> None:
        for step in range(asked * len(keys)):
            decision = limiter.acquire(limit, keys[(number + step) % len(keys)])
            if decision:
                taken.append((decision.key, decision.remaining))

    together(work)
    each = range(THREADS * asked // 3)
    assert Counter(taken) == Counter({(key, left): 1 for key in keys for left in each})
    counted = limiter.statistics().decisions
    assert counted == {
        ("shared", "allowed"): len(keys) * len(each),
        ("shared", "denied"): len(keys) * (THREADS * asked - len(each)),
    }


@pytest.mark.usefixtures("quick_switches")
def test_new_keys_of_many_threads_are_each_remembered_once() -> None:
    """Threads that name the same new keys share their units from the first on, on the machine's own clock."""
    limiter = BlockingLimiter(store=MemoryStore(SystemClock(), shards=2))
    limit = Limit("new", f"{THREADS}/day")
    left: list[tuple[str, int | None]] = []

    def work(_number: int) -> None:
        left.extend((key, limiter.acquire(limit, key).remaining) for key in (f"key{number}" for number in range(500)))

    together(work)
    assert Counter(left) == Counter({(f"key{number}", units): 1 for number in range(500) for units in range(THREADS)})
    assert limiter.statistics().keys == 500


class StoppedError(Exception):
    """What a signal raises."""


def test_whatever_a_signal_interrupts_no_turn_is_lost() -> None:
    """A handler that raises in the midst of decisions, as Ctrl-C does, leaves a limiter that decides on."""
    limiter = BlockingLimiter()
    limits = [
        Limit("paced", "1000000/s"),
        Limit("windowed", "1000000000/day", algorithm="fixed_window"),
        Limit("several", "1000000/s; 1000000000/day"),
    ]
    keys = [f"key{number}" for number in range(50)]

    def interrupt(*_: object) -> None:
        raise StoppedError

    tracer = sys.gettrace()
    sys.settrace(None)  # a signal inside the tracer of coverage is no matter of ours
    before = signal.signal(signal.SIGVTALRM, interrupt)
    interrupted = 0
    try:
        for number in range(400):
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0.0002 + number * 0.000001)
                while True:
                    for key in [*keys, f"new{number}"]:
                        for limit in limits:
                            limiter.acquire(limit, key)
                    limiter.peek(limits[0], "key")
            except StoppedError:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        sys.settrace(tracer)
    assert interrupted == 400
    assert all(limiter.acquire(limit, key) for limit in limits for key in keys)


def test_a_cost_beyond_all_bounds_is_denied_in_true_figures() -> None:
    """Where more is kept of a key than one number, even the largest cost is answered by the whole arithmetic."""
    clock = ManualClock(1_700_000_000)
    with BlockingLimiter(clock=clock) as limiter:
        whole, fraction = Limit("x", "1/day"), Limit("x", "7/day")
        limiter.acquire(whole, "other")
        limiter.acquire(fraction, "key")
        denied = limiter.acquire(whole, "key", 1_000_000_000)
    assert (denied.allowed, denied.never) == (False, True)
    assert denied.remaining in (0, 1)
    assert denied.decided_at_us == clock.now_us()
    assert 0 <= denied.reset_after_us <= 86_400_000_001
