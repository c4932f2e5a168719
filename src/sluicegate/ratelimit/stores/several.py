"""What several rates, and several limits, say together: asked each, and taken from all or from none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.ratelimit.plan import Plan
    from sluicegate.ratelimit.stores.records import Ask, CounterRecord, LogRecord
    from sluicegate.ratelimit.stores.store import Member

__all__ = ["asked", "for_all_rates", "least_of", "settled"]


def asked(
    record: CounterRecord | LogRecord,
    plan: Plan,
    rules: Sequence[tuple[int, ...]],
    now_us: int,
    cost: int,
    count: int,
) -> tuple[list[Ask], int]:
    """Ask each rate of a limit; return the answers and how many requests all of them would grant."""
    asks = [record.ask(plan, rules, slot, now_us, cost, count) for slot in range(len(rules))]
    return asks, min(ask[1] for ask in asks)


def least_of(members: Sequence[Member], asked: Sequence[tuple[list[Ask], int]], *, but: int = -1) -> int:
    """Return what all members that are enforced would grant, *but* one."""
    grants = [
        granted
        for at, ((limit, _, _), (_, granted)) in enumerate(zip(members, asked, strict=True))
        if not limit.plan.shadow and at != but
    ]
    return min(grants, default=1)


def settled(
    record: CounterRecord | LogRecord,
    plan: Plan,
    rules: Sequence[tuple[int, ...]],
    now_us: int,
    cost: int,
    asks: list[Ask],
    wanted: int,
) -> list[Ask]:
    """Ask those rates anew that would have granted another number than was agreed on; they do not wait."""
    settled = []
    for slot, ask in enumerate(asks):
        if ask[1] != wanted:
            state, granted, remaining, _, reset_after_us = record.ask(plan, rules, slot, now_us, cost, wanted)
            settled.append((state, granted, remaining, 0, reset_after_us))
        else:
            settled.append(ask)
    return settled


def for_all_rates(asks: Sequence[Ask]) -> tuple[int, int, int]:
    """Tell of all rates the least that remains, the longest wait (never before any), and the longest reset."""
    waits_us = [ask[3] for ask in asks]
    return min(ask[2] for ask in asks), -1 if -1 in waits_us else max(waits_us), max(ask[4] for ask in asks)
