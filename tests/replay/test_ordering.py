"""Putting a log into order: exact, and in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.replay import ordering
from sluicegate.replay.keyed_times import KeyedTimes
from sluicegate.replay.ordering import Entry, Ordering
from sluicegate.utils import InvalidInputError

entries = st.lists(
    st.tuples(st.integers(0, 3), st.text(max_size=3), st.integers(0, 5), st.integers(1, 50)), max_size=60
)


@given(entries=entries, in_memory_max=st.integers(1, 20))
def test_is_the_order_of_all(entries: list[Entry], in_memory_max: int) -> None:
    """However little fits into memory, the order is that of sorting everything at once."""
    with Ordering(in_memory_max=in_memory_max) as given_entries:
        for entry in entries:
            given_entries.add(entry)
        assert given_entries.count == len(entries)
        assert list(given_entries.sorted()) == sorted(entries)


def test_many_runs_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are more runs than can be read side by side, they become one, and nothing is lost."""
    monkeypatch.setattr(ordering, "_RUNS_MAX", 3)
    monkeypatch.setattr(ordering, "_PIECE_ENTRIES", 2)
    entries = [(0, f"k{number * 7 % 10}", number * 13 % 101, number) for number in range(500)]
    with Ordering(in_memory_max=7) as given_entries:
        for entry in entries:
            given_entries.add(entry)
        assert list(given_entries.sorted()) == sorted(entries)


def test_holds_no_more_than_it_may() -> None:
    """Of many entries at most the bound is in memory; the rest is in a file that nobody else sees."""
    with Ordering(in_memory_max=10) as given_entries:
        for number in range(95):
            given_entries.add((0, "k", number, number))
            assert len(given_entries._pending) < 10
        assert len(given_entries._runs) == 9
        file = given_entries._file
    assert file is not None
    assert file.closed


@pytest.mark.parametrize("bound", [0, -1, 1.5, True, None])
def test_refuses_a_bound_that_is_none(bound: object) -> None:
    """At least one entry must fit into memory."""
    with pytest.raises(InvalidInputError, match="in_memory_max"):
        Ordering(in_memory_max=bound)  # type: ignore[arg-type]


@given(keys=st.lists(st.lists(st.integers(0, 2**53), max_size=20), max_size=10))
def test_a_tape_gives_back_what_it_was_given(keys: list[list[int]]) -> None:
    """A tape has each key at its place, with its times, as often as it is asked."""
    with KeyedTimes() as tape:
        places = [tape.add_key(times) for times in keys]
        assert list(tape.places()) == places
        for place, times in reversed(list(zip(places, keys, strict=True))):
            assert [at_us for piece in tape.pieces(place) for at_us in piece] == times
            assert tape.is_within(place, len(times))
            assert not tape.is_within(place, len(times) - 1)
        assert (tape.keys, tape.requests) == (len(keys), sum(map(len, keys)))
        assert tape.requests_of_key_max == max(map(len, keys), default=0)


def test_a_tape_cuts_a_large_key_into_pieces() -> None:
    """A key with more requests than fit into a piece is several, and neighbours stay whole."""
    with KeyedTimes() as tape:
        places = [tape.add_key(range(count)) for count in (3, 20_000, 8_192, 1)]
        assert list(tape.places()) == places
        assert [[len(piece) for piece in tape.pieces(place)] for place in places] == [
            [3],
            [8_192, 8_192, 3_616],
            [8_192],
            [1],
        ]
        assert not tape.is_within(places[1], 10**9), "not told without reading all pieces"
