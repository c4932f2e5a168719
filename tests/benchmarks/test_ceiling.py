"""What redis-benchmark tells is read as it is."""

from __future__ import annotations

from benchmarks.ceiling import figures_in

TOLD = """\
"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"EVALSHA 5fc4 1 gcra:api:user:000__rand_int__ 1000000 36000000","135135.14","5.800","0.900","6.231","7.431","8.431","9.999"
"""  # noqa: E501 - as it is written


def test_rates_and_latencies_are_read() -> None:
    """Milliseconds become microseconds, and a percentile that is not told is none."""
    assert figures_in(TOLD) == {
        "per_second": 135135.14,
        "p50_us": 6231.0,
        "p95_us": 7431.0,
        "p99_us": 8431.0,
        "p999_us": None,
        "max_us": 9999.0,
    }
