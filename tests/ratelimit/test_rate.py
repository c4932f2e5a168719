"""A rate as users write it: what is read, what is refused in one line, and that nothing is lost on the way back."""

from __future__ import annotations

import pickle
import time
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluicegate import InvalidInputError, Rate

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
UNITS = {
    "second": ("s", "sec", "secs", "second", "seconds"),
    "minute": ("min", "mins", "minute", "minutes"),
    "hour": ("h", "hr", "hour", "hours"),
    "day": ("d", "day", "days"),
    "week": ("w", "week", "weeks"),
    "month": ("month", "months"),
    "year": ("year", "years"),
}
FIVE_SECONDS = Rate(10, Fraction(5), "second")
LONGEST_US = 366 * 86_400_000_000
MESSAGE_LENGTH_MAX = 300  # one line on a screen that is not too small


@pytest.mark.parametrize(("unit", "written"), [(unit, form) for unit, forms in UNITS.items() for form in forms])
def test_every_unit_is_read_in_every_form(unit: str, written: str) -> None:
    """A unit's short and long forms, in either case, mean the same."""
    assert Rate.parse(f"7/{written}") == Rate.parse(f"7 per {written.upper()}") == Rate(7, Fraction(1), unit)


@pytest.mark.parametrize(
    "text",
    [
        "10/5s",
        "10/5 s",
        "10 / 5 s",
        "10/ 5seconds",
        "10 per 5 seconds",
        "10 per 5s",
        "10 PER 5 SEC",
        "  10  per\t5  secs ",
        "10/5.0s",
        "010/05s",
    ],
)
def test_a_period_of_several_units_is_read_in_every_form(text: str) -> None:
    """A slash or the word per, with or without spaces, mean the same."""
    assert Rate.parse(text) == FIVE_SECONDS


@pytest.mark.parametrize(
    ("text", "period_us"),
    [
        ("1/0.5s", 500_000),
        ("1/0.000001s", 1),
        ("3 per 1.5 hours", 5_400_000_000),
        ("1/366d", LONGEST_US),
        ("5/0.3333 weeks", 201_579_840_000),
    ],
)
def test_a_period_may_have_decimals_down_to_a_microsecond(text: str, period_us: int) -> None:
    """A period is a whole number of microseconds, from one to 366 days."""
    assert Rate.parse(text).period_us == period_us


@pytest.mark.parametrize("text", ["10/s burst 3", "10/s  BURST  3", "10 per second burst 3", "10/1s burst 03"])
def test_a_burst_is_the_capacity(text: str) -> None:
    """A burst stands behind the rate, and is what can be had at one instant."""
    rate = Rate.parse(text)
    assert (rate.burst, rate.capacity, rate.limit) == (3, 3, 10)


def test_without_a_burst_the_capacity_is_the_limit() -> None:
    """Nobody has to name a burst."""
    rate = Rate.parse("10/s")
    assert (rate.burst, rate.capacity) == (None, 10)


@pytest.mark.parametrize("text", ["1/s;50/min burst 9;1000/day", " 1/s ; 50 / min burst 9 ; 1000 per day "])
def test_several_rates_are_joined_by_semicolons(text: str) -> None:
    """Each is a rate of its own, in the order written."""
    assert [str(rate) for rate in Rate.parse_several(text)] == ["1/second", "50/minute burst 9", "1000/day"]


def test_eight_rates_are_read_and_nine_are_not() -> None:
    """A limit has at most eight rates."""
    assert len(Rate.parse_several(";".join(["1/s"] * 8))) == 8
    with pytest.raises(InvalidInputError, match="found 9 rates; accepted: at most 8 rates"):
        Rate.parse_several(";".join(["1/s"] * 9))


def test_one_rate_is_not_several() -> None:
    """Who asks for one rate is not given the first of two."""
    with pytest.raises(InvalidInputError, match="one rate, not several"):
        Rate.parse("1/s;2/min")


