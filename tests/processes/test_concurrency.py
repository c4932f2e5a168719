"""Eight processes that hold units of one limit, some of them killed while they do: never more holders than units."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sluicegate import BlockingLimiter, Limit, NullLogger
from tests.processes.crew import crew

if TYPE_CHECKING:
    from collections.abc import Iterable

RUNS = int(os.environ.get("EXACTNESS_RUNS", "3"))
UNITS = 5
TERM_S = 0.6
FIELDS = {"name": "held", "rate": str(UNITS), "algorithm": "concurrency", "hold_seconds": TERM_S}


def most_at_once(spans: Iterable[tuple[int, int]]) -> int:
    """Return how many spans cover one instant at most; one that ends where another begins does not meet it."""
    edges = sorted(edge for begin, end in spans for edge in ((begin, 1), (end, -1)))
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def spans_of(ledger: Path, killed_us: int | None) -> list[tuple[int, int]]:
    """Return when each unit was held, by the server's clock, which is this machine's.

    What a killed process still held was its own until it died, and nobody else's before its term was over.
    """
    begun: dict[str, int] = {}
    spans = []
    for line in ledger.read_text("utf-8").splitlines():
        event, holder, at_us = line.split()
        if event == "held":
            begun[holder] = int(at_us)
        else:
            spans.append((begun.pop(holder), int(at_us)))
    term_us = round(TERM_S * 1_000_000)
    if killed_us is not None:
        spans += [(begin_us, max(killed_us, begin_us + term_us)) for begin_us in begun.values()]
    return spans


@pytest.mark.slow
@pytest.mark.parametrize("run", range(RUNS))
def test_there_are_never_more_holders_than_units(redis_url: str, tmp_path: Path, run: int) -> None:
    """Half of the processes are killed as they hold, and still no instant has more holders than the limit."""
    draw = random.Random(run)
    seconds = 4.0
    ledger = tmp_path / "ledger"
    killed_us: dict[int, int] = {}
    with crew(redis_url, "grab", [FIELDS], seconds=seconds, callers=4, ledger=str(ledger)) as started:
        for process in started[::2]:
            time.sleep(draw.uniform(0.1, 0.6))
            process.kill()
            process.wait()
            killed_us[process.pid] = time.time_ns() // 1000
        for process in started[1::2]:
            assert process.wait(seconds + 20) == 0
    pids = [process.pid for process in started]
    spans = [span for pid in pids for span in spans_of(Path(f"{ledger}.{pid}"), killed_us.get(pid))]
    most = most_at_once(spans)
    print(
        f"\nrun {run}: {len(spans):,} holds in {len(pids)} processes, {len(killed_us)} killed: {most} at once at most"
    )
    assert most == UNITS


def test_the_units_of_a_killed_process_come_back(redis_url: str) -> None:
    """They are nobody's until their term is over, and all of them are free right after."""
    limit = Limit(**FIELDS)  # type: ignore[arg-type] # as they travel to the processes
    with BlockingLimiter.connect(redis_url, deadline=5, logger=NullLogger()) as limiter:
        with crew(redis_url, "keep", [FIELDS], processes=1, callers=UNITS) as (process,):
            assert process.stdout is not None
            assert process.stdout.readline() == "holding\n"
            time.sleep(TERM_S * 1.5)  # so it is renewed
            assert limiter.peek(limit, "key").remaining == 0
            process.kill()
            process.wait()
            killed = time.monotonic()
        expires_in_s = limiter.peek(limit, "key").reset_after
        assert TERM_S / 2 < expires_in_s <= TERM_S
        while not limiter.peek(limit, "key").allowed:
            assert time.monotonic() - killed < TERM_S + 1
        gone_s = time.monotonic() - killed
        while limiter.peek(limit, "key").remaining != UNITS:
            assert time.monotonic() - killed < TERM_S + 1
        print(f"\nthe first unit was free {gone_s:.3f} s after the kill, the term being {TERM_S} s")
        assert gone_s > TERM_S / 2
