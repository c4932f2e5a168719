"""The oracle against each algorithm's definition, said in one formula over all that was admitted."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import Oracle, fixed_window, gcra, sliding_window_counter, sliding_window_log

if TYPE_CHECKING:
    from collections.abc import Callable

Admissions = list[tuple[int, int]]


def _gcra_by_definition(admitted: Admissions, now_us: int, cost: int, limit: int, period_us: int) -> bool:
    # No interval that ends now may hold more than the burst and what its length earns.
    return all(
        sum(units for at_us, units in admitted if at_us >= since_us) + cost
        <= limit + Fraction((now_us - since_us) * limit, period_us)
        for since_us in [now_us, *(at_us for at_us, _units in admitted)]
    )


def _fixed_by_definition(admitted: Admissions, now_us: int, cost: int, limit: int, period_us: int) -> bool:
    window = now_us // period_us
    return sum(units for at_us, units in admitted if at_us // period_us == window) + cost <= limit


def _counter_by_definition(admitted: Admissions, now_us: int, cost: int, limit: int, period_us: int) -> bool:
    window, elapsed_us = divmod(now_us, period_us)
    current = sum(units for at_us, units in admitted if at_us // period_us == window)
    previous = sum(units for at_us, units in admitted if at_us // period_us == window - 1)
    return previous * (period_us - elapsed_us) + (current + cost) * period_us <= limit * period_us


def _log_by_definition(admitted: Admissions, now_us: int, cost: int, limit: int, period_us: int) -> bool:
    return sum(units for at_us, units in admitted if at_us > now_us - period_us) + cost <= limit


@pytest.mark.parametrize(
    ("make", "passes"),
    [
        (gcra, _gcra_by_definition),
        (fixed_window, _fixed_by_definition),
        (sliding_window_counter, _counter_by_definition),
        (sliding_window_log, _log_by_definition),
    ],
    ids=["gcra", "fixed_window", "sliding_window_counter", "sliding_window_log"],
)
@given(
    limit=st.integers(1, 6),
    period_us=st.integers(1, 40),
    steps=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 7))),
)
def test_each_algorithm_is_its_definition_over_all_admissions(
    make: Callable[[int, int], Oracle],
    passes: Callable[[Admissions, int, int, int, int], bool],
    limit: int,
    period_us: int,
    steps: list[tuple[int, int]],
) -> None:
    """With a clock that never steps back, the whole history and one formula decide the same."""
    oracle = make(limit, period_us)
    admitted: Admissions = []
    now_us = 1_000
    for step_us, cost in steps:
        now_us += step_us
        expected = passes(admitted, now_us, cost, limit, period_us)
        assert oracle.acquire(now_us, cost).granted == expected
        if expected:
            admitted.append((now_us, cost))
