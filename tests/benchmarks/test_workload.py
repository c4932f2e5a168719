"""The keys that every contender is asked for."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from benchmarks.workload import DRAWS_MAX, Wish, drawn_keys, keys_named, next_key_of


def test_everybody_is_asked_for_the_same_keys_in_the_same_order() -> None:
    """Two draws of the same kind are equal."""
    assert drawn_keys(1_000, "zipf") == drawn_keys(1_000, "zipf")
    assert drawn_keys(1_000) == drawn_keys(1_000)


def test_the_hottest_keys_of_zipf_come_as_often_as_the_law_says() -> None:
    """The share of each of the first ranks is its weight over the sum of weights, within the noise of the draw."""
    count = 10_000
    drawn = drawn_keys(count, "zipf")
    total = sum(rank**-1.1 for rank in range(1, count + 1))
    for rank, (_, times) in enumerate(Counter(drawn).most_common(5), 1):
        share = rank**-1.1 / total
        assert abs(times / len(drawn) - share) < 0.02 * share + 0.002


def test_uniform_keys_have_no_favourite() -> None:
    """No key of a thousand comes twice as often as the average."""
    drawn = drawn_keys(1_000)
    assert max(Counter(drawn).values()) < 2 * len(drawn) / 1_000


def test_the_draws_are_bounded() -> None:
    """A draw holds no more than a million keys, however many there are."""
    assert len(drawn_keys(200_000, "zipf")) == DRAWS_MAX


def test_the_order_begins_anew_when_it_ends() -> None:
    """A load never runs out of keys."""
    drawn = drawn_keys(3)
    next_key = next_key_of(3)
    assert list(islice(iter(next_key, None), len(drawn) + 2)) == [*drawn, *drawn[:2]]


def test_keys_have_twenty_bytes() -> None:
    """Keys are of one size, so that nobody pays for longer ones."""
    assert {len(key) for key in keys_named(1_000)} == {20}


def test_a_unit_takes_whole_microseconds() -> None:
    """The limit that nobody reaches costs nobody the arithmetic of fractions."""
    assert Wish().interval_us * Wish().per_hour == 3_600_000_000
