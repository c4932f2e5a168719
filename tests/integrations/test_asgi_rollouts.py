"""A limit that is rolled out, in the middleware: one decision is told, both are counted, nobody waits longer."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import BlockingLimiter, Limit, Limiter, NullLogger
from sluicegate.database import Keyspace, connect
from sluicegate.integrations import DECISIONS_KEY, RateLimitMiddleware
from sluicegate.ratelimit import RedisStore
from sluicegate.ratelimit.rules import LiveRules, parse_rules
from sluicegate.testing import ManualClock
from sluicegate.utils import SystemClock
from tests.conformance.rig import START
from tests.integrations.test_asgi import answered, fields, hello, http_scope
from tests.ratelimit.by_hand import memory_by_hand, redis_by_hand
from tests.ratelimit.stages.fleet import script_calls
from tests.recording import RecordingLogger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sluicegate.ratelimit.rules import Rules
    from tests.conformance.rig import HandClock

    ByHand = tuple[Limiter, HandClock]

pytestmark = pytest.mark.asyncio

RULES = """\
version: 1
limits:
  api:
    rate: 6/hour
    algorithm: fixed_window
    key: client_address
    rollout: {{{}percent: {}}}
"""
PERCENTS = (0, 0.5, 1, 2, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 100)
VISITORS = 40
ADDRESSES = [f"203.0.113.{at}" for at in range(20)]
NOW, THEN = 30, 12  # so few that all visitors meet both


@asynccontextmanager
async def by_hand(store: str, request: pytest.FixtureRequest) -> AsyncIterator[ByHand]:
    """Make a limiter on either store, and the clock that decides."""
    if store == "memory":
        made = memory_by_hand()
    else:
        made = redis_by_hand(request.getfixturevalue("redis_url"), request.getfixturevalue("redis_client"))
    async with made as pair:
        yield pair


@pytest.fixture(params=["memory", "redis"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[ByHand]:
    """A limiter on each store, with its clock."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(by_hand(request.param, request))


def is_in(rules: Rules, address: str) -> bool:
    """Say whether the first limit of *rules* is for an address what it is to become."""
    rollout = rules.limits[0].rollout
    assert rollout is not None
    return rollout.includes(address)


def rules_of(percent: float, changes: str = "rate: 2/hour, ") -> Rules:
    """Return rules that roll a stricter limit out."""
    return parse_rules(RULES.format(changes, percent))


async def visit(app: Any, address: str = "203.0.113.9") -> tuple[int, dict[str, str], list[Any]]:
    """Ask once; return the status, the fields, and the decisions that the application sees."""
    scope = http_scope(client=(address, 1))
    start, *_ = await answered(app, scope)
    return start["status"], fields(start), scope[DECISIONS_KEY]


async def test_what_is_beside_denies_nobody_and_is_not_told(pair: ByHand) -> None:
    """At 0 percent the limit as it is decides, and stands alone in fields, body and decisions."""
    limiter, _ = pair
    app = RateLimitMiddleware(hello, limiter, limits=rules_of(0))
    seen = [await visit(app) for _ in range(7)]
    assert [status for status, *_ in seen] == [200] * 6 + [429]
    assert [told["ratelimit"].partition(";t")[0] for _, told, _ in seen] == [
        f'"api";r={left}' for left in (5, 4, 3, 2, 1, 0, 0)
    ]
    assert {told["ratelimit-policy"] for _, told, _ in seen} == {'"api";q=6;w=3600'}
    assert [[str(each.limit) for each in taken] for *_, taken in seen] == [["api (6/hour fixed_window)"]] * 7
    counts = limiter.statistics()
    assert counts.comparison("api") == {"agreed": 3, "only_candidate_denied": 4, "only_current_denied": 0}
    assert dict(counts.decisions) == {("api", "allowed"): 6, ("api", "denied"): 1}


async def test_what_it_becomes_decides_for_those_who_are_in(pair: ByHand) -> None:
    """At 100 percent all is told of what the limit is to become."""
    limiter, _ = pair
    app = RateLimitMiddleware(hello, limiter, limits=rules_of(100))
    seen = [await visit(app) for _ in range(4)]
    assert [status for status, *_ in seen] == [200, 200, 429, 429]
    assert {told["ratelimit-policy"] for _, told, _ in seen} == {'"api";q=2;w=3600'}
    assert limiter.statistics().comparison("api") == {
        "agreed": 2,
        "only_candidate_denied": 2,
        "only_current_denied": 0,
    }


