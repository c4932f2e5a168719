"""Both twins and the oracle walk together: the same random steps, the same answers to the microsecond."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import count as counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate.database import Keyspace
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.expiry import ExpiryOrder
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, RESET, Request
from sluicegate.ratelimit.stores.wire import Encoder
from tests.oracle import limits as judged

from .bundle import joined, shipped_sources
from .calling import Calls, Connection, Mismatch, expecting
from .rates import WALKED, kept_for, random_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate import Limit
    from tests.servers import RedisServer

STEPS = int(os.environ.get("WALK_STEPS", "40000"))  # `make exactness` walks further
STEPS_QUICK = 2_000
STEPS_A_WORLD = 150  # then other limits, at another time
START_US = 1_800_000_000_000_000
END_US = 4_000_000_000_000_000  # what a rate that is refused at construction keeps below 2^53
KEYS = ("a", "b")
DENIED_RATIO = (0.2, 0.8)


@dataclass
class HandClock:
    """The time of a walk."""

    reading_us: int = START_US

    def now_us(self) -> int:
        """Return the time."""
        return self.reading_us

    def monotonic_us(self) -> int:
        """Return the time."""
        return self.reading_us


class ForgetsNothing(ExpiryOrder):
    """An order of keys in which nothing ever expires."""

    def take_due(self, now_us: int, most: int) -> list[str]:
        """Forget nothing."""
        return []


@dataclass
class World:
    """Some limits, and what all three models keep of them."""

    random: Random
    limits: list[Limit]
    calls: Calls
    clock: HandClock
    number: int
    calendars: CalendarRules = field(default_factory=CalendarRules)
    edges_us: list[int] = field(default_factory=list)
    taken: list[tuple[Limit, str, int, int, int, int]] = field(default_factory=list)
    reset_us: dict[tuple[str, str], int] = field(default_factory=dict)
    serial: Any = field(default_factory=counter)
    steps_back: bool = True
    asked: int = 0
    denied: int = 0

    def __post_init__(self) -> None:
        self.memory = MemoryStore(self.clock, keys_max=1_000)
        for shard in self.memory.shards:
            shard.order = ForgetsNothing()  # as the oracle does: what expired may count again when the clock steps back
        self.kept = {(limit.name, key): kept_for(limit) for limit in self.limits for key in KEYS}
        self.keyspace = Keyspace(f"w{self.number}")

    def walk(self, steps: int) -> None:
        """Take *steps* at random."""
        verbs = (self.acquire, self.acquire_several, self.acquire_all, self.peek, self.refund, self.reset)
        for verb in self.random.choices(verbs, weights=(60, 10, 12, 8, 8, 2), k=steps):
            self.move()
            verb()

    def move(self) -> None:
        """Go on in time, often to within a microsecond of an edge that somebody was told, seldom back."""
        chance = self.random.random()
        if chance < 0.35:
            return
        if chance < 0.80 and self.edges_us:
            to_us = self.random.choice(self.edges_us[-6:]) + self.random.choice((-1, 0, 0, 1))
            if self.clock.reading_us < to_us < END_US:
                self.clock.reading_us = to_us
                return
        limit = self.random.choice(self.limits)
        period_us = min(rate.period_us for rate in limit.rates)
        step_us = round(period_us * 10 ** self.random.uniform(-4, 0.5))
        if chance > 0.97 and self.steps_back:
            step_us = -min(step_us, 3 * period_us)
        self.clock.reading_us = min(self.clock.reading_us + step_us, END_US)

    def member(self) -> tuple[Limit, str, int]:
        """Draw who asks for how much; large costs are what gets denied."""
        limit = self.random.choice(self.limits)
        capacity = limit.plan.capacity
        most = max(1, capacity)
        cost = self.random.choice(
            (0, 1, 1, min(2, most), self.random.randint(1, most), most // 2 + 1, most, min(capacity + 1, 10**9))
        )
        return limit, self.random.choice(KEYS), cost

    def acquire(self) -> None:
        """One limit, once."""
        self.decide((self.member(),), 1)

    def acquire_several(self) -> None:
        """One limit, several identical requests."""
        limit, key, cost = self.member()
        count = self.random.choice((2, 3, 5))
        self.decide(((limit, key, min(cost, max(1, limit.plan.capacity // 3))),), count)

    def acquire_all(self) -> None:
        """Several limits, all or nothing."""
        members: dict[tuple[str, str], tuple[Limit, str, int]] = {}
        for _ in range(self.random.choice((2, 2, 3))):
            limit, key, cost = self.member()
            members[limit.name, key] = (limit, key, cost)
        self.decide(tuple(members.values()), 1)

    def decide(self, members: Sequence[tuple[Limit, str, int]], count: int) -> None:
        """Let all three decide, and compare."""
        now_us = self.clock.reading_us
        told = judged.acquire_all([(self.kept[limit.name, key], cost) for limit, key, cost in members], now_us, count)
        request = Request(ACQUIRE, tuple(members))
        found = self.remembered(request, count)
        expected = [number for answer in told for number in numbers_of(answer)]
        self.compare(found, expected, request, now_us)
        self.call(request, expected, count)
        self.asked += count
        self.denied += count - told[0].granted
        for (limit, key, cost), answer in zip(members, told, strict=True):
            self.edges_us += [now_us + max(0, answer.retry_after_us), now_us + answer.reset_after_us]
            if told[0].granted == count == 1 and cost > 0 and not limit.shadow:
                reset_at_us = now_us + answer.reset_after_us
                self.taken.append((limit, key, cost, now_us, reset_at_us, next(self.serial)))

    def remembered(self, request: Request, count: int) -> list[int]:
        """Let the memory store decide *count* times, and tell it as one answer."""
        granted = 0
        answers: list[int] = []
        for _ in range(count):
            reply = self.memory.ask_now(request)
            assert reply is not None
            answers = list(reply.answers)
            granted += max(0, answers[0])
        return [granted, *answers[1:]] if count > 1 else answers

    def peek(self) -> None:
        """Look without taking."""
        limit, key, cost = self.member()
        now_us = self.clock.reading_us
        expected = numbers_of(judged.peek(self.kept[limit.name, key], now_us, cost))
        request = Request(PEEK, ((limit, key, cost),))
        self.compare(self.remembered(request, 1), expected, request, now_us)
        self.call(request, expected, 1)

    def refund(self) -> None:
        """Give back what some decision took, twice."""
        if not self.taken:
            return
        limit, key, cost, decided_at_us, reset_at_us, serial = self.taken.pop(self.random.randrange(len(self.taken)))
        if decided_at_us <= self.reset_us.get((limit.name, key), 0):
            return  # void, if the store had a state to reset, which no oracle knows
        now_us = self.clock.reading_us
        kept = self.kept[limit.name, key]
        if limit.algorithm == "sliding_window_log" and reset_at_us > now_us:
            # Its rates share one log, so what one of them still counts is given back.
            own = [
                rate.refund(now_us, cost, decided_at_us=decided_at_us, reset_at_us=reset_at_us) for rate in kept.rates
            ]
            refunded = max(own)
        else:
            refunded = judged.refund(kept, now_us, cost, decided_at_us, reset_at_us)
            if reset_at_us > now_us and all(rate.normalised(now_us) is None for rate in kept.rates):
                judged.reset(kept, now_us)
        request = Request(REFUND, ((limit, key, cost),), (decided_at_us, reset_at_us, serial))
        for _ in range(2):
            found = self.remembered(request, 1)
            self.compare(found[:1], [refunded], request, now_us)
            self.call(request, [refunded, None, None, None], 1)

    def reset(self) -> None:
        """Forget a key; whether there was a state is for each store's own tests."""
        limit, key, _ = self.member()
        request = Request(RESET, ((limit, key, 0),))
        judged.reset(self.kept[limit.name, key], self.clock.reading_us)
        self.remembered(request, 1)
        self.call(request, [None] * 4, 1)
        self.reset_us[limit.name, key] = max(self.clock.reading_us, self.reset_us.get((limit.name, key), 0))

    def call(self, request: Request, expected: Sequence[int | None], count: int) -> None:
        """Let the Lua twin decide; its answer is compared when it comes."""
        now_us = self.clock.reading_us
        encoder = Encoder(self.keyspace, self.calendars, now_us)
        args = encoder.encode([request])
        if count > 1:
            args[-4] = count
        self.calls.call(encoder.keys, args, now_us, expecting(expected, (request, now_us, self.number)))

    def compare(self, found: Sequence[int], expected: Sequence[int], request: Request, now_us: int) -> None:
        """Compare what the memory store answers with what the oracle does."""
        if list(found) != list(expected):
            raise Mismatch(f"{(request, now_us)}\nthe memory store answers {found}\nwhere expected is {expected}")


