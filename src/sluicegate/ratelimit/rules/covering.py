"""Whether one condition holds wherever another does, as far as that shows in their patterns.

A pattern is wider than another if it fits what the other fits when each of its stars stands for a character that
no pattern has, for only a star can take that. What is found to be wider is; some that are wider are not found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sluicegate.ratelimit.rules.globs import Glob
from sluicegate.ratelimit.rules.matching import PathPattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.ratelimit.rules.conditions import Match, Pattern

__all__ = ["is_wider", "superfluous", "wider_match"]

_NOBODYS: Final = "\ue000"
_ANY_PATH: Final = PathPattern("**")
_ANY_VALUE: Final = Glob("*")
_PATHS: Final = ("path", "route")


def is_wider(wide: Pattern, narrow: Pattern) -> bool:
    """Say whether *wide* is seen to fit all that *narrow* fits."""
    if not narrow.text or not wide.text:
        return wide.text == narrow.text
    if isinstance(narrow, Glob):
        return wide.matches(narrow.text.replace("*", _NOBODYS))
    # More segments than the wide one has plain slashes for, so that only '**' can take them.
    many = "/".join([_NOBODYS] * (wide.text.count("/") + 2))
    long = narrow.text.replace("**", many).replace("*", _NOBODYS)
    short = narrow.text.replace("/**", "").replace("**", "").replace("*", _NOBODYS)
    one = narrow.text.replace("**", _NOBODYS).replace("*", _NOBODYS)
    return all(wide.matches(path) for path in (long, one, *([short] if short else [])))


def superfluous(patterns: Sequence[Pattern]) -> list[tuple[Pattern, Pattern]]:
    """Return the patterns of a list that another of it makes superfluous, each with that one."""
    found = []
    for at, pattern in enumerate(patterns):
        others = [other for place, other in enumerate(patterns) if place != at]
        wider = next((other for other in others if is_wider(other, pattern)), None)
        # Of two that are alike the later one is superfluous.
        if wider is not None and not (is_wider(pattern, wider) and patterns.index(wider) > at):
            found.append((pattern, wider))
    return found


def wider_match(wide: Match, narrow: Match, needed: Sequence[str] = ()) -> bool:
    """Say whether *wide* is seen to cover all requests that *narrow* covers.

    Args:
        wide: What should cover more.
        narrow: What should cover less.
        needed: Descriptors that a request has in any case.
    """
    if wide.methods and not (narrow.methods and narrow.methods <= wide.methods):
        return False
    return all(
        any(is_wider(pattern, other) for pattern in patterns)
        for name, patterns in wide.values
        for other in _patterns_of(narrow, name, needed)
    )


def _patterns_of(match: Match, name: str, needed: Sequence[str]) -> Sequence[Pattern]:
    patterns = match.patterns(name)
    if patterns:
        return patterns
    if name in _PATHS:
        return (_ANY_PATH,)
    return (_ANY_VALUE,) if name in needed else (_ANY_VALUE, Glob(""))
