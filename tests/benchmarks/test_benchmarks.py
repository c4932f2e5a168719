"""The harness itself: its quick form runs, and its page, plots and arithmetic follow from what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.capacity import Assumptions, costs_in, need
from benchmarks.page import page_of
from benchmarks.plots import plots_of

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the outcome of the quick form."""
    folder = tmp_path_factory.mktemp("quick")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--figures", str(folder / "figures.json")]
    command += ["--page", str(folder / "performance.md"), "--plots", str(folder / "plots")]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="module")
def outcome(quick: Path) -> dict[str, Any]:
    """Return the figures of the quick form."""
    figures: dict[str, Any] = json.loads((quick / "figures.json").read_text("utf-8"))
    return figures


pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_quick_form_measures_what_every_goal_asks_for(outcome: dict[str, Any]) -> None:
    """Each goal finds its figure, and loose floors hold on any machine."""
    from benchmarks.goals import GOALS

    assert [each["text"] for each in outcome["goals"]] == [goal.text for goal in GOALS]
    contests = outcome["contests"]
    assert contests["tasks"]["summary"]["sluicegate"]["ratio"]["median"] > 1.2
    assert contests["threads"]["summary"]["sluicegate"]["ratio"]["median"] > 0.5
    assert contests["memory"]["summary"]["sluicegate"]["ratio"]["median"] > 0.5


def test_nothing_is_admitted_beyond_a_limit_in_any_mode(outcome: dict[str, Any]) -> None:
    """A fresh key at a limit of 100 that is hit 150 times admits 100, however it is asked."""
    admitted = {
        f"{name} {label}": answer["admitted"]
        for name, contest in outcome["contests"].items()
        for label, answer in contest.get("admitted", {}).items()
        if answer and contest["owners"][label] == "sluicegate"
    }
    assert admitted
    assert set(admitted.values()) == {100}, admitted


def test_the_ledger_of_several_processes_stays_within_the_bound(outcome: dict[str, Any]) -> None:
    """Strict and leased, four processes on one key are admitted no more in any interval than the limit says."""
    assert [mode["excess"] <= 0 for mode in outcome["hammered"].values()] == [True, True]


def test_a_key_on_the_server_stays_small(outcome: dict[str, Any]) -> None:
    """A gcra key of 20 bytes takes at most 120 bytes."""
    assert outcome["footprint"]["gcra"]["bytes_a_key_max"] <= 120


def test_an_idle_limiter_sends_nothing(outcome: dict[str, Any]) -> None:
    """Neither limiter sends a command while nobody asks."""
    assert [each["commands"] for each in outcome["idle"].values()] == [0, 0]


def test_the_page_follows_from_the_figures_alone(quick: Path, outcome: dict[str, Any]) -> None:
    """The page that was written is the page of the figures that were written."""
    assert (quick / "performance.md").read_text("utf-8") == page_of(outcome)


def test_every_plot_on_the_page_was_drawn(quick: Path, outcome: dict[str, Any]) -> None:
    """Each plot that the page shows lies where it says, and each that was drawn is shown."""
    page = (quick / "performance.md").read_text("utf-8")
    drawn = {path.stem for path in (quick / "plots").iterdir()}
    assert drawn == set(plots_of(outcome))
    assert {name for name in drawn if f"(plots/{name}.svg)" in page} == drawn


def test_the_quick_form_has_what_the_capacity_page_needs(outcome: dict[str, Any]) -> None:
    """The scaling model finds every cost it computes with."""
    assert need(10_000, "strict", costs_in(outcome), Assumptions()).masters >= 1
