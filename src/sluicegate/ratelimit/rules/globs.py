"""Which values of a descriptor a rule is about: globs that are compared piece by piece, from left to right.

``*`` stands for any text, and everything else for itself. What stands between two stars is looked for once,
after what was found before it, so no value that a client sends is expensive.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sluicegate.utils import InvalidInputError, shape_of

__all__ = ["GLOB_LENGTH_MAX", "Glob"]

GLOB_LENGTH_MAX = 256  # names of tenants, networks and versions are far shorter
_ACCEPTED = f"a glob of at most {GLOB_LENGTH_MAX} characters, such as acme-* ('*' is any text)"


@dataclass(frozen=True, slots=True)
class Glob:
    """A glob over the values of a descriptor.

    Attributes:
        text: The glob as written, at most 256 characters. The empty one fits a request that lacks the
            descriptor, and no other; one with a ``*`` never fits such a request.

    Raises:
        InvalidInputError: It is not such a text.
    """

    text: str
    _starred: bool = field(init=False, repr=False, compare=False)
    _first: str = field(init=False, repr=False, compare=False)
    _middle: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _last: str = field(init=False, repr=False, compare=False)
    _least: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = self.text
        if not isinstance(text, str) or len(text) > GLOB_LENGTH_MAX:
            raise InvalidInputError("glob", shape_of(text), _ACCEPTED)
        first, *middle, last = text.split("*") if "*" in text else ("", "")
        set_ = object.__setattr__
        set_(self, "_starred", "*" in text)
        set_(self, "_first", first)
        set_(self, "_middle", tuple(piece for piece in middle if piece))
        set_(self, "_last", last)
        set_(self, "_least", max(1, len(text) - text.count("*")))

    @property
    def example(self) -> str:
        """A value that fits."""
        return self.text.replace("*", "") or ("x" if self._starred else "")

    def matches(self, value: str) -> bool:
        """Say whether the whole of *value* fits, in time linear in its length."""
        if not self._starred:
            return value == self.text
        if len(value) < self._least or not (value.startswith(self._first) and value.endswith(self._last)):
            return False
        at, end = len(self._first), len(value) - len(self._last)
        for piece in self._middle:
            at = value.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True
