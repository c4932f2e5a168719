"""Calendar windows: where they begin in zones whose midnights move, vanish or come twice."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sluicegate
from sluicegate.ratelimit.calendar import UNIT_COUNTS_MAX, CalendarPeriod, boundaries
from sluicegate.utils import InvalidInputError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
HOUR_US = 3_600_000_000
ZONES = [
    "UTC",
    "Africa/Cairo",
    "Africa/Monrovia",
    "America/Havana",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Toronto",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Kwajalein",
]
# Where the clocks of some of these zones jumped: near them every rule is put to the test.
JUMPS = [
    datetime.fromisoformat(text)
    for text in (
        "1919-03-31T04:30Z",  # Toronto, 23:30 to 00:30
        "1993-08-21T12:00Z",  # Kwajalein leaves out a day
        "2006-10-29T02:31Z",  # St John's, 00:01 to 23:01
        "2011-12-30T10:00Z",  # Samoa leaves out a day
        "2018-02-18T02:00Z",  # São Paulo, 00:00 to 23:00
        "2018-11-04T03:00Z",  # São Paulo, 00:00 to 01:00
        "2022-03-26T22:00Z",  # Beirut, 00:00 to 01:00
        "2023-11-05T05:00Z",  # Havana, 01:00 to 00:00
        "2024-03-31T01:00Z",  # Berlin, 02:00 to 03:00
    )
]
near_jumps_us = st.builds(
    lambda jump, away_us: (jump - EPOCH) // MICROSECOND + away_us,
    st.sampled_from(JUMPS),
    st.integers(-2, 2) | st.integers(-50 * HOUR_US, 50 * HOUR_US),
)
instants_us = near_jumps_us | st.integers(-8_520_000_000_000_000, 8_835_000_000_000_000)  # from 1700 to 2249
anchors = (
    st.none()
    | st.dates(date(1900, 1, 1), date(2100, 12, 31))
    | st.datetimes(datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2100-12-31"))
)


@st.composite
def periods(draw: st.DrawFn) -> CalendarPeriod:
    """Draw any period, mostly of few units."""
    unit = draw(st.sampled_from(sorted(UNIT_COUNTS_MAX)))
    count = draw(st.integers(1, 6) | st.integers(1, UNIT_COUNTS_MAX[unit]))
    return CalendarPeriod(unit=unit, count=count, time_zone=draw(st.sampled_from(ZONES)), anchor=draw(anchors))


def at_us(text: str, zone: str = "UTC") -> int:
    """Return the instant at which a zone's clock reads *text*."""
    return (datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) - EPOCH) // MICROSECOND


def reads(instant_us: int, zone: str) -> datetime:
    """Return what a zone's clock reads at an instant."""
    return (EPOCH + instant_us * MICROSECOND).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def windows(period: CalendarPeriod, text: str) -> list[str]:
    """Return the four boundaries around a local time, as the zone's clock reads them."""
    instants = boundaries(period, at_us(text, period.time_zone))
    return [reads(instant_us, period.time_zone).isoformat(timespec="minutes") for instant_us in instants]


def starts(period: CalendarPeriod, text: str, number: int) -> list[str]:
    """Return the dates on which *number* windows begin, from the one around a local time on."""
    instant_us = at_us(text, period.time_zone)
    found = []
    for _ in range(number):
        _previous, start_us, instant_us, _next = boundaries(period, instant_us)
        found.append(reads(start_us, period.time_zone).date().isoformat())
    return found


@given(period=periods(), now_us=instants_us)
def test_every_instant_lies_in_its_window(period: CalendarPeriod, now_us: int) -> None:
    """The four boundaries rise, and the middle two enclose the instant."""
    previous_us, start_us, end_us, next_end_us = boundaries(period, now_us)
    assert previous_us < start_us <= now_us < end_us < next_end_us


