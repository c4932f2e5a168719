"""What the whole script was once asked, and answered: walks that the oracle has judged, batches, holds and odd values.

After the steps the server's digest of all that it holds is asked for too, so that what is written counts as an answer.
"""

from __future__ import annotations

import struct
from random import Random
from typing import TYPE_CHECKING, Any

from sluicegate import Limit
from sluicegate.database import Keyspace
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, RELEASE, RENEW, RESET, TAKE, Request
from sluicegate.ratelimit.stores.wire import Encoder
from tests.twins.calling import Calls
from tests.twins.rates import WALKED, random_limits
from tests.twins.test_agreement import START_US, HandClock, World

from .carrying_stories import marked_values, rates_that_change
from .mark_stories import calendars_around, edges_of_marks, states_of_any_rule
from .refund_stories import long_logs, resets, several_rates
from .run_stories import counted_apart, looked_at_and_undone, many_keys, mixed_runs, one_name, several_members, turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.twins.calling import Command, Connection

__all__ = ["Story", "stories"]

Story = list[tuple["Command", Any]]  # each command with its reply

WORLDS = 3
STEPS_A_WORLD = 120
BATCHES = 400
HOLD_STEPS = 400
DIGEST = ("DEBUG", "DIGEST")
LONG_MS = 3_600_000

_SMALL = (
    Limit("gcra", "4 per 2 seconds", algorithm="gcra"),
    Limit("gcra", "3 per 2 seconds", algorithm="gcra"),  # of the same name, so both read the other's state
    Limit("gcra", "3 per 2 seconds; 7 per 9 seconds burst 5", algorithm="gcra"),
    Limit("fixed", "4 per 2 seconds", algorithm="fixed_window"),
    Limit("fixed", "4 per 2 seconds; 9 per 11 seconds", algorithm="fixed_window"),
    Limit("fixed_big", "2000000 per 3 seconds", algorithm="fixed_window"),
    Limit("counter", "4 per 2 seconds", algorithm="sliding_window_counter"),
    Limit("counter", "5 per 2 seconds; 9 per 7 seconds", algorithm="sliding_window_counter"),
    Limit("log", "4 per 2 seconds", algorithm="sliding_window_log"),
    Limit("log", "5 per 2 seconds; 9 per 7 seconds", algorithm="sliding_window_log"),
    Limit("calendar", "4/day", algorithm="calendar_quota"),
    Limit("calendar", "9/month; 4/day", algorithm="calendar_quota", time_zone="Europe/Berlin"),
    Limit("shadow", "2 per 3 seconds", algorithm="gcra", shadow=True),
    Limit("shadow_log", "2 per 3 seconds", algorithm="sliding_window_log", shadow=True),
)
_LOGS = (
    Limit("many", "12 per 8 seconds", algorithm="sliding_window_log"),
    Limit("many", "9 per 3 seconds; 12 per 8 seconds", algorithm="sliding_window_log"),
)
_HELD = tuple(
    Limit("held", units, algorithm="concurrency", hold_seconds=term_s)
    for units, term_s in (("3", 60.0005), ("1", 60.0005), ("2", 20.0003))
)
_ABOUT_ANN = ((TAKE, "ann"), (RENEW, "ann"), (RELEASE, "ann"), (PEEK, None), (RESET, None))


def stories(connection: Connection, source: str) -> list[Story]:
    """Let the script *source* be asked all that there is, and write it down."""
    walks = [_walked(connection, source, name) for name in WALKED]
    told = (_batches, _holds, _logs, _borders, _short_counters, turns, mixed_runs, one_name, several_members, many_keys)
    told += (counted_apart, looked_at_and_undone, resets, long_logs, several_rates, rates_that_change, marked_values)
    told += (edges_of_marks, states_of_any_rule, calendars_around, _odd_values)  # those that take long come last
    return walks + [_told_by(connection, source, tell) for tell in told]


def _told_by(connection: Connection, source: str, tell: Any) -> Story:
    connection.command("FLUSHALL")
    calls = Calls(connection, source, recorded=[])
    tell(_Asking(calls))
    assert calls.recorded is not None
    return calls.recorded


