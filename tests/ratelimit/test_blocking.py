"""The limiter for threads: each is answered for itself, closing answers everybody, and nothing leaves its loop."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import (
    BlockingLimiter,
    Decision,
    InvalidInputError,
    Limit,
    LimiterClosedError,
    LimitExceededError,
    NullLogger,
    SluicegateError,
)
from tests.faults_proxy import FaultProxy
from tests.recording import RecordingLogger

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from tests.servers import RedisServer

THREADS = 64
REQUESTS = 40
DEADLINE_S = 5.0
WAIT_SECONDS_MAX = 20.0


@pytest.fixture
def limiter(redis_url: str) -> Iterator[BlockingLimiter]:
    """A blocking limiter on a real server."""
    with BlockingLimiter.connect(redis_url, deadline=DEADLINE_S, logger=NullLogger()) as made:
        yield made


def in_threads(work: Any, threads: int = THREADS) -> list[Any]:
    """Let so many threads do *work* at once, each with its number; return what each of them got."""
    barrier = threading.Barrier(threads)

    def run(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return [future.result(WAIT_SECONDS_MAX) for future in [pool.submit(run, number) for number in range(threads)]]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_loop_in_the_background_is_uvloops_where_it_is_installed(
    redis_url: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With uvloop and without it threads are answered, by the loop that there is."""
    if loop == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
    with BlockingLimiter.connect(redis_url, deadline=DEADLINE_S, logger=NullLogger()) as own:
        decisions = in_threads(lambda _: own.acquire(Limit("api", "50/day"), "key"), 8)
        assert sorted(decision.remaining for decision in decisions) == list(range(42, 50))
        assert type(own._background.loop()).__module__.split(".")[0] == loop


def test_each_of_64_threads_gets_its_own_answers(limiter: BlockingLimiter) -> None:
    """Every answer is of the limit, the key and the cost that were asked, and tells the state of that key alone."""
    limits = [Limit(f"own{number}", f"{1_000 + number}/day") for number in range(THREADS)]

    def work(number: int) -> list[str]:
        draw, left, wrong = Random(number), 1_000 + number, []
        for _ in range(REQUESTS):
            cost = draw.randint(1, 9)
            left -= cost
            decision = limiter.acquire(limits[number], f"key{number}", cost)
            facts = (decision.limit, decision.key, decision.cost, decision.remaining, decision.source)
            if facts != (limits[number], f"key{number}", cost, left, "redis"):
                wrong.append(f"{facts} and not {left} remaining")
        return wrong

    assert in_threads(work) == [[]] * THREADS
    counted = limiter.statistics().decisions
    assert counted == {(limit.name, "allowed"): REQUESTS for limit in limits}


def test_every_verb_answers_its_own_thread(limiter: BlockingLimiter) -> None:
    """Joint, bulk, looking, refunding, forgetting and holding threads meet in the same batches, and mix up nothing."""
    held = Limit("held", "5", algorithm="concurrency")

    def work(number: int) -> list[tuple[object, ...]]:
        one, other, key = Limit(f"one{number}", "100/day"), Limit(f"other{number}", "90/day"), f"key{number}"
        answers: list[tuple[object, ...]] = []
        for _ in range(5):
            taken = limiter.acquire(one, key, 3)
            both = limiter.acquire_all([(one, key, 2), (other, key)])
            many = limiter.acquire_many([(one, key), (other, key, 4), (one, "elsewhere")])
            left = [decision.remaining for decision in (taken, *both.decisions, *many, limiter.peek(one, key))]
            given, forgotten = limiter.refund(taken), limiter.reset(other, key)
            with limiter.hold(held, key) as hold:
                assert hold.decision is not None
                answers.append((*left, given, forgotten, hold.decision.remaining))
        return answers

    expected = [(97 - 3 * turn, 95 - 3 * turn, 89, 94 - 3 * turn, 85, 99 - turn, 94 - 3 * turn) for turn in range(5)]
    assert in_threads(work, 32) == [[(*left, 3, True, 4) for left in expected]] * 32


def test_threads_on_one_key_get_each_unit_once(limiter: BlockingLimiter) -> None:
    """Of a limit that is a third of what they ask for, all of it is admitted and not a unit more."""
    limit = Limit("shared", f"{THREADS * REQUESTS // 3} per 365 days")
    decisions: list[list[Decision]] = in_threads(lambda _: [limiter.acquire(limit, "key") for _ in range(REQUESTS)])
    granted = Counter(decision.remaining for own in decisions for decision in own if decision.allowed)
    assert sorted(granted) == list(range(THREADS * REQUESTS // 3))
    assert max(granted.values()) == 1


def test_threads_meet_in_batches(limiter: BlockingLimiter, redis_client: redis.Redis) -> None:
    """What 64 threads ask at one time travels in a few calls, not in one for each."""
    limit = Limit("met", "1000000/day")

    def runs() -> int:
        stats: Any = redis_client.info("commandstats")
        return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))

    before = runs()
    in_threads(lambda number: [limiter.acquire(limit, f"key{number}") for _ in range(REQUESTS)])
    calls = runs() - before
    print(f"\n{THREADS * REQUESTS} requests in {calls} calls")
    assert calls <= THREADS * REQUESTS / 4


