"""The public surface: small, and what was released of it stays."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tools.public_api import DESCRIPTION, PACKAGE, SOURCES, breaks, description

import sluicegate

if TYPE_CHECKING:
    from pathlib import Path

RELEASED = DESCRIPTION.read_text("utf-8")
LIMITER = "ratelimit/limiter.py"
ACQUIRE = "async def acquire(self, limit: Limit, key: str, cost: int = 1)"
BROKEN = {
    "a name is removed": ("__init__.py", '    "Rate",\n', "", "sluicegate.Rate: Public object was removed"),
    "a verb is renamed": (LIMITER, "def refund(", "def give_back(", "Limiter.refund: Public object was removed"),
    "a parameter is removed": (
        LIMITER,
        ACQUIRE,
        ACQUIRE.replace(", cost: int = 1", ""),
        "acquire: Parameter was removed",
    ),
    "a parameter is renamed": (LIMITER, ACQUIRE, ACQUIRE.replace("cost", "units"), "acquire: Parameter was removed"),
    "one more is required": (LIMITER, ACQUIRE, ACQUIRE.replace("key: str", "key: str, why: str"), "added as required"),
    "one becomes required": (LIMITER, ACQUIRE, ACQUIRE.replace(" = 1", ""), "acquire: Parameter is now required"),
    "a default changes": (LIMITER, ACQUIRE, ACQUIRE.replace("= 1", "= 2"), "acquire: Parameter default was changed"),
    "a constant that is a default changes": (
        "ratelimit/engine.py",
        "DENY_CACHE_US = 1_000_000",
        "DENY_CACHE_US = 2_000_000",
        "Limiter.__init__: Parameter default was changed",
    ),
    "a parameter moves": (
        LIMITER,
        ACQUIRE,
        ACQUIRE.replace("limit: Limit, key: str", "key: str, limit: Limit"),
        "acquire: Positional parameter was moved",
    ),
    "a kind changes": (LIMITER, ACQUIRE, ACQUIRE.replace("cost", "*, cost"), "acquire: Parameter kind was changed"),
    "a verb becomes a value": (
        LIMITER,
        "    def statistics(",
        "    @property\n    def statistics(",
        "points to a different kind",
    ),
    "a field of a value is removed": (
        "ratelimit/features.py",
        "    coalescing: bool = True\n",
        "",
        "Features.coalescing",
    ),
    "an error leaves its place": (
        "utils/errors.py",
        "class StoreOverloadedError(StoreError):",
        "class StoreOverloadedError:",
        "StoreOverloadedError: Base class was removed",
    ),
}


@pytest.fixture(scope="module")
def now() -> str:
    """Return what is offered now."""
    return description()


def changed_copy(folder: Path, file: str, old: str, new: str) -> Path:
    """Return the sources with a text in one of them replaced."""
    shutil.copytree(SOURCES / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / PACKAGE / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    return folder


def test_what_was_released_stays(now: str) -> None:
    """Whoever wrote against the last release finds all of it; `make names` writes the description of the next."""
    assert breaks(RELEASED, now) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_change_that_breaks_is_found(now: str, name: str, tmp_path: Path) -> None:
    """A copy of the sources with such a change is told by its place."""
    file, old, new, told = BROKEN[name]
    found = breaks(now, description(changed_copy(tmp_path, file, old, new)))
    assert any(told in each for each in found), found


def test_what_is_added_breaks_nothing(now: str, tmp_path: Path) -> None:
    """A keyword with a default, a verb and a name may come with any version."""
    more = changed_copy(tmp_path, LIMITER, ACQUIRE, ACQUIRE.replace("= 1", "= 1, *, why: str = ''"))
    path = more / PACKAGE / "__init__.py"
    path.write_text(
        path.read_text("utf-8")
        .replace('"Rate",\n', '"Rate",\n    "checked_seconds",\n')
        .replace("    Clock,\n", "    Clock,\n    checked_seconds,\n", 1),
        "utf-8",
    )
    with_more = description(more)
    assert breaks(now, with_more) == []
    assert breaks(with_more, now) != []


def test_the_description_stays_the_same(now: str) -> None:
    """It says nothing of places in files or in memory, so that a difference is a change."""
    assert description() == now
    assert "0x" not in RELEASED


def test_the_root_offers_few_names() -> None:
    """The root package offers about thirty names: limiters, limits, decisions, and the error tree."""
    assert len(sluicegate.__all__) <= 35
    assert all(hasattr(sluicegate, name) for name in sluicegate.__all__)
