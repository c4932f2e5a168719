"""Counts by label: none is lost or counted twice, whichever threads count and however they end."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from sluicegate.monitoring import Counters
from sluicegate.monitoring.instruments import LABELS_MAX, THE_REST

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

THREADS = 8
ROUNDS = 20_000
JOIN_SECONDS_MAX = 30
LABELS = 5_000
GENERATIONS = 5


@pytest.fixture(autouse=True)
def _often_switched() -> Iterator[None]:
    """Threads take turns as often as the interpreter can, so that a lost count would be seen."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@contextmanager
def threads_running(work: Callable[[int], None], number: int = THREADS) -> Iterator[list[threading.Thread]]:
    """Start threads that go off together, and wait for their end."""
    gate = threading.Barrier(number)

    def gone_off(index: int) -> None:
        gate.wait(JOIN_SECONDS_MAX)
        work(index)

    threads = [threading.Thread(target=gone_off, args=(index,), daemon=True) for index in range(number)]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join(JOIN_SECONDS_MAX)
        assert not thread.is_alive()


def run_in_threads(work: Callable[[int], None], number: int = THREADS) -> list[threading.Thread]:
    """Run work in threads that go off together, and return them when they have ended."""
    with threads_running(work, number) as threads:
        return threads


def child_result(work: Callable[[], bytes]) -> bytes:
    """Run work in a forked child, and return what it told."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it forks beside threads is the point
        pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)  # a child that waits for ever must not outlive its test
        told = b"failed"
        try:
            told = work()
        finally:
            os.write(writing, told)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    return told


def count_once(counters: Counters, label: Hashable) -> None:
    """Add one."""
    counters.row(label)[0] += 1


def test_a_row_is_kept_for_each_label() -> None:
    """Each label has its own columns, which begin at nothing."""
    counters = Counters(3)
    counters.row("api")[0] += 1
    counters.row("api")[2] += 5
    counters.row("daily")[1] += 2
    assert counters.read() == {"api": (1, 0, 5), "daily": (0, 2, 0)}


def test_a_reading_does_not_change_what_is_counted() -> None:
    """What was read stays as it was, and counting goes on from where it stood."""
    counters = Counters(1)
    counters.row("api")[0] += 1
    first = counters.read()
    counters.row("api")[0] += 1
    assert (first, counters.read()) == ({"api": (1,)}, {"api": (2,)})


def test_nothing_is_lost_under_eight_threads() -> None:
    """The sum is exact when eight threads count the same labels at once."""
    counters = Counters(2)

    def count(index: int) -> None:
        for number in range(ROUNDS):
            counters.row(("label", number % 5))[index % 2] += 1

    run_in_threads(count)
    each = THREADS // 2 * ROUNDS // 5
    assert counters.read() == {("label", number): (each, each) for number in range(5)}


def test_threads_share_no_row() -> None:
    """Each thread adds to numbers of its own, so none has to wait for another."""
    counters = Counters(1)
    rows: list[list[int]] = []
    run_in_threads(lambda _: rows.append(counters.row("api")))
    assert len({id(row) for row in rows}) == THREADS
    assert counters.row("api") is counters.row("api")


@pytest.mark.parametrize("remembered", [True, False])
def test_what_ended_threads_counted_stays(remembered: bool) -> None:
    """Generations of threads come and go: all their counts stay, and their tables do not, whoever keeps the threads."""
    counters = Counters(1)
    ended: list[threading.Thread] = []
    for _ in range(GENERATIONS):
        ended += run_in_threads(lambda index: count_once(counters, index)) if remembered else []
        if not remembered:
            run_in_threads(lambda index: count_once(counters, index))
            gc.collect()
    assert counters.read() == dict.fromkeys(range(THREADS), (GENERATIONS,))
    assert len(counters._tables) <= THREADS


def test_labels_may_be_added_while_somebody_reads() -> None:
    """Readings beside threads that add labels all the time fail never, and never go down."""
    counters = Counters(1)
    half_way = threading.Barrier(THREADS + 1)
    added = [0] * THREADS

    def add(index: int) -> None:
        for number in range(LABELS):
            if number == LABELS // 2:
                half_way.wait(JOIN_SECONDS_MAX)
            count_once(counters, (index, number))
            count_once(counters, "all")
            added[index] += 1

    seen = []
    with threads_running(add):
        half_way.wait(JOIN_SECONDS_MAX)
        while sum(added) < THREADS * LABELS:
            seen.append(counters.read())
    totals = [reading.get("all", (0,))[0] for reading in seen]
    assert all(before <= after for before, after in pairwise(totals))
    assert all(len(before) <= len(after) for before, after in pairwise(seen))
    assert counters.read()["all"] == (THREADS * LABELS,)
    assert len(counters.read()) == THREADS * LABELS + 1


def test_a_sum_is_never_torn_by_an_ending_thread() -> None:
    """A thread that ends while others register and read is counted once at every instant."""
    counters = Counters(1)
    for _ in range(50):
        with threads_running(lambda index: count_once(counters, 0)):
            totals = [counters.read().get(0, (0,))[0] for _ in range(20)]
        assert totals == sorted(totals)
    assert counters.read() == {0: (50 * THREADS,)}


def test_a_tally_counts_beside_what_threads_count() -> None:
    """What was added to it since it stood at its start is in the column that it is for, and threads' counts are too."""
    counters = Counters(2)
    tally, later = counters.tally("api", 1, 1_000), counters.tally("api", 1, 5_000)
    tally[0] += 7
    later[0] += 2
    counters.row("api")[1] += 1
    counters.row("daily")[0] += 1
    assert counters.read() == {"api": (0, 10), "daily": (1, 0)}
    assert counters.tally("api", 1, 1_000) is tally


