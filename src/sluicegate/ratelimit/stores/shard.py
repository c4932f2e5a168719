"""A part of the memory store: some of its keys, decided one at a time, with a bound on how many there are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sluicegate.ratelimit.stores.expiry import EndOrder, ExpiryOrder
from sluicegate.ratelimit.stores.records import NO_STATE, Companion, HolderRecord, Kept, expiry_of
from sluicegate.utils import StoreOverloadedError

if TYPE_CHECKING:
    from sluicegate.ratelimit.stores.expiry import Name

__all__ = ["Shard", "wait_for"]

SWEEP_EVERY = 200  # new keys between two sweeps of a shard: many at once cost less, and 99 of 100 decisions nothing
SWEEP_MOST = 250  # keys that one looks at: a sixth of a millisecond, and more than came meanwhile
LOOKS_MAX = 50  # at a turn that another thread has, before sleeping: as long as it may take where threads run together
SLEEP_S = 0.00005  # then that thread waits for the interpreter


class Shard:
    """Keys and what is kept of them.

    Attributes:
        turn: A list of one thing, or of none while somebody reads or changes the rest. Who takes the thing out has the
            turn, for taking out is one step, and so is putting back. A lock is the same at three times the price,
            and it is paid for in every decision.
        tables: What is kept for each key, by what stands before it in the name of its state.
        keys: How many.
        order: Which of them to forget first, those left out that are held.
        held: Which of those to forget first, when they are over.
        lost: How many had to be forgotten while they still had a state.
        forgot_until_us: Of decisions up to then it may be forgotten that they were refunded or reset.

    Args:
        keys_max: The most keys.
    """

    __slots__ = ("_keys_max", "_until_sweep", "forgot_until_us", "held", "keys", "lost", "order", "tables", "turn")

    def __init__(self, keys_max: int) -> None:
        self.turn: list[None] = [None]
        self.tables: dict[str, dict[str, Kept]] = {}
        self.keys = 0
        self.order = ExpiryOrder()
        self.held: EndOrder[Name] = EndOrder()
        self.lost = 0
        self.forgot_until_us = NO_STATE[0]
        self._keys_max = keys_max
        self._until_sweep = SWEEP_EVERY

    def __enter__(self) -> None:
        wait_for(self.turn)

    def __exit__(self, *_: object) -> None:
        self.turn.append(None)

    @property
    def records(self) -> dict[Name, Kept]:
        """All that is kept, copied."""
        return {(prefix, key): kept for prefix, table in self.tables.items() for key, kept in table.items()}

    def get(self, name: Name) -> Kept | None:
        """Return what is kept for a key."""
        prefix, key = name
        table = self.tables.get(prefix)
        return None if table is None else table.get(key)

    def put(self, name: Name, kept: Kept, now_us: int) -> None:
        """Keep something for a key; for a new one make room, first where nothing is lost by it.

        Raises:
            StoreOverloadedError: There is no room, for all keys are held.
        """
        prefix, key = name
        table = self.tables.get(prefix)
        if table is not None and key in table:
            table[key] = kept
            if isinstance(kept, HolderRecord):
                self.held.put(name, kept.expires_us)
            return
        self._until_sweep -= 1
        if self._until_sweep == 0:
            self._sweep(now_us)
        if self.keys >= self._keys_max:
            self._forget_one(now_us)
        self.tables.setdefault(prefix, {})[key] = kept
        self.keys += 1
        if isinstance(kept, HolderRecord):
            self.held.put(name, kept.expires_us)
        else:
            self.order.add(name, kept if type(kept) is int else expiry_of(kept))

    def clear(self) -> None:
        """Forget everything."""
        for table in self.tables.values():
            table.clear()  # others may know it
        self.tables.clear()
        self.keys = 0
        self.order = ExpiryOrder()
        self.held = EndOrder()

    def after_fork(self) -> None:
        """Give back the turn that another thread of the parent may have had."""
        self.turn[:] = [None]

    def _forget(self, name: Name) -> Kept | None:
        """Take out what is kept for a key, and its table with the last one: limits may be named after users."""
        prefix, key = name
        table = self.tables.get(prefix)
        kept = None if table is None else table.pop(key, None)
        if kept is not None:
            self.keys -= 1
            if not table:
                del self.tables[prefix]
        return kept

    def _sweep(self, now_us: int) -> None:
        """Forget what expired, somewhat more than came since the last time."""
        self._until_sweep = SWEEP_EVERY
        order, tables, keys = self.order, self.tables, self.keys
        for name in order.take_due(now_us, SWEEP_MOST):
            prefix, key = name
            table = tables.get(prefix)
            kept = None if table is None else table.get(key)
            if table is None or kept is None:
                continue
            expires_us = kept if type(kept) is int else expiry_of(kept)
            if expires_us > now_us:
                order.add(name, expires_us)
                continue
            del table[key]
            keys -= 1
            if not table:
                del tables[prefix]
        self.keys = keys
        for _ in range(SWEEP_MOST):
            if (ended := self.held.pop_ended(now_us)) is None:
                break
            self._forget(ended)

    def _forget_one(self, now_us: int) -> None:
        """Forget a key that is held no more, or else the first of the others: a hold is never evicted."""
        name = self.held.pop_ended(now_us) or self.order.pop(self._expires_of)
        if name is None:
            raise StoreOverloadedError("hold", f"all {self._keys_max} keys of the memory store are held")
        kept = self._forget(name)
        if kept is None or expiry_of(kept) <= now_us:
            return
        if isinstance(kept, Companion):
            self.forgot_until_us = max(self.forgot_until_us, kept.at_us)
        else:
            self.lost += 1

    def _expires_of(self, name: Name) -> int | None:
        kept = self.get(name)
        return None if kept is None else expiry_of(kept)


def wait_for(turn: list[None]) -> None:
    """Take a turn, when whoever has it puts it back: after a few instructions, unless its thread was interrupted."""
    looks = 0
    while True:
        try:
            del turn[0]
        except IndexError:
            looks += 1
            if looks > LOOKS_MAX:
                time.sleep(SLEEP_S)
        else:
            return
