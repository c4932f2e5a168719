"""One key asked in three ways at once: many requests in one answer, in turn, and each by itself."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sluicegate.database import Keyspace
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.store import ACQUIRE, IN_TURN, REFUND, Request
from sluicegate.ratelimit.stores.wire import Encoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from sluicegate import Limit

    from .calling import Calls

__all__ = ["Asked", "Threefold", "in_its_turn", "walked_answers"]


START_US = 1_800_000_000_000_000
COUNT_MAX = 64
RUN_LENGTH = 6  # verb, entries, count, members, rule, cost

Answer = tuple[int, int, int, int]  # granted, remaining, retry_after_us, reset_after_us


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked about one key, and answered in the three ways.

    Attributes:
        limit: The limit.
        cost: Of each request.
        count: How many there were.
        together: The one answer for all.
        in_turn: The answers of one entry that is answered in turn.
        separate: The answers of as many entries.
        states: What the server holds after each of the three.
    """

    limit: Limit
    cost: int
    count: int
    together: Answer
    in_turn: list[Answer]
    separate: list[Answer]
    states: tuple[bytes | None, ...]


@dataclass
class Threefold:
    """Three keys of the same history, of which each is asked in its own way.

    Attributes:
        calls: The script.
        random: Draws.
        now_us: The time.
    """

    calls: Calls
    random: Random
    now_us: int = START_US
    keyspace: Keyspace = field(default_factory=lambda: Keyspace("t"))
    calendars: CalendarRules = field(default_factory=CalendarRules)
    serial: int = 0

    def ask(self, limit: Limit, name: str, cost: int, count: int) -> Asked:
        """Ask *count* requests of *cost* in all three ways."""
        together = self._answers(limit, f"{name}1", cost, (ACQUIRE, 1, count))
        in_turn = self._answers(limit, f"{name}2", cost, (IN_TURN, 1, count))
        separate = self._answers(limit, f"{name}3", cost, (ACQUIRE, count, 1))
        states = tuple(self.calls.command("DUMP", self._key(limit, f"{name}{way}")) for way in (1, 2, 3))
        return Asked(limit, cost, count, together[0], in_turn, separate, states)

    def refund(self, limit: Limit, name: str, cost: int, decided_at_us: int, reset_at_us: int) -> None:
        """Give back a decision on all three keys; where the clock stepped back it leaves a debt."""
        self.serial += 1
        for way in (1, 2, 3):
            detail = (decided_at_us, reset_at_us, self.serial)
            encoder = Encoder(self.keyspace, self.calendars, self.now_us)
            args = encoder.encode([Request(REFUND, ((limit, f"{name}{way}", cost),), detail)])
            assert isinstance(self.calls.call_now(encoder.keys, args, self.now_us), list)

    def put(self, limit: Limit, name: str, raw: bytes) -> None:
        """Have all three keys hold *raw*."""
        for way in (1, 2, 3):
            self.calls.command("SET", self._key(limit, f"{name}{way}"), raw, "PX", 3_600_000)

    def put_list(self, limit: Limit, name: str) -> None:
        """Have all three keys hold what no limit does."""
        for way in (1, 2, 3):
            self.calls.command("DEL", self._key(limit, f"{name}{way}"))
            self.calls.command("RPUSH", self._key(limit, f"{name}{way}"), "x")

    def _key(self, limit: Limit, name: str) -> bytes:
        return self.keyspace.name(limit.plan.prefix, name)

    def _answers(self, limit: Limit, name: str, cost: int, run: tuple[int, int, int]) -> list[Answer]:
        encoder = Encoder(self.keyspace, self.calendars, self.now_us)
        rules = encoder.encode([Request(ACQUIRE, ((limit, name, cost),))])[:-RUN_LENGTH]
        _, entries, _ = run
        reply = self.calls.call_now(encoder.keys * entries, [*rules, *run, 1, 1, cost], self.now_us)
        assert isinstance(reply, list), reply
        return [tuple(reply[at : at + 4]) for at in range(2, len(reply), 4)]


def in_its_turn(asked: Asked, turn: int) -> Answer:
    """Return what the one answer for all says to the request of *turn*, from 0."""
    granted, remaining, retry_after_us, reset_after_us = asked.together
    if turn >= granted:
        return (min(granted, 0), remaining, retry_after_us, reset_after_us)  # a status is everybody's
    after = (granted - 1 - turn) * asked.cost
    if asked.limit.plan.algorithm.family == "gcra":
        interval_us = asked.limit.plan.rules[0][1]
        return (1, remaining + after, 0, reset_after_us - after * interval_us)
    return (1, remaining + after, 0, reset_after_us)


def walked_answers(three: Threefold, limits: list[Limit], steps: int) -> Iterator[Asked]:
    """Ask at random, while time passes and steps back, decisions are given back, and odd values stand in the keys."""
    random = three.random
    for _ in range(steps):
        limit, name = random.choice(limits), random.choice("ab")
        capacity = max(1, limit.plan.capacity)
        most = max(1, capacity // random.choice((1, 2, 7, 64)))
        period_us = min(rate.period_us for rate in limit.rates)
        chance = random.random()
        if chance < 0.5:
            three.now_us += round(period_us * 10 ** random.uniform(-4, 0.3))
        elif chance < 0.6:
            before_us = three.now_us
            three.now_us -= random.randint(0, 2 * period_us)
            three.refund(limit, name, random.randint(1, most), before_us, before_us + period_us)
        elif chance < 0.8 and limit.plan.algorithm.family != "sliding_window_log":
            three.put(limit, name, random.choice(_odd_raws(three.now_us, period_us, len(limit.plan.rules))))
        cost = random.choice((0, 0, 1, 1, 1, 2, random.randint(1, most), capacity + 1))
        yield three.ask(limit, name, cost, random.choice((1, 2, 3, 5, random.randint(1, COUNT_MAX))))


def _odd_raws(now_us: int, period_us: int, slots: int) -> list[bytes]:
    """Values far ahead of the clock, above every limit, in debt, and of no meaning."""
    start_us = now_us // 1_000_000 * 1_000_000
    ahead_us = min(now_us + 3 * period_us, 2**53 - 1)
    head = b"\1" + b"\0" * 4

    def seven(number: int) -> bytes:
        return struct.pack(">Q", number)[1:]

    return [
        b"junk",
        b"\2" + b"\0" * 4,
        b"%d" % ahead_us,
        b"%d" % (now_us // 1_000_000 * 2**21 + 2**20),
        *[head + (seven(ahead_us) + struct.pack(">II", 0, 1) + seven(debt_us)) * slots for debt_us in (1, period_us)],
        head + (seven(start_us) + struct.pack(">I", 2**30)) * slots,
        head + (seven(now_us - now_us % period_us) + struct.pack(">II", 2**30, 2**29)) * slots,
    ]