def _walked(connection: Connection, source: str, walked: str) -> Story:
    """Walk with the oracle beside; the rates of a log remember longer than one, so it then walks forward only."""
    random = Random(f"story {walked}")
    connection.command("FLUSHALL")
    calls = Calls(connection, source, recorded=[])
    for number in range(WORLDS):
        limits = random_limits(random, walked, number)
        is_log = walked == "sliding_window_log"
        steps_back = not is_log or number % 2 == 0
        if is_log and steps_back:
            limits = [limit for limit in limits if len(limit.rates) == 1]
        clock = HandClock(START_US + random.randrange(10**13))
        world = World(random, limits, calls, clock, number, steps_back=steps_back)
        for _ in range(STEPS_A_WORLD // 10):
            world.walk(10)
            calls.command(*DIGEST)
    assert calls.recorded is not None
    return calls.recorded


class _Asking:
    """Asks requests of the script at a time of its own."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.random = Random("asking")
        self.now_us = START_US
        self.keyspace = Keyspace("s")
        self.calendars = CalendarRules()

    def ask(self, requests: Sequence[Request], *, count: int = 1, edges_at_us: int | None = None) -> Any:
        """Ask *requests* in one call; look at all that is kept then."""
        encoder = Encoder(self.keyspace, self.calendars, self.now_us if edges_at_us is None else edges_at_us)
        args = encoder.encode(requests)
        if count > 1:
            args[-2 - 2 * len(requests[0].members)] = count
        reply = self.calls.call_now(encoder.keys, args, self.now_us)
        self.calls.command(*DIGEST)
        return reply

    def move(self) -> None:
        """Let some time pass, seldom backwards."""
        chance = self.random.random()
        if chance < 0.05:
            self.now_us -= self.random.randrange(5_000_000)
        elif chance < 0.7:
            self.now_us += self.random.choice((0, 1, 500_000, self.random.randrange(3_000_000)))


def _batches(asking: _Asking) -> None:
    """Several requests in one call that share keys, rules and limits of one name."""
    random = asking.random
    taken: list[Request] = []
    for serial in range(BATCHES):
        asking.move()
        among = random.sample(_SMALL, 2)
        requests: list[Request] = []
        for number in range(random.choice((1, 2, 3, 6))):
            requests += _drawn(asking, among, taken, serial * 10 + number)
        asking.ask(requests)
        if serial % 5 == 0:
            member = (random.choice(_SMALL), random.choice("ab"), random.choice((0, 1, 2)))
            asking.ask([Request(ACQUIRE, (member,))], count=random.choice((2, 3, 5)))


def _drawn(asking: _Asking, among: Sequence[Limit], taken: list[Request], serial: int) -> list[Request]:
    random = asking.random
    limit, key, cost = random.choice(among), random.choice("aab"), random.choice((0, 1, 1, 2, 3, 5, 9))
    chance = random.random()
    if chance < 0.15:
        return [Request(RESET, ((limit, key, 0),))]
    if chance < 0.25:
        return [Request(PEEK, ((limit, key, cost),))]
    if chance < 0.4 and taken:
        return [random.choice(taken)] * random.choice((1, 2))
    if chance < 0.6:
        members = {own.name: (own, key, cost) for own in (limit, *random.sample(_SMALL, 2))}
        return [Request(ACQUIRE, tuple(members.values()))]
    detail = (asking.now_us, asking.now_us + random.choice((1, 900_000, 3_000_000, 9_000_000)), serial)
    taken.append(Request(REFUND, ((limit, key, max(1, cost)),), detail))
    return [Request(ACQUIRE, ((limit, key, cost),))] * random.choice((1, 1, 2, 3))


def _logs(asking: _Asking) -> None:
    """Logs of many entries, out of which refunds take whole and part ones, near both ends, and too late."""
    random = asking.random
    for number, limit in enumerate(_LOGS * 12):
        taken = []
        for serial in range(random.choice((2, 5, 9))):
            asking.now_us += random.choice((0, 700_000, random.randrange(1_500_000)))
            cost = random.choice((1, 2, 3))
            asking.ask([Request(ACQUIRE, ((limit, f"log{number}", cost),))])
            detail = (asking.now_us, asking.now_us + 9_000_000, number * 100 + serial)
            taken.append(Request(REFUND, ((limit, f"log{number}", cost + random.choice((-1, 0, 1, 2))),), detail))
        for request in random.sample([refund for refund in taken if refund.members[0][2] > 0], k=1) + taken:
            assert isinstance(request.detail, tuple)
            late_us = request.detail[0] + random.choice((8_000_000, 7_999_999, 8_000_001))
            asking.now_us = max(asking.now_us, random.choice((0, 0, 0, late_us)))
            asking.ask([request, Request(PEEK, ((limit, f"log{number}", random.choice((1, 5, 9))),))])


def _holds(asking: _Asking) -> None:
    """Takes, renewals and releases by a few holders, with steps of the clock, and under a smaller limit."""
    random = asking.random
    term_us = _HELD[0].plan.rules[0][1]
    for step in range(HOLD_STEPS):
        asking.now_us += random.choice(
            (0, 0, 0, 1, term_us // 3, -1, *((term_us - 1, term_us) if step % 3 == 0 else ()))
        )
        if step % 40 == 0:
            asking.now_us -= term_us // 2
        requests = []
        for _ in range(random.choice((1, 1, 2, 3))):
            verb = random.choice((TAKE, TAKE, TAKE, TAKE, RENEW, RELEASE, PEEK, RESET))
            verb = TAKE if verb == RESET and step % 5 else verb
            holder = random.choice(("ann", "bob", "cid", "dee", "eve")) if verb in (TAKE, RENEW, RELEASE) else None
            limit = random.choice(_HELD[:1] * 5 + _HELD[1:])
            requests.append(Request(verb, ((limit, random.choice("ab"), 1),), holder))
        asking.ask(requests)
    key = asking.keyspace.name(_HELD[0].plan.prefix, "x")
    asking.calls.command("SET", key, "1", "PX", LONG_MS)
    for verb, holder in _ABOUT_ANN:
        asking.ask([Request(verb, ((_HELD[0], "x", 1),), holder)])
    _odd_holders(asking)


def _odd_holders(asking: _Asking) -> None:
    """Sets of holders as nobody could have written them: with ends where none is, and odd words of how far ahead."""
    key = asking.keyspace.name(_HELD[0].plan.prefix, "odd")
    for ahead in (None, "-inf", -1, 0, 1, "inf"):
        for until_us in (1, "inf", asking.now_us + 10**9, asking.now_us):
            for verb, holder in _ABOUT_ANN:
                asking.calls.command("DEL", key)
                asking.calls.command("ZADD", key, until_us, "bob", 0, "zero", -1, "below")
                if ahead is not None:
                    asking.calls.command("ZADD", key, ahead, "ahead")
                asking.calls.command("PEXPIRE", key, LONG_MS)
                asking.ask([Request(verb, ((_HELD[0], "odd", 1),), holder)])


def _odd_raws(random: Random, now_us: int) -> list[bytes]:
    """Values as another version, another rule, or nobody could have written them."""
    plain = [b"", b"junk", b"12x", b"%d" % now_us, b"%d" % (now_us + 1_000_000), b"9" * 16, b"9" * 17, b"7"]
    plain += [b"%d" % (now_us // 1_000_000 * 2**21 + used) for used in (0, 1, 4, 9, 2**20)]
    versions = [bytes([version]) + b"\0" * 4 for version in (0, 1, 2, 9, 10, 11)]
    slots = [struct.pack(">Q", now_us + random.randrange(-(10**6), 10**6))[1:] for _ in range(10)]
    packed = [
        head
        + b"".join(slot + struct.pack(">I", random.choice((0, 1, 3, 5, 30))) * words for slot in slots[:number])
        + tail
        for head in versions
        for number in (0, 1, 2, 8, 9)
        for words in (1, 2)
        for tail in (b"", b"x")
    ]
    return plain + random.sample(packed, 25) + _readable_raws(now_us)


def _readable_raws(now_us: int) -> list[bytes]:
    """Values of one rate as this version writes them, under other rules or when the clock stepped back."""
    head, second = b"\1" + b"\0" * 4, now_us // 2_000_000 * 2_000_000
    paced = [
        head + _seven(now_us + ahead_us) + struct.pack(">II", rem, per) + _seven(debt_us)
        for ahead_us in (0, 700_000, 3_500_000)
        for rem, per in ((0, 1), (0, 3), (1, 3), (3, 3), (2, 5), (7, 3))
        for debt_us in (0, 2_000_000)
    ]
    counts = [(start_us, first) for start_us in (second - 2_000_000, second, second + 2_000_000) for first in (3, 30)]
    counted = [head + _seven(start_us) + struct.pack(">I", first) for start_us, first in counts]
    return paced + counted + [raw + struct.pack(">I", again) for raw in counted for again in (3, 30)]


def _seven(number: int) -> bytes:
    return struct.pack(">Q", number)[1:]


def _odd_values(asking: _Asking) -> None:
    """Keys that hold what no script of this version has written, under every rule and verb."""
    random, calls = asking.random, asking.calls
    for limit in _SMALL:
        is_log = limit.plan.algorithm.family == "sliding_window_log"
        raws = _odd_raws(random, asking.now_us)
        for number, raw in enumerate([b"", b"", b"2", b"2"] if is_log else raws):
            if number % 10 == 0:
                calls.command("FLUSHALL")  # a digest of few keys is quick
            key = f"odd{number}"
            name = asking.keyspace.name(limit.plan.prefix, key)
            calls.command("DEL", name)
            calls.command("SET", name, raw, "PX", LONG_MS)
            for verb in random.sample((ACQUIRE, PEEK, REFUND), 3):
                detail = (asking.now_us, asking.now_us + 900_000, number) if verb == REFUND else None
                asking.ask([Request(verb, ((limit, key, random.choice((0, 1, 2))),), detail)])
        _wrong_types(asking, limit)
        if is_log:
            _odd_logs(asking, limit)


def _wrong_types(asking: _Asking, limit: Limit) -> None:
    name = asking.keyspace.name(limit.plan.prefix, "list")
    asking.calls.command("RPUSH", name, "x")
    asking.calls.command("PEXPIRE", name, LONG_MS)
    refund = Request(REFUND, ((limit, "list", 1),), (asking.now_us, asking.now_us + 10**6, 1))
    for request in (
        Request(ACQUIRE, ((limit, "list", 1),)),
        Request(ACQUIRE, ((limit, "list", 1), (_SMALL[5], "fine", 1))),
        Request(ACQUIRE, ((_SMALL[5], "fine", 1), (limit, "list", 1))),
        Request(PEEK, ((limit, "list", 1),)),
        refund,
        Request(RESET, ((limit, "list", 0),)),
    ):
        asking.ask([request])
    for number, raw in enumerate((b"3", b"0", b"12345678901", b"1234567890", b"x3", b"3x", b"")):
        detail = (asking.now_us, asking.now_us + 10**6, 100 + number)
        companion = asking.keyspace.companion(limit.plan.prefix, "once", f"{detail[0]:x}-{detail[2]:x}")
        asking.calls.command("SET", companion, raw, "PX", LONG_MS)
        asking.ask([Request(ACQUIRE, ((limit, "once", 1),)), Request(REFUND, ((limit, "once", 1),), detail)])
        asking.calls.command("DEL", companion)
        asking.calls.command("RPUSH", companion, "x")
        asking.ask([Request(REFUND, ((limit, "once", 1),), detail)] * 2)
        asking.calls.command("PEXPIRE", companion, LONG_MS)


def _odd_logs(asking: _Asking, limit: Limit) -> None:
    def entry(total: int, units: int) -> bytes:
        return struct.pack(">Q", total)[1:] + struct.pack(">I", units)

    logs = [
        [entry(3, 1)],
        [entry(3, 3), entry(5, 2)],
        [entry(1, 3)],
        [entry(2**53 - 1, 1)],
        [entry(2**53, 1)],
        [entry(0, 0)],
        [b"short"],
        [entry(9, 1), entry(4, 2)],
        [b"longer than eleven", entry(4, 2)],
        [b"short", entry(3, 3), entry(5, 2), entry(6, 1)],
        [entry(3, 3), entry(5, 2), b"short", entry(6, 1)],
    ]
    asked = [(number, verb, 0) for number in range(len(logs)) for verb in (ACQUIRE, PEEK)]
    asked += [(number, REFUND, by) for number, log in enumerate(logs) for by in range(len(log) + 1)]
    for number, verb, by in asked:
        key, apart_us = (
            f"log{number}{verb}{by}",
            300_000 if by % 2 else 700_000,
        )  # with these the last is ahead of the clock
        name = asking.keyspace.name(limit.plan.prefix, key)
        for at, member in enumerate(logs[number]):
            asking.calls.command("ZADD", name, asking.now_us - 1_000_000 + at * apart_us, member)
        asking.calls.command("PEXPIRE", name, LONG_MS)
        decided_at_us = asking.now_us - 1_000_000 + by * apart_us  # of one of the entries, or of none
        detail = (decided_at_us, asking.now_us + 10**6, number * 10 + by) if verb == REFUND else None
        asking.ask([Request(verb, ((limit, key, 2),), detail), Request(PEEK, ((limit, key, 1),))])
        asking.ask([Request(ACQUIRE, ((limit, key, 1),))])


def _short_counters(asking: _Asking) -> None:
    """The edges of the short form of the sliding counter: great limits, years and parts of seconds; its look-alikes."""
    last_s = 2**32 - 1  # in 2106
    starts_s = (-1, 0, 1, 2, last_s - 1, last_s, last_s + 1)
    for most in (2**23 - 1, 2**23):
        limit = Limit(f"counter{most}", f"{most} per second", algorithm="sliding_window_counter")
        for start_s in starts_s:
            asking.now_us = start_s * 1_000_000 + 300_000
            for cost in (most - 1, 1, 1):
                asking.ask([Request(ACQUIRE, ((limit, f"short{start_s}", cost),))])
                asking.now_us += 400_000
    for period in ("1.5 seconds", "0.3 seconds"):
        limit = Limit(f"parts{period[:3]}", f"9 per {period}", algorithm="sliding_window_counter")
        for cost in (1, 5, 2, 2):
            asking.ask([Request(ACQUIRE, ((limit, "a", cost),))])
            asking.now_us += 700_000
    asking.now_us = START_US
    short = struct.pack(">BI", 16, START_US // 1_000_000) + bytes((0, 0, 1, 0, 0, 2))
    raws = (short, short[:-1], short + b"\0", b"\1" + short[1:], b"\x0f" + short[1:], short + b"\0" * 11)
    for kind in ("sliding_window_counter", "gcra", "fixed_window"):
        limit = Limit(f"alike-{kind}", "4 per 2 seconds", algorithm=kind)
        for number, raw in enumerate(raws):
            name = asking.keyspace.name(limit.plan.prefix, f"alike{number}")
            asking.calls.command("SET", name, raw, "PX", LONG_MS)
            for verb in (PEEK, ACQUIRE):
                asking.ask([Request(verb, ((limit, f"alike{number}", 1),))])


def _borders(asking: _Asking) -> None:
    """Calendars that do not cover the clock, a request of another layout, and the edge of the short form of state."""
    day_us = 86_400_000_000
    calendars = [limit for limit in _SMALL if limit.algorithm == "calendar_quota"]
    for limit in calendars:
        for by_us in (-60 * day_us, -2 * day_us, -day_us, 0, day_us, 2 * day_us, 60 * day_us):
            requests = [Request(ACQUIRE, ((limit, "a", 2),)), Request(PEEK, ((limit, "a", 1),))]
            requests.append(Request(REFUND, ((limit, "a", 1),), (asking.now_us, asking.now_us + day_us, by_us % 97)))
            asking.ask(requests, edges_at_us=asking.now_us + by_us)
            asking.ask([Request(ACQUIRE, ((_SMALL[0], "a", 1), (limit, "b", 1)))], edges_at_us=asking.now_us + by_us)
    for now_us in (-3_600_000_000, 3_600_000_000):  # on either side of 1970, where the first window begins
        before_us, asking.now_us = asking.now_us, now_us
        for cost in (1, 2, 1):
            asking.ask([Request(ACQUIRE, ((calendars[0], f"old{now_us}", cost),))])
        asking.now_us = before_us
    for limit, period in ((2**20 - 1, "2 seconds"), (2**20, "2 seconds"), (4, "0.3 seconds")):
        plain = Limit(f"edge{limit}", f"{limit} per {period}", algorithm="fixed_window")
        for cost in (1, limit, limit - 1):
            asking.now_us += 700_000
            asking.ask([Request(ACQUIRE, ((plain, "a", cost),))])
    reply = asking.calls.call_now([b"x"], ["2", 0], asking.now_us)
    assert isinstance(reply, Exception)
