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

_OfKey = dict[str, deque[int]]  # when a key was denied, by the limit's name


class Strikes:
    """The denials of one limiter that may become bans; any thread may add.

    Args:
        clock: Tells how old a denial is; only its monotonic time is read.
        keys_max: How many keys are counted at once, each of them under each limit.
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
        self._by_key: OrderedDict[str, _OfKey] = OrderedDict()
        self._counts = 0  # of keys, under each limit
        self._denials = 0

    def are_out(self, limit: Limit, key: str) -> bool:
        """Count a denial, and say whether it was the one too many; then the count begins anew."""
        rule = limit.ban
        assert rule is not None
        now_us = self._monotonic_us()
        with self._lock:
            of_key = self._by_key.get(key, {})
            denied_us = self._taken(of_key, limit.name)
            oldest_us = now_us - round(rule.within * 1_000_000)
            while denied_us and denied_us[0] < oldest_us:
                denied_us.popleft()
            denied_us.append(now_us)
            is_out = len(denied_us) >= rule.after
            if not is_out:
                of_key[limit.name] = denied_us
                self._counts += 1
                self._denials += len(denied_us)
                self._by_key[key] = of_key
                self._by_key.move_to_end(key)
            elif not of_key:
                self._by_key.pop(key, None)
            while self._counts > self._keys_max or self._denials > self._denials_max:
                _, forgotten = self._by_key.popitem(last=False)
                for name in list(forgotten):
                    self._taken(forgotten, name)
        return is_out

    def forget(self, limit: str, key: str) -> None:
        """Begin anew with *key*, under the limit of that name, or under all where it is empty."""
        with self._lock:
            of_key = self._by_key.get(key, {})
            for name in [limit] if limit else list(of_key):
                self._taken(of_key, name)
            if not of_key:
                self._by_key.pop(key, None)

    def _taken(self, of_key: _OfKey, limit: str) -> deque[int]:
        """Return the denials under a limit, which are counted no more."""
        denied_us = of_key.pop(limit, None)
        if denied_us is None:
            return deque()
        self._counts -= 1
        self._denials -= len(denied_us)
        return denied_us