def numbers_of(answer: Any) -> list[int]:
    """Return an oracle's answer as the stores tell it."""
    return [answer.granted, answer.remaining, answer.retry_after_us, answer.reset_after_us]


def walk(server: RedisServer, walked: str, steps: int, seed: int) -> float:
    """Walk through one world after the other; return the share of denied requests."""
    random = Random(f"{walked}-{seed}")
    asked = denied = 0
    with Connection(server.port) as connection:
        connection.command("FLUSHALL")
        calls = Calls(connection, joined(shipped_sources()))
        for number in range(steps // STEPS_A_WORLD + 1):
            clock = HandClock(START_US + random.randrange(10**13))
            limits, steps_back = random_limits(random, walked, number), True
            if walked == "sliding_window_log":
                # Rates that share a log remember longer than one alone, which shows when the clock steps back.
                steps_back = number % 2 == 0
                limits = [limit for limit in limits if len(limit.rates) == 1] if steps_back else limits
            world = World(random, limits, calls, clock, number, steps_back=steps_back)
            world.walk(STEPS_A_WORLD)
            calls.finish()
            asked += world.asked
            denied += world.denied
        connection.command("FLUSHALL")
    return denied / asked


@pytest.mark.parametrize("walked", WALKED)
def test_the_twins_and_the_oracle_agree_for_a_while(redis_server: RedisServer, walked: str) -> None:
    """Over some random steps both stores answer what the oracle does."""
    denied_ratio = walk(redis_server, walked, STEPS_QUICK, seed=1)
    assert DENIED_RATIO[0] <= denied_ratio <= DENIED_RATIO[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("walked", WALKED)
def test_the_twins_and_the_oracle_agree_over_a_long_walk(redis_server: RedisServer, walked: str) -> None:
    """Over 100,000 random steps for each algorithm both stores answer what the oracle does."""
    denied_ratio = walk(redis_server, walked, STEPS, seed=2)
    print(f"\n{walked}: {STEPS:,} steps, {denied_ratio:.0%} denied")
    assert DENIED_RATIO[0] <= denied_ratio <= DENIED_RATIO[1]
