"""Folds latencies into histograms with three digits, which can be sent, merged and read.

Latencies are noted raw while a round runs and folded when it is over, so that folding costs no round
anything. Runs in the contenders' environments, which have the library; the process that leads has not.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["curve", "figures_of", "folded", "merged"]

NS_MAX = 600_000_000_000  # no round is longer
DIGITS = 3
PLACES = {"p50_us": 50.0, "p95_us": 95.0, "p99_us": 99.0, "p999_us": 99.9}
CURVE = (0, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99, 100)


def folded(latencies_ns: Iterable[int]) -> HdrHistogram:
    """Return the histogram of *latencies_ns*."""
    histogram = HdrHistogram(1, NS_MAX, DIGITS)
    for latency_ns, count in Counter(latencies_ns).items():
        histogram.record_value(min(NS_MAX, max(1, latency_ns)), count)
    return histogram


def merged(histograms: Iterable[str]) -> HdrHistogram:
    """Return the sum of histograms that were written down."""
    total = HdrHistogram(1, NS_MAX, DIGITS)
    for histogram in histograms:
        total.decode_and_add(histogram)
    return total


def figures_of(histogram: HdrHistogram) -> dict[str, Any]:
    """Return the percentiles in microseconds, and the histogram as it is written down."""
    places = {name: histogram.get_value_at_percentile(place) / 1e3 for name, place in PLACES.items()}
    return {**places, "max_us": histogram.get_max_value() / 1e3, "histogram": histogram.encode().decode("ascii")}


def curve(histogram: HdrHistogram) -> list[tuple[float, float]]:
    """Return percentiles and what they are in microseconds, for a plot."""
    return [(place, histogram.get_value_at_percentile(place) / 1e3) for place in CURVE]