@given(period=periods(), now_us=instants_us)
def test_windows_tile_time(period: CalendarPeriod, now_us: int) -> None:
    """Each window ends where the next begins, seen from any of them, to the microsecond."""
    answer = previous_us, start_us, end_us, next_end_us = boundaries(period, now_us)
    assert boundaries(period, start_us) == boundaries(period, end_us - 1) == answer
    assert boundaries(period, start_us - 1)[1:] == (previous_us, start_us, end_us)
    assert boundaries(period, end_us)[:3] == (start_us, end_us, next_end_us)


@given(zone=st.sampled_from(ZONES), now_us=instants_us)
def test_a_day_begins_when_the_clock_first_reads_it(zone: str, now_us: int) -> None:
    """At the start the clock reads midnight or later, a microsecond sooner it does not."""
    _previous, start_us, _end, _next = boundaries(CalendarPeriod(unit="day", time_zone=zone), now_us)
    first = reads(start_us, zone)
    midnight = datetime.combine(first.date(), datetime.min.time())
    assert reads(start_us - 1, zone) < midnight <= first


@given(zone=st.sampled_from(ZONES), anchor=anchors, now_us=instants_us)
def test_twelve_months_are_a_year(zone: str, anchor: date | None, now_us: int) -> None:
    """Months and years counted from one anchor meet every twelve months, 29 February included."""
    months = CalendarPeriod(unit="month", count=12, time_zone=zone, anchor=anchor)
    years = CalendarPeriod(unit="year", time_zone=zone, anchor=anchor)
    assert boundaries(months, now_us) == boundaries(years, now_us)


@given(zone=st.sampled_from(ZONES), anchor=anchors.filter(bool), count=st.integers(1, 5), now_us=instants_us)
def test_seven_days_are_a_week(zone: str, anchor: date, count: int, now_us: int) -> None:
    """Weeks from an anchor keep its weekday and are seven calendar days each."""
    days = CalendarPeriod(unit="day", count=7 * count, time_zone=zone, anchor=anchor)
    weeks = CalendarPeriod(unit="week", count=count, time_zone=zone, anchor=anchor)
    assert boundaries(days, now_us) == boundaries(weeks, now_us)


@pytest.mark.parametrize(
    ("month", "hours"), [("2024-02", 29 * 24), ("2024-03", 31 * 24 - 1), ("2024-04", 720), ("2024-10", 31 * 24 + 1)]
)
def test_a_month_in_berlin_follows_the_clock_across_dst(month: str, hours: int) -> None:
    """March is an hour short and October an hour long; both begin and end at local midnight."""
    period = CalendarPeriod(unit="month", time_zone="Europe/Berlin")
    _previous, start_us, end_us, _next = boundaries(period, at_us(f"{month}-15T12:00", "Europe/Berlin"))
    assert reads(start_us, "Europe/Berlin").isoformat() == f"{month}-01T00:00:00"
    assert end_us - start_us == hours * HOUR_US


@pytest.mark.parametrize(("day", "hours"), [("2024-03-30", 24), ("2024-03-31", 23), ("2024-10-27", 25)])
def test_a_day_in_berlin_has_the_hours_the_clock_gives_it(day: str, hours: int) -> None:
    """The day of the change is an hour shorter or longer."""
    period = CalendarPeriod(unit="day", time_zone="Europe/Berlin")
    _previous, start_us, end_us, _next = boundaries(period, at_us(f"{day}T12:00", "Europe/Berlin"))
    assert end_us - start_us == hours * HOUR_US


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("America/Sao_Paulo", "2018-11-04", "01:00"),
        ("America/Toronto", "1919-03-31", "00:30"),  # the clock went from 23:30 to 00:30
        ("Africa/Cairo", "2023-04-28", "01:00"),
        ("Asia/Beirut", "2022-03-27", "01:00"),
    ],
)
def test_a_skipped_midnight_gives_way_to_the_first_instant_of_the_day(zone: str, day: str, first: str) -> None:
    """Where the clock jumps over 00:00, the day begins at the jump and the one before ends there."""
    period = CalendarPeriod(unit="day", time_zone=zone)
    assert windows(period, f"{day}T12:00")[1] == f"{day}T{first}"


