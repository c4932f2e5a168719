"""Holds what survived against the written reasons, and writes the page that tells of it."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .mutant import Mutant, Name, Tally

__all__ = ["ALIVE_MAX_RATIO", "Part", "faults_in", "page", "reasons", "unexplained"]

ALIVE_MAX_RATIO = 0.05
_REASONS = Path(__file__).with_name("reasons.toml")
_HEAD = """# Mutation

Each mutant changes one thing in one line of the code that decides: a comparison, a sign, a number by one, the lesser
for the greater, an operator, or a whole statement left out. A mutant that no test notices shows a gap in the tests, or
code that makes no difference. This page is written by `make mutation`, which fails when more than {limit:.0%} of a part
is alive, when a mutant is alive without a reason in `tests/mutation/reasons.toml`, and when a reason has no such mutant
any more. `make test` judges a sample.

- **Python**: mutmut with the operators that it lacks (`tests/mutation/more_operators.py`), killed by
  `tests/ratelimit/algorithms`, which asks each function what the oracle of `tests/oracle` has reckoned.
- **Lua**: the enumerator in `tests/mutation/lua_mutants.py`; each mutant is loaded on a real server and asked the same.
- **The script around the twins** (`stores/script/*.lua`): by the same enumerator. Each mutant, in the whole script,
  replays walks that the oracle has judged, and batches, holds and odd values that the script itself answered before.
  After the steps the server's digest of all that it holds is compared too.
"""


class Part(NamedTuple):
    """Some of the code, and what became of its mutants."""

    title: str
    tallies: Sequence[Tally]

    @property
    def mutants(self) -> int:
        """How many there are."""
        return sum(tally.mutants for tally in self.tallies)

    @property
    def alive(self) -> list[Mutant]:
        """Those that nothing killed."""
        return [mutant for tally in self.tallies for mutant in tally.alive]


def reasons() -> dict[str, list[Name]]:
    """Read the reasons, each with the mutants that it explains."""
    written = tomllib.loads(_REASONS.read_text("utf-8"))["reasons"]
    return {entry["because"]: [(name[0], name[1], name[2], name[3]) for name in entry["mutants"]] for entry in written}


def unexplained(alive: Iterable[Mutant]) -> list[Mutant]:
    """Return those of the survivors that no reason names, or that are more than it names."""
    explained = Counter(name for names in reasons().values() for name in names)
    left = []
    for mutant in alive:
        if explained[mutant.name] > 0:
            explained[mutant.name] -= 1
        else:
            left.append(mutant)
    return left


def faults_in(parts: Sequence[Part]) -> list[str]:
    """Say what is wrong after a run over all mutants."""
    alive = [mutant for part in parts for mutant in part.alive]
    faults = [f"alive without a reason: {told(mutant)}" for mutant in unexplained(alive)]
    named = Counter(name for names in reasons().values() for name in names)
    gone = named - Counter(mutant.name for mutant in alive)
    faults += [f"a reason without its mutant: {' | '.join(name)}" for name in gone.elements()]
    faults += [
        f"{part.title}: {len(part.alive)} of {part.mutants} are alive, which is more than {ALIVE_MAX_RATIO:.0%}"
        for part in parts
        if len(part.alive) > part.mutants * ALIVE_MAX_RATIO
    ]
    return faults


def told(mutant: Mutant) -> str:
    """Tell a mutant on one line."""
    return f"{mutant.path}:{mutant.line} {mutant.function}: {mutant.before} -> {mutant.after or '(left out)'}"


def page(parts: Sequence[Part]) -> str:
    """Write the page."""
    lines = [_HEAD.format(limit=ALIVE_MAX_RATIO)]
    for part in parts:
        lines += [f"## {part.title}", "", "| file | mutants | killed | alive |", "|---|---|---|---|"]
        lines += [
            f"| {tally.path} | {tally.mutants} | {tally.mutants - len(tally.alive)} | {len(tally.alive)} |"
            for tally in part.tallies
        ]
        alive, ratio = len(part.alive), len(part.alive) / part.mutants
        lines += [f"| **all** | {part.mutants} | {part.mutants - alive} | {alive}: {ratio:.1%} |", ""]
    lines += ["## The survivors, and why nothing can kill them", ""]
    lines += _survivors([mutant for part in parts for mutant in part.alive])
    return "\n".join(lines).rstrip() + "\n"


def _survivors(alive: Sequence[Mutant]) -> list[str]:
    lines: list[str] = []
    for because, names in reasons().items():
        mine = [mutant for mutant in alive if mutant.name in names]
        lines += [because, ""]
        lines += [
            f"- {mutant.path}:{mutant.line}, `{mutant.before}` → {f'`{mutant.after}`' if mutant.after else 'left out'}"
            for mutant in mine
        ]
        lines.append("")
    return lines