def test_closing_answers_every_thread_that_waits(redis_server: RedisServer, redis_url: str) -> None:
    """Threads that wait for an answer, a unit or their turn are told that the limiter was closed, and none hangs."""
    slow = Limit("slow", "1/day")
    with FaultProxy(redis_server.port) as proxy:
        limiter = BlockingLimiter.connect(proxy.url, deadline=10, logger=NullLogger())
        limiter.acquire(slow, "key")
        outcomes: list[BaseException | Decision] = []

        def work(verb: Any, *args: Any, **kwargs: Any) -> None:
            try:
                outcomes.append(verb(*args, **kwargs))
            except SluicegateError as error:
                outcomes.append(error)

        waiting = [threading.Thread(target=work, args=[limiter.wait, slow, "key"], kwargs={"timeout": 86_400})]
        waiting[0].start()
        denied = ("slow", "denied")
        while limiter.statistics().decisions.get(denied, 0) < 1:  # then it waits
            time.sleep(0.01)
        proxy.swallow = True
        waiting += [threading.Thread(target=work, args=[limiter.acquire, slow, f"key{number}"]) for number in range(30)]
        waiting += [threading.Thread(target=work, args=[limiter.peek, slow, f"key{number}"]) for number in range(10)]
        for thread in waiting[1:]:
            thread.start()
        time.sleep(0.2)
        assert outcomes == []
        before = time.monotonic()
        limiter.close()
        for thread in waiting:
            thread.join(WAIT_SECONDS_MAX)
        took_s = time.monotonic() - before
        time.sleep(0.02)  # what was opened at the last moment is accepted, and ended, before the proxy goes
    assert not any(thread.is_alive() for thread in waiting)
    assert [type(outcome) for outcome in outcomes] == [LimiterClosedError] * len(waiting)
    assert took_s < 2


def test_a_closed_limiter_refuses_each_verb(redis_url: str) -> None:
    """Whatever is asked afterwards is refused by one error, and closing again does no harm."""
    limit, held = Limit("api", "5/s"), Limit("held", "5", algorithm="concurrency")
    for limiter in (BlockingLimiter(logger=NullLogger()), BlockingLimiter.connect(redis_url, logger=NullLogger())):
        decision = limiter.acquire(limit, "key")
        limiter.close()
        limiter.close()
        for verb in (
            lambda: limiter.acquire(limit, "key"),  # noqa: B023 - called at once
            lambda: limiter.acquire_all([(limit, "key")]),  # noqa: B023
            lambda: limiter.acquire_many([(limit, "key")]),  # noqa: B023
            lambda: limiter.wait(limit, "key", timeout=1),  # noqa: B023
            lambda: limiter.peek(limit, "key"),  # noqa: B023
            lambda: limiter.reset(limit, "key"),  # noqa: B023
            lambda: limiter.refund(decision),  # noqa: B023
            lambda: limiter.hold(held, "key").__enter__(),  # noqa: B023
            limiter.start,
        ):
            with pytest.raises(LimiterClosedError):
                verb()


def test_closing_while_threads_ask_leaves_nobody_without_an_answer(redis_url: str) -> None:
    """In the middle of a storm each call ends with a decision or with the word that it was closed."""
    limit = Limit("storm", "1000000/day")
    for _ in range(5):
        logger = RecordingLogger()
        limiter = BlockingLimiter.connect(redis_url, deadline=DEADLINE_S, logger=logger)
        limiter.acquire(limit, "key")

        def work(number: int, limiter: BlockingLimiter = limiter, logger: RecordingLogger = logger) -> str:
            if number == 0:
                time.sleep(0.01)
                limiter.close()
                return "closed"
            try:
                while True:
                    assert not limiter.acquire(limit, f"key{number}").degraded, logger.events
            except LimiterClosedError as closed:
                return str(closed)

        outcomes = in_threads(work, 32)
        assert all("closed" in outcome for outcome in outcomes)


def test_an_async_function_is_refused_by_the_decorator() -> None:
    """Under a limiter that blocks it would hold up its event loop; the refusal says what to use."""
    with BlockingLimiter(logger=NullLogger()) as limiter:
        limited = limiter.limit(Limit("api", "5/s"), key="key")

        async def awaited() -> None:
            """Do nothing."""

        with pytest.raises(
            InvalidInputError, match="function: found an async function; accepted: a plain one, or a Li"
        ):
            limited(awaited)


def test_a_wait_in_one_thread_does_not_hold_up_others(limiter: BlockingLimiter) -> None:
    """While a thread waits for its unit, others are decided."""
    slow = Limit("slow", "2/s burst 1")
    limiter.acquire(slow, "key")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(limiter.wait, slow, "key", timeout=5)
        while not waiting.done():
            assert limiter.acquire(Limit("other", "100000/s"), "key").source == "redis"
        assert waiting.result().allowed
    with pytest.raises(LimitExceededError):
        limiter.wait(slow, "key", timeout=0.1)
