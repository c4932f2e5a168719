"""The harness itself: its quick form runs, and its page says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.page import page_of
from benchmarks.summary import summarised

ROOT = Path(__file__).parent.parent.parent


def a_round(decisions: int, **changed: float) -> dict[str, float]:
    """Return what one round of a contender gave in one second."""
    latencies = {"p50_us": 1.0, "p95_us": 2.0, "p99_us": 3.0, "max_us": 4.0}
    own = {"cpu_us": 10.0 * decisions, "system_us": 1.0, "switches": 0}
    spent = {**own, "redis_cpu_us": 5.0 * decisions, "redis_script_calls": 1, "wire_bytes": 100}
    base = {"decisions": decisions, "refused": 0, "seconds": 1.0, "keys_remembered": 0}
    return {**base, **latencies, **spent, **changed}


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


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_quick_form_measures_everything(tmp_path: Path) -> None:
    """The quick form holds each contest that has a goal, and loose floors hold on any machine."""
    figures, page = tmp_path / "figures.json", tmp_path / "performance.md"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--figures", str(figures), "--page", str(page)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    outcome = json.loads(figures.read_text("utf-8"))
    ours = {name: contest["summary"].get("sluicegate") for name, contest in outcome["contests"].items()}
    assert ours["tasks"]["ratio"]["median"] > 1.5
    assert ours["threads"]["ratio"]["median"] > 0.5
    assert ours["memory"]["ratio"]["median"] > 0.5
    refused = [each["refused"] / each["decisions"] for each in ours.values() if each is not None]
    assert max(refused) < 0.01
    assert outcome["footprint"]["sluicegate"]["bytes_a_key_max"] <= 120
    assert [each["commands"] for each in outcome["idle"].values()] == [0, 0]
    assert page.read_text("utf-8") == page_of(outcome)
