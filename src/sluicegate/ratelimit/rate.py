"""How much per how long, as users say it (``100/minute burst 20``) and as whole numbers.

The text is read by splitting, in one pass; no regular expression ever meets a user's text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from sluicegate.utils import InvalidInputError, shape_of

__all__ = ["LIMIT_MAX", "PERIOD_US_MAX", "Rate"]

LIMIT_MAX = 1_000_000_000  # products of a limit with digits of a period stay below 2^53
PERIOD_US_MAX = 366 * 86_400_000_000  # 2^45 microseconds bound every intermediate; a leap year fits
CAPACITY_US_MAX = 2**50  # 35 years: now + twice the capacity stays below 2^53
TEXT_LENGTH_MAX = 200
_DECIMALS = 13  # a microsecond in weeks, where it has an end
RATES_MAX = 8  # slots in one value; each is asked for every decision

_SECOND_US = 1_000_000
_UNITS_US = {
    "second": _SECOND_US,
    "minute": 60 * _SECOND_US,
    "hour": 3600 * _SECOND_US,
    "day": 86_400 * _SECOND_US,
    "week": 604_800 * _SECOND_US,
}
_UNIT_NAMES = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "second"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "minute"),
    **dict.fromkeys(("h", "hr", "hour", "hours"), "hour"),
    **dict.fromkeys(("d", "day", "days"), "day"),
    **dict.fromkeys(("w", "week", "weeks"), "week"),
    **dict.fromkeys(("month", "months"), "month"),
    **dict.fromkeys(("year", "years"), "year"),
}
_RATE_ACCEPTED = (
    "'LIMIT/UNIT', 'LIMIT per N UNITS', each with an optional 'burst N', several joined by ';', "
    "with units s, min, h, d, w (month and year for calendar_quota)"
)
_SHORTEST_DAYS = {"month": 28, "year": 365}


@dataclass(frozen=True, slots=True)
class Rate:
    """`limit` units per period, with an optional burst.

    Attributes:
        limit: Units per period, from 1 to 1,000,000,000.
        count: Number of units of time in the period: a whole number for the calendar.
        unit: ``second``, ``minute``, ``hour``, ``day``, ``week``, ``month`` or ``year``.
        burst: The capacity: the most that can be admitted at one instant. Not an addition to the
            limit. ``None`` means as much as the limit.
        period_us: The period in microseconds; for months and years the shortest that the calendar has.
    """

    limit: int
    count: Fraction
    unit: str
    burst: int | None = None
    period_us: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_whole("rate limit", self.limit)
        if self.burst is not None:
            _check_whole("rate burst", self.burst)
        _check_count(self.count, self.unit)
        unit_us = _UNITS_US.get(self.unit) or _SHORTEST_DAYS[self.unit] * _UNITS_US["day"]
        object.__setattr__(self, "period_us", int(self.count * unit_us))
        if self.unit in _UNITS_US:
            period_us = self.count * _UNITS_US[self.unit]
            if period_us.denominator != 1 or not 1 <= period_us <= PERIOD_US_MAX:
                raise InvalidInputError(
                    "rate period", f"{float(self.count):g} {self.unit}", "whole microseconds, from 1 to 366 days"
                )
            capacity_us = Fraction(self.burst or self.limit) * period_us / self.limit
            if capacity_us > CAPACITY_US_MAX:
                raise InvalidInputError(
                    "rate burst", f"{self}, a capacity of more than 35 years", "a burst that refills within 35 years"
                )
        elif self.count.denominator != 1 or not 1 <= self.count <= 1200:  # noqa: PLR2004 - a century of months
            raise InvalidInputError("rate period", f"{float(self.count):g} {self.unit}", "1 to 1200 months or years")

    @classmethod
    def per(cls, limit: int, seconds: float, *, burst: int | None = None) -> Rate:
        """Make a rate of *limit* units per *seconds*.

        Args:
            limit: Units per period, from 1 to 1,000,000,000.
            seconds: The period in seconds: whole microseconds, up to 366 days.
            burst: The capacity, default as much as the limit.

        Raises:
            InvalidInputError: A value is out of its range.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float | Fraction) or not 0 < seconds < 10**9:
            raise InvalidInputError("rate period", shape_of(seconds), "a number of seconds above 0, up to 366 days")
        # Rounded to whole microseconds: 0.1 as a float is not a tenth.
        return cls(limit, Fraction(round(Fraction(seconds) * _SECOND_US), _SECOND_US), "second", burst)

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read one rate, such as ``100/minute`` or ``10 per 5 seconds burst 3``.

        Raises:
            InvalidInputError: The text is not a rate; the message says what is accepted.
        """
        rates = cls.parse_several(text)
        if len(rates) != 1:
            raise InvalidInputError("rate", shape_of(text), "one rate, not several")
        return rates[0]

    @classmethod
    def parse_several(cls, text: str) -> tuple[Rate, ...]:
        """Read one or more rates joined by ``;``: all of them bind, and the tightest is reported.

        Raises:
            InvalidInputError: The text is not a list of 1 to 8 rates.
        """
        if not isinstance(text, str) or len(text) > TEXT_LENGTH_MAX:
            raise InvalidInputError("rate", shape_of(text), f"text of at most {TEXT_LENGTH_MAX} characters")
        parts = text.split(";")
        if len(parts) > RATES_MAX:
            raise InvalidInputError("rate", f"{len(parts)} rates", f"at most {RATES_MAX} rates")
        return tuple(_parse_one(part, text) for part in parts)

    @property
    def period(self) -> float:
        """The period in seconds; for months and years the shortest that the calendar has."""
        return self.period_us / _SECOND_US

    @property
    def capacity(self) -> int:
        """The most that can be admitted at one instant: the burst, or else the limit."""
        return self.burst or self.limit

    def __str__(self) -> str:
        text = f"{self.limit}{self._period_text()}"
        return text if self.burst is None else f"{text} burst {self.burst}"

    def _period_text(self) -> str:
        """Return the period without a loss: what has no end in decimals, such as a third of a minute, in seconds."""
        count, unit = Fraction(self.count), self.unit
        if (count * 10**_DECIMALS).denominator != 1:
            count, unit = Fraction(self.period_us, _SECOND_US), "second"
        if count == 1:
            return f"/{unit}"
        whole, decimals = divmod(int(count * 10**_DECIMALS), 10**_DECIMALS)
        return f" per {whole}" + f".{decimals:0{_DECIMALS}}".rstrip("0").rstrip(".") + f" {unit}s"


def _parse_one(part: str, whole: str) -> Rate:
    words = part.replace("/", " / ").lower().split()
    try:
        burst = None
        if len(words) > 2 and words[-2] == "burst":  # noqa: PLR2004 - 'burst N'
            burst = _whole(words[-1])
            words = words[:-2]
        limit_word, separator, *period = words
        count, unit = _period(separator, period)
        limit = _whole(limit_word)
    except (ValueError, KeyError):
        raise InvalidInputError("rate", shape_of(whole), _RATE_ACCEPTED) from None
    return Rate(limit, count, unit, burst)


def _period(separator: str, words: list[str]) -> tuple[Fraction, str]:
    first, *rest = words  # '5 seconds', '5seconds', 'second'
    unit = first.lstrip("0123456789.")
    digits = first[: len(first) - len(unit)]
    if rest and not unit:
        unit, *rest = rest
    if rest or separator not in ("/", "per"):
        raise ValueError(words)
    if digits.count(".") > 1 or digits.startswith(".") or digits.endswith("."):
        raise ValueError(words)
    return Fraction(digits) if digits else Fraction(1), _UNIT_NAMES[unit]


def _whole(word: str) -> int:
    # int() would also take '+5', '1_0', and digits of other scripts.
    if not (word.isascii() and word.isdigit()) or len(word) > 10:  # noqa: PLR2004 - the digits of LIMIT_MAX
        raise ValueError(word)
    return int(word)


def _check_count(count: object, unit: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int | Fraction):
        raise InvalidInputError("rate period", shape_of(count), "a whole number or a Fraction of units")
    if not isinstance(unit, str) or unit not in _UNIT_NAMES.values():
        raise InvalidInputError("rate unit", shape_of(unit), ", ".join(dict.fromkeys(_UNIT_NAMES.values())))
    if not -PERIOD_US_MAX <= count <= PERIOD_US_MAX:  # other messages show it as a float, which has an end
        raise InvalidInputError("rate period", f"{unit}s beyond {PERIOD_US_MAX:,}", "up to 366 days")


def _check_whole(where: str, value: object) -> None:
    if type(value) is not int or not 1 <= value <= LIMIT_MAX:
        raise InvalidInputError(where, shape_of(value), f"a whole number from 1 to {LIMIT_MAX:,}")