@pytest.mark.parametrize(
    ("zone", "day", "end_hours"),
    [
        ("America/Havana", "2023-11-05", 25),  # 01:00 became 00:00: midnight came twice
        ("America/St_Johns", "2006-10-29", 25),  # 00:01 became 23:01 of the day before
        ("America/Sao_Paulo", "2018-02-18", 24),  # 00:00 became 23:00: midnight came once, late
    ],
)
def test_of_two_midnights_the_earlier_counts(zone: str, day: str, end_hours: int) -> None:
    """A clock that is set back over midnight does not begin the day again."""
    period = CalendarPeriod(unit="day", time_zone=zone)
    _previous, start_us, end_us, _next = boundaries(period, at_us(f"{day}T12:00", zone))
    assert reads(start_us, zone) == datetime.fromisoformat(day)
    assert end_us - start_us == end_hours * HOUR_US


def test_a_clock_that_reads_yesterday_again_stays_in_the_day_that_began() -> None:
    """In St John's, 23:30 on 28 October 2006 came again after the 29th had begun."""
    period = CalendarPeriod(unit="day", time_zone="America/St_Johns")
    again_us = at_us("2006-10-29T03:00")
    assert reads(again_us, "America/St_Johns") == datetime.fromisoformat("2006-10-28T23:30")
    assert boundaries(period, again_us)[1] == at_us("2006-10-29", "America/St_Johns")


@pytest.mark.parametrize("day", ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"])
def test_a_day_that_was_skipped_whole_is_no_window(day: str) -> None:
    """Samoa had no 30 December 2011: the 29th is followed by the 31st."""
    days = ["2011-12-27", "2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01", "2012-01-02", "2012-01-03"]
    place = days.index(day)
    expected = [f"{each}T00:00" for each in days[place - 1 : place + 3]]
    assert windows(CalendarPeriod(unit="day", time_zone="Pacific/Apia"), f"{day}T12:00") == expected


def test_the_31st_becomes_the_last_day_of_short_months_and_comes_back() -> None:
    """A billing month from the 31st never drifts, in leap years and common ones."""
    period = CalendarPeriod(unit="month", time_zone="Europe/Berlin", anchor=date(2023, 1, 31))
    leap = ["2023-12-31", "2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31", "2024-06-30"]
    assert starts(period, "2024-01-01", 7) == leap
    assert starts(period, "2025-02-01", 3) == ["2025-01-31", "2025-02-28", "2025-03-31"]


def test_an_anchor_on_the_30th_is_not_moved_by_february() -> None:
    """February's last day stands in for the 30th once a year."""
    period = CalendarPeriod(unit="month", anchor="2023-04-30")
    assert starts(period, "2023-01-30", 3) == ["2023-01-30", "2023-02-28", "2023-03-30"]


def test_29_february_is_the_28th_in_common_years() -> None:
    """An anniversary of a leap day is kept every year, and on its own day when there is one."""
    period = CalendarPeriod(unit="year", anchor="2024-02-29")
    expected = ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]
    assert starts(period, "2024-03-01", 5) == expected
    assert starts(period, "2100-06-01", 1) == ["2100-02-28"]


def test_an_anchor_may_have_a_time_of_day() -> None:
    """The billing day changes at six in the morning, summer and winter."""
    period = CalendarPeriod(unit="day", time_zone="Europe/Berlin", anchor="2024-01-01T06:00")
    expected = ["2024-03-29T06:00", "2024-03-30T06:00", "2024-03-31T06:00", "2024-04-01T06:00"]
    assert windows(period, "2024-03-31T05:59") == expected


