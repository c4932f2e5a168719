"""What a contender offers to the load: its own public call, and how to read all of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Target"]


def _nothing() -> None:
    """Leave what needs no closing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A contender, ready to decide.

    Attributes:
        decide: Its public call with all but the key given; awaited in the asynchronous loads.
        read: Reads every field of an answer; says whether it was a true admission.
        close: Ends it; awaited in the asynchronous loads when it returns something to await.
        keys: How many keys it remembers in this process, where it can tell.
    """

    decide: Callable[[str], Any]
    read: Callable[[Any], bool]
    close: Callable[[], Any] = _nothing
    keys: Callable[[], int] = lambda: 0
