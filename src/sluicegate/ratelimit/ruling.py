"""What overrules a limit for one key: how bans and overrides come into force, and how denials become bans."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sluicegate.ratelimit.bans import BAN, OVERRIDE, rule_edit, target_of
from sluicegate.ratelimit.changes import Changes
from sluicegate.ratelimit.stages.overrides import Overrides
from sluicegate.ratelimit.stages.strikes import Strikes
from sluicegate.ratelimit.stores.change_log import Entry
from sluicegate.ratelimit.stores.memory_changes import MemoryChanges, escalated_us
from sluicegate.ratelimit.stores.redis import RedisStore
from sluicegate.ratelimit.stores.redis_changes import RedisChanges

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.stores.change_log import ChangeLog, Edit
    from sluicegate.ratelimit.stores.store import Store
    from sluicegate.utils import Clock

__all__ = ["Ruling"]

QUIET_US = 1_000_000  # between two lines about keys that were banned by rule


class Ruling:
    """The bans and overrides of one limiter.

    Args:
        store: Where state lives; changes are kept beside it.
        clock: This process's time.
        logger: Told of bans, and when the fleet cannot be heard.

    Attributes:
        by_key: What is in force, by key; the same object for ever, and empty where nothing is.
        ruled: Returns the decision on (limit, key, cost) where the key is banned, else the limit that holds for it.
        overrides: The stage that knows all of it.
        changes: How the fleet is told.
    """

    def __init__(self, store: Store, clock: Clock, logger: Logger) -> None:
        self._clock = clock
        self._logger = logger
        self._strikes = Strikes(clock)
        self._untold = 0
        self._quiet_until_us = clock.monotonic_us()
        self.overrides = Overrides(clock, logger)
        self.by_key = self.overrides.known
        self.ruled = self.overrides.judge
        log: ChangeLog = MemoryChanges(clock)
        if isinstance(store, RedisStore):
            log = RedisChanges(store, store.keyspace, clock)
        self.changes = Changes(log, logger)
        self.changes.listen(BAN, self._told_of_bans)
        self.changes.listen(OVERRIDE, self.overrides.told_of_overrides)
        if isinstance(store, RedisStore):
            store.on_bound = self.changes.bound

    def denied(self, limit: Limit, key: str) -> None:
        """Count a denial against *key*, and ban it where that was the one too many; any thread may call it."""
        rule = limit.ban
        if rule is None or not self._strikes.are_out(limit, key):
            return
        edit = rule_edit(key, limit.name, rule)
        if self.changes.is_shared:  # in force here at once, and as the fleet says when it has been told
            self.overrides.note(self._foreseen(edit, key, limit.name))
        self.changes.post(edit)
        self._tell(limit)

    def _told_of_bans(self, entries: Sequence[Entry], names: Collection[str] | None) -> None:
        self.overrides.told_of_bans(entries, names)
        for entry in entries:
            if not entry.payload:  # lifted: the next denial is a first one, in whichever process it was counted
                with suppress(ValueError):  # of a name that only a newer version can read
                    self._strikes.forget(*target_of(entry))

    def _tell(self, limit: Limit) -> None:
        """Have the log say that keys were banned by rule, once a second: an attack must not fill it."""
        self._untold += 1
        now_us = self._clock.monotonic_us()
        if now_us >= self._quiet_until_us:
            self._quiet_until_us = now_us + QUIET_US
            self._logger.warning("keys.banned", keys=self._untold, last_under=limit.name)
            self._untold = 0

    def after_fork(self) -> None:
        """Share nothing with the parent; what was in force there is in force here."""
        self._strikes.clear()
        self.overrides.after_fork()
        self.changes.after_fork()

    def _foreseen(self, edit: Edit, key: str, limit: str) -> Entry:
        """Return the ban that *edit* will probably come to."""
        assert edit.escalation is not None
        before = self.overrides.last_ban(key, limit)
        times = before.times + 1 if before is not None else 1
        life_us = escalated_us(edit.life_us, times, edit.escalation.factor, edit.escalation.most_us)
        now_us, monotonic_us = self._clock.now_us(), self._clock.monotonic_us()
        stored = (times, now_us + life_us, now_us + life_us + edit.escalation.forget_us)
        return Entry.at(
            (edit.name, edit.payload), stored, now_us=now_us, asked_us=monotonic_us, answered_us=monotonic_us
        )
