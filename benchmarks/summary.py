"""Makes of rounds what is reported: medians with their range, and ratios taken round by round."""

from __future__ import annotations

from statistics import median
from typing import Any

__all__ = ["spread", "summarised"]

_PER_DECISION = {
    "client_us": "cpu_us",
    "system_us": "system_us",
    "switches": "switches",
    "redis_us": "redis_cpu_us",
    "script_calls": "redis_script_calls",
    "wire_bytes": "wire_bytes",
}
_LATENCIES = ("p50_us", "p95_us", "p99_us")


def spread(values: list[float]) -> dict[str, float]:
    """Return the median of *values* and the range they lie in."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def summarised(contest: dict[str, Any]) -> dict[str, Any]:
    """Return for each contender of a contest what its rounds come to."""
    samples, reference = contest["samples"], contest["samples"][contest["reference"]]
    return {label: _contender(rounds, reference) for label, rounds in samples.items()}


def _contender(rounds: list[dict[str, Any]], reference: list[dict[str, Any]]) -> dict[str, Any]:
    decisions = [each["decisions"] for each in rounds]
    return {
        "per_second": spread([_per_second(each) for each in rounds]),
        "ratio": _ratio(rounds, reference, _per_second),
        "p99_ratio": _ratio(rounds, reference, lambda each: each["p99_us"]),
        "max_us": max(each["max_us"] for each in rounds),
        "refused": sum(each["refused"] for each in rounds),
        "decisions": sum(decisions),
        "keys_remembered": max(each["keys_remembered"] for each in rounds),
        **{name: median(each[name] for each in rounds) for name in _LATENCIES},
        **{
            name: median(each[field] / max(1, count) for each, count in zip(rounds, decisions, strict=True))
            for name, field in _PER_DECISION.items()
        },
    }


def _ratio(rounds: list[dict[str, Any]], reference: list[dict[str, Any]], figure: Any) -> dict[str, float]:
    return spread([figure(own) / figure(other) for own, other in zip(rounds, reference, strict=True)])


def _per_second(sample: dict[str, Any]) -> float:
    return float(sample["decisions"] / sample["seconds"])
