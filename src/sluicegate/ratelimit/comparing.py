"""Tells how often two limits of one name agree, while one of them may come to take the other's place.

Both are asked in one request: the one that is enforced, and right behind it the other, as a shadow *beside* it. Each
decides as if it were the one in force, so what differs is what would change for clients.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sluicegate.ratelimit.outcomes import AGREED, ONLY_CANDIDATE_DENIED, ONLY_CURRENT_DENIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sluicegate.ratelimit.decision import Decision

    Row = Callable[[str], list[int]]

__all__ = ["compare", "itself_denies", "without_those_beside"]


def itself_denies(decision: Decision) -> bool:
    """Say whether the limit of a decision denies, and is not only denied along with others of the request."""
    return not decision.allowed and decision.retry_after_us != 0


def without_those_beside(decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """Return one decision for each limit that was asked: those of shadows beside another are for its counters alone."""
    return tuple(decision for decision in decisions if not decision.limit.beside)


def compare(decisions: Sequence[Decision], row: Row) -> None:
    """Count of each limit that was asked beside another whether both agreed.

    What was answered without the store is not counted, for nobody knows what the limits would have said.

    Args:
        decisions: Those of one request, in the order asked.
        row: Returns the counts of a limit, to be added to.
    """
    for enforced, other in _pairs(decisions):
        if enforced.degraded or other.degraded:
            continue
        is_denied, other_denies = itself_denies(enforced), other.shadow_denied
        if is_denied == other_denies:
            column = AGREED
        else:
            column = ONLY_CANDIDATE_DENIED if other.limit.candidate == other_denies else ONLY_CURRENT_DENIED
        row(other.limit.name)[column] += 1


def _pairs(decisions: Sequence[Decision]) -> Iterator[tuple[Decision, Decision]]:
    """Yield those that are enforced, each with the one beside it."""
    for before, decision in pairwise(decisions):
        if decision.limit.beside and before.limit.name == decision.limit.name and before.key == decision.key:
            yield before, decision
