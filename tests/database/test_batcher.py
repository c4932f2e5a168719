"""Idle, an item goes at once; busy, items gather; and everyone is answered once, in time, whatever happens."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate.database import Batcher
from sluicegate.utils import (
    LimiterClosedError,
    OutcomeUnknownError,
    ScriptError,
    StoreOverloadedError,
    StoreUnavailableError,
)
from tests.timing import GRACE_S, lag_watched, timed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONG_US = 60_000_000  # where a test is not about time
DEADLINE_US = 40_000
DEADLINE_S = DEADLINE_US / 1_000_000


class Road:
    """What a batcher sends on: it keeps each batch, and holds it up until it is told to go on."""

    def __init__(self, *, held: bool = True) -> None:
        self.held = held
        self.batches: list[list[int]] = []
        self.left_us: list[int] = []
        self.under_way: list[asyncio.Future[Any]] = []
        self.most_at_once = 0

    async def send(self, items: Sequence[int], left_us: int) -> list[Any]:
        """Answer each item with its number and its batch's, once the batch was let go."""
        self.batches.append(list(items))
        self.left_us.append(left_us)
        number = len(self.batches)
        gate = asyncio.get_running_loop().create_future()
        self.under_way.append(gate)
        self.most_at_once = max(self.most_at_once, len(self.under_way))
        try:
            replaced = await gate if self.held else await asyncio.sleep(0)
        finally:
            self.under_way.remove(gate)
        return replaced or [(number, item) for item in items]

    async def let_go(self, results: list[Any] | None = None) -> None:
        """Let the oldest batch under way arrive, with other results when given."""
        self.under_way[0].set_result(results)
        await turn()

    async def fail(self, error: BaseException) -> None:
        """Let the oldest batch under way fail."""
        self.under_way[0].set_exception(error)
        await turn()


async def turn() -> None:
    """Let the loop do what it has to do by now."""
    for _ in range(10):
        await asyncio.sleep(0)


def submitted(batcher: Batcher[int], items: Iterable[int]) -> list[asyncio.Future[Any]]:
    """Put items in line, and return their promises."""
    loop = asyncio.get_running_loop()
    promises = []
    for item in items:
        promise = loop.create_future()
        batcher.submit(item, promise, loop)
        promises.append(promise)
    return promises


def errors_of(promises: Iterable[asyncio.Future[Any]]) -> list[type]:
    """Return the kind of error that each promise was answered with."""
    return [type(promise.exception()) for promise in promises]


async def test_idle_what_is_asked_in_one_turn_goes_at_once_and_together() -> None:
    """Nothing is sent while the turn lasts, and everything of it is when it ends, without waiting for more."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    promises = submitted(batcher, [1])
    assert road.batches == []
    promises += submitted(batcher, [2, 3])
    await turn()
    assert road.batches == [[1, 2, 3]]
    await road.let_go()
    assert [promise.result() for promise in promises] == [(1, 1), (1, 2), (1, 3)]
    await batcher.aclose()


async def test_busy_what_is_asked_waits_and_goes_together_next() -> None:
    """While a batch is under way, items gather in their order; the next batch is all of them."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    submitted(batcher, [1])
    await turn()
    promises = []
    for item in range(2, 12):
        promises += submitted(batcher, [item])
        await turn()
    assert road.batches == [[1]]
    await road.let_go()
    assert road.batches == [[1], list(range(2, 12))]
    await road.let_go()
    assert [promise.result() for promise in promises] == [(2, item) for item in range(2, 12)]
    await batcher.aclose()


async def test_a_full_batch_goes_beside_the_one_under_way() -> None:
    """One item less than a batch waits; the item that makes it full sends it."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US, batch_max=4, in_flight_max=2)
    submitted(batcher, [0])
    await turn()
    submitted(batcher, [1, 2, 3])
    await turn()
    assert road.batches == [[0]]
    submitted(batcher, [4])
    await turn()
    assert road.batches == [[0], [1, 2, 3, 4]]
    await batcher.aclose()


async def test_no_more_batches_are_under_way_than_the_bound() -> None:
    """Whatever waits, two batches of at most their bound are under way, and all are served in order."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US, batch_max=4, in_flight_max=2)
    promises = submitted(batcher, range(23))
    await turn()
    assert road.batches == [[0, 1, 2, 3], [4, 5, 6, 7]]
    while road.under_way:
        await road.let_go()
    assert [item for batch in road.batches for item in batch] == list(range(23))
    assert max(len(batch) for batch in road.batches) == 4
    assert road.most_at_once == 2
    assert [promise.result()[1] for promise in promises] == list(range(23))
    await batcher.aclose()


