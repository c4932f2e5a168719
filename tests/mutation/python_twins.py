"""Lets mutmut judge the Python twins, in a process of its own, and reads what became of their mutants."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from .mutant import Mutant, Tally

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["python_tallies"]

WORKERS = 2
SECONDS_MAX = 1_200
# What belongs to a test run around this one: its measuring would count the mutants' files as the project's.
_FOREIGN = ("COV", "PYTEST", "MUTANT")
_MUTMUT = "tests/mutation/more_operators.py"


def python_tallies(root: Path, *names: str) -> list[Tally]:
    """Judge the mutants whose names match one of *names*, or all.

    Args:
        root: A copy of the repository, or itself: it gets a folder ``mutants``, which is made anew.
        names: As mutmut has them, with ``*`` for any part.
    """
    shutil.rmtree(root / "mutants", ignore_errors=True)
    _run(root, "run", "--max-children", str(WORKERS), *names)
    told = json.loads(_run(root, "outcomes").splitlines()[-1])
    tallies = []
    for one in told:
        path = f"algorithms/{one['path']}"
        alive = tuple(Mutant(path, at["line"], at["function"], at["before"], at["after"]) for at in one["alive"])
        tallies.append(Tally(path, one["mutants"], alive))
    return tallies


def _run(root: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    done = subprocess.run(
        [sys.executable, _MUTMUT, *words],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"mutmut {words[0]} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr}")
    return done.stdout
