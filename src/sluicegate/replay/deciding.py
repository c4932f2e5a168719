"""Drives the limit of a rule through the requests of a log, on a clock that shows when each was made.

The decisions are those of the library's own limiter, asked as a live service asks it. Keys do not
touch each other, so they come one after the other, each to a limiter without a state.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from heapq import nsmallest
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from sluicegate.ratelimit import BlockingLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sluicegate.replay.keyed_times import KeyedTimes
    from sluicegate.replay.ordering import Entry
    from sluicegate.replay.terms import Terms
    from sluicegate.replay.timeline import Timeline

__all__ = ["TOP_DENIED_MAX", "DeniedKey", "LimitRun", "Outcome", "run_limit"]

TOP_DENIED_MAX = 20  # a table that fits a screen; the long tail is in the sums
_TRIM_AT = 50 * TOP_DENIED_MAX  # seldom enough to cost nothing
_KEY = "replayed"
_PROGRESS_EVERY_KEYS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DeniedKey:
    """A key that was denied at least once.

    Attributes:
        key: Who.
        denied: Its requests that were denied.
        allowed: Its requests that were allowed.
        first_us: The first denial, in microseconds since the epoch.
        last_us: The last denial.
    """

    key: str
    denied: int
    allowed: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a limit did to a log.

    Attributes:
        allowed: Requests allowed.
        denied: Requests denied.
        top_denied: The twenty keys that were denied most, the most denied first.
        denied_places: Where the tape holds the keys that were denied.
        over_time: Both over time.
    """

    allowed: int
    denied: int
    top_denied: tuple[DeniedKey, ...]
    denied_places: array[int]
    over_time: Timeline


class _LogClock:
    """Shows the time of the request that is being decided."""

    __slots__ = ("at_us",)

    def __init__(self) -> None:
        self.at_us = 0

    def now_us(self) -> int:
        return self.at_us

    def monotonic_us(self) -> int:
        return self.at_us


class LimitRun:
    """The limit of a rule on a limiter of its own, for one key after the other.

    Args:
        terms: What decides; no limit of ``concurrency``, for no log tells when requests end.
    """

    __slots__ = ("_clock", "_limiter", "_terms")

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._clock = _LogClock()
        # State in memory holds nothing that would have to be closed.
        self._limiter = BlockingLimiter(clock=self._clock, keys_max=1)

    def answers(self, pieces: Iterable[array[int]]) -> Iterator[tuple[int, bool]]:
        """Yield the time of each request of one key, and whether it fits the limit, shadow or not."""
        clock, acquire = self._clock, self._limiter.acquire
        limit, cost, limit_at = self._terms.limit, self._terms.cost, self._terms.limit_at
        is_scheduled = self._terms.schedule is not None
        clock.at_us = 0  # before any request, so that the last key's state has not expired unseen
        self._limiter.reset(limit, _KEY)
        for piece in pieces:
            for at_us in piece:
                clock.at_us = at_us
                decision = acquire(limit_at(at_us) if is_scheduled else limit, _KEY, cost)
                yield at_us, decision.allowed and not decision.shadow_denied

    def denied(self, pieces: Iterable[array[int]]) -> int:
        """Return how many requests of one key are denied."""
        return sum(not fits for _, fits in self.answers(pieces))


def run_limit(
    terms: Terms, entries: Iterable[Entry], *, tape: KeyedTimes, over_time: Timeline, progress: Callable[[int], None]
) -> Outcome:
    """Decide all requests of one rule.

    Args:
        terms: What decides.
        entries: The rule's requests, ordered by key and time.
        tape: Where the times are put down, to be decided again under other limits.
        over_time: An empty timeline that holds all requests.
        progress: Told now and then how many were decided.
    """
    run = LimitRun(terms)
    allowed = denied = 0
    top: list[DeniedKey] = []
    denied_places = array("q")
    for key, requests in groupby(entries, itemgetter(1)):
        place = tape.add_key(map(itemgetter(2), requests))
        found = _key_outcome(key, run.answers(tape.pieces(place)), over_time)
        allowed += found.allowed
        denied += found.denied
        if found.denied:
            denied_places.append(place)
            top.append(found)
            if len(top) >= _TRIM_AT:
                top = _top_of(top)
        if tape.keys % _PROGRESS_EVERY_KEYS == 0:
            progress(allowed + denied)
    return Outcome(
        allowed=allowed,
        denied=denied,
        top_denied=tuple(_top_of(top)),
        denied_places=denied_places,
        over_time=over_time,
    )


def _key_outcome(key: str, answers: Iterable[tuple[int, bool]], over_time: Timeline) -> DeniedKey:
    start_us, width_us = over_time.start_us, over_time.width_us
    allowed_columns, denied_columns = over_time.allowed, over_time.denied
    allowed = denied = first_us = last_us = 0
    for at_us, fits in answers:
        column = (at_us - start_us) // width_us
        if fits:
            allowed += 1
            allowed_columns[column] += 1
        else:
            first_us = first_us if denied else at_us
            last_us = at_us
            denied += 1
            denied_columns[column] += 1
    return DeniedKey(key=key, denied=denied, allowed=allowed, first_us=first_us, last_us=last_us)


def _top_of(keys: list[DeniedKey]) -> list[DeniedKey]:
    return nsmallest(TOP_DENIED_MAX, keys, key=lambda found: (-found.denied, found.key))
