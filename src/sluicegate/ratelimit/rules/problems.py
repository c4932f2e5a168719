"""Collects what is wrong with a document, each thing at its place, so that whoever mends it reads it once."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING
from unicodedata import normalize

from sluicegate.utils import ConfigurationError, InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sluicegate.ratelimit.rules.document import Entry, Node, Place

__all__ = ["PROBLEMS_MAX", "Problems", "entries_of", "shown", "suggestion"]

PROBLEMS_MAX = 100  # who reads a hundred first lines has a wrong file, not a typo
_COMPARED_LENGTH_MAX = 64  # looking for the nearest name takes time in the square of the length


class Problems:
    """What was found so far to be wrong with one file.

    Args:
        source: What to call the file.

    Attributes:
        places: Where each thing stands that was read, by what it is, such as ``limits.api.rate``.
    """

    def __init__(self, source: str) -> None:
        self.places: dict[str, Place] = {}
        self._source = source
        self._found: list[tuple[Place, InvalidInputError]] = []

    def add(self, place: Place, path: str, found: str, accepted: str) -> None:
        """Note a problem.

        Args:
            place: Where it stands.
            path: What it is about, such as ``limits.api.rate``; may be empty.
            found: What stands there.
            accepted: What may stand there.
        """
        self._found.append((place, InvalidInputError(self.where(place, path), found, accepted)))

    def where(self, place: Place, path: str) -> str:
        """Return a place in words."""
        return f"{place.within(self._source)}: {path}" if path else place.within(self._source)

    def in_order(self) -> list[InvalidInputError]:
        """Return them in the order of the file, up to a hundred."""
        ordered = sorted(self._found, key=lambda problem: (problem[0].line, problem[0].column or 0))
        return [problem for _, problem in ordered[:PROBLEMS_MAX]]

    def raise_if_any(self) -> None:
        """Refuse the file if anything was found.

        Raises:
            ConfigurationError: Something was.
        """
        if self._found:
            raise ConfigurationError(self.in_order())

    def count(self) -> int:
        """Return how many there are so far."""
        return len(self._found)


def entries_of(node: Node, path: str, known: Collection[str] | None, problems: Problems) -> dict[str, Entry]:
    """Return a mapping's entries by name, and note what is no mapping, not known, or there twice.

    Args:
        node: The mapping.
        path: What it is, for messages.
        known: The names that may stand there; ``None`` where any may.
        problems: Where to note them.
    """
    if node.entries is None:
        accepted = f"a mapping with {', '.join(known)}" if known else "a mapping from names to rules"
        problems.add(node.place, path, node.shape, accepted)
        return {}
    entries: dict[str, Entry] = {}
    spelt: dict[str, Entry] = {}  # a limit's name is normalised, so two spellings of it are one name
    for entry in node.entries:
        name = entry.name
        if not isinstance(name, str):
            problems.add(entry.place, path, f"the name {shape_of(name)}", "names that are text; put it into quotes")
            continue
        full = f"{path}.{shown(name)}".lstrip(".")
        first = spelt.setdefault(normalize("NFC", name), entry)
        if first is not entry:
            problems.add(entry.place, full, f"it again, after line {first.place.line}", "each name once")
        elif known is not None and name not in known:
            problems.add(entry.place, full, "a name that is not known", ", ".join(known) + suggestion(name, known))
        else:
            entries[name] = entry
            # Of what has parts the name is the place, for its parts have theirs.
            problems.places[full] = entry.place if entry.node.entries is not None else entry.node.place
    return entries


def suggestion(name: object, names: Iterable[str]) -> str:
    """Return ``" (did you mean …?)"`` with the nearest of *names*, or nothing when none is near."""
    if not isinstance(name, str):
        return ""
    spellings = {known.lower(): known for known in names}
    nearest = get_close_matches(name.lower()[:_COMPARED_LENGTH_MAX], spellings, n=1, cutoff=0.65)
    return f" (did you mean {spellings[nearest[0]]!r}?)" if nearest else ""


def shown(text: str) -> str:
    """Return a name from a file as it may travel into terminals and logs."""
    return text[:64].encode("unicode_escape").decode("ascii") if not text.isprintable() else text[:200]
