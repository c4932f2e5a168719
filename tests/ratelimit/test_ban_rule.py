"""A rule for bans is checked when it is made, and says what it leaves open."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from sluicegate import BanRule, InvalidInputError, Limit

GOOD: dict[str, Any] = {"after": 3, "within": 60, "duration": 600}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "after": ({"after": 0}, "ban after: found 0; accepted: a number of denials from 1 to 1,000"),
    "after too many": ({"after": 1_001}, "ban after"),
    "after a truth": ({"after": True}, "ban after: found True"),
    "within": ({"within": 0}, "ban within: found 0; accepted: a number of seconds from 0.001"),
    "within text": ({"within": "1 minute"}, "ban within: found '1 minute'"),
    "duration": ({"duration": float("inf")}, "ban duration: found inf"),
    "escalate": ({"escalate": 0.5}, "ban escalate: found 0.5; accepted: a number from 1 to 100"),
    "escalate nan": ({"escalate": float("nan")}, "ban escalate: found nan"),
    "at_most": ({"at_most": 599}, "ban at_most: found 599; accepted: at least the first ban's 600"),
    "forget_after": ({"forget_after": 0}, "ban forget_after: found 0"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_value_out_of_its_range_is_refused(bad: str) -> None:
    """The line names the field, what was found and what is accepted."""
    values, line = BAD[bad]
    with pytest.raises(InvalidInputError, match=line):
        BanRule(**{**GOOD, **values})


def test_what_is_left_open_is_a_day_or_more() -> None:
    """A ban lasts at most a day, or its own time where that is longer, and is forgotten after as long."""
    short, long = BanRule(**GOOD), BanRule(after=3, within=60, duration=100_000)
    assert (short.escalate, short.at_most, short.forget_after) == (1.0, 86_400, 86_400)
    assert (long.at_most, long.forget_after) == (100_000, 100_000)


def test_it_is_a_part_of_the_limit() -> None:
    """Limits that differ in it are not equal, it travels with the limit, and nothing else is taken for it."""
    limit = Limit("api", "1/s", ban=BanRule(**GOOD))
    assert limit != Limit("api", "1/s")
    assert pickle.loads(pickle.dumps(limit)) == limit
    with pytest.raises(InvalidInputError, match="ban: found a value of type dict; accepted: a BanRule, or None"):
        Limit("api", "1/s", ban=GOOD)  # type: ignore[arg-type]  # that is what is tried