async def test_a_looser_limit_differs_the_other_way(pair: ByHand) -> None:
    """Only the limit as it is would have denied."""
    limiter, _ = pair
    app = RateLimitMiddleware(hello, limiter, limits=rules_of(100, "rate: 9/hour, "))
    assert [(await visit(app))[0] for _ in range(10)] == [200] * 9 + [429]
    assert limiter.statistics().comparison("api") == {
        "agreed": 7,
        "only_candidate_denied": 0,
        "only_current_denied": 3,
    }


async def test_a_new_limit_is_enforced_for_some(pair: ByHand) -> None:
    """For the others it is on trial: it denies nobody and is not told."""
    limiter, _ = pair
    text = RULES.format("", 50).replace("key:", "shadow: true\n    key:")
    rules = parse_rules(text)
    rollout = rules.limits[0].rollout
    assert rollout is not None
    app = RateLimitMiddleware(hello, limiter, limits=rules)
    for address in (f"203.0.113.{at}" for at in range(8)):
        seen = [await visit(app, address) for _ in range(7)]
        is_in = rollout.includes(address)
        assert [status for status, *_ in seen] == [200] * 6 + [429 if is_in else 200]
        assert ("ratelimit" in seen[0][1]) is is_in


@pytest.mark.parametrize("store", ["memory", "redis"])
@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("7/minute burst 3", "gcra 5/minute"),
        ("5/minute", "sliding_window_log 4/minute"),
        ("3/s; 20/minute", "sliding_window_counter 9/minute"),
    ],
)
async def test_differences_are_those_of_two_limiters_run_apart(
    store: str, now: str, then: str, request: pytest.FixtureRequest
) -> None:
    """Whatever visitors do, each decides and counts what it would alone, for keys on both sides."""
    random = Random(now)
    algorithm, _, rate = then.partition(" ")
    changes = f"algorithm: {algorithm}, rate: {rate}, "
    rules = parse_rules(RULES.format(changes, 50).replace("6/hour", now).replace("fixed_window", "gcra"))
    limits = Limit("api", now), Limit("api", rate, algorithm=algorithm)
    rollout = rules.limits[0].rollout
    assert rollout is not None
    clock = ManualClock(START)
    apart = [BlockingLimiter(clock=clock, logger=NullLogger()) for _ in limits]
    expected: Counter[tuple[bool, bool]] = Counter()
    async with by_hand(store, request) as (limiter, own):
        app = RateLimitMiddleware(hello, limiter, limits=rules)
        for _ in range(600):
            step_us = random.choice((0, 1, 300_000, 1_000_000))
            own.advance_us(step_us)
            clock.advance_us(step_us)
            address = f"203.0.113.{random.randrange(6)}"
            by_now, by_then = (each.acquire(limit, address).allowed for each, limit in zip(apart, limits, strict=True))
            status, *_ = await visit(app, address)
            assert (status == 200) is (by_then if rollout.includes(address) else by_now)
            expected[by_now, by_then] += 1
        counts = limiter.statistics().comparison("api")
    assert counts == {
        "agreed": expected[True, True] + expected[False, False],
        "only_candidate_denied": expected[True, False],
        "only_current_denied": expected[False, True],
    }
    assert min(counts["agreed"], counts["only_candidate_denied"]) > 0


@pytest.mark.parametrize("percent", [0, 100])
async def test_both_are_decided_in_one_round_trip(redis_url: str, redis_client: Any, percent: int) -> None:
    """The server runs one script for a request, also where other limits cover it and where it is denied."""
    text = RULES.format("rate: 2/hour, ", percent) + "  all: {rate: 1000/hour, key: global}\n"
    for rules in (rules_of(percent), parse_rules(text)):
        async with Limiter.connect(redis_url, deadline=5, deny_cache_s=0, logger=NullLogger()) as limiter:
            app = RateLimitMiddleware(hello, limiter, limits=rules)
            await visit(app)
            for _ in range(8):
                before = script_calls(redis_client)
                await visit(app)
                assert script_calls(redis_client) == before + 1
            assert sum(limiter.statistics().comparison("api").values()) == 9
        redis_client.flushdb()


