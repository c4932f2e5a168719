"""Times in logs: every usual form is read exactly, and nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.replay.timestamps import AT_US_MAX, clf_time_us, remembering, time_us

MOMENT_US = 1_431_857_103_000_000  # 17 May 2015 10:05:03 UTC


@pytest.mark.parametrize(
    ("text", "at_us"),
    [
        ("17/May/2015:10:05:03 +0000", MOMENT_US),
        ("17/May/2015:12:35:03 +0230", MOMENT_US),
        ("17/May/2015:03:05:03 -0700", MOMENT_US),
        ("2015-05-17T10:05:03Z", MOMENT_US),
        ("2015-05-17T10:05:03+00:00", MOMENT_US),
        ("2015-05-17T12:05:03+02:00", MOMENT_US),
        ("2015-05-17 10:05:03", MOMENT_US),
        ("2015-05-17T10:05:03.000250Z", MOMENT_US + 250),
        ("1431857103", MOMENT_US),
        ("1431857103.25", MOMENT_US + 250_000),
        ("1431857103.0000019", MOMENT_US + 1),
        ("1431857103000", MOMENT_US),
        ("1431857103000001", MOMENT_US + 1),
        ("1431857103000001999", MOMENT_US + 1),
        ("0", 0),
        ("31/Dec/2016:23:59:60 +0000", 1_483_228_800_000_000),
    ],
)
def test_reads_a_time(text: str, at_us: int) -> None:
    """A time in any form that logs use is read to the microsecond."""
    assert time_us(text) == at_us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "now",
        "nan",
        "inf",
        "1e400",
        "-1",
        "1.x",
        "1" * 65,
        "1" * 60,
        "99/May/2015:10:05:03 +0000",
        "17/Mai/2015:10:05:03 +0000",
        "17/May/0000:10:05:03 +0000",
        "17/May/2015:24:05:03 +0000",
        "17/May/2015:10:60:03 +0000",
        "17/May/2015:10:05:61 +0000",
        "17/May/2015:10:05:03 +9900",
        "17/May/2015:10:05:03 +0060",
        "01/Jan/1970:00:00:00 +0100",
        "31/Dec/2099:23:59:59 -0001",
        "31/Dec/9999:23:59:59 -1400",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "1969-12-31T23:59:59Z",
        "2015-05-17T10:05:03+99:99",
        "\u0661\u0664\u0663",
    ],
)
def test_refuses_what_is_no_time(text: str) -> None:
    """What is no time, or none from 1970 to 2099, is not read."""
    assert time_us(text) is None


@given(moment=st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds
def test_agrees_with_the_library(moment: datetime) -> None:
    """Every second, written in either form, is the second that Python's own calendar says."""
    seconds = int(moment.timestamp())
    assert clf_time_us(f"{moment:%d/%b/%Y:%H:%M:%S} +0000") == seconds * 1_000_000
    assert time_us(moment.isoformat()) == seconds * 1_000_000 + moment.microsecond


@given(text=st.text(max_size=70))
def test_any_text_is_a_time_or_none(text: str) -> None:
    """Whatever a field holds, it is a time within bounds or none."""
    at_us = time_us(text)
    assert at_us is None or 0 <= at_us < AT_US_MAX


def test_a_text_that_comes_again_is_not_read_again() -> None:
    """A time that was just seen is remembered."""
    seen: list[str] = []
    read = remembering(seen.append)
    read("a")
    read("a")
    assert seen == ["a"]
