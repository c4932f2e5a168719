"""Times as logs write them, to whole microseconds since the epoch.

A log repeats each second's text for every request of that second, so the texts seen last are kept.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Answer = TypeVar("_Answer")

__all__ = ["AT_US_MAX", "CLF_TIME", "clf_time_us", "remembering", "time_us"]

AT_US_MAX = 4_102_444_800_000_000  # the year 2100: no log is younger, and sums stay below 2^53
CLF_TIME = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"

_CLF = re.compile(CLF_TIME)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_SECOND_US = 1_000_000
_TEXT_LENGTH_MAX = 64  # the longest form has 35 characters
_REMEMBERED_MAX = 16_384  # more seconds than a log is out of order by; about 2 MB
# Epoch times are told apart by size: seconds stay below it until the year 5138.
_SECONDS_MAX = 10**11
_UNITS = ((_SECONDS_MAX, _SECOND_US), (_SECONDS_MAX * 1000, 1000), (_SECONDS_MAX * 10**6, 1))


def clf_time_us(text: str) -> int | None:
    """Read a time such as ``17/May/2015:10:05:03 +0000`` that fits `CLF_TIME`; ``None`` if there is no such time."""
    try:
        month = _MONTHS.index(text[3:6]) + 1
        days = date(int(text[7:11]), month, int(text[:2])).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    hours, minutes, seconds = int(text[12:14]), int(text[15:17]), int(text[18:20])
    offset_hours, offset_minutes = int(text[22:24]), int(text[24:26])
    # A leap second is written as 60.
    if hours > 23 or minutes > 59 or seconds > 60 or offset_hours > 14 or offset_minutes > 59:  # noqa: PLR2004 - the clock's own numbers
        return None
    offset_seconds = (offset_hours * 60 + offset_minutes) * 60
    if text[21] == "-":
        offset_seconds = -offset_seconds
    return _within(((days * 24 + hours) * 60 + minutes) * 60 + seconds - offset_seconds, 0)


def time_us(text: str) -> int | None:
    """Read a time in any form that logs use; ``None`` for what is none, or not from 1970 to 2099.

    That is ISO 8601 (without an offset it means UTC), the form of `clf_time_us`, or a number since the
    epoch: seconds, perhaps with a fraction, or milli-, micro- or nanoseconds, told apart by size.
    """
    if len(text) > _TEXT_LENGTH_MAX:
        return None
    whole, _, fraction = text.partition(".")
    if whole.isascii() and whole.isdigit():
        return _epoch_us(whole, fraction)
    if _CLF.fullmatch(text):
        return clf_time_us(text)
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    days = moment.toordinal() - _EPOCH_DAY
    return _within(((days * 24 + moment.hour) * 60 + moment.minute) * 60 + moment.second, moment.microsecond)


def remembering(read: Callable[[str], _Answer]) -> Callable[[str], _Answer]:
    """Return *read* with a bounded memory of its own, for texts that come again and again."""
    return lru_cache(maxsize=_REMEMBERED_MAX)(read)


def _epoch_us(whole: str, fraction: str) -> int | None:
    if fraction and not (fraction.isascii() and fraction.isdigit()):
        return None
    number = int(whole)
    if number < _SECONDS_MAX:
        return _within(number, int(fraction[:6].ljust(6, "0")))
    for bound, unit_us in _UNITS:
        if number < bound:
            return _within(0, number * unit_us)
    return _within(0, number // 1000)


def _within(seconds: int, microseconds: int) -> int | None:
    at_us = seconds * _SECOND_US + microseconds
    return at_us if 0 <= at_us < AT_US_MAX else None
