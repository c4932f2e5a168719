"""What is planned fits the time there is, and says what it compares."""

from __future__ import annotations

import pytest
from benchmarks.plan import Extent, contests, planned_seconds
from benchmarks.wording import TITLES


def test_all_of_it_takes_less_than_twenty_five_minutes() -> None:
    """The whole is planned to end within 25 minutes."""
    assert planned_seconds(Extent()) < 25 * 60


def test_the_quick_form_takes_less_than_ninety_seconds() -> None:
    """The quick form is planned to end within 90 seconds."""
    assert planned_seconds(Extent.short()) < 90


@pytest.mark.parametrize("extent", [Extent(), Extent.short()], ids=["whole", "quick"])
def test_each_contest_has_its_reference_and_no_label_twice(extent: Extent) -> None:
    """Ratios have something to refer to, and no contender hides another."""
    for contest in contests(extent):
        labels = [label for label, _, _ in contest.entries]
        assert contest.reference in labels
        assert len(labels) == len(set(labels))


def test_each_contest_has_a_title() -> None:
    """The page calls each contest by what it is."""
    assert {contest.name for contest in contests(Extent())} == set(TITLES)
