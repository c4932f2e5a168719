"""Eight processes on one key of one real server: not one unit more or less, and each decision as the twin says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limit
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.store import ACQUIRE, Request
from tests.processes.crew import PROCESSES, crew, results

if TYPE_CHECKING:
    import redis

RUNS = int(os.environ.get("EXACTNESS_RUNS", "3"))
TOTAL = 500  # a third of what is asked for
REQUESTS = 192  # by each process

# A unit of these takes longer to come back than the run lasts.
LONG = {
    "gcra": {"rate": f"{TOTAL} per 365 days"},
    "token_bucket": {"rate": f"1/day burst {TOTAL}", "algorithm": "token_bucket"},
    "leaky_bucket": {"rate": f"1/day burst {TOTAL}", "algorithm": "leaky_bucket"},
    "several": {"rate": f"{TOTAL} per 365 days; 1/day burst {TOTAL + 7}"},
    "fixed_window": {"rate": f"{TOTAL} per 365 days", "algorithm": "fixed_window"},
    "sliding_window_counter": {"rate": f"{TOTAL} per 365 days", "algorithm": "sliding_window_counter"},
    "sliding_window_log": {"rate": f"{TOTAL} per 365 days", "algorithm": "sliding_window_log"},
    "calendar_quota": {"rate": f"{TOTAL} per 10 years", "algorithm": "calendar_quota"},
}
# Seven hundred a second: a unit takes 1,428 4/7 microseconds.
SHORT = {
    "gcra": {"rate": "700/s"},
    "gcra_burst": {"rate": "700/s burst 50"},
    "several": {"rate": "700/s; 3000 per 5 s"},
    "fixed_window": {"rate": "700/s", "algorithm": "fixed_window"},
    "sliding_window_counter": {"rate": "700/s", "algorithm": "sliding_window_counter"},
    "sliding_window_log": {"rate": "700/s", "algorithm": "sliding_window_log"},
}


def named(kinds: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """Return what makes each limit, by the name of its kind."""
    return [{"name": kind, **fields} for kind, fields in kinds.items()]


class ReplayClock:
    """A clock that stands where the ledger says."""

    def __init__(self) -> None:
        self.at_us = 0

    def now_us(self) -> int:
        """Return the instant that is replayed."""
        return self.at_us

    def monotonic_us(self) -> int:
        """Return the instant that is replayed."""
        return self.at_us


def differences(limit: Limit, ledger: list[list[Any]]) -> list[tuple[list[Any], tuple[Any, ...]]]:
    """Replay a ledger through the Python twin; return where the two differ."""
    clock = ReplayClock()
    twin = MemoryStore(clock)
    found = []
    for entry in ledger:
        clock.at_us, _, cost, *answer = entry
        granted, *told = twin.ask_now(Request(ACQUIRE, ((limit, "key", cost),))).answers
        expected = (granted > 0, *told)
        if tuple(answer) != expected:
            found.append((entry, expected))
    return found


@pytest.mark.parametrize("run", [0, *[pytest.param(run, marks=pytest.mark.slow) for run in range(1, RUNS)]])
def test_the_total_of_all_processes_is_the_limit(redis_url: str, run: int) -> None:
    """Where nothing comes back in time, what eight processes got together is the limit exactly, by any algorithm."""
    with crew(redis_url, "drain", named(LONG), requests=REQUESTS, callers=16) as started:
        allowed = results(started)
    totals = {kind: sum(own[kind] for own in allowed) for kind in LONG}
    print(f"\nrun {run}: allowed {totals} of {PROCESSES * REQUESTS} requests each")
    assert totals == dict.fromkeys(LONG, TOTAL)


def check_replay(
    redis_url: str, kinds: dict[str, dict[str, str]], seconds: float, *, processes: int = PROCESSES
) -> None:
    """Hammer a key of each kind for so long, and check each decision against the twin's."""
    with crew(redis_url, "hammer", named(kinds), processes=processes, seconds=seconds, callers=3) as started:
        ledgers = results(started)
    for kind, fields in kinds.items():
        ledger = sorted((entry for own in ledgers for entry in own[kind]), key=lambda entry: entry[:2])
        allowed = sum(entry[3] for entry in ledger)
        wrong = differences(Limit(kind, **fields), ledger)  # type: ignore[arg-type] # as they travel
        span_s = (ledger[-1][0] - ledger[0][0]) / 1_000_000
        print(f"\n{kind}: {len(ledger):,} decisions in {span_s:.1f} s, {allowed:,} allowed, {len(wrong)} differ")
        assert len({tuple(entry[:2]) for entry in ledger}) == len(ledger), "two decisions have one place in the order"
        assert wrong == []


def test_each_decision_of_two_seconds_is_the_twins(redis_url: str) -> None:
    """The ledger of a short run, in the order of the script, replayed gives the same decisions."""
    check_replay(redis_url, {"gcra": SHORT["gcra"]}, 2)


@pytest.mark.slow
@pytest.mark.parametrize("run", range(RUNS))
def test_each_decision_of_ten_seconds_is_the_twins(redis_url: str, run: int) -> None:
    """The ledger of ten seconds with a period of one, replayed through the twin, gives the same decisions."""
    check_replay(redis_url, SHORT, 10)


def test_nothing_is_left_over(redis_url: str, redis_client: redis.Redis) -> None:
    """After a run the key has one value, and it expires."""
    with crew(redis_url, "drain", [{"name": "total", "rate": "50/minute"}], requests=64, callers=16) as started:
        assert sum(own["total"] for own in results(started)) >= 50
    names = [name for name in redis_client.scan_iter() if b":total:" in name]
    assert len(names) == 1
    assert 0 < redis_client.pttl(names[0]) <= 60_000  # type: ignore[operator] # not awaitable here
