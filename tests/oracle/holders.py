"""The holders of `concurrency`, each with the instant at which it loses its unit."""

from __future__ import annotations

from .judge import Answer

__all__ = ["UNKNOWN", "Holders"]

UNKNOWN = -2


class Holders:
    """At most `limit` holders, each for `hold_us` unless renewed; nobody knows when one lets go sooner.

    Args:
        limit: Units that can be held at once.
        hold_us: The term of a hold.
    """

    def __init__(self, limit: int, hold_us: int) -> None:
        self.limit = limit
        self.hold_us = hold_us
        self.until_us: dict[str, int] = {}

    def take(self, now_us: int, holder: str) -> Answer:
        """Give *holder* a unit, or go on with the one that it has."""
        self._settle(now_us)
        granted = holder in self.until_us or len(self.until_us) < self.limit
        if granted:
            self.until_us[holder] = now_us + self.hold_us
        return self._answer(now_us, granted, 0 if granted else UNKNOWN)

    def renew(self, now_us: int, holder: str) -> Answer:
        """Begin a new term, unless the last one is over."""
        self._settle(now_us)
        holds = holder in self.until_us
        if holds:
            self.until_us[holder] = now_us + self.hold_us
        return self._answer(now_us, holds, 0)

    def release(self, now_us: int, holder: str) -> Answer:
        """Take the unit back."""
        self._settle(now_us)
        return self._answer(now_us, self.until_us.pop(holder, None) is not None, 0)

    def peek(self, now_us: int) -> Answer:
        """Say what `take` would say to somebody new, and change nothing."""
        kept = dict(self.until_us)
        self._settle(now_us)
        granted = len(self.until_us) < self.limit
        answer = self._answer(now_us, granted, 0 if granted else UNKNOWN)
        self.until_us = kept
        return answer

    def reset(self, now_us: int) -> bool:
        """Forget everybody; tell whether somebody held."""
        self._settle(now_us)
        held = bool(self.until_us)
        self.until_us = {}
        return held

    def _settle(self, now_us: int) -> None:
        """Forget who is over; nobody holds for longer than a term from now."""
        latest_us = now_us + self.hold_us
        self.until_us = {name: min(until, latest_us) for name, until in self.until_us.items() if until > now_us}

    def _answer(self, now_us: int, granted: bool, retry_after_us: int) -> Answer:
        remaining = max(0, self.limit - len(self.until_us))
        reset_after_us = max(self.until_us.values(), default=now_us) - now_us
        return Answer(int(granted), remaining, retry_after_us, reset_after_us)
