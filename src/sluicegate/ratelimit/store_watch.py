"""Tells the log when the store is lost and when it is back: a line for each, not for each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.utils import CorruptStateError

if TYPE_CHECKING:
    from sluicegate.monitoring import Logger
    from sluicegate.utils import Clock, StoreError

__all__ = ["StoreWatch"]

QUIET_US = 1_000_000  # a store that comes and goes must not fill the log


class StoreWatch:
    """Remembers whether the store answers.

    Args:
        logger: Where events go.
        clock: Measures how long to be quiet.
        source: What the store is called.
    """

    __slots__ = ("_clock", "_logger", "_quiet_until_us", "_source", "_told", "lost")

    def __init__(self, logger: Logger, clock: Clock, source: str) -> None:
        self._logger = logger
        self._clock = clock
        self._source = source
        self._quiet_until_us = clock.monotonic_us()
        self._told = False
        self.lost = False

    def failed(self, error: StoreError) -> None:
        """Note that the store gave no usable answer; a key that cannot be read is not a lost store."""
        corrupt = isinstance(error, CorruptStateError)
        if self.lost and not corrupt:
            return
        self.lost = self.lost or not corrupt
        now_us = self._clock.monotonic_us()
        if now_us < self._quiet_until_us:
            return
        self._quiet_until_us = now_us + QUIET_US
        self._told = self._told or not corrupt
        event = "state.corrupt" if corrupt else "store.lost"
        self._logger.warning(event, source=self._source, error=str(error), error_class=error.error_class.value)

    def answered(self) -> None:
        """Note that the store answers again."""
        self.lost = False
        if self._told:
            self._told = False
            self._logger.info("store.back", source=self._source)
