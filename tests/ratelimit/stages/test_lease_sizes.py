"""How many units are taken ahead, kept and given back: arithmetic that asks nobody."""

from __future__ import annotations

from random import Random

import pytest

from sluicegate import Limit
from sluicegate.ratelimit.calendar import boundaries
from sluicegate.ratelimit.stages.lease import STORE_SERIALS, WISH_MAX, Lease, Parcel, returnable, wish_of
from sluicegate.ratelimit.stores.store import Reply

DAY_US = 86_400_000_000
NOW_US = 1_700_006_400_000_000  # a midnight in UTC
SENT_US = 5_000_000
PACED = Limit("paced", "1000/s", mode="leased")
WINDOWS = Limit("windows", "1000 per 10 s", algorithm="fixed_window", mode="leased")


def parcel_of(units: int, limit: Limit = PACED, *, at_us: int = NOW_US, sent_us: int = SENT_US) -> Parcel:
    """Return a parcel that an idle key granted."""
    reset_after_us = units * 1000 if limit.plan.algorithm.takes_burst else 10_000_000
    return Parcel(Reply(at_us, 3, [units, 1000 - units, 0, reset_after_us], sent_us), limit.plan)


def test_a_wish_grows_with_demand_and_shrinks_near_the_limit() -> None:
    """Twice the demand is twice the wish; an eighth of what is left is the most; of less than two nothing is taken."""
    sizes = [wish_of(asked=asked, elapsed_us=1_000_000, left=10**6, lease_us=1_000_000) for asked in (100, 200, 400)]
    assert sizes == [66, 133, 266]
    near = [wish_of(asked=400, elapsed_us=1_000_000, left=left, lease_us=1_000_000) for left in (800, 80, 16, 15, 0)]
    assert near == [100, 10, 2, 0, 0]


def test_a_wish_is_no_more_than_four_times_what_was_asked() -> None:
    """A demand seen for a moment is no demand yet."""
    assert wish_of(asked=2, elapsed_us=10, left=10**6, lease_us=60_000_000) == 8


def test_little_demand_takes_nothing_ahead() -> None:
    """A parcel that would last for three requests is not worth what it costs to ask for it and to watch it."""
    sizes = [wish_of(asked=asked, elapsed_us=1_000_000, left=10**6, lease_us=1_000_000) for asked in (5, 6, 7)]
    assert sizes == [0, 4, 4]


def test_a_wish_is_bounded() -> None:
    """However much is asked for, no parcel is larger than a process can spend in its life."""
    assert wish_of(asked=10**9, elapsed_us=1, left=10**9 * 8, lease_us=60_000_000) == WISH_MAX


def test_what_is_asked_for_is_counted_anew_after_a_wish() -> None:
    """Each wish follows the demand since the last; an old demand fades when nothing is wished for."""
    lease = Lease(PACED, "key", 0)
    lease.left, lease.asked = 10**6, 400
    assert lease.wish(1_000_000) == 266
    lease.asked = 40
    assert lease.wish(2_000_000) == 26
    lease.left, lease.asked = 0, 80
    assert [lease.wish(now_us) for now_us in (3_500_000, 5_500_000)] == [0, 0]
    assert lease.asked == 20


