"""A limit compiled into the whole numbers that decide: all that stages and stores know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluicegate.ratelimit.algorithms import Algorithm
    from sluicegate.ratelimit.calendar import CalendarPeriod

__all__ = ["BESIDE", "Plan", "plain_of"]

BESIDE = 2  # a shadow that is decided in the place of the limit that is asked right before it


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A limit as stages and stores see it.

    Attributes:
        name: The limit's name.
        prefix: What stands before a key in the name of its state: family and limit, escaped.
        algorithm: The row of the table of algorithms.
        decide: The algorithm's own, one look-up nearer.
        rules: One tuple of whole numbers for each rate; empty for a calendar, whose numbers move.
        calendar: The calendar periods with their limits, where the algorithm is one.
        capacity: The largest cost that can ever be granted.
        holds: Whether its units are held, not taken.
        simple: Whether it is one rate whose numbers stand still.
        plain: A unit's time and the capacity in microseconds, where both are whole and one number is all the
            state there is: what the shortest path decides.
        linear: Whether what remains after several requests tells what remained after each of them, and their resets.
        shadow: 0 where it is enforced, 1 where it only counts what it would deny, and `BESIDE` where it does that in
            the place of the limit that is asked right before it.
        lease_us: How long units taken ahead may be spent, in microseconds; 0 where none are taken ahead.
        tag: Thirty-two bits that tell this rule from another of the same name.
        group: How many of a key's first parts decide where on a Cluster its state lies; 0 is the whole key.
        carry: How a state of another rule is carried over, as the script numbers the ways.
        marks: Whether states say which rule they are of, so that they can be carried over.
        was: The rule of the states that do not say so: its tag, one tuple of whole numbers for each rate, and until
            when it is so, in microseconds since the epoch.
    """

    name: str
    prefix: str
    algorithm: Algorithm
    decide: Callable[..., tuple[tuple[int, int, int], int, int, int, int]]
    rules: tuple[tuple[int, ...], ...]
    calendar: tuple[tuple[int, CalendarPeriod], ...]
    capacity: int
    holds: bool
    simple: bool
    plain: tuple[int, int] | None
    linear: bool
    shadow: int
    lease_us: int
    tag: int
    group: int
    carry: int
    marks: bool
    was: tuple[int, tuple[tuple[int, ...], ...], int] | None


def plain_of(algorithm: Algorithm, rules: tuple[tuple[int, ...], ...]) -> tuple[int, int] | None:
    """Return a unit's time and the capacity in microseconds, where both are whole and one number is all the state."""
    if not algorithm.takes_burst or len(rules) != 1:
        return None
    _, interval_us, interval_rem, _, capacity_us, _ = rules[0]
    return (interval_us, capacity_us) if interval_rem == 0 else None
