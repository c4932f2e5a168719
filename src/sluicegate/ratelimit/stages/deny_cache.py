"""What was denied stays denied until its time comes, so who hammers on a full limit costs Redis nothing.

The cache never allows. It knows of a limit and key that a cost was denied until an instant, and
answers that cost and greater ones. The instant is counted from before the question left, so the cache
forgets a denial rather too soon; what it tells a caller to wait is counted from when the answer came,
so whoever obeys is not too early.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from sluicegate.ratelimit.decision import NEVER_US, NOTHING_TAKEN, Decision

if TYPE_CHECKING:
    from sluicegate.ratelimit.limit import Limit
    from sluicegate.utils import Clock

__all__ = ["DENIALS_MAX", "SOURCE", "DenyCache"]

SOURCE = "deny_cache"
DENIALS_MAX = 10_000  # some three megabytes; the keys that are denied again and again are fewer
_SWEPT = 2  # of the oldest denials, looked at for each new one
_VOIDED_MAX = 1_000  # resets and refunds of this process that an older denial may still come behind

_decision_of = tuple.__new__  # a third of the cost of the generated constructor


class _Denial(NamedTuple):
    """A denial, and the monotonic times that go with it."""

    decision: Decision
    until_us: int  # when to ask again
    known_us: int  # when the answer came
    least: int  # the least cost that is known to be denied


class DenyCache:
    """The denials of one limiter; any thread may ask.

    Args:
        clock: Measures how long a denial holds; only its monotonic time is read.
        longest_us: How long a denial is believed at most, in microseconds; 0 remembers none.
        denials_max: How many are remembered; the oldest makes room.
    """

    __slots__ = ("_denials_max", "_lock", "_longest_us", "_monotonic_us", "_on", "_voided", "denials")

    def __init__(self, clock: Clock, *, longest_us: int, denials_max: int = DENIALS_MAX) -> None:
        self._monotonic_us = clock.monotonic_us
        self._longest_us = longest_us
        self._denials_max = denials_max
        self._on = True
        self.clear()

    def switch(self, *, on: bool) -> None:
        """Remember denials from now on, or forget all and remember none."""
        self._on = on
        if not on:
            with self._lock:
                self.denials.clear()

    def clear(self) -> None:
        """Forget everything, and the lock, which another thread of a forked parent may have held."""
        self._lock = Lock()
        self.denials: OrderedDict[str, _Denial] = OrderedDict()
        self._voided: OrderedDict[str, int] = OrderedDict()

    def find(self, limit: Limit, key: str, cost: int) -> Decision | None:
        """Return the denial that is known for *cost* units, as it reads now; ``None`` where the store must be asked."""
        denial = self.denials.get(limit.plan.prefix + key)
        if denial is None:
            return None
        before, until_us, known_us, least = denial
        now_us = self._monotonic_us()
        if now_us >= until_us:
            self._drop(limit.plan.prefix + key, denial)
            return None
        if cost < least or not (before[1] is limit or before[1].decides_like(limit)):
            return None
        passed_us = now_us - known_us
        wait_us = before[5]
        if wait_us != NEVER_US:
            # Of a greater cost it is not known when, but not sooner.
            wait_us = NEVER_US if cost > limit.plan.capacity else wait_us - passed_us
        return _decision_of(Decision, (
            False, limit, key, cost, before[4], wait_us, max(0, before[6] - passed_us),
            before[7] + passed_us, SOURCE, False, False, NOTHING_TAKEN,
        ))  # fmt: skip

    def remember(self, decision: Decision, sent_us: int) -> None:
        """Remember a denial of the store's.

        Args:
            decision: The denial.
            sent_us: The monotonic time from before its request left.
        """
        known_us = self._monotonic_us()
        wait_us = self._longest_us if decision.never else min(decision.retry_after_us, self._longest_us)
        until_us = sent_us + wait_us
        if until_us <= known_us:
            return
        plan = decision.limit.plan
        name = plan.prefix + decision.key
        least = plan.capacity + 1 if decision.never else decision.cost
        with self._lock:
            if not self._on or decision.decided_at_us <= self._voided.get(name, -1):
                return  # a reset or refund was decided after it, and its answer was faster
            known = self.denials.pop(name, None)
            if known is not None and known.least < least and known.until_us >= until_us:
                self.denials[name] = known  # it says more
                return
            for _ in range(_SWEPT):  # so that what nobody asks for any more goes, too
                if self.denials and next(iter(self.denials.values())).until_us <= known_us:
                    self.denials.popitem(last=False)
            if len(self.denials) >= self._denials_max:
                self.denials.popitem(last=False)
            self.denials[name] = _Denial(decision, until_us, known_us, least)

    def outdate(self, decision: Decision) -> None:
        """Forget a denial of a greater cost whose wait is longer since *decision* granted a smaller one."""
        if not decision.cost:
            return
        name = decision.limit.plan.prefix + decision.key
        with self._lock:
            known = self.denials.get(name)
            if known is not None and known[0].decided_at_us <= decision.decided_at_us:
                del self.denials[name]

    def _drop(self, name: str, denial: _Denial) -> None:
        """Forget a denial whose time is over, unless it is another by now."""
        with self._lock:
            if self.denials.get(name) is denial:
                del self.denials[name]

    def forget(self, limit: Limit, key: str, at_us: int) -> None:
        """Forget a key that was reset, or to which units came back.

        Args:
            limit: The rule.
            key: Whose.
            at_us: The store's time of it; denials of before do not count any more.
        """
        name = limit.plan.prefix + key
        with self._lock:
            self.denials.pop(name, None)
            self._voided.pop(name, None)
            if len(self._voided) >= _VOIDED_MAX:
                self._voided.popitem(last=False)
            self._voided[name] = at_us