@pytest.mark.parametrize(
    ("limit", "offset_us", "life_us"),
    [
        (PACED, 0, 1_000_000),
        (Limit("long", "10/s", mode="leased", lease_seconds=30), 0, 30_000_000),
        (WINDOWS, 0, 1_000_000),
        (WINDOWS, 9_600_000, 399_600),
        (Limit("two", "100 per 10 s; 50 per 7 s", algorithm="fixed_window", mode="leased"), 8_999_000, 999_000),
        (Limit("counter", "9/s", algorithm="sliding_window_counter", mode="leased"), 990_000, 1_000_000),
        (Limit("log", "9/s", algorithm="sliding_window_log", mode="leased"), 990_000, 1_000_000),
        (Limit("day", "9/day", algorithm="calendar_quota", mode="leased"), DAY_US - 500_000, 499_500),
        (Limit("both", "9/day; 20/week", algorithm="calendar_quota", mode="leased"), DAY_US - 500_000, 499_500),
    ],
    ids=lambda value: value.name if isinstance(value, Limit) else "",
)
def test_a_parcel_lives_as_long_as_a_lease_and_no_longer_than_its_window(
    limit: Limit, offset_us: int, life_us: int
) -> None:
    """Its life counts from before it was asked for, and ends a thousandth before the first of its windows does."""
    parcel = parcel_of(8, limit, at_us=NOW_US + offset_us)
    ends = [NOW_US + offset_us + 10**9]
    if limit.plan.calendar:
        at_us = NOW_US + offset_us
        ends = [next(e for e in boundaries(period, at_us) if e > at_us) for _, period in limit.plan.calendar]
    elif limit.plan.algorithm.windowed:
        ends = [(NOW_US + offset_us) // period_us * period_us + period_us for _, period_us in limit.plan.rules]
    left_us = min(ends) - NOW_US - offset_us
    assert parcel.expires_us == SENT_US + min(limit.plan.lease_us, left_us - left_us // 1000)
    assert parcel.expires_us - SENT_US <= life_us + 1000


def test_each_unit_has_the_reset_that_it_would_have_had_alone() -> None:
    """What was taken at once resets unit by unit, so that no refund of one gives back what idle time gave back."""
    parcel = parcel_of(10)
    lease = Lease(PACED, "key", 0)
    lease.accept(parcel, SENT_US)
    resets = []
    for _ in range(10):
        assert lease.spend(SENT_US, 1) is parcel
        resets.append(parcel.reset_after_us - parcel.units * parcel.step_us)
    assert resets == [1000 * (at + 1) for at in range(10)]


@pytest.mark.parametrize("rate", ["700000/s burst 90", "3/s", "1000/s; 90000/hour", "1000000/s"])
def test_no_unit_resets_before_the_store_decided(rate: str) -> None:
    """Where units take parts of microseconds, or several rates bind, the first unit's reset is no negative time."""
    limit = Limit("fractions", rate, mode="leased")
    parcel = Parcel(Reply(NOW_US, 0, [80, 10, 0, 115], SENT_US), limit.plan)
    assert 0 <= parcel.reset_after_us - 79 * parcel.step_us <= 115


def test_units_are_spent_from_two_parcels_where_one_is_not_enough() -> None:
    """A cost takes the rest of one and the beginning of the next, which names the decision."""
    lease = Lease(PACED, "key", 0)
    first, second = parcel_of(5), parcel_of(20, sent_us=SENT_US + 100_000, at_us=NOW_US + 100_000)
    lease.accept(first, SENT_US)
    assert lease.spend(SENT_US, 3) is first
    lease.accept(second, SENT_US)
    assert lease.spend(SENT_US, 4) is second
    assert (first.units, second.units, lease.following) == (0, 18, None)


def test_units_that_are_put_back_do_not_outlive_their_parcel() -> None:
    """Of a cost that two parcels paid, each gets back what it paid."""
    lease = Lease(PACED, "key", 0)
    first, second = parcel_of(5), parcel_of(20, sent_us=SENT_US + 100_000, at_us=NOW_US + 100_000)
    lease.accept(first, SENT_US)
    lease.spend(SENT_US, 3)
    lease.accept(second, SENT_US)
    lease.spend(SENT_US, 4)
    across = second.next_serial()
    lease.spend(SENT_US, 6)
    within = second.next_serial()
    lease.put_back(second.decided_at_us, within, 6)
    assert second.units == 18
    lease.put_back(second.decided_at_us, across, 4)
    assert (second.units, first.units) == (20, 2)
    assert (lease.current, lease.following) == (first, second)
    lease.spend(SENT_US, 4)
    assert (second.units, first.units, lease.in_hand(first.expires_us)) == (18, 0, 18)


def test_a_cost_is_not_met_by_what_has_expired() -> None:
    """Of two parcels only the one that lives is spent, and its units alone have to be enough."""
    lease = Lease(PACED, "key", 0)
    lease.accept(parcel_of(5), SENT_US)
    lease.accept(parcel_of(4, sent_us=SENT_US + 500_000), SENT_US)
    later_us = SENT_US + 1_000_000
    assert lease.in_hand(later_us) == 4
    assert lease.spend(later_us, 5) is None
    assert lease.spend(later_us, 4) is not None
    assert lease.spend(later_us + 500_000, 0) is None


def test_what_is_likely_to_be_spent_is_kept() -> None:
    """At the same pace the rest of a life needs its part; the rest goes back, all of it when nobody asks any more."""
    lease = Lease(PACED, "key", SENT_US)
    lease.left, lease.asked = 10**6, 100
    assert lease.wish(SENT_US + 500_000)  # a hundred in half a second
    parcel = parcel_of(900, sent_us=SENT_US + 500_000)
    lease.accept(parcel, SENT_US + 500_000)
    lease.asked, lease.asked_at_us = 150, SENT_US + 1_250_000
    assert lease.given_up(parcel, SENT_US + 1_250_000) == 900 - 50  # two hundred a second, for a quarter of one
    assert parcel.units == 50
    assert lease.given_up(parcel, SENT_US + 1_490_000 + 20_000) == 50


def test_a_young_parcel_is_not_given_back_for_want_of_demand_since_it_was_asked_for() -> None:
    """The pace before it counts as well, so a parcel that a window's end cuts short is not returned unspent."""
    lease = Lease(WINDOWS, "key", SENT_US)
    lease.left, lease.asked = 10**6, 500
    assert lease.wish(SENT_US + 1_000_000) == 333
    parcel = parcel_of(333, WINDOWS, at_us=NOW_US + 9_900_000, sent_us=SENT_US + 1_000_000)
    lease.accept(parcel, SENT_US + 1_000_000)
    lease.asked_at_us = parcel.look_at_us
    assert parcel.expires_us == SENT_US + 1_000_000 + 99_900
    assert lease.given_up(parcel, parcel.look_at_us) < 333 - 10


def test_serials_of_a_parcel_are_its_own() -> None:
    """Whatever else the store decided at the same microsecond, no use of a parcel has the name of another."""
    parcels = [Parcel(Reply(NOW_US, serial, [9, 9, 0, 9000], SENT_US), PACED.plan) for serial in range(64)]
    names = [parcel.next_serial() for parcel in parcels for _ in range(50)]
    assert len({*names, *range(STORE_SERIALS)}) == len(names) + STORE_SERIALS


def test_what_is_returned_of_a_paced_limit_has_been_paid_for_by_the_time_since() -> None:
    """A return names a reset that lies as far ahead of its decision as its units last; windows name their own."""
    for seed in range(50):
        units = Random(seed).randrange(1, 100)
        decided_us, reset_us, _ = returnable(PACED.plan, parcel_of(100), units)
        assert (decided_us, reset_us) == (NOW_US, NOW_US + units * 1000)
    decided_us, reset_us, _ = returnable(WINDOWS.plan, parcel_of(100, WINDOWS), 7)
    assert (decided_us, reset_us) == (NOW_US, NOW_US + 10_000_000)
