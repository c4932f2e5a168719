"""The port to where changes are kept that a whole fleet is told, and the words that pass through it.

An entry has a name that begins with its kind, a payload that only those who know the kind can read, and an end.
Whatever a fleet is to be told at run time can be such an entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ENDLESS",
    "ENTRIES_MAX",
    "FOR_HANDS",
    "SWEEP_PAUSE_US",
    "ChangeLog",
    "Edit",
    "Entry",
    "Escalation",
    "News",
    "room_for",
]

ENTRIES_MAX: Final = 10_000  # seven megabytes in each process, three on the server; more is an attack, not a list
FOR_HANDS: Final = 1_000  # of these, which no rule may fill: an attack must not keep anybody from banning by hand
SWEEP_PAUSE_US: Final = 1_000_000  # between two looks by rule whether there is room again: each is at all there is
ENDLESS: Final = 0  # the end of what has none


class Escalation(NamedTuple):
    """How what comes again lasts longer.

    Attributes:
        factor: By how much each time.
        most_us: The longest that it lasts, in microseconds.
        forget_us: For how long after its end it still counts as a time before, in microseconds.
    """

    factor: float
    most_us: int
    forget_us: int


class Edit(NamedTuple):
    """One change.

    Attributes:
        name: Of which entry: its kind, a colon, and what tells it from others of its kind.
        payload: What it says; empty: there is to be no such entry.
        life_us: For how long, in microseconds; 0: until it is dropped.
        escalation: Where it is no change while it is in force, and lasts longer each time.
    """

    name: str
    payload: str = ""
    life_us: int = 0
    escalation: Escalation | None = None


class Entry(NamedTuple):
    """What is known of one entry. Times are whole microseconds.

    Attributes:
        name: As in `Edit`.
        payload: What it says; empty: there is no such entry any more.
        times: How often it has come in a row, where it escalates; else 0.
        until_us: Its end by the log's clock; 0 where it has none.
        ends_us: Its end by this process's monotonic clock, rather too soon.
        told_us: Its end by this process's monotonic clock, rather too late: what is told to who waits.
        known_us: Until when it is known by this process's monotonic clock: a past one may count for the next.
        ahead_us: How far the log's clock is ahead of this process's monotonic one.
    """

    name: str
    payload: str
    times: int
    until_us: int
    ends_us: int
    told_us: int
    known_us: int
    ahead_us: int

    @classmethod
    def at(
        cls,
        edit: tuple[str, str],
        stored: tuple[int, int, int],
        *,
        now_us: int,
        asked_us: int,
        answered_us: int,
    ) -> Entry:
        """Make one of what the log has stored, and of when it told that.

        Args:
            edit: Name and payload.
            stored: How often in a row, the end, and until when it is known, by the log's clock.
            now_us: The log's time of the answer.
            asked_us: This process's monotonic time from before the question left.
            answered_us: And from after the answer came.
        """
        times, until_us, kept_us = stored
        known_us = asked_us + kept_us - now_us
        ends_us, told_us = known_us, known_us
        if until_us != ENDLESS:
            ends_us, told_us = asked_us + until_us - now_us, answered_us + until_us - now_us
        return cls(*edit, times, until_us, ends_us, told_us, known_us, now_us - answered_us)


class News(NamedTuple):
    """What a log told.

    Attributes:
        entries: The entries.
        is_whole: Whether they are all that there are; else only those that have changed.
        mark: By which the log knows what it has told.
    """

    entries: Sequence[Entry]
    is_whole: bool
    mark: tuple[str, str] = ("", "")


class ChangeLog(Protocol):
    """Keeps entries, at most 10,000, under a version that only grows; anyone may implement it."""

    def after_fork(self) -> None:
        """Become usable in a forked child."""
        ...

    async def write(self, edits: Sequence[Edit]) -> list[tuple[bool, Entry]]:
        """Make changes, all or none.

        Returns:
            For each whether it was one, and what is stored now.

        Raises:
            StoreOverloadedError: There is no room for so many.
            StoreError: Nobody knows whether they were made.
        """
        ...

    async def read(self, *, whole: bool = False) -> News | None:
        """Return what has changed since what was heard last, or all; ``None`` where nothing has.

        Raises:
            StoreError: There is no answer.
        """
        ...

    def heard(self, news: News) -> None:
        """Note that *news* is known now: who was cancelled before is told it again."""
        ...

    async def wait(self) -> None:
        """Come back when there may be something to read, and after some seconds in any case.

        Raises:
            StoreError: It cannot be known.
        """
        ...


def room_for(edits: Sequence[Edit]) -> tuple[int, int]:
    """Return how many entries there may be for these changes to be made, and microseconds between two sweeps for them.

    What escalates comes by a rule, and may come as often as an attack likes.
    """
    by_rule = all(edit.escalation is not None for edit in edits)
    return (ENTRIES_MAX - FOR_HANDS, SWEEP_PAUSE_US) if by_rule else (ENTRIES_MAX, 0)
