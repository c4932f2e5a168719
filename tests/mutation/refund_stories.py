"""What the script is asked about refunds: under several rates, out of long logs, and of keys that were reset."""

from __future__ import annotations

import struct
from typing import Any

from sluicegate import Limit
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, Request

LONG_MS = 3_600_000
PACED = 400  # refunds under several rates
ENTRIES = 600  # of a log, more than twice as many as a refund moves

_SEVERAL = (
    Limit("paced", "10/s burst 10; 100/hour burst 100"),
    Limit("paced", "7/minute burst 3; 3 per 2 seconds; 11 per 7 seconds burst 5"),
    Limit("paced", "700000/s burst 9; 300000/s burst 7"),
)
_LOG = Limit("long", "10000/hour", algorithm="sliding_window_log")


def several_rates(asking: Any) -> None:
    """Refunds whose reset lies about where another rate can have stood, early and late, and not at all."""
    random = asking.random
    for number in range(PACED):
        if number % 10 == 0:
            asking.calls.command("FLUSHALL")  # a digest of few keys is quick
        limit, key, cost = random.choice(_SEVERAL), f"key{number}", random.choice((1, 1, 2, 3))
        asking.ask(
            [Request(ACQUIRE, ((limit, key, random.choice((1, 2, 3))),)), Request(ACQUIRE, ((limit, key, cost),))]
        )
        decided_at_us = asking.now_us
        rule = random.choice(limit.plan.rules)
        reset_at_us = decided_at_us + random.choice((rule[4], rule[4], rule[1] * cost)) + random.randrange(-3, 5)
        asking.now_us += random.choice((0, 0, 1, rule[1], rule[1] - 1, rule[1] + 1, random.randrange(rule[4] + 2)))
        asking.ask([Request(ACQUIRE, ((limit, key, 1),))])
        detail = (decided_at_us, reset_at_us, number)
        asking.ask([Request(REFUND, ((limit, key, cost),), detail), Request(PEEK, ((limit, key, 1),))])


def long_logs(asking: Any) -> None:
    """Refunds of entries that as many others stand on the shorter side of as are moved at the most, and one more."""
    name = asking.keyspace.name(_LOG.plan.prefix, "long")
    times_us = [asking.now_us + at * 1_000 for at in range(ENTRIES)]
    members = [word for at, time_us in enumerate(times_us) for word in (time_us, _entry(at + 1, 1))]
    asking.calls.command("ZADD", name, *members)
    asking.calls.command("PEXPIRE", name, LONG_MS)
    asking.now_us = times_us[-1] + 1_000
    for serial, rank in enumerate((257, 256, 258, -257, -258, -256, 300, 255, -255, 0, -1)):
        decided_at_us = times_us[rank]
        detail = (decided_at_us, asking.now_us + 10**6, serial)
        (_, _, refunded, *_) = asking.ask([Request(REFUND, ((_LOG, "long", 1),), detail)])
        if refunded:
            times_us.remove(decided_at_us)


def resets(asking: Any) -> None:
    """Refunds of before, at and after what remembers a reset, and where something else stands in its place."""
    limit = _SEVERAL[0]
    marker = asking.keyspace.companion(limit.plan.prefix, "key", "reset")
    for serial, raw in enumerate((asking.now_us - 1, asking.now_us, asking.now_us + 1, "x", "inf", "")):
        asking.calls.command("SET", marker, raw, "PX", LONG_MS)
        asking.ask([Request(ACQUIRE, ((limit, "key", 1),))])
        detail = (asking.now_us, asking.now_us + 10**7, serial)
        asking.ask([Request(REFUND, ((limit, "key", 1),), detail)])
    asking.calls.command("DEL", marker)
    asking.calls.command("RPUSH", marker, "x")
    asking.calls.command("PEXPIRE", marker, LONG_MS)
    asking.ask([Request(REFUND, ((limit, "key", 1),), (asking.now_us, asking.now_us + 10**7, 99))])


def _entry(total: int, units: int) -> bytes:
    return struct.pack(">Q", total)[1:] + struct.pack(">I", units)
