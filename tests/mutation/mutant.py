"""What a mutant is called, so that a reason written down today still finds it when lines have moved."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Mutant", "Name", "Tally"]

Name = tuple[str, str, str, str]


class Mutant(NamedTuple):
    """One change of one line.

    Attributes:
        path: Of the file, from the package ``ratelimit`` on.
        line: The number of its line; it is no part of the name.
        function: In which the line stands.
        before: The line as it is.
        after: The line as it became; empty when nothing of it was left.
    """

    path: str
    line: int
    function: str
    before: str
    after: str

    @property
    def name(self) -> Name:
        """What tells it from others; two equal lines of a function may share one."""
        return self.path, self.function, self.before, self.after


class Tally(NamedTuple):
    """What became of the mutants of one file: how many there were, and which of them nothing killed."""

    path: str
    mutants: int
    alive: tuple[Mutant, ...]
