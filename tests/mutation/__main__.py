"""Judges every mutant of the twins and of the script around them, and writes docs/mutation.md: ``make mutation``."""

from __future__ import annotations

import sys
from pathlib import Path

from .lua_script import script_tallies
from .lua_twins import TWINS, LuaTwins
from .python_twins import python_tallies
from .report import Part, faults_in, page

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    """Judge, write the page, and say what is wrong."""
    print("the Python twins ...", flush=True)
    parts = [Part("The Python twins", python_tallies(ROOT))]
    print("the Lua twins ...", flush=True)
    with LuaTwins() as twins:
        parts.append(Part("The Lua twins", [twins.tally(path) for path in TWINS]))
    print("the script around them ...", flush=True)
    parts.append(Part("The script around the Lua twins", script_tallies()))
    faults = faults_in(parts)
    for part in parts:
        print(f"{part.title}: {part.mutants} mutants, {len(part.alive)} alive ({len(part.alive) / part.mutants:.1%})")
    print(*faults, sep="\n")
    if not faults:
        ROOT.joinpath("docs", "mutation.md").write_text(page(parts), "utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