def test_a_time_of_day_in_the_gap_becomes_the_end_of_the_gap() -> None:
    """Half past two does not exist in Berlin on 31 March 2024; three o'clock is the first after it."""
    period = CalendarPeriod(unit="day", time_zone="Europe/Berlin", anchor="2024-01-01T02:30")
    assert windows(period, "2024-03-31T12:00")[1] == "2024-03-31T03:00"


def test_an_anchor_may_lie_in_the_future() -> None:
    """Periods are counted backward from it just as well."""
    period = CalendarPeriod(unit="month", count=2, anchor="2030-05-31")
    assert starts(period, "2024-02-01", 3) == ["2024-01-31", "2024-03-31", "2024-05-31"]


def test_a_week_begins_on_monday() -> None:
    """Sunday belongs to the week that began six days before, whatever the zone."""
    period = CalendarPeriod(unit="week", time_zone="Asia/Kathmandu")
    expected = ["2024-02-19T00:00", "2024-02-26T00:00", "2024-03-04T00:00", "2024-03-11T00:00"]
    assert windows(period, "2024-03-03T23:59") == expected


def test_a_week_from_an_anchor_begins_on_its_weekday() -> None:
    """Two weeks from a Thursday go from Thursday to the Thursday after next."""
    period = CalendarPeriod(unit="week", count=2, anchor=date(2024, 2, 1))
    assert starts(period, "2024-02-29", 2) == ["2024-02-29", "2024-03-14"]


@pytest.mark.parametrize(
    ("count", "unit", "expected"),
    [
        (3, "month", ["2024-04-01", "2024-07-01"]),
        (2, "month", ["2024-05-01", "2024-07-01"]),
        (2, "week", ["2024-05-06", "2024-05-20"]),
        (10, "year", ["2020-01-01", "2030-01-01"]),
        (1, "day", ["2024-05-17", "2024-05-18"]),
    ],
)
def test_several_units_are_counted_from_the_origin(count: int, unit: str, expected: list[str]) -> None:
    """Quarters, pairs of months and decades fall where 1970 puts them, weeks where its first Monday does."""
    assert starts(CalendarPeriod(unit=unit, count=count), "2024-05-17", 2) == expected


@pytest.mark.parametrize("text", ["1684-01-15", "1883-11-18", "1969-12-31", "1970-01-01", "2100-02-28", "2255-06-01"])
def test_far_instants_have_plain_months(text: str) -> None:
    """Before 1970 and after 2100 a month begins on its first, and 2100 is no leap year."""
    _previous, start, end, _next = windows(CalendarPeriod(unit="month", time_zone="America/New_York"), f"{text}T12:00")
    first = date.fromisoformat(text).replace(day=1)
    assert start == f"{first}T00:00"
    assert end == f"{(first + timedelta(days=32)).replace(day=1)}T00:00"


@pytest.mark.parametrize("now_us", [2**63, -(2**63), at_us("0001-01-01T12:00"), at_us("9999-12-31T12:00"), 10**40])
def test_an_instant_beyond_the_calendar_is_refused(now_us: int) -> None:
    """What datetime cannot hold is refused by name."""
    with pytest.raises(InvalidInputError, match=r"now_us: found .*; accepted: .*years 1 to 9999"):
        boundaries(CalendarPeriod(unit="month", time_zone="Europe/Berlin"), now_us)


@pytest.mark.parametrize("unit", ["hour", "months", "", None, 3, ["day"]])
def test_an_unknown_unit_is_refused(unit: object) -> None:
    """The message names the four units."""
    with pytest.raises(InvalidInputError, match=r"unit: found .*; accepted: 'day', 'week', 'month' or 'year'"):
        CalendarPeriod(unit=unit)  # type: ignore[arg-type]  # what a caller without types may pass


