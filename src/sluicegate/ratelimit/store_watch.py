"""Tells the log when the store is lost and when it is back: a line for each, not for each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.utils import CorruptStateError

if TYPE_CHECKING:
    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.limit import Limit
    from sluicegate.utils import Clock, StoreError

__all__ = ["StoreWatch"]

QUIET_US = 1_000_000  # a store that comes and goes must not fill the log
NAMES_MAX = 1_000  # limits whose fallback is told; who makes more names than that has been told the point


class StoreWatch:
    """Remembers whether the store answers, and which limits were told to decide without it.

    Args:
        logger: Where events go.
        clock: Measures how long to be quiet.
        source: What the store is called.
    """

    __slots__ = (
        "_away",
        "_clock",
        "_corrupt_until_us",
        "_logger",
        "_names",
        "_quiet_until_us",
        "_source",
        "_told",
        "lost",
    )

    def __init__(self, logger: Logger, clock: Clock, source: str) -> None:
        self._logger = logger
        self._clock = clock
        self._source = source
        self._quiet_until_us = self._corrupt_until_us = clock.monotonic_us()
        self._names: set[str] = set()
        self._told = self._away = False
        self.lost = False

    def away(self, error: StoreError) -> None:
        """Note that the store could not be reached at the start; tell so once, however often it is tried."""
        if not self._away:
            self._away = True
            told = "then each limit's on_failure answers"
            self._logger.warning("store.away", source=self._source, error=str(error), until=told)

    def there(self) -> None:
        """Note that the store was reached at the start."""
        self._away = False
        self._logger.info("limiter.started", source=self._source)

    def failed(self, error: StoreError) -> None:
        """Note that the store gave no usable answer; a key that cannot be read is not a lost store.

        What is kept quiet because a line was written just before is told by a later failure.
        """
        if isinstance(error, CorruptStateError):
            self._corrupt(error)
            return
        self.lost = True
        if self._told:
            return
        now_us = self._clock.monotonic_us()
        if now_us >= self._quiet_until_us:
            self._quiet_until_us = now_us + QUIET_US
            self._told = True
            self._warn("store.lost", error)

    def answered(self) -> None:
        """Note that the store answers again."""
        self.lost = self._away = False
        if self._told:
            self._told = False
            self._logger.info("store.back", source=self._source)

    def fell_back(self, limit: Limit) -> None:
        """Tell, once for each limit, what answers in the store's place."""
        if limit.name not in self._names and len(self._names) < NAMES_MAX:
            self._names.add(limit.name)
            self._logger.warning("limit.fallback", limit=limit.name, on_failure=limit.on_failure)

    def _corrupt(self, error: StoreError) -> None:
        now_us = self._clock.monotonic_us()
        if now_us >= self._corrupt_until_us:
            self._corrupt_until_us = now_us + QUIET_US
            self._warn("state.corrupt", error)

    def _warn(self, event: str, error: StoreError) -> None:
        self._logger.warning(event, source=self._source, error=str(error), error_class=error.error_class.value)
