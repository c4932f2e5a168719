"""Limits that are suggested: they keep their promise, and the next smaller one does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluicegate.ratelimit import Limit
from sluicegate.ratelimit.rules import Schedule, Times
from sluicegate.replay.deciding import LimitRun, Outcome, run_limit
from sluicegate.replay.keyed_times import KeyedTimes
from sluicegate.replay.suggesting import Suggestion, suggestions
from sluicegate.replay.terms import Terms
from sluicegate.replay.timeline import Timeline

START_US = 1_710_024_600_000_000
SECOND_US = 1_000_000
ALGORITHMS = ["gcra", "fixed_window", "sliding_window_counter", "sliding_window_log"]

logs = st.lists(st.lists(st.integers(0, 200), min_size=1, max_size=40), min_size=1, max_size=6)


def replayed(limit: Limit, log: list[list[int]], **more: Any) -> tuple[Outcome, tuple[Suggestion, ...]]:
    """Drive *limit* through requests of some keys, given as seconds."""
    terms = Terms(limit=limit, **more)
    entries = sorted(
        (0, f"k{key}", START_US + second * SECOND_US, line)
        for key, seconds in enumerate(log)
        for line, second in enumerate(seconds)
    )
    over_time = Timeline.over(START_US, START_US + 200 * SECOND_US)
    with KeyedTimes() as tape:
        outcome = run_limit(terms, entries, tape=tape, over_time=over_time, progress=lambda _: None)
        return outcome, suggestions(terms, outcome, tape)


def limit_of(text: str) -> int:
    """Return the limit of the first rate in a text."""
    return int(text.partition("/")[0].partition(" ")[0])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(log=logs, units=st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_a_suggestion_is_the_smallest_that_holds(algorithm: str, log: list[list[int]], units: int) -> None:
    """The limit suggested denies what is said and no more than allowed; one unit less denies more."""
    requests = sum(map(len, log))
    for found in replayed(Limit("a", f"{units}/minute", algorithm=algorithm), log)[1]:
        assert found.rate is not None
        allowed_denials = int(requests * round(found.target_ratio * 1000)) // 1000
        outcome, _ = replayed(Limit("a", found.rate, algorithm=algorithm), log)
        assert outcome.denied == found.denied <= allowed_denials
        assert found.denied_ratio == found.denied / requests
        smaller = limit_of(found.rate) - 1
        if smaller:
            assert replayed(Limit("a", f"{smaller}/minute", algorithm=algorithm), log)[0].denied > allowed_denials


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(log=logs, units=st.integers(1, 60), cost=st.integers(2, 7))
@settings(max_examples=15, deadline=None)
def test_a_suggestion_counts_what_requests_take(algorithm: str, log: list[list[int]], units: int, cost: int) -> None:
    """With a cost it is the smallest, too: what is decided again under it denies what is said."""
    requests = sum(map(len, log))
    for found in replayed(Limit("a", f"{units}/minute", algorithm=algorithm), log, cost=cost)[1]:
        assert found.rate is not None
        allowed_denials = int(requests * round(found.target_ratio * 1000)) // 1000
        outcome, _ = replayed(Limit("a", found.rate, algorithm=algorithm), log, cost=cost)
        assert outcome.denied == found.denied <= allowed_denials
        smaller = limit_of(found.rate) - 1
        if smaller:
            less, _ = replayed(Limit("a", f"{smaller}/minute", algorithm=algorithm), log, cost=cost)
            assert less.denied > allowed_denials


def test_other_hours_stay_in_proportion() -> None:
    """The rates of a schedule grow with that outside of it, and the whole log is decided again under them."""
    own, other = Limit("a", "4/minute", algorithm="fixed_window"), Limit("a", "8/minute", algorithm="fixed_window")
    start = START_US // 60_000_000 % 1440
    schedule = Schedule("UTC", ((Times(start=start, end=start + 1), other),))
    log = [[0] * 40 + [60] * 10, [60] * 30]
    outcome, suggested = replayed(own, log, schedule=schedule)
    assert outcome.denied == (40 - 8) + (10 - 4) + (30 - 4)
    assert [found.rate for found in suggested] == ["30/minute", "30/minute"]  # and so sixty in the first minute
    assert [found.denied for found in suggested] == [0, 0]


def test_a_burst_stays_in_proportion() -> None:
    """The burst grows and shrinks with the limit, rounded up."""
    storm = [[0] * 60]
    suggested = replayed(Limit("a", "20/minute burst 5"), storm)[1]
    assert [found.rate for found in suggested] == ["237/minute burst 60", "237/minute burst 60"]


def test_several_rates_stay_in_proportion() -> None:
    """With several rates all are scaled by what the first one needs."""
    storm = [[0] * 40]
    suggested = replayed(Limit("a", "20/minute; 10/hour", algorithm="fixed_window"), storm)[1]
    assert suggested[0].rate == "79/minute; 40/hour"


@pytest.mark.parametrize(
    ("rate", "options", "log"),
    [
        ("5/day", {"algorithm": "calendar_quota", "time_zone": "Europe/Berlin"}, [[0] * 30, [100]]),
        ("1000000/minute", {}, [[0] * 30]),
        ("1/minute", {"shadow": True}, [[0] * 30]),
    ],
)
def test_from_any_beginning(rate: str, options: dict[str, Any], log: list[list[int]]) -> None:
    """The search ends at the same place from above and below, for quotas and shadow limits too."""
    suggested = replayed(Limit("a", rate, **options), log)[1]
    assert [limit_of(found.rate or "0") for found in suggested] == [30, 30]


def test_no_limit_is_large_enough() -> None:
    """Where not even the largest limit of the algorithm denies so few, none is suggested."""
    storm = [[0] * 10_200]
    suggested = replayed(Limit("a", "1/minute", algorithm="sliding_window_log"), storm)[1]
    assert [found.rate for found in suggested] == [None, None]
    assert suggested[0].denied == 200


def test_no_limit_in_proportion_is_in_range() -> None:
    """Where another of several rates would leave its range, none is suggested."""
    storm = [[0] * 100]
    limit = Limit("a", "1/minute; 1000000000/hour", algorithm="fixed_window")
    assert [found.rate for found in replayed(limit, storm)[1]] == [None, None]


def test_nothing_without_requests() -> None:
    """A rule without requests needs no limit."""
    assert replayed(Limit("a", "1/minute"), [])[1] == ()


def test_keys_do_not_share_state() -> None:
    """A key begins without a state, even when its requests are older than those of the key before it."""
    run = LimitRun(Terms(limit=Limit("a", "1/hour", algorithm="fixed_window")))
    with KeyedTimes() as tape:
        late = tape.add_key([START_US + 7200 * SECOND_US] * 2)
        early = tape.add_key([START_US, START_US + 7200 * SECOND_US])
        assert run.denied(tape.pieces(late)) == 1
        assert run.denied(tape.pieces(early)) == 0


def test_the_most_denied_are_the_most_denied() -> None:
    """Of many keys the twenty that were denied most are kept, those of one count in the order of their names."""
    log = [[0] * (2 + key % 50) for key in range(1500)]
    outcome, _ = replayed(Limit("a", "1/day", algorithm="fixed_window"), log)
    most = sorted(f"k{key}" for key in range(49, 1500, 50))[:20]
    assert [(found.key, found.denied, found.allowed) for found in outcome.top_denied] == [(key, 50, 1) for key in most]
    assert outcome.denied == sum(1 + key % 50 for key in range(1500))
