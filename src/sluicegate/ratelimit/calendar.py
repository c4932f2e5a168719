"""Where the days, weeks, months and years of a time zone begin, as whole microseconds.

A calendar quota counts within windows that people know: a month in Berlin, a week from Monday, a
billing month from the 31st. Redis knows no time zones, so the windows around an instant are worked
out here and travel with the request.

The rules:

- A period begins at the first instant at which the zone's clock reads its beginning or later. So a
  midnight that the clock skips (a change to summer time at 00:00) becomes the first instant after
  the gap, and of a midnight that comes twice the earlier counts. A day that a zone skipped whole
  (Samoa, 30 December 2011) is no period at all.
- Periods of several units are counted from the anchor or, without one, from 1 January 1970, weeks
  from Monday, 29 December 1969 (the first day of ISO week 1970-W01). ``3 months`` are therefore the
  usual quarters.
- An anchor repeats on its own day of the month (31 January, 28 or 29 February, 31 March: each worked
  out from the anchor, so that it never drifts), its weekday, or its day of the year (29 February is
  28 February in common years), at its time of day. It may lie in the past or in the future.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sluicegate.utils import InvalidInputError, shape_of

__all__ = ["UNIT_COUNTS_MAX", "CalendarPeriod", "boundaries", "zone_named"]

# The most of each unit in one period. Around today every boundary of a century's period still lies
# within 2^53 microseconds of the epoch (1684 to 2255), which is as far as the store's numbers are exact.
UNIT_COUNTS_MAX = {"day": 36_525, "week": 5_200, "month": 1_200, "year": 100}

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what a zone's clock reads has no zone of its own
_EPOCH_UTC = _EPOCH.replace(tzinfo=UTC)
_FIRST_MONDAY = datetime(1969, 12, 29)  # noqa: DTZ001 - as above
_MICROSECOND = timedelta(microseconds=1)

_ZONE_LENGTH_MAX = 64  # the longest name in the database has 32 characters
_ANCHOR_LENGTH_MAX = 32  # a date and a time to the microsecond have 26
# These name another thing on another machine, or count leap seconds, which the epoch does not.
_ZONES_REFUSED = ("localtime", "posixrules", "posix/", "right/")
_ZONE_ACCEPTED = "an IANA time zone such as 'Europe/Berlin', or 'UTC' (old names may need `pip install tzdata`)"
_ZONE_ACCEPTED_WITHOUT_DATA = "'UTC', or any IANA time zone after `pip install tzdata`"
_ANCHOR_ACCEPTED = (
    "a date or a date with a time, without offset (time_zone says where), such as '2024-01-31' or '2024-01-31T06:00'"
)
_NOW_ACCEPTED = "an instant whose periods lie within the years 1 to 9999"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarPeriod:
    """A stretch of the calendar that repeats: its length, its time zone, and where it is counted from.

    Attributes:
        unit: ``day``, ``week`` (from Monday), ``month`` or ``year``.
        count: How many units make one period, from 1 to a century's worth (36,525 days, 5,200 weeks,
            1,200 months, 100 years). Default 1.
        time_zone: An IANA name such as ``Europe/Berlin``, whose midnights count. Default ``UTC``,
            which alone needs no time zone data.
        anchor: A date from which periods are counted, with or without a time of day, in
            `time_zone`: a `datetime.date`, a `datetime.datetime` without zone, or ISO text such as
            ``2024-01-31`` or ``2024-01-31T06:00``. Kept as a `datetime.datetime`. Default none:
            1 January 1970, for weeks the Monday before.
        zone: The zone that `time_zone` names. Not an argument.
        origin: What the zone's clock reads when the period number 0 begins. Not an argument.

    Raises:
        InvalidInputError: A value is out of its range, the zone is unknown, or this machine has no
            time zone data.
    """

    unit: str
    count: int = 1
    time_zone: str = "UTC"
    anchor: date | str | None = None
    zone: tzinfo = field(init=False, repr=False, compare=False)
    origin: datetime = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_length(self.unit, self.count)
        anchor = _checked_anchor(self.anchor)
        origin = _FIRST_MONDAY if self.unit == "week" else _EPOCH
        object.__setattr__(self, "anchor", anchor)
        object.__setattr__(self, "origin", origin if anchor is None else anchor)
        object.__setattr__(self, "zone", zone_named(self.time_zone))


def boundaries(period: CalendarPeriod, now_us: int) -> tuple[int, int, int, int]:
    """Return the windows around an instant: the one it lies in, the one before and the one after.

    Three windows, so that a store whose clock differs a little from the caller's can pick by its own.
    The answer holds for every instant in the middle window: callers may keep it until its end.

    Args:
        period: What repeats, and in which time zone.
        now_us: The instant, in microseconds since the epoch; may be before it.

    Returns:
        The start of the previous window, the start of the current one, its end, and the end of the
        next, in microseconds since the epoch, each later than the one before.
        ``start <= now_us < end``.

    Raises:
        InvalidInputError: The windows reach beyond the years 1 to 9999.
    """
    try:
        number = _number_at(period, now_us)
        start_us = _start_us(period, number)
        end_us = _start_us(period, number + 1)
        # A day that the zone skipped is an empty window: it begins where its neighbour does.
        earlier = number - 1
        while (previous_us := _start_us(period, earlier)) == start_us:
            earlier -= 1
        later = number + 2
        while (next_end_us := _start_us(period, later)) == end_us:
            later += 1
    except (OverflowError, ValueError):  # both come from datetime, beyond the years it knows
        raise InvalidInputError("now_us", shape_of(now_us), _NOW_ACCEPTED) from None
    return previous_us, start_us, end_us, next_end_us


def zone_named(name: object) -> tzinfo:
    """Return the time zone of that name.

    Raises:
        InvalidInputError: There is none.
    """
    if name == "UTC":
        return UTC
    if not isinstance(name, str) or not 0 < len(name) <= _ZONE_LENGTH_MAX or name.startswith(_ZONES_REFUSED):
        raise InvalidInputError("time_zone", shape_of(name), _ZONE_ACCEPTED)
    try:
        return ZoneInfo(name)
    # A directory ('Europe'), a path, a NUL and a file that is no zone each fail in their own way.
    except (ZoneInfoNotFoundError, OSError, ValueError):
        if _has_zone_data():
            raise InvalidInputError("time_zone", shape_of(name), _ZONE_ACCEPTED) from None
    found = f"{shape_of(name)} on a machine without time zone data"
    raise InvalidInputError("time_zone", found, _ZONE_ACCEPTED_WITHOUT_DATA)


def _number_at(period: CalendarPeriod, now_us: int) -> int:
    """Count the periods from the origin to the one around *now_us*; negative before the origin."""
    reads = (_EPOCH_UTC + now_us * _MICROSECOND).astimezone(period.zone)
    number = _units_between(period, reads) // period.count
    # The clock's date is a guess: the day of the month, the time of day and a clock that was set
    # back (which reads yesterday although today has begun) move it by a step or two.
    while _start_us(period, number) > now_us:
        number -= 1
    while _start_us(period, number + 1) <= now_us:
        number += 1
    return number


def _units_between(period: CalendarPeriod, reads: datetime) -> int:
    origin = period.origin
    match period.unit:
        case "year":
            return reads.year - origin.year
        case "month":
            return 12 * (reads.year - origin.year) + reads.month - origin.month
        case "week":
            return (reads.toordinal() - origin.toordinal()) // 7
        case _:
            return reads.toordinal() - origin.toordinal()


def _start_us(period: CalendarPeriod, number: int) -> int:
    """Return the first instant of the period *number*, counted from the origin."""
    return _first_instant_us(_reading_at_start(period, number), period.zone)


def _reading_at_start(period: CalendarPeriod, number: int) -> datetime:
    """Return what the zone's clock should read when the period *number* begins."""
    origin = period.origin
    units = number * period.count
    match period.unit:
        case "year":
            return _on_month(origin, 12 * (origin.year + units) + origin.month - 1)
        case "month":
            return _on_month(origin, 12 * origin.year + origin.month - 1 + units)
        case "week":
            return origin + timedelta(weeks=units)
        case _:
            return origin + timedelta(days=units)


