"""One request as a log tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LoggedRequest"]


class LoggedRequest(NamedTuple):
    """A whole line of a log.

    A tuple underneath: one is made for each of millions of lines, at a third of a dataclass's cost.

    Attributes:
        at_us: When the request was logged, in microseconds since the epoch.
        line_number: Where it stands in the log, from 1.
        descriptors: What is known of it, by the names that rules use; empty where the log has nothing.
    """

    at_us: int
    line_number: int
    descriptors: Mapping[str, str]
