"""Each function of the Python twins on its own: what the oracle says of edges by the thousand, without a store."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

import pytest

from sluicegate.ratelimit.algorithms import (
    ALGORITHMS,
    calendar_quota,
    exact,
    fixed_window,
    gcra,
    sliding_window_counter,
    sliding_window_log,
)
from sluicegate.ratelimit.rate import Rate
from tests.twins.python_twins import answer_of
from tests.twins.questions import QUESTIONED, gcra_rule, questions

RATES = [
    Rate(7, Fraction(1), "minute"),
    Rate(700_000, Fraction(1), "second", 3),
    Rate(10**9, Fraction(31), "day"),
    Rate(3, Fraction(1, 100_000), "second", 4),
    Rate(1, Fraction(366), "day"),
    Rate(999_999_937, Fraction(1, 1_000_000), "second", 999_999_937),
]


@pytest.mark.parametrize("function", QUESTIONED)
def test_a_python_twin_answers_what_the_oracle_says(function: str) -> None:
    """Each function of the Python twins returns, number for number, what the oracle reckons slowly."""
    for question in questions(function):
        answer = answer_of(function, question.args)
        if answer != question.expected:
            pytest.fail(f"{function}{question.args}\nanswers {answer}\nwhere expected is {question.expected}")


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_a_rate_is_reduced_to_the_smallest_whole_numbers(rate: Rate) -> None:
    """The rule of gcra is the rate's own interval and capacity, over the smallest denominator."""
    rule = gcra.rule_of(rate)
    assert rule == gcra_rule(rate.limit, rate.period_us, rate.capacity)
    assert gcd(rule.interval_rem, rule.per) == 1


@pytest.mark.parametrize("algorithm", [fixed_window, sliding_window_counter, sliding_window_log])
def test_a_window_takes_limit_and_period_as_they_are(algorithm: object) -> None:
    """The rule of a counter of windows is the rate's limit and its period in microseconds."""
    assert algorithm.rule_of(Rate(7, Fraction(5), "second")) == (7, 5_000_000)  # type: ignore[attr-defined]


def test_a_time_beyond_what_both_twins_hold_exactly_is_refused() -> None:
    """Python counts without bound but stops where Lua's numbers would no longer be whole: at 2^53."""
    assert exact.time_of(1, 2**53 - 1, 0, 1) == (2**53 - 1, 0)
    with pytest.raises(AssertionError):
        exact.time_of(1, 2**53, 0, 1)


@pytest.mark.parametrize("now_us", [9, 40])
def test_a_calendar_does_not_decide_outside_its_edges(now_us: int) -> None:
    """Windows that do not cover the clock are a fault of the caller, never an answer."""
    rule = calendar_quota.Rule(3, 10, 20, 30, 40)
    with pytest.raises(AssertionError):
        calendar_quota.decide((10, 0, 0), now_us, 1, 1, rule)


@pytest.mark.parametrize("name", ["decide", "refund", "rule_of"])
def test_what_a_store_decides_has_no_function_here(name: str) -> None:
    """The row of an algorithm with a collection refuses a call, and says who decides it."""
    with pytest.raises(AssertionError, match=r"^this kind of algorithm is decided by its store$"):
        getattr(ALGORITHMS["concurrency"], name)()