def test_tallies_of_endless_labels_are_one() -> None:
    """Beyond the bound all further labels share a tally for each column and start, and nothing is lost."""
    counters = Counters(1)
    for number in range(LABELS_MAX + 500):
        counters.tally(number, 0, 3)[0] += 1
    counted = counters.read()
    assert len(counted) == LABELS_MAX + 1
    assert counted[THE_REST] == (500,)
    assert counters.tally(0, 0, 3) == [4]


def test_threads_that_ask_for_one_tally_get_the_same() -> None:
    """Whoever comes first makes it, and there is no second."""
    counters = Counters(1)
    tallies: list[list[int]] = []
    run_in_threads(lambda _: tallies.extend(counters.tally(number, 0, 0) for number in range(200)))
    assert len({id(tally) for tally in tallies}) == 200


def test_a_forked_child_counts_though_the_lock_was_held() -> None:
    """The child of a process whose other thread was just reading registers, counts and reads."""
    counters = Counters(1)
    counters.row("api")[0] += 1

    def count() -> bytes:
        counters.after_fork()
        thread = threading.Thread(target=count_once, args=(counters, 1))
        thread.start()
        thread.join(5)
        counters.row("api")[0] += 1
        return repr(sorted(counters.read().items(), key=str)).encode()

    with counters._lock:
        told = child_result(count)
    assert told == repr([("api", (2,)), (1, (1,))]).encode()
    assert counters.read() == {"api": (1,)}


def test_what_a_child_inherits_from_ended_threads_is_counted_once() -> None:
    """The counts of threads that a fork left behind stay in the child's sums when new threads register there."""
    counters = Counters(1)
    end = threading.Event()

    def count_and_stay(index: int) -> None:
        count_once(counters, 0)
        assert end.wait(JOIN_SECONDS_MAX)

    def count() -> bytes:
        counters.after_fork()
        thread = threading.Thread(target=count_once, args=(counters, 0))
        thread.start()
        thread.join(5)
        return str(counters.read()[0][0]).encode()

    with threads_running(count_and_stay):
        while counters.read().get(0) != (THREADS,):
            pass
        told = child_result(count)
        end.set()
    assert told == b"%d" % (THREADS + 1)
