"""Another rate at other hours: which limit of a rule holds now, by the clock on the wall of a time zone.

The times of a week are the bits of one number, a bit a minute, so that overlaps show and nothing has to be
compared. Zones are put forward and back at whole minutes, so what was found holds until the minute is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sluicegate.ratelimit.calendar import zone_named
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluicegate.ratelimit.limit import Limit

__all__ = ["DAYS", "Schedule", "Times"]

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 1_440
_WEEK_MINUTES: Final = 7 * DAY_MINUTES
_WEEK: Final = (1 << _WEEK_MINUTES) - 1
_MINUTE_US: Final = 60_000_000
_HOUR_MINUTES: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Some hours of some days of each week, by the clock on the wall.

    Attributes:
        start: The minute of the day with which they begin, 0 to 1,439.
        end: The minute with which they are over, 1 to 1,440; one that is not after the start is on the next day.
        days: The days on which they begin, Monday 0.

    Raises:
        InvalidInputError: They are none.
    """

    start: int
    end: int
    days: frozenset[int] = frozenset(range(7))
    minutes: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (0 <= self.start < DAY_MINUTES and 0 < self.end <= DAY_MINUTES and self.start != self.end):
            found = f"{_told(self.start)} to {_told(self.end)}"
            raise InvalidInputError("to", found, "a time from 00:00 to 24:00 that is not that of from")
        if not self.days or not self.days <= set(range(7)):
            raise InvalidInputError("days", shape_of(sorted(self.days)), f"days: {', '.join(DAYS)}")
        one = (1 << (self.end - self.start) % DAY_MINUTES) - 1 or (1 << DAY_MINUTES) - 1
        minutes = 0
        for day in self.days:
            shifted = one << day * DAY_MINUTES + self.start
            minutes |= shifted & _WEEK | shifted >> _WEEK_MINUTES
        object.__setattr__(self, "minutes", minutes)

    def __str__(self) -> str:
        days = "" if len(self.days) == len(DAYS) else " ".join(DAYS[day] for day in sorted(self.days)) + " "
        return f"{days}{_told(self.start)}-{_told(self.end)}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The limits of a rule that hold at certain times.

    Attributes:
        time_zone: The IANA zone by whose clocks the times are.
        entries: Times, each with the limit that holds then.

    Raises:
        InvalidInputError: Two of the times overlap, or there is no such zone.
    """

    time_zone: str
    entries: tuple[tuple[Times, Limit], ...]
    _at_minute: Callable[[int], Limit | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        zone = zone_named(self.time_zone)
        for at, (times, _) in enumerate(self.entries):
            earlier = next((other for other, _ in self.entries[:at] if other.minutes & times.minutes), None)
            if earlier is not None:
                raise InvalidInputError(f"schedule[{at}]", f"{times}, which overlaps {earlier}", "other times")

        def at_minute(minute: int) -> Limit | None:
            local = datetime.fromtimestamp(minute * 60, zone)
            bit = local.weekday() * DAY_MINUTES + local.hour * _HOUR_MINUTES + local.minute
            return next((limit for times, limit in self.entries if times.minutes >> bit & 1), None)

        object.__setattr__(self, "_at_minute", lru_cache(maxsize=2)(at_minute))  # two: around the turn of a minute

    def limit_at(self, now_us: int) -> Limit | None:
        """Return the limit that holds at a time in microseconds since the epoch, or ``None`` for the rule's own."""
        return self._at_minute(now_us // _MINUTE_US)

    def as_json(self) -> list[dict[str, object]]:
        """Return it as a list of times and rates."""
        return [
            {"times": str(times), "time_zone": self.time_zone, "rates": [str(rate) for rate in limit.rates]}
            for times, limit in self.entries
        ]


def _told(minute: int) -> str:
    return f"{minute // _HOUR_MINUTES:02}:{minute % _HOUR_MINUTES:02}"