async def test_batches_are_bounded_by_default() -> None:
    """Without settings a batch has at most 64 items, and two are under way."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    submitted(batcher, range(1000))
    await turn()
    assert [len(batch) for batch in road.batches] == [64, 64]
    await batcher.aclose()


async def test_the_line_is_bounded() -> None:
    """One item more than may wait is refused at once; who waits is served, and then there is room again."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US, queue_max=3, batch_max=10)
    submitted(batcher, [0])
    await turn()
    promises = submitted(batcher, [1, 2, 3])
    with pytest.raises(StoreOverloadedError, match="3 requests wait already"):
        submitted(batcher, [4])
    await road.let_go()
    await road.let_go()
    assert [promise.result() for promise in promises] == [(2, 1), (2, 2), (2, 3)]
    promises = submitted(batcher, [5])
    await turn()
    await road.let_go()
    assert promises[0].result() == (3, 5)
    await batcher.aclose()


async def test_the_line_is_bounded_by_default() -> None:
    """Without settings 20,000 may wait."""
    batcher = Batcher(Road().send, deadline_us=LONG_US)
    promises = submitted(batcher, range(20_000))
    with pytest.raises(StoreOverloadedError, match="20,000"):
        submitted(batcher, [0])
    await batcher.aclose()
    assert set(errors_of(promises)) == {LimiterClosedError}


async def test_who_waits_behind_a_stuck_batch_is_answered_at_the_deadline() -> None:
    """Items in line are answered when their own deadlines pass, one after another, and are never sent."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=DEADLINE_US)
    submitted(batcher, [0])
    await turn()
    async with lag_watched() as lag:
        waits = []
        for item in range(1, 5):
            waits.append(asyncio.create_task(timed(asyncio.wait(submitted(batcher, [item])))))
            await asyncio.sleep(0.005)
        ended = await asyncio.gather(*waits)
    for (done, _), seconds in ended:
        assert errors_of(done) == [StoreUnavailableError]
        assert DEADLINE_S * 0.99 <= seconds <= DEADLINE_S + GRACE_S + lag.worst_s
    await road.let_go()
    assert road.batches == [[0]]
    await batcher.aclose()


async def test_who_has_too_little_time_left_is_not_sent() -> None:
    """When a batch comes back late, those who could not be answered in time are told so, and the others are sent."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=10 * DEADLINE_US)
    submitted(batcher, [0])
    await turn()
    late = submitted(batcher, [1, 2])
    await asyncio.sleep(9.2 * DEADLINE_S)
    timely = submitted(batcher, [3])
    await road.let_go()
    assert errors_of(late) == [StoreUnavailableError] * 2
    assert "before it could be sent" in str(late[0].exception())
    assert road.batches == [[0], [3]]
    await road.let_go()
    assert timely[0].result() == (2, 3)
    await batcher.aclose()


async def test_the_sender_is_told_the_time_of_who_waited_longest() -> None:
    """A batch may take what is left of the deadline of its first item."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    submitted(batcher, [0])
    await turn()
    assert LONG_US - 1_000_000 < road.left_us[0] <= LONG_US
    submitted(batcher, [1])
    await asyncio.sleep(0.05)
    submitted(batcher, [2])
    await road.let_go()
    assert road.left_us[1] <= LONG_US - 50_000
    await batcher.aclose()


async def test_who_gave_up_in_line_is_left_out() -> None:
    """A cancelled item is not sent, wherever it stands, and the others are."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    submitted(batcher, [0])
    await turn()
    promises = submitted(batcher, range(1, 8))
    for promise in promises[::2]:
        promise.cancel()
    await road.let_go()
    assert road.batches == [[0], [2, 4, 6]]
    await road.let_go()
    assert [promise.result() for promise in promises[1::2]] == [(2, 2), (2, 4), (2, 6)]
    await batcher.aclose()


async def test_when_all_gave_up_nothing_is_sent() -> None:
    """A line of cancelled items ends the work, and the next item goes at once."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    for promise in submitted(batcher, range(5)):
        promise.cancel()
    await turn()
    assert road.batches == []
    submitted(batcher, [9])
    await turn()
    assert road.batches == [[9]]
    await batcher.aclose()


async def test_who_gives_up_under_way_disturbs_nobody() -> None:
    """The result for a cancelled item is dropped, and each other gets its own."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    promises = submitted(batcher, [1, 2, 3])
    await turn()
    promises[1].cancel()
    await road.let_go()
    assert (promises[0].result(), promises[2].result()) == ((1, 1), (1, 3))
    assert promises[1].cancelled()
    await batcher.aclose()


