"""Who is banned is denied before anything is asked, and who has a rate of their own is decided by it.

What stands here is what the fleet was told (`Changes`), by key, so that whoever is neither banned nor favoured costs a
look that finds nothing, and nothing at all where nobody is.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import islice
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sluicegate.ratelimit.bans import BAN, OVERRIDE, override_of, target_of
from sluicegate.ratelimit.decision import BANNED, NEVER_US, NOTHING_TAKEN, Decision
from sluicegate.ratelimit.stores.change_log import ENDLESS, ENTRIES_MAX
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.plan import Plan
    from sluicegate.ratelimit.stores.change_log import Entry
    from sluicegate.utils import Clock

__all__ = ["Overrides"]

MADE_MAX = 1_000  # limits with another rate, half a megabyte: an override has one for each limit of its name
SWEEP_US = 10_000_000  # between two rounds of looks for what is over and was not met
SWEPT_AT_ONCE = 250  # keys: a millisecond of the event loop, on which decisions wait
EVERY_LIMIT: Final = ""  # the name under which a key is banned under all

_decision_of = tuple.__new__  # a third of the cost of the generated constructor


class _OfKey(NamedTuple):
    """What holds for one key, by the limit's name; never changed, but replaced."""

    bans: Mapping[str, Entry]
    overrides: Mapping[str, Entry]


_NOTHING: Final = _OfKey(MappingProxyType({}), MappingProxyType({}))  # shared, for nearly every key has only one


