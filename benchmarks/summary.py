"""Makes of rounds what is reported: medians with their range, and ratios taken round by round."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LATENCIES", "PER_DECISION", "spread", "summarised"]

PER_DECISION = {
    "client_us": "cpu_us",
    "system_us": "system_us",
    "switches": "switches",
    "redis_us": "redis_cpu_us",
    "script_us": "redis_script_us",
    "script_calls": "redis_script_calls",
    "wire_bytes": "wire_bytes",
}
LATENCIES = ("p50_us", "p95_us", "p99_us", "p999_us")
_COUNTED = ("unsent", "unanswered")


def spread(values: list[float]) -> dict[str, float]:
    """Return the median of *values* and the range they lie in."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def summarised(contest: dict[str, Any]) -> dict[str, Any]:
    """Return for each contender of a contest what its rounds come to."""
    samples, reference = contest["samples"], contest["samples"][contest["reference"]]
    return {label: _contender(rounds, reference) for label, rounds in samples.items()}


def _contender(rounds: list[dict[str, Any]], reference: list[dict[str, Any]]) -> dict[str, Any]:
    decisions = [each["decisions"] for each in rounds]
    spreads = {name: spread([each[name] for each in rounds]) for name in LATENCIES if rounds[0].get(name) is not None}
    for name, field in PER_DECISION.items():
        shares = [each[field] / max(1, count) for each, count in zip(rounds, decisions, strict=True)]
        spreads[name] = spread(shares)
    summary: dict[str, Any] = {
        "per_second": spread([_per_second(each) for each in rounds]),
        "ratio": _ratio(rounds, reference, _per_second),
        "p99_ratio": _ratio(rounds, reference, lambda each: each["p99_us"]),
        "max_us": max(each["max_us"] for each in rounds),
        "refused": sum(each["refused"] for each in rounds),
        "decisions": sum(decisions),
        "keys_remembered": max(each["keys_remembered"] for each in rounds),
        "spreads": spreads,
        **{name: figure["median"] for name, figure in spreads.items()},
        **{name: sum(each[name] for each in rounds) for name in _COUNTED if name in rounds[0]},
    }
    if "lag_p50_us" in rounds[0]:
        summary["lag_p50_us"] = median(each["lag_p50_us"] for each in rounds)
    return summary


def _ratio(
    rounds: list[dict[str, Any]], reference: list[dict[str, Any]], figure: Callable[[dict[str, Any]], float]
) -> dict[str, float]:
    return spread([figure(own) / max(1e-9, figure(other)) for own, other in zip(rounds, reference, strict=True)])


def _per_second(sample: dict[str, Any]) -> float:
    return float(sample["decisions"] / sample["seconds"])
