"""Limits of several rates, and several limits in one request, as a store decides them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from .judge import NEVER, Answer
from .paced import Gcra

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
    """Give back in each rate what still counts there; the most of it is what was given back."""
    if reset_at_us <= now_us:
        return 0
    return max(
        rate.refund(
            now_us,
            cost,
            decided_at_us=decided_at_us,
            reset_at_us=_own_reset_at_us(kept, rate, cost, decided_at_us, reset_at_us),
        )
        for rate in kept.rates
    )


def reset(kept: Kept, now_us: int) -> bool:
    """Forget everything; tell whether anything would still have counted."""
    counted = any(rate.normalised(now_us) is not None for rate in kept.rates)
    for rate in kept.rates:
        rate.reset()
    return counted


def _told(granted: int, answers: Sequence[Answer]) -> Answer:
    """Tell the least that remains, the longest wait, which is never before any other, and the longest reset."""
    waits_us = {answer.retry_after_us for answer in answers}
    return Answer(
        granted,
        min(answer.remaining for answer in answers),
        NEVER if NEVER in waits_us else max(waits_us),
        max(answer.reset_after_us for answer in answers),
    )


def _own_reset_at_us(kept: Kept, rate: Oracle, cost: int, decided_at_us: int, reset_at_us: int) -> int:
    """Tell when the part of a paced rate is paid off: surely after its own cost, and at the last where no other can be.

    A rate stands at most its capacity ahead when something is granted.
    """
    if not isinstance(rate.model, Gcra):
        return reset_at_us
    others = [other.model for other in kept.rates if other is not rate]
    if all(
        decided_at_us + math.floor(Fraction(other.full, other.per_us)) + 1 < reset_at_us
        for other in others
        if isinstance(other, Gcra)
    ):
        return reset_at_us
    return min(reset_at_us, decided_at_us + math.ceil(Fraction(cost * rate.model.interval, rate.model.per_us)))
