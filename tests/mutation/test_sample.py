"""A sample of the mutants in every run of the tests; `make mutation` judges all of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from .lua_mutants import mutants_of
from .lua_twins import TWINS, LuaTwins
from .python_twins import python_tallies
from .report import unexplained

ROOT = Path(__file__).parent.parent.parent
SAMPLE_SEED = 3
LUA_SAMPLE = 60
PYTHON_SAMPLE = ("window", "concurrency")  # small files, so that it takes some seconds
PYTHON_MUTANTS_MIN = 100


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_sample_of_the_lua_mutants_is_killed() -> None:
    """Of some mutants of the Lua twins, drawn by lot, those that answer like the oracle have a reason."""
    every = [(path, mutant) for path, text in TWINS.items() for mutant in mutants_of(path, text)]
    sample = Random(SAMPLE_SEED).sample(every, LUA_SAMPLE)
    with LuaTwins() as twins:
        tallies = [twins.tally(path, [mutant]) for path, mutant in sample]
    assert unexplained([mutant for tally in tallies for mutant in tally.alive]) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_python_mutants_of_two_small_files_are_killed(tmp_path: Path) -> None:
    """Of the mutants of two Python twins those that answer like the oracle have a reason."""
    for name in ("src", "tests", "pyproject.toml"):
        whole = ROOT / name
        copying = shutil.copytree if whole.is_dir() else shutil.copy
        copying(whole, tmp_path / name)
    tallies = python_tallies(tmp_path, *(f"sluicegate.ratelimit.algorithms.{name}.*" for name in PYTHON_SAMPLE))
    assert sum(tally.mutants for tally in tallies) >= PYTHON_MUTANTS_MIN
    assert unexplained([mutant for tally in tallies for mutant in tally.alive]) == []