@pytest.mark.parametrize("unit", sorted(UNIT_COUNTS_MAX))
def test_the_count_is_bounded(unit: str) -> None:
    """One unit and a century of them are accepted, one more or less is not."""
    most = UNIT_COUNTS_MAX[unit]
    assert CalendarPeriod(unit=unit, count=most).count == most
    for count in (0, -1, most + 1, 1.0, True, "1", None):
        with pytest.raises(InvalidInputError, match=r"count: found .*; accepted: a whole number"):
            CalendarPeriod(unit=unit, count=count)  # type: ignore[arg-type]  # what a caller without types may pass


@pytest.mark.parametrize(
    "zone",
    ["", "Europe", "Europe/Berl", "Europe/", "/etc/passwd", "../UTC", "a\0b", "\ud800", "zone.tab", "x" * 1_000_000,
     "right/Europe/Berlin", "posix/Europe/Berlin", "localtime", "posixrules", None, 1, UTC],
)  # fmt: skip
def test_an_unknown_zone_is_refused(zone: object) -> None:
    """Typos, paths, directories and names that depend on the machine are all refused in one line."""
    with pytest.raises(InvalidInputError, match=r"time_zone: found .*; accepted: an IANA time zone") as caught:
        CalendarPeriod(unit="day", time_zone=zone)  # type: ignore[arg-type]  # what a caller without types may pass
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "anchor",
    ["", "2024-02-30", "20240131", "2024-W05-3", "31", "2024-01-31T06:00Z", "2024-01-31T06:00+01:00", "x" * 1_000_000,
     31, 1.5, True, datetime(2024, 1, 31, tzinfo=UTC), (2024, 1, 31)],
)  # fmt: skip
def test_a_bad_anchor_is_refused(anchor: object) -> None:
    """Impossible dates, other spellings, offsets and other types are refused in one line."""
    with pytest.raises(InvalidInputError, match=r"anchor: found .*; accepted: a date") as caught:
        CalendarPeriod(unit="month", anchor=anchor)  # type: ignore[arg-type]  # what a caller without types may pass
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-01-31", date(2024, 1, 31)),
        ("2024-01-31T06:00", datetime.fromisoformat("2024-01-31T06:00")),
        ("2024-01-31 06:00:30", datetime.fromisoformat("2024-01-31T06:00:30")),
        ("2024-01-31T06:00:30.000001", datetime.fromisoformat("2024-01-31T06:00:30.000001").replace(fold=1)),
    ],
)
def test_an_anchor_as_text_equals_one_as_a_date(text: str, value: date) -> None:
    """However it is written, the same anchor makes the same period, hash and pickle included."""
    period = CalendarPeriod(unit="month", time_zone="Europe/Berlin", anchor=value)
    written = CalendarPeriod(unit="month", time_zone="Europe/Berlin", anchor=text)
    assert period == written == pickle.loads(pickle.dumps(period))
    assert hash(period) == hash(written)
    assert boundaries(pickle.loads(pickle.dumps(period)), 0) == boundaries(written, 0)


def test_without_time_zone_data_utc_works_and_others_say_what_to_install() -> None:
    """A bare Python without a zone database counts in UTC and names the package that is missing."""
    program = (
        "from sluicegate.ratelimit.calendar import CalendarPeriod, boundaries\n"
        "print(boundaries(CalendarPeriod(unit='day'), 0))\n"
        "try: CalendarPeriod(unit='day', time_zone='Europe/Berlin')\n"
        "except ValueError as error: print(error)\n"
    )
    bare = {**os.environ, "PYTHONTZPATH": "", "PYTHONPATH": str(Path(next(iter(sluicegate.__path__))).parent)}
    done = subprocess.run([sys.executable, "-S", "-c", program], env=bare, capture_output=True, text=True, check=True)
    day_us = 24 * HOUR_US
    assert done.stdout.splitlines() == [
        str((-day_us, 0, day_us, 2 * day_us)),
        (
            "time_zone: found 'Europe/Berlin' on a machine without time zone data; "
            "accepted: 'UTC', or any IANA time zone after `pip install tzdata`"
        ),
    ]
