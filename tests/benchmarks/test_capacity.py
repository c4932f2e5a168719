"""The arithmetic from microseconds to nodes and money."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from benchmarks.capacity import Assumptions, Costs, Point, costs_in, need

COSTS = Costs(
    strict=(Point(per_second=100, client_us=6.0, redis_us=5.0),),
    client_us={"leased": 2.0, "deny": 2.0},
    denial=0.8,
)
SHARED = replace(
    COSTS,
    strict=(
        Point(per_second=1_000, client_us=100.0, redis_us=30.0),
        Point(per_second=10_000, client_us=40.0, redis_us=10.0),
        Point(per_second=100_000, client_us=8.0, redis_us=5.0),
    ),
)
PLAIN = Assumptions(headroom=0.5, price_core_hour=1.0, price_gib_hour=0.0, replicas=0, own_core=0.0, hot_share=0.01)


def test_strict_redis_grows_with_the_decisions() -> None:
    """A million decisions of 5 µs are five busy cores, and ten where half of each is kept free."""
    strict = need(1_000_000, "strict", COSTS, PLAIN)
    assert (strict.redis_per_second, strict.masters, strict.client_cores) == (1_000_000, 10, 12.0)


def test_one_master_is_the_least() -> None:
    """However few the decisions, there is one master."""
    assert need(10, "strict", COSTS, PLAIN).masters == 1


def test_replicas_multiply_nodes_and_memory() -> None:
    """Each replica is a node as large as its master."""
    alone, twice = (need(1_000_000, "strict", COSTS, replace(PLAIN, replicas=number)) for number in (0, 1))
    assert (twice.masters, twice.nodes) == (alone.masters, 2 * alone.nodes)
    assert twice.memory_gib == pytest.approx(2 * alone.memory_gib)


def test_leased_redis_grows_with_processes_and_keys_and_not_with_decisions() -> None:
    """Each process renews each of its leases once in their time, however much they answer."""
    busy = replace(PLAIN, leased_keys=100, lease_seconds=2.0, decisions_a_process=100_000)
    assert need(1_000_000, "leased", COSTS, busy).redis_per_second == 10 * 100 / 2.0


def test_leased_never_asks_more_often_than_it_decides() -> None:
    """Where leases outnumber decisions, each decision is at most one entry."""
    idle = replace(PLAIN, leased_keys=100_000, decisions_a_process=100)
    assert need(10_000, "leased", COSTS, idle).redis_per_second == 10_000


def test_only_denials_that_the_cache_does_not_answer_reach_redis() -> None:
    """A cache that answers nine of ten leaves one of ten."""
    denied = need(1_000_000, "deny", COSTS, replace(PLAIN, deny_cached=0.9))
    assert denied.redis_per_second == pytest.approx(100_000)
    assert denied.masters == 1


def test_a_key_too_hot_for_one_master_is_told() -> None:
    """No key is on two masters, so more masters do not help the busiest."""
    hot = replace(PLAIN, hot_share=0.2)
    fits = [need(scale, "strict", COSTS, hot).hot_key_fits for scale in (100_000, 1_000_000)]
    assert fits == [True, False]


def test_money_is_cores_for_a_month() -> None:
    """Twelve client cores and ten of Redis for 730 hours at one an hour."""
    strict = need(1_000_000, "strict", COSTS, PLAIN)
    assert strict.money_a_month == pytest.approx(22 * 730)
    assert strict.money_per_billion == pytest.approx(22 * 730 / (1_000_000 * 730 * 3_600) * 1e9)


@pytest.mark.parametrize(("rate", "redis_us"), [(1, 30.0), (1_000, 30.0), (10_000, 10.0), (10**6, 5.0)])
def test_a_measured_rate_costs_what_was_measured_and_none_beyond_is_invented(rate: int, redis_us: float) -> None:
    """Below the lowest rate and above the highest the nearest cost holds."""
    assert SHARED.at(rate).redis_us == redis_us


def test_between_two_rates_the_cost_goes_along_the_logarithm() -> None:
    """Half of the way, by factors, is half of the difference."""
    point = SHARED.at(1_000 * 10**0.5)
    assert (point.client_us, point.redis_us) == (pytest.approx(70), pytest.approx(20))


def test_a_process_that_decides_more_costs_redis_less() -> None:
    """Decisions of one process share script calls, those of many do not."""
    few, many = (
        need(100_000, "strict", SHARED, replace(PLAIN, decisions_a_process=number)) for number in (100_000, 1_000)
    )
    assert (few.masters, many.masters) == (1, 6)
    assert few.client_cores < many.client_cores


def test_more_masters_split_the_calls_of_a_process() -> None:
    """What a process asks is divided among the masters, so that an entry costs as at the lower rate."""
    strict = need(1_000_000, "strict", SHARED, replace(PLAIN, decisions_a_process=10_000))
    assert strict.entry_us == 30.0
    assert strict.masters == 60


def figures(per_second: float, client_us: float, redis_us: float) -> dict[str, Any]:
    """Return what a summary says of a contender."""
    return {"per_second": {"median": per_second}, "client_us": client_us, "redis_us": redis_us}


def test_what_an_idle_server_costs_more_is_taken_off() -> None:
    """Where a call by hand costs a server that idles twice as much as a busy one, so does each of ours."""
    outcome = {
        "contests": {
            name: {"summary": summary}
            for name, summary in {
                "open-low": {"sluicegate": figures(3_000, 99, 40), "redispy": figures(3_000, 99, 20)},
                "tasks": {"sluicegate": figures(150_000, 6, 5), "redispy": figures(20_000, 40, 10)},
                "local-tasks": {mode: figures(1, 2, 0) for mode in ("leased", "deny")},
                "denials": {"sluicegate-uncached": figures(1, 1, 4)},
            }.items()
        }
    }
    costs = costs_in(outcome)
    assert [point.redis_us for point in costs.strict] == [20, 5]
    assert costs.denial == 0.8
