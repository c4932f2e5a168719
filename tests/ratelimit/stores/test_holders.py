"""Holders of differing terms on a clock that steps back: both twins answer alike, and every promise is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limit
from sluicegate.database import Keyspace
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.store import PEEK, RELEASE, RENEW, RESET, TAKE, Request
from sluicegate.ratelimit.stores.wire import Encoder
from tests.twins.bundle import joined, shipped_sources
from tests.twins.calling import Calls, Connection, expecting
from tests.twins.test_agreement import HandClock

if TYPE_CHECKING:
    from tests.servers import RedisServer

STEPS = 6_000
UNITS = 3
TERMS_US = (1_000_000, 7_000_500, 60_000_000)
LONGEST_US = max(TERMS_US)
LIMITS = tuple(
    Limit("held", str(UNITS), algorithm="concurrency", hold_seconds=term_us / 1_000_000) for term_us in TERMS_US
)
HOLDERS = tuple(f"holder{number}" for number in range(7))


@dataclass
class Promises:
    """What holders were promised, in a time that never steps back, and how long a step may keep who is gone.

    A naive judge: it says how many hold at least, and how many at most.
    """

    real_us: int = 0
    promised_us: dict[str, int] = field(default_factory=dict)
    gone_us: dict[str, int] = field(default_factory=dict)

    def renewed(self, holder: str, term_us: int) -> None:
        """Begin a term."""
        self.promised_us[holder] = self.gone_us[holder] = self.real_us + term_us

    def stepped_back(self, by_us: int) -> None:
        """Let ends lie further ahead than they did, until the next look brings them back."""
        self.gone_us = {holder: end_us + by_us for holder, end_us in self.gone_us.items()}

    def looked(self) -> None:
        """Forget who is gone, and bring back who stands further ahead than the longest term."""
        latest_us = self.real_us + LONGEST_US
        alive = {holder: end_us for holder, end_us in self.gone_us.items() if end_us > self.real_us}
        self.gone_us = {holder: min(end_us, latest_us) for holder, end_us in alive.items()}

    def released(self, holder: str) -> None:
        """Forget a holder."""
        self.promised_us.pop(holder, None)
        self.gone_us.pop(holder, None)

    @property
    def least(self) -> int:
        """How many hold for certain."""
        return sum(end_us > self.real_us for end_us in self.promised_us.values())

    @property
    def most(self) -> int:
        """How many may still hold."""
        return sum(end_us > self.real_us for end_us in self.gone_us.values())


@dataclass
class Walk:
    """The same requests to both twins, and what was promised by their answers."""

    random: Random
    calls: Calls
    clock: HandClock = field(default_factory=HandClock)
    keyspace: Keyspace = field(default_factory=Keyspace)
    promises: Promises = field(default_factory=Promises)
    refused: int = 0
    stepped_back: int = 0

    def __post_init__(self) -> None:
        self.memory = MemoryStore(self.clock, keys_max=10)

    def step(self, *, steps_back: bool) -> None:
        """Let some time pass, and ask something."""
        self._move(steps_back=steps_back)
        verb = self.random.choices((TAKE, RENEW, RELEASE, PEEK, RESET), weights=(40, 30, 15, 15, 0.3))[0]
        holder, at = self.random.choice(HOLDERS), self.random.randrange(len(LIMITS))
        granted, remaining = self._asked(verb, holder, at)
        if verb != PEEK:
            self.promises.looked()
        if verb in (TAKE, RENEW) and granted:
            self.promises.renewed(holder, TERMS_US[at])
        elif verb == RELEASE:
            self.promises.released(holder)
        elif verb == RESET:
            self.promises = Promises(self.promises.real_us)
        self.refused += verb == TAKE and not granted
        if verb != RESET:
            assert self.promises.least <= UNITS - remaining <= self.promises.most

    def _move(self, *, steps_back: bool) -> None:
        if steps_back and self.random.random() < 0.03:
            by_us = self.random.choice((1, 300_000, 20_000_000, 3_600_000_000))
            self.clock.reading_us -= by_us
            self.promises.stepped_back(by_us)
            self.stepped_back += 1
        ends_us = [end_us for end_us in self.promises.promised_us.values() if end_us > self.promises.real_us]
        next_us = min(ends_us, default=self.promises.real_us) - self.promises.real_us + self.random.choice((-1, 0, 1))
        by_us = self.random.choice(
            (0, 0, 0, 0, self.random.randrange(900_000), self.random.randrange(9_000_000), next_us)
        )
        self.clock.reading_us += max(0, by_us)
        self.promises.real_us += max(0, by_us)

    def _asked(self, verb: int, holder: str, at: int) -> tuple[int, int]:
        detail = holder if verb in (TAKE, RENEW, RELEASE) else None
        request = Request(verb, ((LIMITS[at], "key", 0 if verb == RESET else 1),), detail)
        reply = self.memory.ask_now(request)
        assert reply is not None
        now_us = self.clock.reading_us
        encoder = Encoder(self.keyspace, CalendarRules(), now_us)
        args = encoder.encode([request])
        expected: list[Any] = list(reply.answers) if verb != RESET else [None] * 4
        self.calls.call(encoder.keys, args, now_us, expecting(expected, (request, now_us)))
        return reply.answers[0], reply.answers[1]


@pytest.mark.parametrize("steps_back", [False, True])
def test_no_hold_ends_sooner_than_promised_nor_stays_long(redis_server: RedisServer, *, steps_back: bool) -> None:
    """Whatever terms meet on one key, and also when the clock steps back, both twins answer alike, and rightly.

    Without such steps the least and the most that may hold are the same.
    """
    with Connection(redis_server.port) as connection:
        connection.command("FLUSHALL")
        walk = Walk(Random(f"holders {steps_back}"), Calls(connection, joined(shipped_sources())))
        for _ in range(STEPS):
            walk.step(steps_back=steps_back)
        walk.calls.finish()
        connection.command("FLUSHALL")
    assert walk.refused > STEPS / 20
    assert (walk.stepped_back > STEPS / 100) == steps_back
