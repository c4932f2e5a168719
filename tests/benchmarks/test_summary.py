"""Ratios, medians and what was refused, out of the rounds of a contest."""

from __future__ import annotations

from benchmarks.summary import summarised


def a_round(decisions: int, **changed: float) -> dict[str, float]:
    """Return what one round of a contender gave in one second."""
    latencies = {"p50_us": 1.0, "p95_us": 2.0, "p99_us": 3.0, "p999_us": 3.5, "max_us": 4.0}
    own = {"cpu_us": 10.0 * decisions, "system_us": 1.0, "switches": 0}
    server = {"redis_cpu_us": 5.0 * decisions, "redis_script_us": 1, "redis_script_calls": 1, "wire_bytes": 100}
    base = {"decisions": decisions, "refused": 0, "seconds": 1.0, "keys_remembered": 0}
    return {**base, **latencies, **own, **server, **changed}


def test_ratios_are_taken_within_a_round() -> None:
    """A slow moment of the machine hits both contenders of a round and leaves their ratio alone."""
    taken = {
        "reference": "slow",
        "samples": {"fast": [a_round(600), a_round(300)], "slow": [a_round(100), a_round(50)]},
    }
    fast = summarised(taken)["fast"]
    assert fast["ratio"] == {"median": 6.0, "min": 6.0, "max": 6.0}
    assert fast["per_second"] == {"median": 450.0, "min": 300.0, "max": 600.0}
    assert fast["client_us"] == 10.0


def test_what_was_refused_is_told() -> None:
    """Answers that were no admissions are summed up over the rounds."""
    taken = {"reference": "one", "samples": {"one": [a_round(10, refused=2), a_round(10, refused=1)]}}
    assert summarised(taken)["one"]["refused"] == 3


def test_the_longest_wait_of_any_round_is_told() -> None:
    """A maximum is not averaged away."""
    taken = {"reference": "one", "samples": {"one": [a_round(10, max_us=9.0), a_round(10), a_round(10)]}}
    assert summarised(taken)["one"]["max_us"] == 9.0


def test_what_an_open_loop_lost_is_summed() -> None:
    """Requests that were not sent or not answered are added up over the rounds."""
    lost = [a_round(10, unsent=4, unanswered=1, lag_p50_us=1), a_round(10, unsent=2, unanswered=0, lag_p50_us=3)]
    summary = summarised({"reference": "one", "samples": {"one": lost}})["one"]
    assert (summary["unsent"], summary["unanswered"], summary["lag_p50_us"]) == (6, 1, 2)


def test_a_percentile_that_a_contender_does_not_tell_is_left_out() -> None:
    """redis-benchmark has no 99.9th percentile, and none is made up."""
    rounds = [a_round(10) | {"p999_us": None}]
    assert "p999_us" not in summarised({"reference": "one", "samples": {"one": rounds}})["one"]
