"""All or nothing over several slots: every member is asked alone first, then all take the least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .judge import Answer, Oracle

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Group", "Member"]


@dataclass(frozen=True, slots=True)
class Member:
    """One slot of a request and what the request takes from it.

    The same oracle may stand in several members: it is then taken once, with the greatest cost, and
    answered in each of them.
    """

    oracle: Oracle
    cost: int = 1


class Group:
    """Several (limit, key) slots, or several rates of one limit, decided together.

    Args:
        members: The slots; a request passes only if every one of them would let it.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)

    def acquire(self, now_us: int, count: int = 1) -> tuple[Answer, ...]:
        """Decide *count* requests at *now_us*; return each member's answer, in order.

        All answers have the same `granted`. A member that could have granted more answers a retry of 0.
        """
        alone = {key: oracle.copy().acquire(now_us, cost, count) for key, (oracle, cost) in self._slots().items()}
        granted = min((answer.granted for answer in alone.values()), default=count)
        answers = {}
        for key, (oracle, cost) in self._slots().items():
            taken = oracle.acquire(now_us, cost, granted)
            retry_after_us = alone[key].retry_after_us if alone[key].granted == granted else 0
            answers[key] = Answer(granted, taken.remaining, retry_after_us, taken.reset_after_us)
        return tuple(answers[id(member.oracle)] for member in self.members)

    def peek(self, now_us: int, count: int = 1) -> tuple[Answer, ...]:
        """Say what `acquire` would say, with `remaining` and `reset_after_us` of the untouched states."""
        would_be = self.copy().acquire(now_us, count)
        untouched = [member.oracle.peek(now_us, 0, 0) for member in self.members]
        return tuple(
            Answer(answer.granted, still.remaining, answer.retry_after_us, still.reset_after_us)
            for answer, still in zip(would_be, untouched, strict=True)
        )

    def copy(self) -> Group:
        """Return an independent copy, in which shared oracles are still shared."""
        copies = {id(member.oracle): member.oracle.copy() for member in self.members}
        return Group([Member(copies[id(member.oracle)], member.cost) for member in self.members])

    def _slots(self) -> dict[int, tuple[Oracle, int]]:
        slots: dict[int, tuple[Oracle, int]] = {}
        for member in self.members:
            _oracle, cost = slots.get(id(member.oracle), (member.oracle, 0))
            slots[id(member.oracle)] = (member.oracle, max(cost, member.cost))
        return slots
