"""What is told to have changed between two runs."""

from __future__ import annotations

from typing import Any

from benchmarks.compare import Change, changes_between


def a_run(low: float, median: float, high: float, **more: float) -> dict[str, Any]:
    """Return a run of one contest with one contender at such a rate."""
    figures = {"per_second": {"median": median, "min": low, "max": high}, **more}
    return {"contests": {"tasks": {"summary": {"sluicegate": figures}}}}


def rate_change(before: dict[str, Any], after: dict[str, Any]) -> Change:
    """Return how the rate changed."""
    [change] = [each for each in changes_between(before, after) if each.name == "per_second"]
    return change


def test_a_change_within_the_spread_of_the_rounds_is_noise() -> None:
    """Medians that lie in each other's range tell nothing."""
    change = rate_change(a_run(80, 100, 120), a_run(90, 115, 130))
    assert (change.beyond, change.word) == (False, "")


def test_a_rate_beyond_the_spread_is_better_or_worse() -> None:
    """Of rates more is better."""
    slow, fast = a_run(95, 100, 105), a_run(190, 200, 210)
    assert (rate_change(slow, fast).word, rate_change(slow, fast).ratio) == ("better", 2.0)
    assert rate_change(fast, slow).word == "worse"


def test_of_costs_less_is_better() -> None:
    """Microseconds that fell are an improvement, though only their median was kept."""
    changes = changes_between(a_run(1, 1, 1, client_us=9.0), a_run(1, 1, 1, client_us=6.0))
    [cost] = [each for each in changes if each.name == "client_us"]
    assert (cost.beyond, cost.word) == (True, "better")


def test_a_range_without_width_is_given_some_room() -> None:
    """A difference of a few hundredths between two figures without rounds is noise."""
    assert not rate_change(a_run(100, 100, 100), a_run(103, 103, 103)).beyond


def test_what_only_one_run_has_is_not_compared() -> None:
    """A contest or a contender that is new has nothing to be compared with."""
    before: dict[str, Any] = {"contests": {"other": {"summary": {}}}}
    assert changes_between(before, a_run(1, 1, 1)) == []


def test_what_was_nothing_before_has_no_ratio() -> None:
    """A figure that was zero is told without a ratio."""
    changes = changes_between(a_run(1, 1, 1, script_calls=0.0), a_run(1, 1, 1, script_calls=1.0))
    [calls] = [each for each in changes if each.name == "script_calls"]
    assert (calls.ratio, calls.word) == (None, "worse")