def _on_month(origin: datetime, months: int) -> datetime:
    """Move *origin* to a month, counted from the year 0; a day that it has not becomes its last."""
    year, month_index = divmod(months, 12)
    _weekday, days = monthrange(year, month_index + 1)
    return origin.replace(year=year, month=month_index + 1, day=min(origin.day, days))


def _first_instant_us(reading: datetime, zone: tzinfo) -> int:
    """Return the first instant at which the clock of *zone* reads *reading* or later."""
    # fold=0 is the earlier of two such instants. In a gap it counts with the offset from before the
    # gap, which leads past it, and fold=1 with that from after it, which leads to before it.
    aware = reading.replace(tzinfo=zone)
    after_us = _epoch_us(aware)
    if _reads_at(after_us, zone) == reading:
        return after_us
    before_us = _epoch_us(aware.replace(fold=1))
    while after_us - before_us > 1:  # at most 2^37: no gap is longer than a day
        middle_us = (before_us + after_us) // 2
        if _reads_at(middle_us, zone) < reading:
            before_us = middle_us
        else:
            after_us = middle_us
    return after_us


def _epoch_us(aware: datetime) -> int:
    return (aware - _EPOCH_UTC) // _MICROSECOND


def _reads_at(at_us: int, zone: tzinfo) -> datetime:
    return (_EPOCH_UTC + at_us * _MICROSECOND).astimezone(zone).replace(tzinfo=None)


def _check_length(unit: object, count: object) -> None:
    if not isinstance(unit, str) or unit not in UNIT_COUNTS_MAX:
        raise InvalidInputError("unit", shape_of(unit), "'day', 'week', 'month' or 'year'")
    most = UNIT_COUNTS_MAX[unit]
    if type(count) is not int or not 1 <= count <= most:
        raise InvalidInputError("count", shape_of(count), f"a whole number of {unit}s from 1 to {most:,}")


def _checked_anchor(anchor: object) -> datetime | None:
    if isinstance(anchor, str):
        anchor = _read_anchor(anchor)
    if anchor is None:
        return None
    if isinstance(anchor, datetime):
        if anchor.tzinfo is None:
            return anchor.replace(fold=0)  # of a reading that comes twice the earlier counts
        raise InvalidInputError("anchor", "a date and time with an offset", _ANCHOR_ACCEPTED)
    if isinstance(anchor, date):
        return datetime.combine(anchor, time())
    raise InvalidInputError("anchor", shape_of(anchor), _ANCHOR_ACCEPTED)


def _read_anchor(text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text) if len(text) <= _ANCHOR_LENGTH_MAX else None
    except ValueError:
        read = None
    # fromisoformat also takes '20240131' and '2024-W05-3'; one spelling is enough.
    if read is None or text.replace(" ", "T") not in (
        read.date().isoformat(),
        read.isoformat(timespec="minutes"),
        read.isoformat(),
    ):
        raise InvalidInputError("anchor", shape_of(text), _ANCHOR_ACCEPTED)
    return read


def _has_zone_data() -> bool:
    try:
        ZoneInfo("Etc/UTC")
    except ZoneInfoNotFoundError:
        return False
    return True
