"""The table of algorithms: a row each, beside one .py and one .lua twin each.

Adding an algorithm means its two files, a row here, and its branch in ``decide.lua``.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sluicegate.ratelimit.algorithms import (
    calendar_quota,
    carrying,
    fixed_window,
    gcra,
    sliding_window_counter,
    sliding_window_log,
)
from sluicegate.ratelimit.algorithms.concurrency import CONCURRENCY_LIMIT_MAX
from sluicegate.ratelimit.algorithms.sliding_window_log import LOG_LIMIT_MAX
from sluicegate.ratelimit.rate import LIMIT_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ALGORITHMS", "CALENDAR", "CONCURRENCY", "LOG", "Algorithm"]

# The kinds of arithmetic, as decide.lua numbers them.
_GCRA: Final = 1
_FIXED_WINDOW: Final = 2
_SLIDING_WINDOW_COUNTER: Final = 3
CALENDAR: Final = 4
LOG: Final = 5
CONCURRENCY: Final = 6

State = tuple[int, int, int]


def _none(*_: Any) -> Any:  # noqa: ANN401 - stands where a kind has no such function
    raise AssertionError("this kind of algorithm is decided by its store")


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """What the rest of the core must know of an algorithm.

    Attributes:
        kind: Which arithmetic, as the script numbers it.
        family: The name under which its state is kept; names of one arithmetic share it.
        takes_burst: Whether a rate may name a burst.
        windowed: Whether it counts in windows that end, so that what was taken in one is spent in it or not at all.
        limit_max: The largest limit that it accepts.
        rule_of: Reduces a rate to the algorithm's whole numbers.
        decide: The twin that decides, for kinds whose state is three whole numbers.
        refund: The twin that gives back.
        carry: The twin that carries a state over to another rate.
        length_of: How long a rate of it looks back, in microseconds.
    """

    kind: int
    family: str
    takes_burst: bool = False
    windowed: bool = False
    limit_max: int = LIMIT_MAX
    rule_of: Callable[..., tuple[int, ...]] = _none
    decide: Callable[[State, int, int, int, Any], tuple[State, int, int, int, int]] = _none
    refund: Callable[[State, int, int, int, int, Any], tuple[State, int, int]] = _none
    carry: Callable[[State, int, int, int, Any, Any], tuple[State, int]] = _none
    length_of: Callable[[Any], int] = _none

    @property
    def carries(self) -> bool:
        """Whether its state can be carried over to another rate."""
        return self.carry is not _none


_PACED = Algorithm(
    kind=_GCRA,
    family="gcra",
    takes_burst=True,
    rule_of=gcra.rule_of,
    decide=gcra.decide,
    refund=gcra.refund,
    carry=carrying.gcra_carried,
    length_of=lambda rule: rule.capacity_us,
)

ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {
        "gcra": _PACED,
        "token_bucket": _PACED,
        "leaky_bucket": _PACED,
        "fixed_window": Algorithm(
            kind=_FIXED_WINDOW,
            family="fixed_window",
            windowed=True,
            rule_of=fixed_window.rule_of,
            decide=fixed_window.decide,
            refund=fixed_window.refund,
            carry=carrying.fixed_window_carried,
            length_of=lambda rule: rule[1],
        ),
        "sliding_window_counter": Algorithm(
            kind=_SLIDING_WINDOW_COUNTER,
            family="sliding_window",
            rule_of=sliding_window_counter.rule_of,
            decide=sliding_window_counter.decide,
            refund=sliding_window_counter.refund,
            carry=carrying.sliding_carried,
            length_of=lambda rule: rule[1],
        ),
        "sliding_window_log": Algorithm(
            kind=LOG, family="sliding_window_log", limit_max=LOG_LIMIT_MAX, rule_of=sliding_window_log.rule_of
        ),
        "calendar_quota": Algorithm(
            kind=CALENDAR,
            family="calendar_quota",
            windowed=True,
            decide=calendar_quota.decide,
            refund=calendar_quota.refund,
            carry=carrying.calendar_quota_carried,
            length_of=carrying.calendar_length_of,
        ),
        "concurrency": Algorithm(kind=CONCURRENCY, family="concurrency", limit_max=CONCURRENCY_LIMIT_MAX),
    }
)
