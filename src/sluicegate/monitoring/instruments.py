"""What is counted, as plain whole numbers: each thread counts for itself, and reading sums up.

A shared counter would need a lock for every decision, or lose counts without the interpreter's lock. Who has
such a lock anyway, for something else, counts in a tally that is his alone, and that costs least.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Counters"]

LABELS_MAX = 10_000  # labels that one thread counts apart, two megabytes: names made of users' ids must not fill memory
THE_REST = "..."  # the label of all others

Table = dict["Hashable", list[int]]


class Counters:
    """Rows of counts by label, right under any number of threads.

    Args:
        columns: The counts in each row.
    """

    __slots__ = ("_columns", "_ended", "_local", "_lock", "_tables", "_tallies")

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._local = threading.local()
        self._lock = threading.Lock()
        self._tables: list[tuple[weakref.ref[threading.Thread], Table]] = []
        self._ended: Table = {}  # what threads counted that are no more
        self._tallies: dict[tuple[Hashable, int, int], list[int]] = {}

    def row(self, label: Hashable) -> list[int]:
        """Return the calling thread's own counts of *label*, for it alone to add to.

        Beyond 10,000 labels all others share one row, named ``...``.
        """
        try:
            return self._local.table[label]  # type: ignore[no-any-return] # a thread-local has no types
        except AttributeError:
            self._register()
        except KeyError:
            pass
        table = self._local.table
        if len(table) >= LABELS_MAX:
            label = THE_REST
        return table.setdefault(label, [0] * self._columns)  # type: ignore[no-any-return] # as above

    def tally(self, label: Hashable, column: int, start: int) -> list[int]:
        """Return one number in a list: it stands at *start*, and each one added counts in *column* of *label*.

        The same three return the same list. Who adds must hold what keeps others with that list from adding. Beyond
        10,000 of them all other labels share those named ``...``.
        """
        with self._lock:
            if (label, column, start) not in self._tallies and len(self._tallies) >= LABELS_MAX:
                label = THE_REST
            return self._tallies.setdefault((label, column, start), [start])

    def read(self) -> dict[Hashable, tuple[int, ...]]:
        """Return the sums over all threads, those that ended included."""
        with self._lock:
            total: Table = {}
            # Copied in one step: the owner may add a label meanwhile.
            for table in (self._ended, *[table.copy() for _, table in self._tables]):
                _add(total, table)
            for (label, column, start), tally in self._tallies.items():
                total.setdefault(label, [0] * self._columns)[column] += tally[0] - start
        return {label: tuple(row) for label, row in total.items()}

    def after_fork(self) -> None:
        """Replace the lock, which another thread of the parent may have held."""
        self._lock = threading.Lock()

    def _register(self) -> None:
        table: Table = {}
        with self._lock:
            living = []
            for thread, counted in self._tables:
                owner = thread()
                if owner is not None and owner.is_alive():
                    living.append((thread, counted))
                else:
                    _add(self._ended, counted)
            living.append((weakref.ref(threading.current_thread()), table))
            self._tables = living
        self._local.table = table


def _add(total: Table, table: Table) -> None:
    for label, row in table.items():
        sums = total.setdefault(label, [0] * len(row))
        for column, number in enumerate(row):
            sums[column] += number
