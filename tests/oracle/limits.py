"""Limits of several rates, and several limits in one request, as a store decides them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .judge import NEVER, Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .judge import Oracle

__all__ = ["Kept", "acquire_all", "peek", "refund", "reset"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept for one key under one limit.

    Attributes:
        rates: An oracle for each of the limit's rates.
        shadow: Whether the limit only says what it would have denied.
    """

    rates: tuple[Oracle, ...]
    shadow: bool = False


def acquire_all(members: Sequence[tuple[Kept, int]], now_us: int, count: int = 1) -> list[Answer]:
    """Decide *count* requests that each take from every member, or from none."""
    alone = [[rate.copy().acquire(now_us, cost, count) for rate in kept.rates] for kept, cost in members]
    fitting = [min(answer.granted for answer in answers) for answers in alone]
    enforced = [fits for fits, (kept, _cost) in zip(fitting, members, strict=True) if not kept.shadow]
    least = min([count, *enforced])
    joint = []
    for (kept, cost), answers, fits in zip(members, alone, fitting, strict=True):
        wanted = min(least, fits)
        settled = []
        for rate, answer in zip(kept.rates, answers, strict=True):
            taken = rate.acquire_stored(now_us, cost, wanted)
            retry_after_us = answer.retry_after_us if answer.granted == wanted else 0
            settled.append(Answer(wanted, taken.remaining, retry_after_us, taken.reset_after_us))
        joint.append(_told(fits if kept.shadow else least, settled))
    return joint


def peek(kept: Kept, now_us: int, cost: int = 1) -> Answer:
    """Say what an acquire would be told, and what remains untouched."""
    answers = [rate.peek(now_us, cost) for rate in kept.rates]
    return _told(min(answer.granted for answer in answers), answers)


def refund(kept: Kept, now_us: int, cost: int, decided_at_us: int, reset_at_us: int) -> int:
    """Give back in every rate; the least of it is what was given back."""
    if reset_at_us <= now_us:
        return 0
    return min(rate.refund(now_us, cost, decided_at_us=decided_at_us, reset_at_us=reset_at_us) for rate in kept.rates)


def reset(kept: Kept, now_us: int) -> bool:
    """Forget everything; tell whether anything would still have counted."""
    counted = any(rate.normalised(now_us) is not None for rate in kept.rates)
    for rate in kept.rates:
        rate.reset()
    return counted


def _told(granted: int, answers: Sequence[Answer]) -> Answer:
    """Tell the least that remains, and the waits of the rate that binds: never, else the longest, else the fullest."""
    binding = answers[0]
    for answer in answers[1:]:
        if _rank(answer) > _rank(binding):
            binding = answer
    remaining = min(answer.remaining for answer in answers)
    return Answer(granted, remaining, binding.retry_after_us, binding.reset_after_us)


def _rank(answer: Answer) -> tuple[bool, int, int]:
    return answer.retry_after_us == NEVER, answer.retry_after_us, -answer.remaining