async def test_an_error_among_the_results_is_its_own_items() -> None:
    """A result that is an exception is raised for its item, and for no other."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    promises = submitted(batcher, [1, 2, 3])
    await turn()
    await road.let_go(["a", ScriptError("decide", "boom"), "c"])
    assert (promises[0].result(), promises[2].result()) == ("a", "c")
    assert errors_of(promises[1:2]) == [ScriptError]
    await batcher.aclose()


@pytest.mark.parametrize("error", [OutcomeUnknownError("decide", "no answer"), ScriptError("decide", "boom")])
async def test_a_failed_batch_is_told_to_all_of_it_and_the_next_goes_on(error: Exception) -> None:
    """What the store's error was, everyone in the batch hears; who waited behind it is served."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    failed = submitted(batcher, [1, 2])
    await turn()
    behind = submitted(batcher, [3])
    await road.fail(error)
    assert errors_of(failed) == [type(error)] * 2
    await road.let_go()
    assert behind[0].result() == (2, 3)
    await batcher.aclose()


async def test_a_defect_of_the_sender_leaves_nobody_waiting() -> None:
    """An exception outside the tree reaches everyone in the batch, and items that come later are served."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    failed = submitted(batcher, [1, 2])
    await turn()
    await road.fail(ZeroDivisionError("a defect"))
    assert errors_of(failed) == [ZeroDivisionError] * 2
    later = submitted(batcher, [3])
    await turn()
    await road.let_go()
    assert later[0].result() == (2, 3)
    await batcher.aclose()


async def test_closing_answers_everyone() -> None:
    """Who is under way and who is in line hears that the limiter was closed, and nobody is sent any more."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US, batch_max=3, in_flight_max=2)
    promises = submitted(batcher, range(10))
    await turn()
    await batcher.aclose()
    assert errors_of(promises) == [LimiterClosedError] * 10
    assert road.batches == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(LimiterClosedError):
        submitted(batcher, [11])


async def test_closing_in_the_turn_of_asking_answers_too() -> None:
    """What was not even started yet is answered, and never sent."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    promises = submitted(batcher, [1])
    await batcher.aclose()
    await turn()
    assert errors_of(promises) == [LimiterClosedError]
    assert road.batches == []


async def test_idle_it_leaves_nothing_behind() -> None:
    """Once the deadline of the last item is over, no timer and no task of it is left on the loop."""
    road = Road(held=False)
    batcher = Batcher(road.send, deadline_us=DEADLINE_US)
    promises = submitted(batcher, range(200))
    await asyncio.gather(*promises)
    await asyncio.sleep(2 * DEADLINE_S)
    assert batcher._timer is None
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("seed", range(3))
async def test_everyone_is_answered_once_by_its_own_result(seed: int) -> None:
    """Under random arrivals, delays and failures, whoever does not give up has its own result, or why there is none."""
    draw = random.Random(seed)
    at_once = most_at_once = 0

    async def send(items: Sequence[int], left_us: int) -> list[int]:
        nonlocal at_once, most_at_once
        assert 0 < len(items) <= 8
        assert left_us > 0
        at_once, most_at_once = at_once + 1, max(most_at_once, at_once + 1)
        await asyncio.sleep(draw.uniform(0, 0.003))
        at_once -= 1
        if draw.random() < 0.1:
            raise OutcomeUnknownError("decide", "lost")
        return [-item for item in items]

    batcher = Batcher(send, deadline_us=DEADLINE_US, batch_max=8)
    promises: list[asyncio.Future[Any]] = []
    for first in range(0, 1500, 15):
        promises += submitted(batcher, range(first, first + 15))
        for promise in draw.sample(promises[-15:], 3):
            asyncio.get_running_loop().call_later(draw.uniform(0, 0.01), promise.cancel)
        await asyncio.sleep(draw.uniform(0, 0.004))
    outcomes = await asyncio.wait_for(asyncio.gather(*promises, return_exceptions=True), 2)
    await batcher.aclose()
    wrong = [item for item, outcome in enumerate(outcomes) if isinstance(outcome, int) and outcome != -item]
    assert wrong == []
    kinds = {type(outcome) for outcome in outcomes}
    assert (
        {int, OutcomeUnknownError, asyncio.CancelledError}
        <= kinds
        <= {
            int,
            OutcomeUnknownError,
            StoreUnavailableError,
            asyncio.CancelledError,
        }
    )
    assert most_at_once <= 2
