"""Changes in this process, for a limiter whose state is in it: the same rules as on the server, at once."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from sluicegate.ratelimit.stores.change_log import ENDLESS, Edit, Entry, News, room_for
from sluicegate.utils import StoreOverloadedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.utils import Clock

__all__ = ["MemoryChanges"]

CENTURY_US = 100 * 366 * 86_400_000_000  # what has no end is known for as long


class _Kept(NamedTuple):
    """What is kept of an entry; its times are monotonic, so that a clock that is set back prolongs nothing."""

    payload: str
    times: int
    until_us: int
    kept_us: int

    def is_in_force(self, now_us: int) -> bool:
        return self.until_us == ENDLESS or self.until_us > now_us


class MemoryChanges:
    """Changes in this process; see `ChangeLog`. Any thread may write.

    Args:
        clock: Its monotonic time is that by which entries end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sweep_at_us = clock.monotonic_us()  # before that there is nothing that a rule could make room of
        self._kept: dict[str, _Kept] = {}
        self._lock = Lock()

    def after_fork(self) -> None:
        """Replace the lock, which another thread of the parent may have held."""
        self._lock = Lock()

    def write_now(self, edits: Sequence[Edit]) -> list[tuple[bool, Entry]]:
        """Make changes, all or none; see `ChangeLog.write`."""
        with self._lock:
            now_us, monotonic_us = self._clock.now_us(), self._clock.monotonic_us()
            self._make_room(edits, monotonic_us)
            written = []
            for edit in edits:
                before = self._kept.get(edit.name)
                after = _changed(before, edit, monotonic_us)
                is_changed = after is not before
                if after is None:
                    self._kept.pop(edit.name, None)
                else:
                    self._kept[edit.name] = after
                written.append((is_changed, _entry(edit.name, after, now_us, monotonic_us)))
            return written

    async def write(self, edits: Sequence[Edit]) -> list[tuple[bool, Entry]]:
        """Make changes, all or none; see `ChangeLog`."""
        return self.write_now(edits)

    async def read(self, *, whole: bool = False) -> News | None:
        """Return all where that is asked for; who writes tells of it already; see `ChangeLog`."""
        if not whole:
            return None
        with self._lock:
            now_us, monotonic_us = self._clock.now_us(), self._clock.monotonic_us()
            entries = [_entry(name, kept, now_us, monotonic_us) for name, kept in self._kept.items()]
        return News(entries, is_whole=True)

    def heard(self, news: News) -> None:
        """Note nothing: all is told each time; see `ChangeLog`."""

    async def wait(self) -> None:
        """Come back at once: there is nobody else who writes."""

    def _make_room(self, edits: Sequence[Edit], monotonic_us: int) -> None:
        most, pause_us = room_for(edits)
        new = {edit.name for edit in edits if edit.payload} - self._kept.keys()
        if not new or len(self._kept) + len(new) <= most:
            return
        if not pause_us or monotonic_us >= self._sweep_at_us:
            names = {edit.name for edit in edits}
            self._kept = {
                name: kept for name, kept in self._kept.items() if name in names or kept.is_in_force(monotonic_us)
            }
            self._sweep_at_us = monotonic_us + pause_us
        if len(self._kept) + len(new) > most:
            raise StoreOverloadedError("write changes", f"{most:,} are in force")


def _changed(before: _Kept | None, edit: Edit, now_us: int) -> _Kept | None:
    """Return how an entry is from now on: *before* itself where it stays."""
    _, payload, life_us, escalation = edit
    if not payload:
        return None
    if escalation is None:
        until_us = now_us + life_us if life_us else ENDLESS
        return _Kept(payload, 0, until_us, until_us or now_us + CENTURY_US)
    # What no rule can have meant comes from before the clock was set back, or from another rule.
    is_meant = before is not None and not (before.times and before.until_us > now_us + escalation.most_us)
    if before is not None and is_meant and before.is_in_force(now_us):
        return before
    times = before.times + 1 if before is not None and before.kept_us > now_us else 1
    until_us = now_us + escalated_us(life_us, times, escalation.factor, escalation.most_us)
    return _Kept(payload, times, until_us, until_us + escalation.forget_us)


def escalated_us(life_us: int, times: int, factor: float, most_us: int) -> int:
    """Return how long what has come so many times in a row lasts, in microseconds."""
    for _ in range(1, times):
        longer_us = int(life_us * factor)
        if life_us >= most_us or longer_us == life_us:
            break
        life_us = longer_us
    return min(life_us, most_us)


def _entry(name: str, kept: _Kept | None, now_us: int, monotonic_us: int) -> Entry:
    payload, times, until_us, kept_us = "", 0, 1, 1
    if kept is not None:
        ahead_us = now_us - monotonic_us
        payload, times, kept_us = kept.payload, kept.times, kept.kept_us + ahead_us
        until_us = kept.until_us + ahead_us if kept.until_us != ENDLESS else ENDLESS
    return Entry.at(
        (name, payload), (times, until_us, kept_us), now_us=now_us, asked_us=monotonic_us, answered_us=monotonic_us
    )
