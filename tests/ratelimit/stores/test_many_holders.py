"""A hundred thousand holders of one key, the most there are: no decision looks at all of them, in neither twin."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limit
from sluicegate.database import Keyspace
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.store import PEEK, RELEASE, RENEW, TAKE, Request
from sluicegate.ratelimit.stores.wire import Encoder
from sluicegate.testing import ManualClock
from tests.conformance.rig import CLOCK_KEY, CLOCK_SECONDS, START, manual_script

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

MOST = 100_000
FEW = 100
TERM_S = 60.0
OF_THIS_LOOK = {"cmdstat_info", "cmdstat_evalsha", "cmdstat_config|resetstat"}
TERM_US = 60_000_000
START_US = round(START * 1_000_000)
ASKED = [(RENEW, "holder7"), (TAKE, "new"), (TAKE, "other"), (PEEK, None), (RELEASE, "new"), (RELEASE, "nobody")]
COMMANDS_MAX = 20  # that a script runs for one decision
CALLS_MORE_MAX = 20  # to find a place by halves


def limit_of(held: int) -> Limit:
    """Return a limit of one unit more than are held."""
    return Limit("held", str(held + 1), algorithm="concurrency", hold_seconds=TERM_S)


def request_of(verb: int, holder: str | None, limit: Limit) -> Request:
    """Return what a holder asks."""
    return Request(verb, ((limit, "key", 1),), holder)


def calls_in(action: Callable[[], object]) -> int:
    """Return how many functions are called by *action*, those of the interpreter included."""
    calls = 0

    def count(_frame: object, event: str, _what: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


def memory_calls(held: int) -> list[int]:
    """Return how many calls the store in this process makes for each thing asked, so many units being held."""
    clock, limit = ManualClock(START), limit_of(held)
    store = MemoryStore(clock)
    for number in range(held):
        store.ask_now(request_of(TAKE, f"holder{number}", limit))
        clock.advance_us(1)
    asked = [request_of(verb, holder, limit) for verb, holder in ASKED]
    return [calls_in(lambda request=request: store.ask_now(request)) for request in asked]  # type: ignore[misc] # a default


def test_no_decision_in_memory_calls_more_with_many_holders() -> None:
    """To renew, take, be refused, look and release calls no more functions than among a hundred, or a few."""
    few, many = memory_calls(FEW), memory_calls(MOST - 1)
    print(f"\n{few} calls among {FEW}, {many} among {MOST:,}")
    assert all(calls <= less + CALLS_MORE_MAX for calls, less in zip(many, few, strict=True))


class Server:
    """A server on which so many units of one key are held, asked by its script on a clock moved by hand."""

    def __init__(self, client: redis.Redis, held: int) -> None:
        self.client = client
        self.limit = limit_of(held)
        self.keyspace = Keyspace("many")
        self.sha1 = client.script_load(manual_script().source)
        self.at(START_US)
        name = self.keyspace.name(self.limit.plan.prefix, "key")
        client.delete(name)
        client.zadd(name, {f"holder{number}": START_US + TERM_US - number for number in range(held)})
        client.zadd(name, {"ahead": -TERM_US})
        client.pexpire(name, TERM_US // 1000)

    def at(self, now_us: int) -> None:
        """Move the clock."""
        self.client.set(CLOCK_KEY, now_us, ex=CLOCK_SECONDS)

    def commands(self, verb: int, holder: str | None) -> dict[str, int]:
        """Return how often the script runs each command for what is asked."""
        encoder = Encoder(self.keyspace, CalendarRules(), START_US)
        args: list[Any] = encoder.encode([request_of(verb, holder, self.limit)])
        self.client.config_resetstat()
        self.client.evalsha(self.sha1, len(encoder.keys), *encoder.keys, *args)
        stats: Any = self.client.info("commandstats")
        return {name: fields["calls"] for name, fields in stats.items() if name not in OF_THIS_LOOK}


def test_no_decision_on_the_server_runs_more_commands_with_many_holders(redis_client: redis.Redis) -> None:
    """The script asks the same few things of a set of a hundred thousand as of one of a hundred."""
    few, many = (
        [server.commands(*asked) for asked in ASKED]
        for server in (Server(redis_client, held) for held in (FEW, MOST - 1))
    )
    print(f"\n{many}")
    assert many == few
    assert max(sum(ran.values()) for ran in many) <= COMMANDS_MAX


@pytest.mark.parametrize("held", [FEW, MOST - 1])
def test_after_a_step_back_only_the_first_look_brings_holders_back(redis_client: redis.Redis, held: int) -> None:
    """Who stands further ahead than anybody was promised is written anew once, and not by the decisions after it."""
    server = Server(redis_client, held)
    server.at(START_US - 1_000_000)
    assert [server.commands(RELEASE, "nobody").get("cmdstat_zadd", 0) for _ in range(2)] == [held, 0]
