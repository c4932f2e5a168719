"""The ledger of what several processes were admitted."""

from __future__ import annotations

import pytest
from benchmarks.leases import jain, most_within

MS = 1_000_000


def test_the_most_in_an_interval_is_found_wherever_it_lies() -> None:
    """The interval slides; it does not begin at a full second."""
    at_ms = [0, 900, 950, 990, 1_010, 1_050, 2_500]
    assert most_within([(ms * MS, ms * MS) for ms in at_ms], 0.2) == 5


def test_an_admission_on_both_ends_of_an_interval_is_within_it() -> None:
    """An interval has both its ends."""
    assert most_within([(0, 0), (100 * MS, 100 * MS)], 0.1) == 2
    assert most_within([(0, 0), (100 * MS + 1, 100 * MS + 1)], 0.1) == 1


def test_an_admission_that_may_lie_outside_is_not_counted() -> None:
    """What was asked for within the interval and answered after it may have been admitted after it."""
    assert most_within([(0, 1 * MS), (90 * MS, 200 * MS)], 0.1) == 1


def test_nothing_admitted_is_no_excess() -> None:
    """An empty ledger has nothing in any interval."""
    assert most_within([], 1.0) == 0


@pytest.mark.parametrize(("shares", "index"), [([5, 5, 5, 5], 1.0), ([9, 0, 0], 1 / 3), ([0, 0], 1.0), ([3, 1], 0.8)])
def test_the_index_of_fairness(shares: list[int], index: float) -> None:
    """Equal shares are 1; all for one of n is 1/n."""
    assert jain(shares) == pytest.approx(index)
