"""A rolling change: a process that knows the old rule and one that knows the new one, on one key of one real server."""

from __future__ import annotations

from typing import Any

import pytest

from sluicegate import Limit
from tests.processes.crew import crew, results

SECONDS = 2.0
CALLERS = 8
CHANGES = {
    "gcra": ("200/s burst 50", "500/s burst 20"),
    "fixed_window": ("100/s", "150 per 3 s"),
    "sliding_window_counter": ("150 per 3 s", "100/s"),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", [None, "proportional", "additive", "reset"])
@pytest.mark.parametrize("algorithm", CHANGES)
def test_together_they_admit_no_more_than_the_larger_rule_and_a_burst(
    redis_url: str, algorithm: str, way: str | None
) -> None:
    """In any interval, by what their ledgers say; and they do get something."""
    was, rate = CHANGES[algorithm]
    old: dict[str, Any] = {"name": "changing", "algorithm": algorithm, "rate": was}
    new = {**old, "rate": rate, "was": was, "on_change": way}
    ledger: list[tuple[int, int]] = []
    with (
        crew(redis_url, "hammer", [old], processes=1, seconds=SECONDS, callers=CALLERS) as before,
        crew(redis_url, "hammer", [new], processes=1, seconds=SECONDS, callers=CALLERS) as after,
    ):
        for process in (before, after):
            (told,) = results(process)
            admitted = [(at_us, cost) for at_us, _, cost, is_allowed, *_ in told["changing"] if is_allowed]
            ledger += admitted
    limits = [Limit("changing", each, algorithm=algorithm) for each in (was, rate)]
    burst = max(limit.rates[0].capacity for limit in limits)
    excess, admitted_in_all = worst(sorted(ledger), limits)
    told_of = f"{algorithm}, {way or 'keep'}: {admitted_in_all} admitted"
    print(f"{told_of}, at most {excess} beyond the larger rule, of a burst of {burst}")
    assert admitted_in_all >= burst
    assert excess <= burst


def worst(ledger: list[tuple[int, int]], limits: list[Limit]) -> tuple[int, int]:
    """Return the most that any interval admitted beyond the larger rule's bound, and what was admitted in all."""
    most = -(10**9)
    for first, (start_us, _) in enumerate(ledger):
        total = 0
        for end_us, cost in ledger[first:]:
            total += cost
            seconds = (end_us - start_us + 1) / 1_000_000
            most = max(most, total - max(limit.most_in(seconds) for limit in limits))
    return most, sum(cost for _, cost in ledger)
