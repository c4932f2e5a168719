"""Keeps the account of an open loop: when each request should start, and how long it truly took.

Requests come by a schedule, whether or not earlier ones were answered. A latency counts from the intended
start, so a contender that stalls pays for everybody who came meanwhile; one that was never sent counts
with the least that it had waited when time was up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

__all__ = ["Account", "Schedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Requests at a fixed rate.

    Attributes:
        start_ns: When the first one starts.
        per_second: How many start in a second.
        count: How many there are.
    """

    start_ns: int
    per_second: float
    count: int

    def intended_ns(self, number: int) -> int:
        """Return when request *number* should start, from 0."""
        return self.start_ns + round(number * 1e9 / self.per_second)

    def due(self, now_ns: int) -> int:
        """Return how many should have started by now."""
        if now_ns < self.start_ns:
            return 0
        number = int((now_ns - self.start_ns) * self.per_second / 1e9) + 2
        while number > 0 and self.intended_ns(number - 1) > now_ns:  # the product is rounded
            number -= 1
        return min(self.count, number)


@dataclass(slots=True, kw_only=True)
class Account:
    """What became of the requests of a schedule.

    Attributes:
        schedule: When each should start.
        in_flight_max: How many may wait for an answer at once; further ones wait to be sent.
        sent: How many were sent.
        answered: How many were answered.
        refused: Answers that were no true admissions.
        latencies_ns: From the intended start to the answer.
        lags_ns: How late each was sent.
        closed: Whether time is up; what comes later was counted already.
    """

    schedule: Schedule
    in_flight_max: int
    sent: int = 0
    answered: int = 0
    refused: int = 0
    latencies_ns: list[int] = field(default_factory=list)
    lags_ns: list[int] = field(default_factory=list)
    closed: bool = False

    def to_send(self, now_ns: int) -> list[int]:
        """Return the intended starts of those to be sent now, and count them as sent."""
        room = self.in_flight_max - (self.sent - self.answered)
        last = min(self.schedule.due(now_ns), self.sent + max(0, room))
        intended = [self.schedule.intended_ns(number) for number in range(self.sent, last)]
        self.lags_ns.extend(now_ns - each for each in intended)
        self.sent = max(self.sent, last)
        return intended

    def note(self, intended_ns: int, now_ns: int, *, admitted: bool) -> None:
        """Note an answer."""
        if self.closed:
            return
        self.answered += 1
        self.refused += not admitted
        self.latencies_ns.append(now_ns - intended_ns)

    @property
    def done(self) -> bool:
        """Whether all were answered."""
        return self.answered == self.schedule.count

    @property
    def lag_p50_us(self) -> float:
        """The median of how late requests were sent."""
        return median(self.lags_ns) / 1e3 if self.lags_ns else 0.0

    def close(self, now_ns: int, unanswered_ns: list[int]) -> int:
        """Count what was never sent, or never answered, with the least it waited, and return how many were not sent.

        Args:
            now_ns: When time was up.
            unanswered_ns: The intended starts of those that were sent and not answered.
        """
        self.closed = True
        unsent = self.schedule.count - self.sent
        starts = [self.schedule.intended_ns(number) for number in range(self.sent, self.schedule.count)]
        self.latencies_ns.extend(max(0, now_ns - each) for each in starts + unanswered_ns)
        return unsent
