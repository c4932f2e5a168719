"""Requests that are let through or refused before anything is counted, found among many entries at once.

Nearly every entry of such a list is one value of one descriptor. Those are looked up, however many there are;
globs, and entries of several fields, are tried one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluicegate.ratelimit.rules.conditions import Match

__all__ = ["RequestList"]


class RequestList:
    """A list of which a request may be one of the entries.

    Args:
        entries: What must hold for each.
    """

    __slots__ = ("_matches", "_texts")

    def __init__(self, entries: Sequence[Match]) -> None:
        texts: dict[str, set[str]] = {}
        matches = []
        for entry in entries:
            patterns = entry.values[0][1] if len(entry.values) == 1 and not entry.methods else ()
            if patterns and not any("*" in pattern.text for pattern in patterns):
                texts.setdefault(entry.values[0][0], set()).update(pattern.text for pattern in patterns)
            else:
                matches.append(entry)
        self._texts = tuple((name, frozenset(some)) for name, some in texts.items())
        self._matches = tuple(matches)

    def covers(self, descriptors: Mapping[str, str]) -> bool:
        """Say whether a request is one of the entries, in time linear in the length of its descriptors."""
        return any((descriptors.get(name) or "") in texts for name, texts in self._texts) or any(
            match.covers(descriptors) for match in self._matches
        )
