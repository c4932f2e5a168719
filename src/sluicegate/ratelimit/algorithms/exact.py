"""Arithmetic that never rounds: the part of the twins where Python and Lua differ in means.

Python's whole numbers have no bound, Lua's are exact below 2^53 only. `exact.lua` therefore
multiplies in digits where Python just multiplies; both give the same whole numbers.
"""

from __future__ import annotations

__all__ = ["EXACT_MAX", "time_of", "units_within"]

EXACT_MAX = 2**53  # from here a double no longer holds each whole number


def time_of(units: int, interval_us: int, interval_rem: int, per: int) -> tuple[int, int]:
    """Return the time that pays for *units*, as whole microseconds and a remainder over *per*.

    One unit takes ``interval_us + interval_rem / per`` microseconds.
    """
    carry_us, rem = divmod(units * interval_rem, per)
    time_us = units * interval_us + carry_us
    assert time_us < EXACT_MAX
    return time_us, rem


def units_within(free_us: int, free_rem: int, interval_us: int, interval_rem: int, per: int) -> int:
    """Return how many whole units ``free_us + free_rem / per`` microseconds pay for."""
    return (free_us * per + free_rem) // (interval_us * per + interval_rem)


def share_of(whole: int, part: int, total: int) -> int:
    """Return ``whole * part / total`` rounded up, for ``part <= total``."""
    return -(-whole * part // total)


def share_below(whole: int, part: int, total: int) -> int:
    """Return ``whole * part / total`` rounded down, for ``part <= total``."""
    return whole * part // total