class Overrides:
    """The bans and overrides that one limiter knows; any thread may ask.

    Args:
        clock: Measures how long they last; only its monotonic time is read.
        logger: Told of an override that does not go with the limit here.

    Attributes:
        known: What holds, by key; the same object for ever, and empty where nothing does.
    """

    def __init__(self, clock: Clock, logger: Logger) -> None:
        self.known: dict[str, _OfKey] = {}
        self._monotonic_us = clock.monotonic_us
        self._logger = logger
        self._made: dict[tuple[Plan, bool, str], Limit] = {}
        self._noted: set[str] = set()  # bans that the fleet has not been told of
        self._swept_us = clock.monotonic_us()
        self._unswept: Iterator[str] = iter(())
        self._lock = Lock()

    def after_fork(self) -> None:
        """Replace the lock, which another thread of the parent may have held; what is known stays."""
        self._lock = Lock()

    def judge(self, limit: Limit, key: str, cost: int) -> Limit | Decision:
        """Return the decision where *key* is banned; else the limit that holds for it.

        Args:
            limit: The rule.
            key: A checked key.
            cost: The units asked for.
        """
        of_key = self.known.get(key)
        if of_key is None:
            return limit
        now_us = self._monotonic_us()
        ban = self.ban(key, limit.name, now_us)
        if ban is not None:
            return _denial(ban, limit, key, cost, now_us)
        override = of_key.overrides.get(limit.name)
        if override is not None and now_us < override.ends_us:
            return self._with_rate(limit, override)
        return limit

    def limit_for(self, limit: Limit, key: str) -> Limit:
        """Return the limit that holds for *key*, banned or not."""
        override = self.override(key, limit.name)
        return self._with_rate(limit, override) if override is not None else limit

    def ban(self, key: str, limit: str, now_us: int | None = None) -> Entry | None:
        """Return the ban of *key* under the limit of that name, or under all, whichever ends later."""
        of_key = self.known.get(key)
        if of_key is None:
            return None
        now_us = self._monotonic_us() if now_us is None else now_us
        bans = [of_key.bans[name] for name in dict.fromkeys((EVERY_LIMIT, limit)) if name in of_key.bans]
        return max((ban for ban in bans if now_us < ban.ends_us), key=lambda ban: ban.ends_us, default=None)

    def last_ban(self, key: str, limit: str) -> Entry | None:
        """Return the ban of *key* under the limit of that name that is in force, or was and still counts."""
        of_key = self.known.get(key)
        ban = of_key.bans.get(limit) if of_key is not None else None
        return ban if ban is not None and self._monotonic_us() < ban.known_us else None

    def override(self, key: str, limit: str) -> Entry | None:
        """Return the override of *key* for the limit of that name."""
        of_key = self.known.get(key)
        override = of_key.overrides.get(limit) if of_key is not None else None
        return override if override is not None and self._monotonic_us() < override.ends_us else None

    def banned(self, key: str) -> list[str]:
        """Return the names of the limits under which *key* is banned or was; empty for all."""
        of_key = self.known.get(key)
        return list(of_key.bans) if of_key is not None else []

    def entries(self, kind: str) -> list[Entry]:
        """Return all bans, or all overrides, that are in force."""
        now_us = self._monotonic_us()
        places = [of_key.bans if kind == BAN else of_key.overrides for of_key in list(self.known.values())]
        return [entry for place in places for entry in place.values() if now_us < entry.ends_us]

    def keys_in_force(self) -> int:
        """Return for how many keys a ban or an override is in force, and not only known of; a millisecond or two."""
        now_us = self._monotonic_us()
        return sum(_lasts(bans, now_us) or _lasts(overrides, now_us) for bans, overrides in list(self.known.values()))

    def told_of_bans(self, entries: Sequence[Entry], names: Collection[str] | None = None) -> None:
        """Take in what a fleet was told of bans; *names* are those that there are, where others are no more."""
        self._take_in(BAN, entries, names)

    def told_of_overrides(self, entries: Sequence[Entry], names: Collection[str] | None = None) -> None:
        """Take in what a fleet was told of overrides; *names* as for bans."""
        self._take_in(OVERRIDE, entries, names)

    def note(self, entry: Entry) -> None:
        """Know of a ban that the fleet has not been told of yet; where there is no room, it has to wait for that."""
        if len(self.known) < ENTRIES_MAX:
            self._take_in(BAN, (entry,), None)
            self._noted.add(entry.name)

    def _take_in(self, kind: str, entries: Sequence[Entry], names: Collection[str] | None) -> None:
        with self._lock:
            now_us = self._monotonic_us()
            if names is not None:
                self._drop_all_but(names, kind)
            for entry in entries:
                self._noted.discard(entry.name)
                with suppress(ValueError):  # of a name that only a newer version can read
                    self._put(kind, entry, now_us)
            self._sweep(now_us)

    def _put(self, kind: str, entry: Entry, now_us: int) -> None:
        limit, key = target_of(entry)
        bans, overrides = self.known.get(key, _NOTHING)
        place = dict(bans if kind == BAN else overrides)
        place.pop(limit, None)
        if entry.payload and now_us < entry.known_us:
            place[limit] = entry
        self._replace(key, _OfKey(place, overrides) if kind == BAN else _OfKey(bans, place))

    def _drop_all_but(self, names: Collection[str], kind: str) -> None:
        for key, (bans, overrides) in list(self.known.items()):
            held = bans if kind == BAN else overrides
            if all(entry.name in names for entry in held.values()):
                continue
            place = {limit: entry for limit, entry in held.items() if entry.name in names or entry.name in self._noted}
            self._replace(key, _OfKey(place, overrides) if kind == BAN else _OfKey(bans, place))

    def _sweep(self, now_us: int) -> None:
        """Take out of some keys what is over and was not met; of each of them now and then."""
        if now_us - self._swept_us >= SWEEP_US:
            self._swept_us = now_us
            self._unswept = iter(list(self.known))
        for key in islice(self._unswept, SWEPT_AT_ONCE):
            of_key = self.known.get(key, _NOTHING)
            if any(now_us >= entry.known_us for place in of_key for entry in place.values()):
                left = [{name: entry for name, entry in place.items() if now_us < entry.known_us} for place in of_key]
                self._noted.difference_update(entry.name for entry in of_key.bans.values() if entry.known_us <= now_us)
                self._replace(key, _OfKey(*left))

    def _replace(self, key: str, of_key: _OfKey) -> None:
        if of_key.bans or of_key.overrides:
            self.known[key] = of_key
        else:
            self.known.pop(key, None)

    def _with_rate(self, limit: Limit, override: Entry) -> Limit:
        """Return *limit* with the rate of *override*, or as it is where that does not go with it."""
        at = limit.plan, limit.ban is None, override.payload  # who waits has the same plan without the ban rule
        made = self._made.get(at)
        if made is None:
            try:
                rate = override_of(override).rate
                made = replace(limit, rate=rate)
                made = made.changed_from(limit) if limit.plan.algorithm.carries else made
            except (InvalidInputError, ValueError, KeyError, TypeError) as error:  # whoever made it has another limit
                self._logger.warning("override.unusable", limit=limit.name, error=str(error))
                made = limit
            if len(self._made) >= MADE_MAX:
                self._made.clear()
            self._made[at] = made
        return made


def _lasts(place: Mapping[str, Entry], now_us: int) -> bool:
    for entry in place.values():  # noqa: SIM110 - any() costs twice as much, and there are thousands
        if now_us < entry.ends_us:
            return True
    return False


def _denial(ban: Entry, limit: Limit, key: str, cost: int, now_us: int) -> Decision:
    is_endless = ban.until_us == ENDLESS
    left_us = 0 if is_endless else max(1, ban.told_us - now_us)
    wait_us = NEVER_US if is_endless else left_us
    at_us = now_us + ban.ahead_us if is_endless else ban.until_us - left_us
    shadow = limit.shadow
    return _decision_of(Decision, (
        shadow, limit, key, cost, 0, 0 if shadow else wait_us, left_us,
        at_us, BANNED, False, shadow, NOTHING_TAKEN,
    ))  # fmt: skip