REFUSED = [
    "",
    " ",
    ";",
    "1/s;",
    ";1/s",
    "1/s;;2/min",
    "five/s",
    "5",
    "/s",
    "5/",
    "5//s",
    "5/s/s",
    "5 s",
    "5 per",
    "5 per per s",
    "5 every s",
    "per 5 s",
    "5/s burst",
    "5/s burst x",
    "5/s burst 1 burst 2",
    "5/s burst 1.5",
    "burst 5",
    "5/s bursts 3",
    "5/m",
    "5/ms",
    "5/mon",
    "5/fortnight",
    "5/5",
    "5/s s",
    "5/5 s s",
    "5 per 5 0 s",
    "5 per 5 0s",
    "5 per 1 .5s",
    "5 per sec onds",
    "5 per 5 sec onds",
    # numbers that are none
    "-5/s",
    "5/-5s",
    "+5/s",
    "5/+5s",
    "5/s burst +5",
    "5/s burst -5",
    "1_0/s",
    "5/1_0s",
    "1e3/s",
    "5/1e3s",
    "0x10/s",
    "5.0/s",
    "1,000/s",
    "nan/s",
    "inf/s",
    "5/nan s",
    "5/inf s",
    "5/.5s",
    "5/5.s",
    "5/1.2.3s",
    "99999999999/s",
    # digits and letters of other scripts
    "\u0665/s",
    "\uff15/s",
    "\u00b2/s",
    "5/\u0665s",
    "5/s burst \u0665",
    "5/\u017f",
    "5/\uff53",
    "5\u2044s",
    "5/s\x00",
    "5/s\ud800",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_rate_is_refused_in_one_line(text: str) -> None:
    """The line names the place, what was found, and what is accepted."""
    with pytest.raises(InvalidInputError) as refusal:
        Rate.parse_several(text)
    message = str(refusal.value)
    assert message.startswith("rate: found ")
    assert "; accepted: 'LIMIT/UNIT'" in message
    assert "\n" not in message
    assert message.isascii()


OUT_OF_RANGE = [
    ("0/s", "rate limit: found 0; accepted: a whole number from 1 to 1,000,000,000"),
    ("1000000001/s", "rate limit: found 1000000001; accepted: a whole number from 1 to 1,000,000,000"),
    ("5/s burst 0", "rate burst: found 0; accepted: a whole number from 1 to 1,000,000,000"),
    ("5/s burst 1000000001", "rate burst: found 1000000001; accepted: a whole number from 1 to 1,000,000,000"),
    ("5/0s", "rate period: found 0 second; accepted: whole microseconds, from 1 to 366 days"),
    ("5/0.0s", "rate period: found 0 second; accepted: whole microseconds, from 1 to 366 days"),
    ("5/0.0000001s", "rate period: found 1e-07 second; accepted: whole microseconds, from 1 to 366 days"),
    ("5/0.0000015s", "rate period: found 1.5e-06 second; accepted: whole microseconds, from 1 to 366 days"),
    ("5/367d", "rate period: found 367 day; accepted: whole microseconds, from 1 to 366 days"),
    ("5/1.5 months", "rate period: found 1.5 month; accepted: 1 to 1200 months or years"),
    ("5/0 months", "rate period: found 0 month; accepted: 1 to 1200 months or years"),
    ("5/1201 years", "rate period: found 1201 year; accepted: 1 to 1200 months or years"),
]


@pytest.mark.parametrize(("text", "message"), OUT_OF_RANGE)
def test_a_number_out_of_range_is_refused_by_name(text: str, message: str) -> None:
    """The line says which number it is, and from where to where it may be."""
    with pytest.raises(InvalidInputError) as refusal:
        Rate.parse(text)
    assert str(refusal.value) == message


def test_a_burst_that_takes_a_lifetime_to_refill_is_refused() -> None:
    """What could not be represented exactly is refused when the rate is made, not when it decides."""
    assert Rate.parse("1/day burst 13000").capacity == 13_000
    with pytest.raises(InvalidInputError, match="rate burst: found 1/day burst 13100, a capacity of more than 35 year"):
        Rate.parse("1/day burst 13100")


@pytest.mark.parametrize("value", [None, 5, 5.0, b"5/s", ["5/s"], Fraction(5)])
def test_what_is_no_text_is_refused(value: object) -> None:
    """Bytes are not text either, and nothing is guessed."""
    with pytest.raises(InvalidInputError, match=r"rate: found .*; accepted: text of at most 200 characters"):
        Rate.parse(value)  # type: ignore[arg-type] # on purpose


@pytest.mark.parametrize("piece", ["9", " ", "5/s;", "/", ".", "burst 1 ", "\u0665", "a\x00"])
def test_a_megabyte_is_refused_without_being_read(piece: str) -> None:
    """A text of a million characters costs no more than one of a thousand, and makes no megabyte of a message."""
    text = piece * (1_000_000 // len(piece))
    before = time.perf_counter()
    for _ in range(100):
        with pytest.raises(InvalidInputError) as refusal:
            Rate.parse_several(text)
    assert time.perf_counter() - before < 0.5  # a hundred readings of it would take longer
    assert len(str(refusal.value)) < MESSAGE_LENGTH_MAX


def seconds_to_read(text: str) -> float:
    """Return the least time that a reading takes; what else the machine does makes some longer."""
    least = 1.0
    for _ in range(7):
        before = time.perf_counter()
        for _ in range(50):
            with suppress(InvalidInputError):
                Rate.parse_several(text)
        least = min(least, (time.perf_counter() - before) / 50)
    return least


@pytest.mark.parametrize(
    "piece",
    ["9", ".", "9.", " ", "/", " / ", "per ", "burst 1 ", "1/s ", "1/s;", ";", "s", "9s", "\u0665"],
)
def test_reading_takes_linear_time(piece: str) -> None:
    """Up to the longest text that is read, eight times the length takes at most some ten times as long."""
    short = f"5/{piece * (25 // len(piece))}"
    long = f"5/{piece * (190 // len(piece))}"
    assert seconds_to_read(long) < 16 * seconds_to_read(short) + 50e-6


def whole_rates() -> st.SearchStrategy[Rate]:
    """Draw every rate that can be made of whole microseconds."""

    def make(limit: int, period_us: int, unit: str, burst: int | None) -> Rate:
        most = max(1, min(10**9, 2**50 * limit // period_us))
        return Rate(
            min(limit, 10**9),
            Fraction(period_us, SECONDS[unit] * 1_000_000),
            unit,
            None if burst is None else min(burst, most),
        )

    return st.builds(
        make,
        st.integers(1, 10**9),
        st.one_of(st.integers(1, LONGEST_US), st.integers(1, 31_622_400).map(lambda seconds: seconds * 1_000_000)),
        st.sampled_from(sorted(SECONDS)),
        st.one_of(st.none(), st.integers(1, 10**9)),
    )


@settings(deadline=None)
@given(whole_rates())
def test_a_rates_text_is_read_as_the_same_rate(rate: Rate) -> None:
    """Whatever a rate is made of, its text says all of it: to the microsecond, without an exponent."""
    again = Rate.parse(str(rate))
    assert (again.limit, again.burst, again.period_us) == (rate.limit, rate.burst, rate.period_us)
    assert str(again) == str(rate)
    if again.unit == rate.unit:
        assert again == rate


@settings(deadline=None)
@given(st.integers(1, 10**9), st.integers(1, 1200), st.sampled_from(["month", "year"]))
def test_a_calendar_rates_text_is_read_as_the_same_rate(limit: int, count: int, unit: str) -> None:
    """Months and years stay what they are."""
    rate = Rate(limit, Fraction(count), unit)
    assert Rate.parse(str(rate)) == rate


@settings(deadline=None)
@given(st.floats(min_value=1e-6, max_value=31_622_400.0))
def test_a_period_given_as_a_float_is_rounded_to_microseconds(seconds: float) -> None:
    """A tenth of a second is a tenth, although no float is; its text says so too."""
    rate = Rate.per(5, seconds)
    assert abs(rate.period_us - Fraction(seconds) * 1_000_000) <= Fraction(1, 2)
    assert Rate.parse(str(rate)).period_us == rate.period_us


def test_a_period_given_as_a_number_of_seconds() -> None:
    """Whole numbers, floats and fractions of seconds are taken; a burst goes with them."""
    assert Rate.per(5, 60) == Rate(5, Fraction(60), "second")
    assert str(Rate.per(5, 0.1, burst=9)) == "5 per 0.1 seconds burst 9"
    assert Rate.per(5, Fraction(1, 3)).period_us == 333_333  # type: ignore[arg-type] # a fraction is a number too
    assert Rate.per(5, 60).period == 60.0


@pytest.mark.parametrize(
    "seconds", [0, -1, -0.0, 4e-7, float("nan"), float("inf"), float("-inf"), 1e9, 10**400, 366 * 86_400 + 1, True, "5"]
)
def test_a_period_that_is_no_span_of_time_is_refused(seconds: float) -> None:
    """Nothing, less than nothing, no number, and more than 366 days."""
    with pytest.raises(InvalidInputError, match="rate period: found"):
        Rate.per(5, seconds)


@pytest.mark.parametrize("limit", [0, -1, 10**9 + 1, 1.0, True, "5", None])
def test_a_limit_that_is_no_number_of_units_is_refused(limit: int) -> None:
    """Only a whole number from 1 to a billion is one, also as a burst."""
    with pytest.raises(InvalidInputError, match="rate limit: found"):
        Rate.per(limit, 1)
    if limit is not None:
        with pytest.raises(InvalidInputError, match="rate burst: found"):
            Rate.per(1, 1, burst=limit)


@pytest.mark.parametrize(
    ("count", "unit"),
    [
        (0.5, "second"),
        ("5", "second"),
        (None, "month"),
        (True, "second"),
        (Fraction(10**400), "second"),
        (Fraction(-(10**400)), "month"),
        (Fraction(1), "fortnight"),
        (Fraction(1), "x" * 1_000_000),
        (Fraction(1), ["second"]),
        (Fraction(1), None),
        (Fraction(-1), "day"),
    ],
)
def test_parts_that_make_no_rate_are_refused_in_one_line(count: Fraction, unit: str) -> None:
    """A rate put together by hand meets the same boundary as its text."""
    with pytest.raises(InvalidInputError, match=r"rate (period|unit): found") as refusal:
        Rate(5, count, unit)
    assert len(str(refusal.value)) < MESSAGE_LENGTH_MAX


def test_a_rate_is_a_value() -> None:
    """It cannot be changed, equals its like, goes into sets, and travels to other processes."""
    rate = Rate.parse("10/min burst 3")
    with pytest.raises(AttributeError):
        rate.limit = 11  # type: ignore[misc] # on purpose
    assert len({rate, Rate.parse("10 per minute burst 3")}) == 1
    assert pickle.loads(pickle.dumps(rate)) == rate
    assert rate != Rate.parse("10/min")


@pytest.mark.parametrize(("unit", "days"), [("month", 28), ("year", 365)])
def test_the_period_of_a_month_is_the_shortest_there_is(unit: str, days: int) -> None:
    """Months and years differ; what is promised of them counts on the shortest."""
    assert Rate.parse(f"5/{unit}").period == days * 86_400.0
    assert Rate.parse(f"5 per 2 {unit}s").period_us == 2 * days * 86_400_000_000
