"""What a limiter has decided so far, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sluicegate.ratelimit.engine import OUTCOMES
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
        keys: Keys remembered in this process; 0 when the state is elsewhere.
        lost_keys: Keys that had to be forgotten for want of room while they still had a state.
    """

    decisions: Mapping[tuple[str, str], int]
    keys: int
    lost_keys: int

    @classmethod
    def of(cls, engine: Engine) -> Statistics:
        """Read the counts of *engine*."""
        decisions = {
            (cast("str", name), outcome): number
            for name, row in engine.counters.read().items()
            for outcome, number in zip(OUTCOMES, row, strict=True)
            if number
        }
        store = engine.store
        if isinstance(store, MemoryStore):
            return cls(decisions, store.keys, store.lost)
        return cls(decisions, 0, 0)