@pytest.mark.parametrize(
    ("rate", "algorithm", "on_change", "before", "left"),
    [
        ("9/hour", "fixed_window", "keep", 9, 0),  # as of the six that were counted beside it
        ("9/hour", "fixed_window", "additive", 9, 3),
        ("2/hour", "fixed_window", "keep", 2, 0),
        ("9/hour", "sliding_window_log", "", 9, 9),  # which counts in another way
    ],
)
async def test_at_its_end_the_rule_goes_on_from_what_was_counted_beside_it(
    pair: ByHand, tmp_path: Path, rate: str, algorithm: str, on_change: str, before: int, left: int
) -> None:
    """The file says then what the limit has become; giving it up goes on from there as well."""
    limiter, _ = pair
    path = tmp_path / "rules.yaml"
    rolling = RULES.format(f"rate: {rate}, algorithm: {algorithm}, ", 100).replace("algorithm: fixed_window, ", "")
    if on_change:
        rolling = rolling.replace("    key:", f"    on_change: {on_change}\n    key:")
    path.write_text(rolling, "utf-8")
    live = LiveRules.of_file(path, ManualClock(START), RecordingLogger())
    app = RateLimitMiddleware(hello, limiter, limits=live)
    assert [(await visit(app))[0] for _ in range(12)] == [200] * before + [429] * (12 - before)
    kept = rolling.partition("    rollout:")[0]
    path.write_text(kept, "utf-8")
    assert await live.reload()
    assert [(await visit(app))[0] for _ in range(2)] == [429] * 2
    path.write_text(kept.replace("6/hour", rate).replace("fixed_window", algorithm), "utf-8")
    assert await live.reload()
    assert [(await visit(app))[0] for _ in range(12)] == [200] * left + [429] * (12 - left)


@pytest.mark.parametrize("percent", [0, 100])
async def test_another_rate_in_the_midst_carries_both_states_over(pair: ByHand, tmp_path: Path, percent: int) -> None:
    """Whichever side changes, the key keeps what it has there as the rule says, in force and beside it alike."""
    limiter, _ = pair
    path = tmp_path / "rules.yaml"
    text = "version: 1\nlimits:\n  api:\n    {{rate: {}/hour, algorithm: fixed_window, key: client_address, "
    text += "on_change: additive, rollout: {{rate: {}/hour, percent: {}}}}}\n"
    path.write_text(text.format(8, 6, percent), "utf-8")
    live = LiveRules.of_file(path, ManualClock(START), RecordingLogger())
    app = RateLimitMiddleware(hello, limiter, limits=live)
    for _ in range(5):
        await visit(app)
    for now, then in ((8, 7), (9, 7)):
        path.write_text(text.format(now, then, percent), "utf-8")
        assert await live.reload()
    left = (9 - 5, 7 - 5)[:: -1 if percent else 1]
    assert (await visit(app))[2][0].remaining == left[0] - 1
    path.write_text(text.format(9, 7, 100 - percent), "utf-8")
    assert await live.reload()
    assert (await visit(app))[2][0].remaining == left[1] - 2


async def test_only_the_limit_in_force_bans(pair: ByHand) -> None:
    """What runs beside it may deny as often as it likes; a ban by the one in force ends the request for both."""
    limiter, clock = pair
    ban = "ban: {after: 2, within: 1 hour, for: 1 minute}\n    rate: 6/hour"
    text = RULES.format("rate: 1/hour, ", 0).replace("rate: 6/hour", ban, 1)
    app = RateLimitMiddleware(hello, limiter, limits=parse_rules(text))
    assert [(await visit(app))[0] for _ in range(6)] == [200] * 6
    assert limiter.statistics().comparison("api")["only_candidate_denied"] == 5
    assert [(await visit(app))[0] for _ in range(2)] == [429] * 2
    before = limiter.statistics().comparison("api")
    for _ in range(3):
        clock.advance_us(1_000_000)
        _, _, (decision,) = await visit(app)
        assert (decision.allowed, decision.source) == (False, "ban")
    assert limiter.statistics().comparison("api") == before


async def test_another_rate_for_a_key_holds_on_both_sides(pair: ByHand) -> None:
    """Whoever has a rate of their own has it whatever the limit is to become, so the two agree."""
    limiter, _ = pair
    rules = rules_of(50)
    app = RateLimitMiddleware(hello, limiter, limits=rules)
    inside, outside = (next(at for at in ADDRESSES if is_in(rules, at) is side) for side in (True, False))
    for address in (inside, outside):
        await limiter.overrides.set(rules.limits[0].limit, address, "4/hour")
        assert [(await visit(app, address))[0] for _ in range(6)] == [200] * 4 + [429] * 2
    assert limiter.statistics().comparison("api") == {
        "agreed": 12,
        "only_candidate_denied": 0,
        "only_current_denied": 0,
    }


