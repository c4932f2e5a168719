"""What a limiter has decided so far, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from sluicegate.ratelimit.features import Features
from sluicegate.ratelimit.outcomes import AGREED, CACHED, COMPARED, EARLY, OUTCOMES
from sluicegate.ratelimit.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit.engine import Engine

__all__ = ["Statistics"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts since the limiter was made, in this process.

    Attributes:
        decisions: How many decisions, by limit name and outcome: ``allowed``, ``denied`` or
            ``shadow_denied``, and ``degraded_allowed`` or ``degraded_denied``.
        early: How many of them needed no command to the store, by limit name and what answered: ``deny_cache``,
            ``lease`` or ``ban``.
        keys: Keys remembered in this process; 0 when the state is elsewhere.
        lost_keys: Keys that had to be forgotten for want of room while they still had a state.
        compared: Of limits that are rolled out, how often the one in force and the one beside it said the same, by
            limit name and outcome: ``agreed``, ``only_candidate_denied`` or ``only_current_denied``.
        features: Which features are on now.
    """

    decisions: Mapping[tuple[str, str], int]
    early: Mapping[tuple[str, str], int]
    keys: int
    lost_keys: int
    compared: Mapping[tuple[str, str], int] = field(default_factory=dict)
    features: Features = field(default_factory=Features)

    def comparison(self, name: str) -> dict[str, int]:
        """Return how often a limit that is rolled out and the one beside it agreed, or only one of them denied."""
        return {column: self.compared.get((name, column), 0) for column in COMPARED}

    @classmethod
    def of(cls, engine: Engine) -> Statistics:
        """Read the counts of *engine*."""
        table = {cast("str", name): row for name, row in engine.counters.read().items()}
        decisions = _named(table, OUTCOMES, 0)
        early = _named(table, EARLY, CACHED)
        compared = _named(table, COMPARED, AGREED)
        store = engine.store
        keys, lost = (store.keys, store.lost) if isinstance(store, MemoryStore) else (0, 0)
        return cls(decisions, early, keys, lost, compared, engine.features)


def _named(table: Mapping[str, tuple[int, ...]], columns: tuple[str, ...], first: int) -> dict[tuple[str, str], int]:
    """Return the counts of *columns*, the first of which is at *first*, without those that are 0."""
    return {
        (name, column): number
        for name, row in table.items()
        for column, number in zip(columns, row[first:], strict=False)
        if number
    }
