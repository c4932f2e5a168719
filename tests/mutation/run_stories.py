"""What the script is asked in runs of many keys, whatever each of them holds, and of many requests for one key."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sluicegate import Limit
from sluicegate.ratelimit.stores.store import ACQUIRE, IN_TURN, PEEK, REFUND, RESET, Request
from sluicegate.ratelimit.stores.wire import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    # Its verb, its keys, how many requests for all or each of them, and their cost.
    Run = tuple[int, Sequence[str], int | Sequence[int], int]

LONG_MS = 3_600_000
ROUNDS = 60
MANY_KEYS = (511, 512, 513, 1_030)  # about as many as are read together
RUN_LENGTH = 6  # verb, entries, count, members, rule, cost

_PLAIN = (Limit("paced", "4 per 2 seconds"), Limit("paced", "2 per 2 seconds burst 3"), Limit("paced", "1/second"))
_OTHERS = (
    Limit("paced", "3 per 2 seconds"),
    Limit("paced", "4 per 2 seconds; 5 per 8 seconds"),
    Limit("shadow", "2 per 3 seconds", shadow=True),
    Limit("fixed", "4 per 2 seconds", algorithm="fixed_window"),
    Limit("fixed", "3 per 2 seconds; 9 per 11 seconds", algorithm="fixed_window"),
    Limit("counter", "4 per 2 seconds", algorithm="sliding_window_counter"),
    Limit("calendar", "4/day", algorithm="calendar_quota"),
    Limit("log", "4 per 2 seconds", algorithm="sliding_window_log"),
)


def turns(asking: Any) -> None:
    """Many requests for each of some keys, answered in turn, under one limit after the other."""
    random = asking.random
    for _ in range(ROUNDS):
        asking.move()
        for limit in (random.choice(_PLAIN), random.choice(_OTHERS)):
            run = (IN_TURN, random.choice(("a", "ab", "aba")), random.choice((1, 2, 3, 5)), random.choice((0, 1, 1, 2)))
            ask_runs(asking, limit, [run])


def mixed_runs(asking: Any) -> None:
    """Runs of several keys in one call, of which some hold nothing, and some what no number says."""
    for number in range(ROUNDS):
        asking.move()
        for limit in (_PLAIN[number % 3], _OTHERS[number % len(_OTHERS)]):
            _put_something(asking, limit, number)
            names = "abcdef"[: asking.random.choice((2, 3, 6))]
            runs = [
                (ACQUIRE, names, 1, 1),
                (ACQUIRE, names[::-1], asking.random.choice((1, 2)), 1),
                (IN_TURN, "ab", 2, 1),
            ]
            ask_runs(asking, limit, asking.random.sample(runs, 2))


def one_name(asking: Any) -> None:
    """Rules of one name in one call: what one leaves as one number the next reads, gives back or resets."""
    random = asking.random
    for serial in range(4 * ROUNDS):
        asking.move()
        requests = []
        for number in range(random.choice((2, 3, 4))):
            limit, cost = random.choice((*_PLAIN, *_OTHERS[:2])), random.choice((0, 1, 1, 2))
            detail = (asking.now_us, asking.now_us + random.choice((400_000, 900_000, 3_000_000)), serial * 10 + number)
            requests += random.choice(
                (
                    [Request(ACQUIRE, ((limit, "a", cost),))],
                    [Request(ACQUIRE, ((limit, "a", cost),))],
                    [Request(ACQUIRE, ((limit, "a", cost), (_OTHERS[3], "a", 1)))],
                    [Request(PEEK, ((limit, "a", cost),))],
                    [Request(REFUND, ((limit, "a", max(1, cost)),), detail)],
                    [Request(RESET, ((limit, "a", 0),))] if number else [],
                )
            )
        if requests:
            asking.ask(requests)


def looked_at_and_undone(asking: Any) -> None:
    """What a call has taken as one number, it then looks at, or gives back with all that was taken before."""
    for number, limit in enumerate(_PLAIN):
        key = f"undone{number}"
        taken = Request(ACQUIRE, ((limit, key, 1),))
        asking.ask([taken, Request(PEEK, ((limit, key, 1),))])
        before = (asking.now_us, asking.now_us + 3_000_000, number)
        asking.now_us += 1_000
        now = (asking.now_us, asking.now_us + 3_000_000, number)
        asking.ask([taken, *(Request(REFUND, ((limit, key, 1),), detail) for detail in (before, now))])


def several_members(asking: Any) -> None:
    """Entries of several members in one run, more than are read together, and in turn."""
    for rounds, keys in ((1, 2), (2, 3), (1, 300)):
        for verb, count in ((ACQUIRE, 1), (ACQUIRE, 2), (IN_TURN, 2)):
            asking.now_us += 700_000
            limits = (_PLAIN[0], _OTHERS[3], _OTHERS[7])
            encoder = Encoder(asking.keyspace, asking.calendars, asking.now_us)
            args = encoder.encode([Request(ACQUIRE, tuple((limit, "a", 1) for limit in limits))])
            args[-10:-7] = (verb, keys, count)
            names = [
                asking.keyspace.name(limit.plan.prefix, f"m{number % (keys - 1)}")
                for number in range(keys)
                for limit in limits
            ]
            for _ in range(rounds):
                asking.calls.call_now(names, args, asking.now_us)
            apart = [*args[:-10], verb, keys, 0, *args[-7:], *(1 + number % 3 for number in range(keys))]
            asking.calls.call_now([*names, *names], [*apart, *args[-10:]], asking.now_us + 1_000)
            asking.calls.command("DEBUG", "DIGEST")
    _beside_others(asking)


def _beside_others(asking: Any) -> None:
    """Limits that are asked beside others, before and behind members that grant and that deny."""
    random = asking.random
    for _ in range(ROUNDS):
        asking.move()
        enforced, other, last = random.sample((*_PLAIN[1:], *_OTHERS[3:]), 3)
        shadows = [replace(limit, candidate=True, shadow=True, beside=True) for limit in (enforced, last)]
        members = [other, enforced, shadows[0], last, shadows[1]][random.choice((0, 0, 1)) :]
        costs = [random.choice((0, 1, 1, 2, 3)) for _ in members]
        named = {limit.plan.prefix: (limit, "a", cost) for limit, cost in zip(members, costs, strict=True)}
        if len(named) == len(members):
            asking.ask([Request(ACQUIRE, tuple(named.values()))], count=random.choice((1, 1, 3)))


def counted_apart(asking: Any) -> None:
    """Runs whose entries each have a count of their own, together and in turn, before and behind other runs."""
    random = asking.random
    for number in range(ROUNDS):
        asking.move()
        for limit in (_PLAIN[number % 3], _OTHERS[number % len(_OTHERS)]):
            cost = random.choice((0, 1, 1, 2))
            runs: list[Run] = [(ACQUIRE, "ba", 1, cost)]
            for verb in (ACQUIRE, IN_TURN):
                names = "abcd"[: random.choice((1, 2, 4))]
                runs.append((verb, names, [random.choice((1, 2, 3, 5)) for _ in names], cost))
            ask_runs(asking, limit, random.sample(runs, 3))


def many_keys(asking: Any) -> None:
    """Runs of about as many keys as are read together."""
    for keys in MANY_KEYS:
        for limit in (_PLAIN[0], _OTHERS[3]):
            asking.now_us += 700_000
            asking.calls.command("FLUSHALL")
            for _ in range(2):
                ask_runs(asking, limit, [(ACQUIRE, [f"k{number}" for number in range(keys)], 1, 1)])


def ask_runs(asking: Any, limit: Limit, runs: Sequence[Run]) -> None:
    """Ask *runs* of one limit in one call."""
    encoder = Encoder(asking.keyspace, asking.calendars, asking.now_us)
    args = encoder.encode([Request(ACQUIRE, ((limit, "a", 1),))])[:-RUN_LENGTH]
    keys: list[str] = []
    for verb, names, count, cost in runs:
        keys += [asking.keyspace.name(limit.plan.prefix, name) for name in names]
        args += (
            [verb, len(names), count, 1, 1, cost]
            if isinstance(count, int)
            else [verb, len(names), 0, 1, 1, cost, *count]
        )
    asking.calls.call_now(keys, args, asking.now_us)
    asking.calls.command("DEBUG", "DIGEST")


def _put_something(asking: Any, limit: Limit, number: int) -> None:
    """Have one key hold what another version, another rule or nobody of this program has written."""
    name = asking.keyspace.name(limit.plan.prefix, "abcdef"[number % 5])
    head, now = b"\1" + b"\0" * 4, struct.pack(">Q", asking.now_us)[1:]
    raws = (
        None,
        b"",
        b"junk",
        b"12x",
        b"9" * 17,
        b"%d" % (asking.now_us + 700_000),
        head + now + struct.pack(">II", 0, 1) + struct.pack(">Q", 2_000_000)[1:],
        head + now + struct.pack(">I", 3),
        b"\2" + b"\0" * 9,
    )
    raw = raws[number % len(raws)]
    asking.calls.command("DEL", name)
    if raw is None:
        asking.calls.command("RPUSH", name, "x")
        asking.calls.command("PEXPIRE", name, LONG_MS)
    else:
        asking.calls.command("SET", name, raw, "PX", LONG_MS)