async def test_on_a_cluster_both_lie_together(redis_url: str, redis_client: Any) -> None:
    """Their states have one hash tag, that of the key or of its group, so one server decides both at once."""
    text = RULES.format("rate: 2/hour, algorithm: gcra, ", 50) + (
        "  grouped: {rate: 9/hour, key: [client_address, path], group: client_address, rollout: "
        "{mode: leased, percent: 50}}\n"
    )
    store = RedisStore(
        connect(redis_url), SystemClock(), NullLogger(), keyspace=Keyspace("sg", tags=64), deadline_us=5_000_000
    )
    async with Limiter(store=store, logger=NullLogger()) as limiter:
        app = RateLimitMiddleware(hello, limiter, limits=parse_rules(text))
        for at in range(20):
            assert (await visit(app, f"203.0.113.{at}"))[0] == 200
        names = sorted(name.decode() for name in redis_client.scan_iter("sg:1:{*"))
        assert sum(limiter.statistics().compared.values()) == 40
    for at in range(20):
        own = [name for name in names if f"203.0.113.{at}:" in f"{name}:"]
        assert len(own) >= 4
        assert len({name.partition("}")[0] for name in own}) == 1


async def test_another_limit_that_denies_keeps_both_from_counting(pair: ByHand) -> None:
    """Two that are alike never differ, though most requests are denied by another."""
    limiter, clock = pair
    text = RULES.format("mode: leased, ", 50) + "  tight: {rate: 1/minute, key: client_address}\n"
    app = RateLimitMiddleware(hello, limiter, limits=parse_rules(text.replace("fixed_window", "gcra")))
    random = Random(5)
    for _ in range(200):
        clock.advance_us(random.choice((0, 7_000_000)))
        await visit(app, f"203.0.113.{random.randrange(4)}")
    assert limiter.statistics().comparison("api") == {
        "agreed": 200,
        "only_candidate_denied": 0,
        "only_current_denied": 0,
    }


async def test_what_has_no_room_beside_others_is_left_out() -> None:
    """Thirty-two limits that are rolled out cover one request: all are enforced, and none is compared."""
    logger = RecordingLogger()
    line = "  r{}: {{rate: 2/hour, key: client_address, rollout: {{rate: 1/hour, percent: 0}}}}"
    app, limiter = None, Limiter(logger=logger)
    for count, compared in ((16, 16), (31, 1), (32, 0)):
        text = "\n".join(["version: 1", "limits:", *(line.format(at) for at in range(count))])
        app = RateLimitMiddleware(hello, limiter, limits=parse_rules(text))
        status, _, taken = await visit(app, f"203.0.113.{count}")
        assert (status, len(taken)) == (200, count)
        counts = limiter.statistics()
        assert sum(counts.comparison(f"r{at}")["agreed"] > 0 for at in range(count)) >= compared
    assert sum(limiter.statistics().compared.values()) == 17
    assert logger.named("request.undecidable") == []


@pytest.mark.parametrize("store", ["memory", "redis"])
async def test_a_roll_out_from_0_to_100_under_load_misjudges_nobody(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each request is decided as the limit in force for its key decides that has counted all requests before it.

    Who has changed sides stays there, and nothing of the two states is lost on the way.
    """
    path = tmp_path / "rules.yaml"
    text = RULES.replace("6/hour", f"{NOW}/hour")
    path.write_text(text.format(f"rate: {THEN}/hour, ", 0), "utf-8")
    live = LiveRules.of_file(path, ManualClock(START), RecordingLogger())
    served: Counter[str] = Counter()
    sides: dict[str, list[int]] = {}
    done = asyncio.Event()
    async with by_hand(store, request) as (limiter, _):
        app = RateLimitMiddleware(hello, limiter, limits=live)

        async def come_again(address: str) -> None:
            # One visitor for each address, so that it is known what has been counted before.
            while not done.is_set():
                status, _, (decision,) = await visit(app, address)
                limit = decision.limit.rates[0].limit
                assert limit in (NOW, THEN)
                assert (status == 200) is (served[address] < limit)
                assert decision.remaining == max(0, limit - served[address] - 1)
                served[address] += 1
                sides.setdefault(address, []).append(limit)
                await asyncio.sleep(0)

        visitors = [asyncio.create_task(come_again(f"203.0.113.{at}")) for at in range(VISITORS)]
        for percent in PERCENTS:
            path.write_text(text.format(f"rate: {THEN}/hour, ", percent), "utf-8")
            assert await live.reload()
            await asyncio.sleep(0.01)
        while min(served.values()) <= NOW or {side[-1] for side in sides.values()} != {THEN}:  # noqa: ASYNC110 - others count
            await asyncio.sleep(0.01)
        done.set()
        await asyncio.gather(*visitors)
        assert sum(limiter.statistics().comparison("api").values()) == sum(served.values())
    assert all(side == sorted(side, reverse=True) for side in sides.values())
    assert {side[0] for side in sides.values()} == {NOW}
