"""Counts against a key how often it was denied lately, for limits that ban who is denied too often.

Each process counts for itself, exactly: a denial is forgotten when it is older than the rule's window. What is
remembered is bounded; who was denied longest ago is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluicegate.ratelimit.limit import Limit
    from sluicegate.utils import Clock

__all__ = ["Strikes"]

KEYS_MAX = 10_000  # that are counted at once: an attack with more keys is no attack by a key
DENIALS_MAX = 200_000  # of all keys together, eight megabytes


class Strikes:
    """The denials of one limiter that may become bans; any thread may add.

    Args:
        clock: Tells how old a denial is; only its monotonic time is read.
        keys_max: How many keys are counted at once.
        denials_max: How many denials are remembered of all.
    """

    def __init__(self, clock: Clock, *, keys_max: int = KEYS_MAX, denials_max: int = DENIALS_MAX) -> None:
        self._monotonic_us = clock.monotonic_us
        self._keys_max = keys_max
        self._denials_max = denials_max
        self.clear()

    def clear(self) -> None:
        """Forget everything, and the lock, which another thread of a forked parent may have held."""
        self._lock = Lock()
        self._denied_us: OrderedDict[str, deque[int]] = OrderedDict()
        self._denials = 0

    def are_out(self, limit: Limit, key: str) -> bool:
        """Count a denial, and say whether it was the one too many; then the count begins anew."""
        rule = limit.ban
        assert rule is not None
        name = limit.plan.prefix + key
        now_us = self._monotonic_us()
        with self._lock:
            denied_us = self._denied_us.pop(name, None) or deque()
            before = len(denied_us)
            oldest_us = now_us - round(rule.within * 1_000_000)
            while denied_us and denied_us[0] < oldest_us:
                denied_us.popleft()
            denied_us.append(now_us)
            self._denials += len(denied_us) - before
            if len(denied_us) >= rule.after:
                self._denials -= len(denied_us)
                return True
            self._denied_us[name] = denied_us
            while len(self._denied_us) > self._keys_max or self._denials > self._denials_max:
                _, forgotten = self._denied_us.popitem(last=False)
                self._denials -= len(forgotten)
        return False
