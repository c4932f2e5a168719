"""What a contender offers to the load: its own public call, and how to read all of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Target", "given", "not_given"]


def _nothing() -> None:
    """Leave what needs no closing."""


def given(answer: Any) -> Any:
    """Read an answer that is no more than whether the request may pass, or no more of it than that."""
    return answer


def not_given(answer: Any) -> bool:
    """Read such an answer where a denial is what should come."""
    return not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A contender, ready to decide.

    Attributes:
        decide: Its public call with all but the key given; awaited in the asynchronous loads.
        read: Reads every field of an answer; says whether it was what should come: a true admission, or
            where denials are wished a true denial.
        close: Ends it; awaited in the asynchronous loads when it returns something to await.
        keys: How many keys it remembers in this process, where it can tell.
        source: Tells who gave an answer, where answers say so.
    """

    decide: Callable[[str], Any]
    read: Callable[[Any], Any]
    close: Callable[[], Any] = _nothing
    keys: Callable[[], int] = lambda: 0
    source: Callable[[Any], str] = lambda _answer: ""
