"""How long a window of a calendar is, by which rates are matched; what is carried over, test_answers.py asks."""

from __future__ import annotations

from sluicegate.ratelimit.algorithms import calendar_quota, carrying


def test_a_calendar_looks_back_for_as_long_as_its_middle_window() -> None:
    """Of a rule with its edges that is what lies between the two in the middle."""
    assert carrying.calendar_length_of(calendar_quota.Rule(5, 1, 3, 10, 20)) == 7


def test_of_a_calendar_whose_edges_are_gone_the_length_is_known() -> None:
    """Of a rule that was read from a state it is the number behind the limit."""
    assert carrying.calendar_length_of((5, 7)) == 7
