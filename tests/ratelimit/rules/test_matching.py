"""Globs over paths: what they cover, and that no path makes them slow."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.ratelimit.rules import PathPattern
from sluicegate.utils import InvalidInputError

SECONDS_MAX = 2.0  # backtracking would take longer than the universe has been there

COVERED = [
    ("/", "/"),
    ("/api", "/api"),
    ("/api/**", "/api"),
    ("/api/**", "/api/"),
    ("/api/**", "/api/v1/users"),
    ("/**", "/"),
    ("/**", "/a/b"),
    ("**", "/a/b"),
    ("/*", "/"),
    ("/*", "/a"),
    ("/users/*/posts", "/users/7/posts"),
    ("/users/*/posts", "/users//posts"),
    ("/a/**/z", "/a/z"),
    ("/a/**/z", "/a/b/c/z"),
    ("/a/**/z", "/a/z/z"),
    ("**/login", "/deep/down/login"),
    ("/*.png", "/cat.png"),
    ("/img/**.png", "/img/a/b.png"),
    ("/*/**", "/a"),
    ("/*/**", "/a/b/c"),
    ("/a*b*c", "/aXbXbXc"),
    ("/a/**/**/b", "/a/b"),
]
NOT_COVERED = [
    ("/api", "/api/"),
    ("/api", "/API"),
    ("/api/**", "/apis"),
    ("/api/**", "/x/api/a"),
    ("/*", "/a/b"),
    ("/users/*/posts", "/users/7/8/posts"),
    ("/users/*/posts", "/users/posts"),
    ("/a/**/z", "/az"),
    ("/a/**/z", "/a/b"),
    ("**/login", "/login/x"),
    ("/*.png", "/a/cat.png"),
    ("/a*b*c", "/aXbX"),
    ("/a?c", "/abc"),
    ("/a.c", "/abc"),
    ("/[ab]", "/a"),
    ("/api", ""),
]


@pytest.mark.parametrize(("glob", "path"), COVERED)
def test_covers(glob: str, path: str) -> None:
    """A glob covers a path that is all of it fits."""
    assert PathPattern(glob).matches(path)


@pytest.mark.parametrize(("glob", "path"), NOT_COVERED)
def test_does_not_cover(glob: str, path: str) -> None:
    """A glob does not cover a path of which only a part fits, and has no characters that are special but the star."""
    assert not PathPattern(glob).matches(path)


def expression_of(glob: str) -> re.Pattern[str]:
    """Say the same with a regular expression, slowly and simply."""
    glob = re.sub(r"\*{2,}", "**", glob)
    parts = re.split(r"(/\*\*(?=/|$)|\*\*|\*)", glob)
    said = {"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*"}
    return re.compile("".join(said.get(part, re.escape(part)) for part in parts), re.DOTALL)


@given(
    glob=st.text("ab/*", min_size=1, max_size=10).filter(lambda text: text[0] in "/*" and "***" not in text),
    path=st.text("ab/", max_size=12),
)
def test_agrees_with_an_expression(glob: str, path: str) -> None:
    """A glob covers exactly what the regular expression that says the same covers."""
    assert PathPattern(glob).matches(path) == bool(expression_of(glob).fullmatch(path))


@pytest.mark.parametrize("glob", ["/" + "*a" * 100 + "b", "/" + "**a" * 80 + "b", "/**/a" * 40 + "/b"])
def test_is_not_slowed_by_a_hostile_path(glob: str) -> None:
    """A glob full of stars meets a long path that nearly fits in time linear in the path."""
    pattern = PathPattern(glob)
    began = time.perf_counter()
    assert not pattern.matches("/" + "a/" * 10_000)
    assert not pattern.matches("/" + "a" * 20_000)
    assert time.perf_counter() - began < SECONDS_MAX


@pytest.mark.parametrize("glob", ["", "api/**", "a" * 10, "/" + "a" * 256, None, 7])
def test_refuses(glob: object) -> None:
    """A glob that is empty, too long, no text or could fit no path is refused."""
    with pytest.raises(InvalidInputError, match="glob"):
        PathPattern(glob)  # type: ignore[arg-type]
