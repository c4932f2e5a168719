"""A part of the memory store: some of its keys, under one lock, with a bound on how many there are."""

from __future__ import annotations

from threading import Lock

from sluicegate.ratelimit.stores.expiry import EndOrder, ExpiryOrder
from sluicegate.ratelimit.stores.records import NO_STATE, Companion, HolderRecord, Kept, expiry_of
from sluicegate.utils import StoreOverloadedError

__all__ = ["Shard"]

SWEEP_EVERY = 200  # new keys between two sweeps of a shard: many at once cost less, and 99 of 100 decisions nothing
SWEEP_MOST = 250  # keys that one looks at: a sixth of a millisecond, and more than came meanwhile


class Shard:
    """Keys and what is kept of them.

    Attributes:
        lock: Held by whoever reads or changes the rest.
        records: What is kept for each key.
        order: Which of them to forget first, those left out that are held.
        held: Which of those to forget first, when they are over.
        lost: How many had to be forgotten while they still had a state.
        forgot_until_us: Of decisions up to then it may be forgotten that they were refunded or reset.

    Args:
        keys_max: The most keys.
    """

    __slots__ = ("_keys_max", "_until_sweep", "forgot_until_us", "held", "lock", "lost", "order", "records")

    def __init__(self, keys_max: int) -> None:
        self.lock = Lock()
        self.records: dict[str, Kept] = {}
        self.order = ExpiryOrder()
        self.held = EndOrder()
        self.lost = 0
        self.forgot_until_us = NO_STATE[0]
        self._keys_max = keys_max
        self._until_sweep = SWEEP_EVERY

    def put(self, name: str, kept: Kept, now_us: int) -> None:
        """Keep something for a key; for a new one make room, first where nothing is lost by it.

        Raises:
            StoreOverloadedError: There is no room, for all keys are held.
        """
        records = self.records
        if name in records:
            records[name] = kept
            if isinstance(kept, HolderRecord):
                self.held.put(name, kept.expires_us)
            return
        self._until_sweep -= 1
        if self._until_sweep == 0:
            self._sweep(now_us)
        if len(records) >= self._keys_max:
            self._forget_one(now_us)
        records[name] = kept
        if isinstance(kept, HolderRecord):
            self.held.put(name, kept.expires_us)
        else:
            self.order.add(name, kept if type(kept) is int else expiry_of(kept))

    def clear(self) -> None:
        """Forget everything."""
        self.records.clear()
        self.order = ExpiryOrder()
        self.held = EndOrder()

    def _sweep(self, now_us: int) -> None:
        """Forget what expired, somewhat more than came since the last time."""
        self._until_sweep = SWEEP_EVERY
        records, order = self.records, self.order
        for name in order.take_due(now_us, SWEEP_MOST):
            kept = records.get(name)
            expires_us = 0 if kept is None else expiry_of(kept)
            if expires_us > now_us:
                order.add(name, expires_us)
            else:
                records.pop(name, None)
        for _ in range(SWEEP_MOST):
            if (ended := self.held.pop_ended(now_us)) is None:
                break
            del records[ended]

    def _forget_one(self, now_us: int) -> None:
        """Forget a key that is held no more, or else the first of the others: a hold is never evicted."""
        name = self.held.pop_ended(now_us) or self.order.pop(self._expires_of)
        if name is None:
            raise StoreOverloadedError("hold", f"all {self._keys_max} keys of the memory store are held")
        kept = self.records.pop(name)
        if expiry_of(kept) <= now_us:
            return
        if isinstance(kept, Companion):
            self.forgot_until_us = max(self.forgot_until_us, kept.at_us)
        else:
            self.lost += 1

    def _expires_of(self, name: str) -> int | None:
        kept = self.records.get(name)
        return None if kept is None else expiry_of(kept)
