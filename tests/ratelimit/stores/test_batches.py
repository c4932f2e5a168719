"""A batch decides as if its entries had been sent one by one, however they share keys, rules and instants."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limit
from sluicegate.database import Keyspace
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.expiry import ExpiryOrder
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.store import ACQUIRE, IN_TURN, PEEK, REFUND, RELEASE, RENEW, RESET, TAKE, Request
from sluicegate.ratelimit.stores.wire import Encoder
from tests.conformance.rig import HandClock
from tests.ratelimit.by_hand import lasting_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

BATCHES = 60
ENTRIES = 24
HEADER = 2  # what stands before the answers

LIMITS = {
    "gcra": [Limit("one", "30/minute"), Limit("two", "7/minute burst 20"), Limit("one", "7/minute burst 25")],
    "leaky_bucket": [Limit("one", "7/minute", algorithm="leaky_bucket"), Limit("two", "5/s burst 9; 30/min")],
    "fixed_window": [
        Limit("one", "9/minute", algorithm="fixed_window"),
        Limit("one", "20 per 7 s", algorithm="fixed_window"),
        Limit("two", "9/minute; 30/hour", algorithm="fixed_window"),
    ],
    "sliding_window_counter": [
        Limit("one", "9/minute", algorithm="sliding_window_counter"),
        Limit("two", "9/minute; 30/hour", algorithm="sliding_window_counter"),
    ],
    "sliding_window_log": [
        Limit("one", "9/minute", algorithm="sliding_window_log"),
        Limit("two", "30/hour", algorithm="sliding_window_log", shadow=True),
    ],
    "calendar_quota": [
        Limit("one", "30/day", algorithm="calendar_quota", time_zone="Europe/Berlin"),
        Limit("two", "20/day; 90/month", algorithm="calendar_quota", anchor="2024-01-31"),
    ],
    "mixed": [
        Limit("one", "30/minute"),
        Limit("shadow", "7/minute burst 9", shadow=True),
        Limit("one", "9/minute", algorithm="fixed_window"),
        Limit("one", "9/minute; 30/hour", algorithm="sliding_window_counter"),
        Limit("one", "9/minute", algorithm="sliding_window_log"),
        Limit("one", "30/day", algorithm="calendar_quota", time_zone="Asia/Kathmandu"),
    ],
}
HELD = Limit("held", "3", algorithm="concurrency", hold_seconds=60)

Entry = tuple[Request, int]  # what is asked, and how many times at once


@dataclass
class Drawn:
    """Requests at random, half of which share a few keys; the others have one each."""

    draw: Random
    limits: Sequence[Limit]
    taken: list[tuple[Limit, str, int, int, int, int]] = field(default_factory=list)
    serial: int = 0
    now_us: int = 0

    def entries(self, now_us: int) -> list[Entry]:
        """Draw one batch."""
        self.now_us = now_us
        kinds = self.draw.choices(
            ("one", "several", "joint", "peek", "refund", "reset", "hold"), (8, 4, 6, 2, 3, 1, 2), k=ENTRIES
        )
        return [entry for kind in kinds if (entry := getattr(self, kind)())]

    def one(self) -> Entry:
        """Draw a request of one limit."""
        return Request(ACQUIRE, (self._member(),)), 1

    def several(self) -> Entry:
        """Draw a request that is made several times at once."""
        return Request(ACQUIRE, (self._member(),)), self.draw.randint(2, 5)

    def joint(self) -> Entry:
        """Draw a request of several limits, of which no two are one pair, made once or more."""
        members = {(member[0].plan.prefix, member[1]): member for member in (self._member() for _ in range(3))}
        # What a shadow member would have granted of several, one number cannot tell.
        count = 1 if any(limit.shadow for limit, _, _ in members.values()) else self.draw.choice((1, 1, 2, 3))
        return Request(ACQUIRE, tuple(members.values())), count

    def peek(self) -> Entry:
        """Draw a look."""
        return Request(PEEK, (self._member(),)), 1

    def reset(self) -> Entry:
        """Draw a reset."""
        limit, key, _ = self._member()
        return Request(RESET, ((limit, key, 0),)), 1

    def refund(self) -> Entry | None:
        """Draw a refund of what was taken in an earlier batch, often one that was refunded already."""
        ahead = [own for own in self.taken if own[4] > self.now_us]  # what remembers a refund goes with its decision
        if not ahead:
            return None
        limit, key, cost, decided_at_us, reset_at_us, serial = self.draw.choice(ahead[-10:])
        return Request(REFUND, ((limit, key, cost),), (decided_at_us, reset_at_us, serial)), 1

    def hold(self) -> Entry:
        """Draw what a holder does."""
        verb = self.draw.choice((TAKE, TAKE, RENEW, RELEASE))
        return Request(verb, ((HELD, self.draw.choice("ab"), 1),), self.draw.choice("12345")), 1

    def note(self, entry: Entry, answers: Sequence[int]) -> None:
        """Remember what was taken, so that it can be refunded."""
        request, count = entry
        if request.verb != ACQUIRE or count > 1 or len(request.members) > 1 or answers[0] < 1:
            return
        ((limit, key, cost),) = request.members
        self.serial += 1
        if cost and not limit.shadow:
            self.taken.append((limit, key, cost, self.now_us, self.now_us + answers[3], self.serial))

    def _member(self) -> tuple[Limit, str, int]:
        key = self.draw.choice("abc") if self.draw.random() < 0.5 else f"own{self.draw.randrange(10**9)}"
        return self.draw.choice(self.limits), key, self.draw.choice((0, 1, 1, 2, 3, 7, 40))


class ForgetsNothing(ExpiryOrder):
    """An order in which nothing expires, as nothing does on the server while the clock is moved by hand."""

    def take_due(self, now_us: int, most: int) -> list[str]:
        """Forget nothing."""
        return []


class Sent:
    """The script in a real server, sent batches under a prefix of its own."""

    def __init__(self, server: redis.Redis, prefix: str) -> None:
        self._server = server
        self._prefix = prefix
        self._sha1: Any = server.script_load(lasting_script().source)
        self._calendars = CalendarRules()

    def __call__(self, entries: Sequence[Entry], now_us: int) -> list[list[int]]:
        """Send *entries* in one call; return the answers to each."""
        encoder = Encoder(Keyspace(self._prefix), self._calendars, now_us)
        for request, count in entries:
            encoder._add_request(0, request._replace(times=count))
        args = ["1", len(encoder._plans), *encoder._rule_args, *encoder._run_args]
        raw: Any = self._server.evalsha(self._sha1, len(encoder.keys), *encoder.keys, *args)
        assert raw[:HEADER] == [now_us, 0]
        answers, at = [], HEADER
        for request, _ in entries:
            end = at + 4 * len(request.members)
            answers.append(raw[at:end])
            at = end
        assert at == len(raw)
        return answers

    def contents(self) -> dict[bytes, Any]:
        """Return what is kept under the prefix, by the rest of each name."""
        start = f"{self._prefix}:".encode()
        names = [name for name in self._server.scan_iter(count=1000) if name.startswith(start)]
        return {name.removeprefix(start): self._value(name) for name in names}

    def _value(self, name: bytes) -> Any:
        if b":sliding_window_log:" not in name or b":once:" in name:
            return self._server.dump(name)
        # What one call admitted is one entry, and totals only differ: the units of each instant are what counts.
        units: Counter[float] = Counter()
        entries: Any = self._server.zrange(name, 0, -1, withscores=True)
        for member, time_us in entries:
            units[time_us] += int.from_bytes(member[7:], "big")
        return units


def one_by_one(ask: Any, entry: Entry) -> list[int]:
    """Let *ask* answer a request as often as it is made, and tell it as one answer."""
    request, count = entry
    granted = [0] * len(request.members)
    answers: list[int] = []
    for _ in range(count):
        answers = list(ask(request))
        granted = [before + own for before, own in zip(granted, answers[::4], strict=True)]
    answers[::4] = granted
    return answers


@pytest.mark.parametrize("kind", LIMITS)
def test_a_batch_decides_as_if_one_by_one(redis_client: redis.Redis, kind: str) -> None:
    """Across costs, counts, groups, peeks, refunds, resets and holds the answers and the state are the same."""
    drawn, clock = Drawn(Random(kind), LIMITS[kind]), HandClock(redis_client)
    batched, single = Sent(redis_client, "batched"), Sent(redis_client, "single")
    denied = asked = 0
    for number in range(BATCHES):
        now_us = clock.now_us()
        entries = drawn.entries(now_us)
        answers = batched(entries, now_us)
        expected = [
            one_by_one(lambda request, at_us=now_us: single([(request, 1)], at_us)[0], entry) for entry in entries
        ]
        for entry, found, wanted in zip(entries, answers, expected, strict=True):
            assert found == wanted, f"batch {number}: {entry}"
            drawn.note(entry, found)
            asked += entry[0].verb == ACQUIRE
            denied += entry[0].verb == ACQUIRE and found[0] < entry[1]
        if number % 10 == 0:
            assert batched.contents() == single.contents()
        clock.advance_us(drawn.draw.choice((1, 1000, 700_001, 5_000_003, 31_000_007)))
    print(f"\n{kind}: {asked} acquires, {denied / asked:.0%} not granted in full")
    assert 0.1 < denied / asked < 0.9


@pytest.mark.parametrize("kind", LIMITS)
def test_a_batch_decides_as_the_memory_store_does(redis_client: redis.Redis, kind: str) -> None:
    """What is sent in one script call is answered as this process would have, request after request."""
    drawn, clock = Drawn(Random(f"{kind} in memory"), LIMITS[kind]), HandClock(redis_client)
    batched, memory = Sent(redis_client, "batched"), MemoryStore(clock, keys_max=10_000)
    memory.shards[0].order = ForgetsNothing()

    def asked(request: Request) -> Sequence[int]:
        reply = memory.ask_now(request)
        assert reply is not None
        return reply.answers

    for number in range(BATCHES):
        now_us = clock.now_us()
        entries = drawn.entries(now_us)
        for entry, found in zip(entries, batched(entries, now_us), strict=True):
            wanted = one_by_one(asked, entry)
            verb = entry[0].verb
            if verb != RESET:  # a state that is over may be there still, on either side
                told = 1 if verb == REFUND else len(found)
                assert found[:told] == wanted[:told], f"batch {number}: {entry}"
            drawn.note(entry, found)
        clock.advance_us(drawn.draw.choice((1, 1000, 700_001, 5_000_003, 31_000_007)))


def test_a_rule_travels_once_and_neighbours_of_one_shape_are_one_run() -> None:
    """Of sixty requests of one limit and cost only the keys are told sixty times."""
    limit, other = Limit("one", "30/minute"), Limit("two", "30/minute; 90/hour")
    requests = [Request(ACQUIRE, ((limit, f"key{number}", 1),)) for number in range(60)]
    encoder = Encoder(Keyspace("sg"), CalendarRules(), 0)
    args = encoder.encode(requests)
    assert args == ["1", 1, 1, 0, limit.plan.tag, 1, 0, *limit.plan.rules[0], ACQUIRE, 60, 1, 1, 1, 1]
    assert encoder.keys == [f"sg:1:gcra:one:key{number}" for number in range(60)]
    encoder = Encoder(Keyspace("sg"), CalendarRules(), 0)
    args = encoder.encode([Request(ACQUIRE, ((own, key, 1),)) for key in "ab" for own in (limit, other)])
    assert args[1] == 2
    assert args[-12:] == [ACQUIRE, 2, 1, 1, 1, 1, IN_TURN, 2, 1, 1, 2, 1]
