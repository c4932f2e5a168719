"""The enumerator of Lua mutants, and what a report calls a fault: a check that finds nothing must not be blind."""

from __future__ import annotations

import pytest

from .lua_mutants import mutants_of
from .lua_twins import TWINS
from .mutant import Mutant, Tally
from .report import Part, faults_in, reasons, unexplained

SAMPLE = """local function less(a, b) -- a comment with 1 < 2
  local text = '3 < 4'
  if a <= b and not done then
    a = math.min(b, f(a, 7)) - 1
  end
  return a, -2
end
"""
EXPECTED = [
    ("if a <= b and not done then a = math.min(b, f(a, 7)) - 1 end", ""),
    ("if a <= b and not done then", "if a < b and not done then"),
    ("if a <= b and not done then", "if a > b and not done then"),
    ("if a <= b and not done then", "if a <= b or not done then"),
    ("if a <= b and not done then", "if a <= b and done then"),
    ("a = math.min(b, f(a, 7)) - 1", ""),
    ("a = math.min(b, f(a, 7)) - 1", "a = b - 1"),
    ("a = math.min(b, f(a, 7)) - 1", "a = f(a, 7) - 1"),
    ("a = math.min(b, f(a, 7)) - 1", "a = math.max(b, f(a, 7)) - 1"),
    ("a = math.min(b, f(a, 7)) - 1", "a = math.min(b, f(a, 6)) - 1"),
    ("a = math.min(b, f(a, 7)) - 1", "a = math.min(b, f(a, 8)) - 1"),
    ("a = math.min(b, f(a, 7)) - 1", "a = math.min(b, f(a, 7)) + 1"),
    ("a = math.min(b, f(a, 7)) - 1", "a = math.min(b, f(a, 7)) - 0"),
    ("a = math.min(b, f(a, 7)) - 1", "a = math.min(b, f(a, 7)) - 2"),
    ("return a, -2", ""),
    ("return a, -2", "return a, 2"),
    ("return a, -2", "return a, -1"),
    ("return a, -2", "return a, -3"),
]


def test_each_kind_of_change_is_made_once() -> None:
    """Comparisons, signs, numbers, the lesser of two and statements are changed; strings and comments are not."""
    found = [(mutant.before, mutant.after) for mutant, _ in mutants_of("sample.lua", SAMPLE)]
    assert sorted(found) == sorted(EXPECTED)


def test_a_mutant_knows_its_line_and_its_function() -> None:
    """A mutant is told by its file, the function that it is in, and the number of its line."""
    places = {(mutant.path, mutant.function, mutant.line) for mutant, _ in mutants_of("sample.lua", SAMPLE)}
    assert places == {("sample.lua", "less", 3), ("sample.lua", "less", 4), ("sample.lua", "less", 6)}


@pytest.mark.parametrize("path", TWINS)
def test_each_function_of_a_twin_has_mutants(path: str) -> None:
    """No function of any Lua twin is passed over, and no two mutants are the same text."""
    mutants = mutants_of(path, TWINS[path])
    defined = {line.split("(")[0].split()[-1] for line in TWINS[path].splitlines() if line.startswith("local function")}
    assert {mutant.function for mutant, _ in mutants} - {""} == defined  # constants are of none
    assert len({text for _, text in mutants}) == len(mutants)


def test_a_survivor_without_a_reason_is_a_fault() -> None:
    """Each survivor needs a reason of its own, also when a line of the same text has one."""
    name = next(iter(reasons().values()))[0]
    explained = Mutant(name[0], 1, *name[1:])
    unknown = Mutant("algorithms/gcra.lua", 9, "gcra_decide", "a line", "another")
    assert unexplained([explained, explained, unknown]) == [explained, unknown]


def test_a_reason_whose_mutant_was_killed_is_a_fault() -> None:
    """After a run in which nothing survived, every reason that is written down is one too many."""
    written = sum(len(names) for names in reasons().values())
    assert len(faults_in([Part("all killed", [Tally("algorithms/gcra.lua", 100, ())])])) == written


def test_too_many_survivors_are_a_fault_even_with_reasons() -> None:
    """More than a twentieth alive fails, whatever is said about them."""
    alive = tuple(Mutant(name[0], 1, *name[1:]) for names in reasons().values() for name in names)
    assert faults_in([Part("some", [Tally("all", 20 * len(alive), alive)])]) == []
    (fault,) = faults_in([Part("many", [Tally("all", 20 * len(alive) - 1, alive)])])
    assert fault.startswith("many: ")
