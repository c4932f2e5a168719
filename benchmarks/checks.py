"""Checks beside the clock: how much is admitted, when, and who answered."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.contenders.target import Target

__all__ = ["admissions_of", "hits_of", "sources_of"]


def hits_of(target: Target, key: str, hits: int, *, threads: int) -> int:
    """Hit *key* from *threads* threads, and return how often that was admitted."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return sum(bool(target.read(answer)) for answer in pool.map(target.decide, [key] * hits))


def sources_of(told: Iterable[str]) -> dict[str, int]:
    """Return how often each source was told."""
    return dict(Counter(told))


def admissions_of(target: Target, key: str, per_second: float, seconds: float, start_ns: int) -> list[tuple[int, int]]:
    """Ask for *key* at a steady rate from *start_ns* on; return when each admission was asked for and answered."""
    admitted_ns: list[tuple[int, int]] = []
    decide, read = target.decide, target.read
    for number in range(round(per_second * seconds)):
        due_ns = start_ns + round(number * 1e9 / per_second)
        if (ahead_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(ahead_ns / 1e9)
        asked_ns = time.monotonic_ns()
        if read(decide(key)):
            admitted_ns.append((asked_ns, time.monotonic_ns()))
    return admitted_ns
