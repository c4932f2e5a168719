"""Finds the smallest limit that would have denied no more than a given share of a log.

The period stays, and burst, other rates and other hours are in proportion; the limit is searched for by
bisection. A key that one limit never denies is never denied by a greater one, so each step looks only at the
keys that the greatest limit known to be too small has denied.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

from sluicegate.replay.deciding import LimitRun
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluicegate.replay.deciding import Outcome
    from sluicegate.replay.keyed_times import KeyedTimes
    from sluicegate.replay.terms import Terms

__all__ = ["DENIED_PER_MILLE", "Suggestion", "suggestions"]

_PER_MILLE = 1000
DENIED_PER_MILLE = (10, 1)  # 1 % and 0.1 %; in falling order, which the search relies on


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """The smallest limit that denies at most a share of the requests.

    Attributes:
        target_ratio: The share that may be denied, from 0 to 1.
        rate: The rate as text, of a schedule that outside of its times; ``None`` when not even the largest limit
            denies so few.
        denied: Requests that it would have denied.
        denied_ratio: Their share of the rule's requests, from 0 to 1.
    """

    target_ratio: float
    rate: str | None
    denied: int
    denied_ratio: float


def suggestions(terms: Terms, outcome: Outcome, tape: KeyedTimes) -> tuple[Suggestion, ...]:
    """Search for each of `DENIED_PER_MILLE`; nothing is found for a rule without requests.

    Args:
        terms: What decided.
        outcome: What it did.
        tape: The times of its requests.
    """
    if tape.requests == 0:
        return ()
    search = _Search(terms, outcome, tape)
    return tuple(search.suggestion(per_mille) for per_mille in DENIED_PER_MILLE)


class _Search:
    def __init__(self, terms: Terms, outcome: Outcome, tape: KeyedTimes) -> None:
        self._terms = terms
        self._tape = tape
        # What each limit that was tried denies, by the limit of its first rate.
        self._floor = terms.limit.rates[0].limit
        self._denied = {self._floor: outcome.denied}
        self._floor_places = outcome.denied_places

    def suggestion(self, per_mille: int) -> Suggestion:
        requests = self._tape.requests
        try:
            units = self._smallest(requests * per_mille // _PER_MILLE)
        except InvalidInputError:  # in proportion, another of the rates would be out of its range
            units = None
        rate = None
        denied = self._denied[max(self._denied)]
        if units is not None:
            rate = "; ".join(str(rate) for rate in self._terms.scaled(units).limit.rates)
            denied = self._denied[units]
        ratio = per_mille / _PER_MILLE
        return Suggestion(target_ratio=ratio, rate=rate, denied=denied, denied_ratio=denied / requests)

    def _smallest(self, denied_max: int) -> int | None:
        """Return the smallest limit that denies at most *denied_max*, or ``None``."""
        most = self._terms.limit.plan.algorithm.limit_max
        enough = min((units for units, denied in self._denied.items() if denied <= denied_max), default=None)
        too_few = [units for units, denied in self._denied.items() if denied > denied_max]
        few = max((units for units in too_few if enough is None or units < enough), default=0)
        while enough is None:
            if few >= most:
                return None
            tried = min(2 * few, most)
            if self._tried(tried, denied_max):
                enough = tried
            else:
                few = tried
        while enough - few > 1:
            # Limits spread over powers of ten, so the middle is that of their logarithms.
            tried = isqrt(few * enough) if enough > 4 * few > 0 else (few + enough) // 2
            if self._tried(tried, denied_max):
                enough = tried
            else:
                few = tried
        return enough

    def _tried(self, units: int, denied_max: int) -> bool:
        """Say whether a limit of *units* denies at most *denied_max*."""
        terms = self._terms.scaled(units)
        places: Iterable[int] = self._floor_places if units >= self._floor else self._tape.places()
        denied, denied_places = self._denials(terms, places)
        self._denied[units] = denied
        if denied > denied_max:  # whatever is tried from now on is greater
            self._floor, self._floor_places = units, denied_places
        return denied <= denied_max

    def _denials(self, terms: Terms, places: Iterable[int]) -> tuple[int, array[int]]:
        at_once = terms.at_once
        denied = 0
        denied_places = array("q")
        if at_once >= self._tape.requests_of_key_max:
            return denied, denied_places
        run = LimitRun(terms)
        for place in places:
            # Who asks for no more than fits at one instant is never denied.
            if not self._tape.is_within(place, at_once):
                denied_of_key = run.denied(self._tape.pieces(place))
                if denied_of_key:
                    denied += denied_of_key
                    denied_places.append(place)
        return denied, denied_places
