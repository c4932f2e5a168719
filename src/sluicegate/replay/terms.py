"""What decides the requests of one rule in a replay: its limit at each hour, and what a request takes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sluicegate.ratelimit import Limit

if TYPE_CHECKING:
    from sluicegate.ratelimit.rules import Rule, Schedule

__all__ = ["Terms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a rule says of its requests.

    Attributes:
        limit: The limit outside of the schedule.
        cost: The units that each request takes.
        schedule: Limits that hold at certain times of the log in its place.
    """

    limit: Limit
    cost: int = 1
    schedule: Schedule | None = None

    @classmethod
    def of(cls, rule: Rule) -> Terms:
        """Return those of a rule, without bans; of one that is being rolled out the limit as it is."""
        schedule = rule.schedule
        if schedule is not None:
            entries = tuple((times, limit.without_ban()) for times, limit in schedule.entries)
            schedule = replace(schedule, entries=entries)
        return cls(limit=rule.limit.without_ban(), cost=rule.cost, schedule=schedule)  # only state is replayed

    @property
    def at_once(self) -> int:
        """How many requests of one key are never denied, whenever they come."""
        limits = [self.limit, *(limit for _, limit in (self.schedule.entries if self.schedule else ()))]
        return min(limit.plan.capacity for limit in limits) // self.cost

    def limit_at(self, at_us: int) -> Limit:
        """Return the limit that holds at a time, in microseconds since the epoch."""
        return (self.schedule and self.schedule.limit_at(at_us)) or self.limit

    def scaled(self, units: int) -> Terms:
        """Return the same with the limit of the first rate made *units*, and all other limits in proportion.

        Raises:
            InvalidInputError: One of them would be out of its range.
        """
        unit = self.limit.rates[0].limit
        schedule = self.schedule
        if schedule is not None:
            entries = tuple((times, _scaled(limit, units, unit)) for times, limit in schedule.entries)
            schedule = replace(schedule, entries=entries)
        return Terms(limit=_scaled(self.limit, units, unit), cost=self.cost, schedule=schedule)


def _scaled(limit: Limit, units: int, unit: int) -> Limit:
    """Return *limit* with *units* in place of each *unit* of its rates, rounded up."""
    rates = tuple(
        replace(
            rate,
            limit=-(-rate.limit * units // unit),
            burst=None if rate.burst is None else -(-rate.burst * units // unit),
        )
        for rate in limit.rates
    )
    return Limit(limit.name, rates, algorithm=limit.algorithm, time_zone=limit.time_zone, anchor=limit.anchor)
