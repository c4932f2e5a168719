"""The search for the highest rate that is held."""

from __future__ import annotations

import pytest
from benchmarks.held_rate import highest


@pytest.mark.parametrize("limit", [20.0, 37.0, 61.0, 99.0])
def test_the_search_comes_close_from_below(limit: float) -> None:
    """After seven steps the rate found is held, and less than a sixtieth of the range below the highest."""
    found = highest(20, 100, 7, lambda rate: rate <= limit)
    assert limit - 80 / 2**6 <= found <= limit


def test_the_search_takes_no_more_steps_than_it_may() -> None:
    """Each step costs a round, so there are as many as were asked for."""
    tried: list[float] = []
    highest(1, 2, 5, lambda rate: tried.append(rate) is None)
    assert len(tried) == 5


def test_nothing_is_found_where_the_lowest_rate_is_not_held() -> None:
    """A rate that was not seen to hold is not told."""
    assert highest(10, 100, 6, lambda _rate: False) == 0.0
