"""Which requests are meant: what must hold of the descriptors of a request, all of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sluicegate.ratelimit.rules.globs import Glob
    from sluicegate.ratelimit.rules.matching import PathPattern

    Pattern = Glob | PathPattern

__all__ = ["Match"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests a rule is about; an empty match is about all.

    Attributes:
        methods: The methods, in capitals, of which the request's must be one; empty for any.
        values: For each descriptor that matters, its name and the patterns of which its value must fit one.
            What a request lacks, or has empty, fits only the empty glob.
    """

    methods: frozenset[str] = frozenset()
    values: tuple[tuple[str, tuple[Pattern, ...]], ...] = ()
    _checks: tuple[tuple[str, Callable[[str], bool], bool], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks = [
            (name, _fitting(patterns), any(not pattern.text for pattern in patterns)) for name, patterns in self.values
        ]
        object.__setattr__(self, "_checks", tuple(checks))

    @property
    def is_empty(self) -> bool:
        """Whether all requests are meant."""
        return not self.methods and not self.values

    @property
    def names(self) -> tuple[str, ...]:
        """The descriptors that are looked at."""
        named = tuple(name for name, _ in self.values)
        return ("method", *named) if self.methods else named

    def patterns(self, name: str) -> tuple[Pattern, ...]:
        """Return what the descriptor of that *name* has to fit; nothing where it does not matter."""
        return next((patterns for known, patterns in self.values if known == name), ())

    def covers(self, descriptors: Mapping[str, str]) -> bool:
        """Say whether the request is meant, in time linear in the length of its descriptors."""
        if self.methods and descriptors.get("method") not in self.methods:
            return False
        for name, fits, lacking in self._checks:
            value = descriptors.get(name)
            if not (fits(value) if value else lacking):
                return False
        return True

    def as_json(self) -> dict[str, list[str]]:
        """Return it as a file would say it, each field a list."""
        told = {name: [pattern.text for pattern in patterns] for name, patterns in self.values}
        return {**told, "method": sorted(self.methods)} if self.methods else told


def _fitting(patterns: tuple[Pattern, ...]) -> Callable[[str], bool]:
    if len(patterns) == 1:
        return patterns[0].matches
    return lambda value: any(pattern.matches(value) for pattern in patterns)
