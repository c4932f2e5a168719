"""What the script is asked about marked values that have a number at its edge, and about states of whichever rule."""

from __future__ import annotations

import struct
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

from sluicegate import Limit
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Numbers = Mapping[str, int]

__all__ = ["calendars_around", "edges_of_marks", "states_of_any_rule"]

LONG_MS = 3_600_000
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
WIDTHS = {"used": 4, "previous": 4, "current": 4, "limit": 4, "rem": 4, "per": 4, "interval_rem": 4, "burst": 4}
RULES = {
    "gcra": ("7 per 3 seconds burst 5", "6 per 3 seconds"),
    "fixed_window": ("6 per 3 seconds", "9 per 3 seconds"),
    "sliding_window_counter": ("6 per 3 seconds", "9 per 3 seconds"),
    "calendar_quota": ("6/day", "9/day"),
}
RATES = {
    "gcra": ("7 per 3 seconds", "9 per 7 seconds; 4 per 2 seconds", "5 per 2 seconds; 30 per 9 seconds", "4/second"),
    "fixed_window": ("2000000 per 3 seconds", "9 per 7 seconds; 4 per 2 seconds", "5 per 2 seconds; 30 per 9 seconds"),
    "sliding_window_counter": (
        "9000000 per 3 seconds",
        "9 per 7 seconds; 4 per 2 seconds",
        "5/second; 30 per 9 seconds",
    ),
    "calendar_quota": ("2000000/day", "9/month; 4/day", "5/day; 30/month"),
}


def edges_of_marks(asking: Any) -> None:
    """Values as this version marks them, but for one number that is at its least, at its most, or beyond."""
    for algorithm, rates in RULES.items():
        own, other = (Limit("edges", rate, algorithm=algorithm, on_change="keep") for rate in rates)
        header = b"\2" + struct.pack(">IH", own.plan.tag, 7) + (asking.now_us + 10 * SECOND_US).to_bytes(7, "big")
        sound, *others = _slots(algorithm, asking.now_us)
        for serial, slot in enumerate(others):
            asking.calls.command("FLUSHALL")
            asked = product(enumerate(([slot], [sound, slot])), (own, other), (PEEK, ACQUIRE, REFUND))
            for (number, slots), limit, verb in asked:
                name = asking.keyspace.name(limit.plan.prefix, f"m{number}")
                asking.calls.command("SET", name, header + b"".join(map(_packed, slots)), "PX", LONG_MS)
                detail = (asking.now_us, asking.now_us + SECOND_US, serial) if verb == REFUND else None
                asking.ask([Request(verb, ((limit, f"m{number}", 1),), detail)])


def states_of_any_rule(asking: Any) -> None:
    """States that do not say of which rule they are, met by rules that take the place of that one, or of another."""
    for algorithm, rates in RATES.items():
        plain = [Limit("any", rate, algorithm=algorithm) for rate in rates]
        marking = [Limit("any", rate, algorithm=algorithm, on_change="keep") for rate in rates]
        for writer in plain:
            asking.calls.command("FLUSHALL")
            for number, (old, new) in enumerate(permutations(range(len(rates)), 2)):
                asking.ask([Request(ACQUIRE, ((writer, f"k{number}", 3),))])
                asking.now_us += SECOND_US // 4
                changed = marking[new].changed_from(plain[old])
                asking.ask([Request(ACQUIRE, ((changed, f"k{number}", 0),))])
                asking.ask([Request(ACQUIRE, ((changed, f"k{number}", 1),))])
            for raw in (b"\3" + b"\1" * 40, b"junk"):
                asking.calls.command("SET", asking.keyspace.name(writer.plan.prefix, "odd"), raw, "PX", LONG_MS)
                asking.ask([Request(ACQUIRE, ((marking[1].changed_from(plain[0]), "odd", 1),))])
            for number, limit in enumerate(marking):
                asking.ask([Request(ACQUIRE, ((writer, f"ahead{number}", 3),))])
                asking.now_us -= 10 * SECOND_US  # what lies ahead is brought back, and nothing taken
                asking.ask([Request(ACQUIRE, ((limit, f"ahead{number}", 0),))])


def calendars_around(asking: Any) -> None:
    """Quotas that are carried over where the clock is in the window before or behind the one that was thought of."""
    old, new = (Limit("around", rate, algorithm="calendar_quota", on_change="keep") for rate in RULES["calendar_quota"])
    for by_us in (-DAY_US, 0, DAY_US):
        for cost in (0, 1, 5):
            key = f"{by_us}-{cost}"
            asking.ask([Request(ACQUIRE, ((old, key, 2),))])
            asking.ask([Request(ACQUIRE, ((new, key, cost),))], edges_at_us=asking.now_us + by_us)
            asking.ask([Request(PEEK, ((old, key, 1),))])


def _slots(algorithm: str, now_us: int) -> Iterator[Numbers]:
    """Return the numbers of a sound slot, again and again: first as they are, then with some of them others."""
    capacity_us = 2_142_857  # and fifteen sevenths
    if algorithm == "gcra":
        sound = {"paid": now_us + SECOND_US, "rem": 3, "per": 7, "debt": 0}
        sound |= {"interval": 428_571, "interval_rem": 3, "burst": 5}
        others = [{"rem": rem} for rem in (0, 6, 7)] + [{"per": 0}, {"per": 3}, {"per": 4}, {"burst": 0}, {"burst": 1}]
        others += [{"paid": now_us + capacity_us + ahead_us, "debt": ahead_us} for ahead_us in (0, 1, 2, 3, 900_000)]
        others += [{"paid": now_us + by_us} for by_us in (-1, 0, 1)] + [{"interval_rem": rem} for rem in (0, 6, 7, 8)]
        others += [{"interval": us, "interval_rem": rem} for us in (0, 1) for rem in (0, 1, 3)]
        others += [{"interval": 2**53 + by, "interval_rem": 0, "burst": 1} for by in (-2, -1, 0, 2)]
    else:
        period_us = DAY_US if algorithm == "calendar_quota" else 3 * SECOND_US
        start_us = now_us // period_us * period_us
        counts = {"previous": 2, "current": 3} if algorithm == "sliding_window_counter" else {"used": 5}
        sound = {"start": start_us, **counts, "limit": 6, "period": period_us}
        others = [{name: used} for name in counts for used in (0, 6, 7, 13, 2**32 - 1)]
        others += [{"start": start_us + by_us} for by_us in (-2 * period_us, -period_us, period_us)]
        others += [{"limit": limit} for limit in (0, 1)]
        others += [{"period": other_us} for other_us in (0, 1, period_us - 1)]
        others += [{**dict.fromkeys(counts, 1), "period": 2 * period_us}]
    return (sound | other for other in ({}, {}, *others))


def _packed(slot: Numbers) -> bytes:
    return b"".join(number.to_bytes(WIDTHS.get(name, 7), "big") for name, number in slot.items())
