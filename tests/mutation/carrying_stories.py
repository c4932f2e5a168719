"""What the script is asked about limits whose rate becomes another while keys are in use."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from sluicegate import Limit
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, RESET, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["marked_values", "rates_that_change"]

LONG_MS = 3_600_000
STEPS = 120  # of each kind
WAYS = ("keep", "proportional", "additive", "reset")
RATES = {
    "gcra": (
        "6 per 3 seconds",
        "7 per 3 seconds burst 5",
        "20 per 9 seconds; 4 per 2 seconds",
        "2 per 1 second burst 9",
    ),
    "fixed_window": (
        "6 per 3 seconds",
        "11 per 5 seconds",
        "20 per 9 seconds; 4 per 2 seconds",
        "2000000 per 3 seconds",
    ),
    "sliding_window_counter": (
        "6 per 3 seconds",
        "9 per 3 seconds",
        "20 per 9 seconds; 4 per 3 seconds",
        "3 per 2 seconds",
    ),
    "calendar_quota": ("6/day", "9/month", "20/day; 4/month", "3/day"),
}
SLOTS = {"gcra": 37, "fixed_window": 22, "sliding_window_counter": 26, "calendar_quota": 22}


def _rules(algorithm: str) -> Iterator[Limit]:
    """Return limits of one name: as they stand, in the place of others, and marked from the start."""
    made = [Limit("changing", rate, algorithm=algorithm) for rate in RATES[algorithm]]
    yield from made
    for at, way in enumerate(WAYS):
        changed = Limit("changing", RATES[algorithm][(at + 1) % 4], algorithm=algorithm, on_change=way)
        yield changed
        yield changed.changed_from(made[at])


def rates_that_change(asking: Any) -> None:
    """Acquires, looks, refunds and resets under whichever of the rules, in one call and in several."""
    random = asking.random
    for algorithm in RATES:
        rules = list(_rules(algorithm))
        among = random.sample(rules, 3)
        taken: list[Request] = []
        for step in range(STEPS):
            if step % 12 == 0:
                among = random.sample(rules, 3)
            asking.move()
            requests = []
            for number in range(random.choice((1, 1, 2, 3))):
                limit, key, cost = random.choice(among), random.choice("ab"), random.choice((0, 1, 1, 2, 3, 99))
                chance = random.random()
                if chance < 0.1:
                    requests.append(Request(RESET, ((limit, key, 0),)))
                elif chance < 0.2:
                    requests.append(Request(PEEK, ((limit, key, cost),)))
                elif chance < 0.35 and taken:
                    requests.append(random.choice(taken))
                elif chance < 0.5:
                    requests.append(Request(ACQUIRE, ((limit, key, cost), (random.choice(among), "c", 1))))
                else:
                    detail = (asking.now_us, asking.now_us + random.choice((900_000, 9_000_000)), step * 10 + number)
                    taken.append(Request(REFUND, ((limit, key, max(1, cost)),), detail))
                    requests.append(Request(ACQUIRE, ((limit, key, cost),)))
            asking.ask(requests)


def marked_values(asking: Any) -> None:
    """Marked values of every length and of any numbers, of this rule and of others."""
    random = asking.random
    for algorithm, length in SLOTS.items():
        limit = Limit("marked", RATES[algorithm][0], algorithm=algorithm, on_change="keep")
        several = Limit("marked", RATES[algorithm][2], algorithm=algorithm, on_change="additive")
        for number in range(60):
            slots = random.choice((1, 1, 1, 2, 2, 0, 8, 9))
            body = bytes(random.choice((0, 0, 0, 1, 255, random.randrange(256))) for _ in range(slots * length))
            tag = random.choice((limit.plan.tag, several.plan.tag, 7))
            came_from = random.choice((limit.plan.tag, several.plan.tag, 7)) % 65_536
            at_us = random.choice((0, asking.now_us - 1, asking.now_us, asking.now_us + 1, asking.now_us + 10**6))
            at_us = random.choice((at_us, at_us, asking.now_us + 2**49 - 1, asking.now_us + 2**49))
            header = b"\x02" + struct.pack(">IH", tag, came_from) + at_us.to_bytes(7, "big")
            name = asking.keyspace.name(limit.plan.prefix, f"m{number}")
            asking.calls.command("SET", name, header + body + b"x" * (number % 15 == 0), "PX", LONG_MS)
            key, own = f"m{number}", random.choice((limit, several))
            asking.ask([Request(PEEK, ((own, key, 1),))])
            asking.ask([Request(ACQUIRE, ((own, key, random.choice((0, 1, 9))),))])
