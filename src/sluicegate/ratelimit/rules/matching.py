"""Which paths a rule covers: globs matched in one pass, so that no path a client sends is expensive.

``*`` stands for any text within one segment, ``**`` for any text across segments, and everything
else for itself. ``/**`` may also stand for nothing: ``/api/**`` covers ``/api``, ``/api/`` and all below.

All places where a glob may stand at once are the bits of one number, so a path costs one step a
character whatever the glob is; there is nothing to go back to (Baeza-Yates and Gonnet, 1992).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sluicegate.utils import InvalidInputError, shape_of

__all__ = ["PATTERN_LENGTH_MAX", "PathPattern"]

PATTERN_LENGTH_MAX = 256  # bits of the number that is carried along; no path of an API needs more
_ACCEPTED = (
    f"a glob of 1 to {PATTERN_LENGTH_MAX} characters that begins with '/' or '*', "
    "such as /api/** ('*' stays within a segment, '**' crosses them)"
)


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A glob over the paths of requests.

    Attributes:
        text: The glob as written, 1 to 256 characters, beginning with ``/`` or ``*``.

    Raises:
        InvalidInputError: It is not such a text.
    """

    text: str
    _prefix: str = field(init=False, repr=False, compare=False)
    _below: bool = field(init=False, repr=False, compare=False)
    _automaton: _Automaton | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = self.text
        if not isinstance(text, str) or not 0 < len(text) <= PATTERN_LENGTH_MAX or text[0] not in "/*":
            raise InvalidInputError("path", shape_of(text), _ACCEPTED)
        below = text.endswith("/**") and "*" not in text[:-3]
        plain = below or "*" not in text
        set_ = object.__setattr__
        set_(self, "_below", below)
        set_(self, "_prefix", text[:-3] if below else text.partition("*")[0].rstrip("/"))
        # Most globs are a path, or all below one; those need no automaton.
        set_(self, "_automaton", None if plain else _Automaton.of(text))

    @property
    def example(self) -> str | None:
        """A path that fits, where the glob is one or all below one; else ``None``."""
        return None if self._automaton is not None else self._prefix or "/" if self._below else self.text

    def matches(self, path: str) -> bool:
        """Say whether the whole of *path* fits, in time linear in its length."""
        if self._automaton is not None:
            return path.startswith(self._prefix) and self._automaton.accepts(path)
        if not self._below:
            return path == self.text
        prefix = self._prefix
        return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Automaton:
    """A glob as numbers whose bit i speaks of its i-th place."""

    steps: dict[str, int]  # character -> places that it leads on from
    within: int  # places that take any character but '/' and stay
    across: int  # places that take any character and stay
    skips: int  # places that lead on without a character
    jumps: int  # places before '/**', which lead on past both without a character
    final: int

    @classmethod
    def of(cls, text: str) -> _Automaton:
        steps: dict[str, int] = {}
        within = across = jumps = 0
        place, at = 1, 0
        while at < len(text):
            if text.startswith("**", at):
                across |= place
                at = len(text) - len(text[at:].lstrip("*"))
            elif text[at] == "*":
                within |= place
                at += 1
            else:
                steps[text[at]] = steps.get(text[at], 0) | place
                if text.startswith("/**", at) and text[at + 3 : at + 4] in ("", "/"):
                    jumps |= place
                at += 1
            place <<= 1
        return cls(steps=steps, within=within, across=across, skips=within | across, jumps=jumps, final=place)

    def accepts(self, path: str) -> bool:
        places = self._widened(1)
        for character in path:
            stay = places & (self.across if character == "/" else self.skips)
            places = self._widened(stay | (places & self.steps.get(character, 0)) << 1)
            if not places:
                return False
        return bool(places & self.final)

    def _widened(self, places: int) -> int:
        # At most a jump and a skip stand beside each other, so this settles in three rounds.
        while True:
            wider = places | (places & self.skips) << 1 | (places & self.jumps) << 2
            if wider == places:
                return places
            places = wider
