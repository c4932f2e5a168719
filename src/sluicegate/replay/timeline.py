"""Counts over time, in at most a hundred columns however long the log is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COLUMNS_MAX", "Timeline"]

COLUMNS_MAX = 96  # what a picture can show and a person can tell apart
_SECOND_US = 1_000_000
_DAY_US = 86_400 * _SECOND_US
# Widths that people read as such; each divides the next or is a part of an hour or a day.
_WIDTHS_SECONDS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 7 * 86_400)


@dataclass(slots=True)
class Timeline:
    """Allowed and denied requests in columns of one width.

    Attributes:
        start_us: Where the first column begins, in microseconds since the epoch; a multiple of the width.
        width_us: Each column's width in microseconds.
        allowed: Requests allowed in each column.
        denied: Requests denied in each column.
    """

    start_us: int
    width_us: int
    allowed: list[int]
    denied: list[int]

    @classmethod
    def over(cls, first_us: int, last_us: int) -> Timeline:
        """Make an empty timeline that holds both instants."""
        width_us = next(
            (
                seconds * _SECOND_US
                for seconds in _WIDTHS_SECONDS
                if last_us // (seconds * _SECOND_US) - first_us // (seconds * _SECOND_US) < COLUMNS_MAX
            ),
            # Years of log: as many whole days as it takes, with one to spare for where columns begin.
            -(-(last_us - first_us) // ((COLUMNS_MAX - 1) * _DAY_US)) * _DAY_US,
        )
        start_us = first_us - first_us % width_us
        columns = (last_us - start_us) // width_us + 1
        return cls(start_us, width_us, [0] * columns, [0] * columns)
