"""What is counted, as plain whole numbers: each thread counts for itself, and reading sums up.

A shared counter would need a lock for every decision, or lose counts without the interpreter's lock.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Counters"]

Table = dict["Hashable", int]


class Counters:
    """Counts by label, right under any number of threads."""

    __slots__ = ("_ended", "_local", "_lock", "_tables")

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._tables: list[tuple[weakref.ref[threading.Thread], Table]] = []
        self._ended: Table = {}  # what threads counted that are no more

    def table(self) -> Table:
        """Return the calling thread's own counts, for it alone to add to."""
        try:
            return self._local.table  # type: ignore[no-any-return] # a thread-local has no types
        except AttributeError:
            return self._registered()

    def add(self, label: Hashable, number: int = 1) -> None:
        """Count *number* more of *label*."""
        table = self.table()
        table[label] = table.get(label, 0) + number

    def read(self) -> dict[Hashable, int]:
        """Return the sum over all threads, those that ended included."""
        with self._lock:
            total = dict(self._ended)
            # Copied in one step: the owner may add a label meanwhile.
            for _, table in self._tables:
                for label, number in table.copy().items():
                    total[label] = total.get(label, 0) + number
        return total

    def after_fork(self) -> None:
        """Replace the lock, which another thread of the parent may have held."""
        self._lock = threading.Lock()

    def _registered(self) -> Table:
        table: Table = {}
        with self._lock:
            living = []
            for thread, counted in self._tables:
                owner = thread()
                if owner is not None and owner.is_alive():
                    living.append((thread, counted))
                    continue
                for label, number in counted.items():
                    self._ended[label] = self._ended.get(label, 0) + number
            living.append((weakref.ref(threading.current_thread()), table))
            self._tables = living
        self._local.table = table
        return table
