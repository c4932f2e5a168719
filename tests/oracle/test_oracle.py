"""The oracle itself: its answers against sums done by hand, its waits against trying every microsecond."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import (
    NEVER,
    Answer,
    Group,
    Member,
    Oracle,
    calendar_quota,
    earliest_wait,
    fixed_window,
    gcra,
    leaky_delay_us,
    sliding_window_counter,
    sliding_window_log,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAKERS: dict[str, Callable[[int, int], Oracle]] = {
    "gcra": gcra,
    "fixed_window": fixed_window,
    "sliding_window_counter": sliding_window_counter,
    "sliding_window_log": sliding_window_log,
}
every_algorithm = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
limits = st.integers(1, 6)
periods_us = st.integers(1, 40)
moments = st.tuples(st.integers(-15, 30), st.integers(0, 7), st.integers(0, 3))  # step of the clock, cost, count


def test_gcra_paces_a_third_of_ten_microseconds_exactly() -> None:
    """Three units in 10 us are paced 3 1/3 us apart, and waits are rounded up to whole microseconds."""
    oracle = gcra(3, 10)
    assert oracle.acquire(0, 1, 3) == Answer(3, 0, 0, 10)
    assert oracle.acquire(0, 1) == Answer(0, 0, 4, 10)
    assert oracle.acquire(3, 1) == Answer(0, 0, 1, 7)
    assert oracle.acquire(4, 1) == Answer(1, 0, 0, 10)
    assert oracle.state() == (Fraction(40, 3), 0)


def test_gcra_admits_the_burst_and_no_more() -> None:
    """The burst is the capacity, whatever the limit; a greater cost can never pass."""
    oracle = gcra(10, 100, 4)
    assert oracle.peek(0, 5) == Answer(0, 4, NEVER, 0)
    assert oracle.acquire(0, 3) == Answer(1, 1, 0, 30)
    assert oracle.acquire(0, 3) == Answer(0, 1, 20, 30)
    assert oracle.acquire(0, 1) == Answer(1, 0, 0, 40)


def test_gcra_grants_the_first_of_several() -> None:
    """Of five requests of three units, a capacity of ten lets the first three pass."""
    assert gcra(10, 100).acquire(0, 3, 5) == Answer(3, 1, 20, 90)


def test_gcra_in_debt_lets_nobody_even_look() -> None:
    """A stored debt denies a cost of 0 until it is paid, and shrinks with time."""
    oracle = gcra(10, 100, state=(150, 50))
    assert oracle.acquire(0, 0) == Answer(0, 0, 50, 150)
    assert oracle.acquire(40, 0) == Answer(0, 0, 10, 110)
    assert oracle.state() == (150, 10)
    assert oracle.acquire(49, 0).granted == 0
    assert oracle.acquire(50, 0) == Answer(1, 0, 0, 100)
    assert oracle.acquire(50, 1) == Answer(0, 0, 10, 100)


@pytest.mark.parametrize(
    ("state", "settled"),
    [((150, 0), (100, 0)), ((150, 20), (120, 20)), ((10**15, 10**12), (200, 100)), ((-5, 30), (0, 0))],
)
def test_gcra_clamps_what_stands_beyond_capacity_and_debt(state: tuple[int, int], settled: tuple[int, int]) -> None:
    """No state blocks for longer than one capacity and one stored debt of at most another."""
    oracle = gcra(10, 100, state=state)
    oracle.acquire(0, 1, 0)
    assert oracle.state() == settled


def test_gcra_after_a_clock_that_stepped_back_waits_one_capacity_at_most() -> None:
    """State from the future counts as a full capacity, and as no more."""
    oracle = gcra(10, 100)
    oracle.acquire(1_000, 10)
    assert oracle.acquire(500, 1) == Answer(0, 0, 10, 100)


def test_gcra_refunds_only_what_is_not_yet_paced_out() -> None:
    """Five units taken at 0 are three at 20, none at 60, and none where nothing is paid ahead."""
    oracle = gcra(10, 100)
    oracle.acquire(0, 5)
    late = oracle.copy()
    assert oracle.refund(20, 5, decided_at_us=0, reset_at_us=50) == 3
    assert oracle.state() == (20, 0)
    assert late.refund(60, 5, decided_at_us=0, reset_at_us=50) == 0
    assert gcra(10, 100).refund(0, 5, decided_at_us=0, reset_at_us=50) == 0


def test_gcra_refund_returns_the_lesser_of_cost_and_time_left() -> None:
    """A small refund early gives back its cost and leaves the rest."""
    oracle = gcra(10, 100)
    oracle.acquire(0, 5)
    assert oracle.refund(10, 2, decided_at_us=0, reset_at_us=50) == 2
    assert oracle.state() == (30, 0)


def test_gcra_refund_tells_part_of_a_unit_as_one() -> None:
    """Of five units taken at 0, two and a half are left at 25, which are told as three."""
    oracle = gcra(10, 100)
    oracle.acquire(0, 5)
    assert oracle.refund(25, 5, decided_at_us=0, reset_at_us=50) == 3
    assert oracle.state() == (25, 0)


def test_gcra_refund_leaves_what_others_have_taken_since() -> None:
    """A decision gives back its own units, not those taken after it."""
    oracle = gcra(10, 100)
    oracle.acquire(0, 2)
    oracle.acquire(10, 3)
    assert oracle.refund(10, 2, decided_at_us=0, reset_at_us=20) == 1
    assert oracle.state() == (40, 0)


def test_leaky_bucket_spaces_requests_evenly() -> None:
    """The first of three runs at once, the others one interval apart."""
    oracle = gcra(10, 100)
    delays = [leaky_delay_us(10, 100, oracle.acquire(0, 1), 1) for _ in range(3)]
    assert delays == [0, 10, 20]


def test_fixed_window_opens_with_the_period() -> None:
    """What does not fit waits for the end of the window, to the microsecond."""
    oracle = fixed_window(5, 100)
    assert oracle.acquire(250, 2, 3) == Answer(2, 1, 50, 50)
    assert oracle.acquire(250, 6) == Answer(0, 1, NEVER, 50)
    assert oracle.acquire(299, 2) == Answer(0, 1, 1, 1)
    assert oracle.acquire(300, 2) == Answer(1, 3, 0, 100)
    assert oracle.state() == (300, 2)


def test_fixed_window_keeps_its_count_when_the_clock_steps_back() -> None:
    """The count moves into the earlier window, whose end then frees it."""
    oracle = fixed_window(5, 100, state=(200, 5))
    assert oracle.acquire(150, 1) == Answer(0, 0, 50, 50)
    assert oracle.state() == (100, 5)
    assert oracle.acquire(200, 1).granted == 1


def test_fixed_window_clamps_a_poisoned_count() -> None:
    """A count is believed up to twice the limit; above the limit even a look is denied."""
    oracle = fixed_window(5, 100, state=(200, 1_000_000))
    assert oracle.acquire(210, 0) == Answer(0, 0, 90, 90)
    assert oracle.state() == (200, 10)


@pytest.mark.parametrize(("decided_at_us", "refunded"), [(199, 0), (200, 3), (299, 3), (300, 0)])
def test_fixed_window_refunds_in_the_decisions_own_window(decided_at_us: int, refunded: int) -> None:
    """A refund counts from the first to the last microsecond of the current window."""
    oracle = fixed_window(5, 100, state=(200, 4))
    assert oracle.refund(250, 3, decided_at_us=decided_at_us, reset_at_us=300) == refunded
    assert oracle.state() == (200, 4 - refunded)


def test_fixed_window_refund_stops_at_nothing_used() -> None:
    """More than was used is not given back."""
    oracle = fixed_window(5, 100, state=(200, 2))
    assert oracle.refund(250, 5, decided_at_us=220, reset_at_us=300) == 2
    assert oracle.normalised(250) is None


def test_calendar_quota_follows_its_windows() -> None:
    """Windows of unequal length are filled and freed like fixed ones."""
    ends = [0, 31, 59, 90]

    def window_at(now_us: int) -> tuple[int, int]:
        return max(end for end in ends if end <= now_us), min(end for end in ends if end > now_us)

    oracle = calendar_quota(2, window_at)
    assert oracle.acquire(30, 1, 3) == Answer(2, 0, 1, 1)
    assert oracle.acquire(31, 2) == Answer(1, 0, 0, 28)
    assert oracle.refund(40, 1, decided_at_us=30, reset_at_us=31) == 0
    assert oracle.refund(40, 1, decided_at_us=31, reset_at_us=59) == 1


def test_sliding_window_counter_weighs_the_window_before() -> None:
    """Eight units weigh 5.6 after 30 of 100 us, and a unit more fits when they weigh 5 or less."""
    oracle = sliding_window_counter(10, 100)
    assert oracle.acquire(0, 8) == Answer(1, 2, 0, 200)
    assert oracle.acquire(130, 4) == Answer(1, 0, 0, 170)
    assert oracle.acquire(130, 1) == Answer(0, 0, 8, 170)
    assert oracle.state() == (100, 8, 4)


@pytest.mark.parametrize(("cost", "retry_after_us"), [(0, 150), (5, 175), (10, 200), (11, NEVER)])
def test_sliding_window_counter_waits_into_the_next_window_and_past_it(cost: int, retry_after_us: int) -> None:
    """Twice the limit in the current window frees units only in the next one."""
    oracle = sliding_window_counter(10, 100, state=(0, 0, 20))
    assert oracle.acquire(0, cost) == Answer(0, 0, retry_after_us, 200)


@pytest.mark.parametrize(
    ("now_us", "state"),
    [(250, (200, 4, 5)), (399, (300, 5, 0)), (400, (400, 0, 0)), (150, (100, 4, 5))],
)
def test_sliding_window_counter_rolls(now_us: int, state: tuple[int, int, int]) -> None:
    """The current count becomes the previous one, then nothing; a step back keeps both."""
    oracle = sliding_window_counter(10, 100, state=(200, 4, 5))
    oracle.acquire(now_us, 1, 0)
    assert oracle.state() == state


def test_sliding_window_counter_resets_when_both_counts_are_gone() -> None:
    """A current count lasts to the end of the next window, a previous one to the end of this."""
    assert sliding_window_counter(10, 100, state=(200, 4, 5)).peek(230).reset_after_us == 170
    assert sliding_window_counter(10, 100, state=(200, 4, 0)).peek(230).reset_after_us == 70
    assert sliding_window_counter(10, 100).peek(230).reset_after_us == 0


@pytest.mark.parametrize(
    ("decided_at_us", "refunded", "state"),
    [(99, 0, (200, 4, 2)), (100, 3, (200, 1, 2)), (250, 2, (200, 4, 0)), (300, 0, (200, 4, 2))],
)
def test_sliding_window_counter_refunds_the_decisions_own_count(
    decided_at_us: int, refunded: int, state: tuple[int, int, int]
) -> None:
    """A refund goes to the window of its decision, current or previous, and to no other."""
    oracle = sliding_window_counter(10, 100, state=(200, 4, 2))
    assert oracle.refund(260, 3, decided_at_us=decided_at_us, reset_at_us=400) == refunded
    assert oracle.state() == state


def test_sliding_window_log_frees_each_unit_after_one_period() -> None:
    """A cost waits until the oldest admissions that must go have gone."""
    oracle = sliding_window_log(3, 100)
    assert oracle.acquire(10, 1) == Answer(1, 2, 0, 100)
    assert oracle.acquire(20, 2) == Answer(1, 0, 0, 100)
    assert oracle.peek(30, 1) == Answer(0, 0, 80, 90)
    assert oracle.peek(30, 2) == Answer(0, 0, 90, 90)
    assert oracle.acquire(109, 1) == Answer(0, 0, 1, 11)
    assert oracle.acquire(110, 1) == Answer(1, 0, 0, 100)
    assert oracle.state() == ((20, 2), (110, 1))


def test_sliding_window_log_moves_the_future_to_now() -> None:
    """After a step back every admission counts for one period from now, and stays moved."""
    oracle = sliding_window_log(3, 100, state=[(500, 1), (510, 2)])
    assert oracle.acquire(5, 1) == Answer(0, 0, 100, 100)
    assert oracle.state() == ((5, 3),)


def test_sliding_window_log_refunds_its_own_entry_only() -> None:
    """Units written down at another time, or already expired, are not given back."""
    oracle = sliding_window_log(9, 100, state=[(10, 1), (20, 2), (20, 3)])
    assert oracle.refund(50, 4, decided_at_us=19, reset_at_us=120) == 0
    assert oracle.refund(50, 4, decided_at_us=20, reset_at_us=120) == 4
    assert oracle.state() == ((10, 1), (20, 1))
    assert oracle.refund(50, 4, decided_at_us=20, reset_at_us=120) == 1
    assert oracle.refund(110, 1, decided_at_us=10, reset_at_us=110) == 0


def test_group_takes_the_least_from_all() -> None:
    """The tightest member decides; the others have a retry of 0 and lose no more than it grants."""
    wide, tight = gcra(10, 100), fixed_window(3, 100)
    answers = Group([Member(wide), Member(tight)]).acquire(20, 5)
    assert answers == (Answer(3, 7, 0, 30), Answer(3, 0, 80, 80))


def test_group_denied_by_one_member_consumes_nothing() -> None:
    """A member that would have let the request pass keeps its units."""
    wide, never = gcra(10, 100), fixed_window(3, 100)
    group = Group([Member(wide, 2), Member(never, 4)])
    assert group.peek(0) == (Answer(0, 10, 0, 0), Answer(0, 3, NEVER, 0))
    assert group.acquire(0) == group.peek(0)
    assert wide.state() is None


def test_group_takes_a_slot_named_twice_once() -> None:
    """The greater cost is taken once and answered in both places."""
    oracle = gcra(10, 100)
    assert Group([Member(oracle, 2), Member(oracle, 3)]).acquire(0, 2) == (Answer(2, 4, 0, 60),) * 2


def test_group_copy_keeps_shared_slots_shared() -> None:
    """A copy decides alike and leaves the original alone."""
    oracle = gcra(10, 100)
    group = Group([Member(oracle, 2), Member(oracle, 3)])
    assert group.copy().acquire(0) == (Answer(1, 7, 0, 30),) * 2
    assert oracle.state() is None


def test_earliest_wait_does_not_believe_a_wrong_suggestion() -> None:
    """A suggestion that is too late or too early leads to a search."""
    assert earliest_wait(lambda wait_us: wait_us >= 1_234, [0, 7, 1_235, 99_999]) == 1_234


def test_earliest_wait_gives_up_on_what_never_comes() -> None:
    """A wait beyond what the twins can represent is a fault of the model."""
    with pytest.raises(AssertionError):
        earliest_wait(lambda _wait_us: False)


@every_algorithm
def test_reset_forgets(make: Callable[[int, int], Oracle]) -> None:
    """Reset tells whether there was state, and leaves none."""
    oracle = make(3, 100)
    oracle.acquire(0, 2)
    assert [oracle.reset(), oracle.reset(), oracle.state()] == [True, False, None]


@every_algorithm
def test_an_idle_state_can_be_forgotten(make: Callable[[int, int], Oracle]) -> None:
    """State lasts until it equals no state and not a microsecond less."""
    oracle = make(3, 100)
    reset_after_us = oracle.acquire(0, 2).reset_after_us
    oracle.forget_if_idle(reset_after_us - 1)
    assert oracle.state() is not None
    oracle.forget_if_idle(reset_after_us)
    assert oracle.state() is None


@every_algorithm
@given(limit=limits, period_us=periods_us, walk=st.lists(moments, max_size=12))
def test_waits_are_the_first_of_all_waits(
    make: Callable[[int, int], Oracle], limit: int, period_us: int, walk: list[tuple[int, int, int]]
) -> None:
    """Trying every microsecond in turn finds the same retry and the same reset as the search."""
    oracle = make(limit, period_us)
    now_us = 1_000
    for step_us, cost, count in walk:
        now_us += step_us
        answer = oracle.acquire(now_us, cost, count)
        assert answer.reset_after_us == _first_idle_wait(oracle, now_us)
        if answer.granted == count:
            assert answer.retry_after_us == 0
        elif cost > limit:
            assert answer.retry_after_us == NEVER
        else:
            assert answer.retry_after_us == _first_passing_wait(oracle, now_us, cost) > 0


@every_algorithm
@given(limit=limits, period_us=periods_us, walk=st.lists(moments, max_size=12))
def test_a_peek_changes_nothing_and_a_denial_consumes_nothing(
    make: Callable[[int, int], Oracle], limit: int, period_us: int, walk: list[tuple[int, int, int]]
) -> None:
    """Peek agrees with acquire; after a denial the state is the settled one from before."""
    oracle = make(limit, period_us)
    now_us = 1_000
    for step_us, cost, count in walk:
        now_us += step_us
        before, settled = oracle.state(), oracle.normalised(now_us)
        peeked = oracle.peek(now_us, cost, count)
        assert oracle.state() == before
        answer = oracle.acquire(now_us, cost, count)
        assert (peeked.granted, peeked.retry_after_us) == (answer.granted, answer.retry_after_us)
        if answer.granted * cost == 0:
            assert oracle.normalised(now_us) == settled
            assert (peeked.remaining, peeked.reset_after_us) == (answer.remaining, answer.reset_after_us)


def _first_idle_wait(oracle: Oracle, now_us: int) -> int:
    return next(wait_us for wait_us in range(1_000) if oracle.normalised(now_us + wait_us) is None)


def _first_passing_wait(oracle: Oracle, now_us: int, cost: int) -> int:
    return next(wait_us for wait_us in range(1_000) if oracle.copy().acquire(now_us + wait_us, cost).granted)
