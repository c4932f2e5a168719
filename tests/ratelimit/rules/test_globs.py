"""Which values a glob fits, and that no value is expensive."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate import InvalidInputError
from sluicegate.ratelimit.rules import Glob

letters = st.text(alphabet="ab*", max_size=12)


@pytest.mark.parametrize(
    ("text", "fits", "not_"),
    [
        ("acme", ["acme"], ["", "Acme", "acme-1", "acm"]),
        ("acme-*", ["acme-", "acme-1", "acme-*"], ["acme", "xacme-1"]),
        ("*.example.org", ["a.example.org", ".example.org"], ["example.org", "a.example.org.evil"]),
        ("10.*.7", ["10.1.7", "10.1.2.7", "10..7"], ["10.7", "10.1.70"]),
        ("a*b*a", ["aba", "abba", "axbxa"], ["aa", "ab", "abx"]),
        ("*ab*ab*", ["abab", "xababx"], ["ab", "aab", "abx"]),
        ("a*bc*c", ["abcc", "abxbcxc"], ["abxbc", "abc"]),
        ("a" * 255 + "*", ["a" * 255], ["a" * 254]),
        ("*", ["a", "/"], [""]),
        ("**", ["a"], [""]),
        ("", [""], ["a"]),
        ("a?[b]", ["a?[b]"], ["axb"]),
        ("\u00e9*", ["\u00e9t\u00e9"], ["e"]),
    ],
)
def test_what_a_glob_fits(text: str, fits: list[str], not_: list[str]) -> None:
    """A star is any text, all else stands for itself, and the whole value has to fit."""
    glob = Glob(text)
    assert [value for value in fits if not glob.matches(value)] == []
    assert [value for value in not_ if glob.matches(value)] == []


@given(text=letters, value=st.text(alphabet="ab", max_size=12))
def test_it_fits_what_a_regular_expression_would(text: str, value: str) -> None:
    """For every glob and value the answer is that of the expression that it stands for."""
    expression = "".join(".*" if character == "*" else re.escape(character) for character in text)
    expected = re.fullmatch(expression, value) is not None and bool(value or not text)
    assert Glob(text).matches(value) == expected


@given(text=letters)
def test_its_example_fits(text: str) -> None:
    """A value that fits is known of every glob."""
    assert Glob(text).matches(Glob(text).example)


def test_no_value_is_expensive() -> None:
    """The worst value for the worst glob takes time in proportion to its length."""
    glob = Glob("*" + "a*" * 60 + "b" + "*a" * 60)
    took = []
    for length in (20_000, 200_000):
        value = "a" * length
        start = time.perf_counter()
        assert not glob.matches(value)
        took.append(time.perf_counter() - start)
    assert took[1] < 0.1


@pytest.mark.parametrize("text", [None, 7, "a" * 257])
def test_refuses_what_is_no_glob(text: object) -> None:
    """A glob is text of at most 256 characters."""
    with pytest.raises(InvalidInputError, match="glob: found"):
        Glob(text)  # type: ignore[arg-type]  # that is the point
