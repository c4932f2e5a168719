"""However a batch ends, everyone in it is answered once, with what is its own, and the line goes on."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate.database import Batcher
from sluicegate.utils import LimiterClosedError, OutcomeUnknownError, ScriptError, StoreUnavailableError
from tests.database.road import LONG_US, Road, errors_of, submitted, turn

if TYPE_CHECKING:
    from collections.abc import Sequence

DEADLINE_US = 40_000
DEADLINE_S = DEADLINE_US / 1_000_000


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


async def test_a_defect_of_the_sender_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """An exception outside the tree reaches everyone in the batch and the loop's log; later items are served."""
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
    gc.collect()
    assert "a defect" in caplog.text
    caplog.clear()


async def test_a_sender_that_returns_too_few_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """Who cannot tell which result is whose answers nobody wrongly: all of the batch hear of the defect."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    promises = submitted(batcher, [1, 2, 3])
    await turn()
    await road.let_go(["a", "b"])
    assert errors_of(promises) == [ValueError] * 3
    await batcher.aclose()
    gc.collect()  # the loop tells of a task's exception when the task is gone
    assert "zip() argument 2 is shorter" in caplog.text
    caplog.clear()


async def test_who_stands_in_line_behind_a_defect_is_served(caplog: pytest.LogCaptureFixture) -> None:
    """The worker that a defect ended is followed by another, without anybody asking anew."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    failed = submitted(batcher, [1])
    await turn()
    behind = submitted(batcher, [2])
    await road.fail(ZeroDivisionError("a defect"))
    await turn()
    await road.let_go()
    assert errors_of(failed) == [ZeroDivisionError]
    assert behind[0].result() == (2, 2)
    await batcher.aclose()
    gc.collect()
    assert "a defect" in caplog.text
    caplog.clear()


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


async def test_closing_leaves_no_timer() -> None:
    """A batcher that was closed wakes the loop no more."""
    batcher = Batcher(Road().send, deadline_us=LONG_US)
    submitted(batcher, [1])
    timer = batcher._timer
    await batcher.aclose()
    assert timer is not None
    assert timer.cancelled()


async def test_closing_in_the_turn_of_asking_answers_too() -> None:
    """What was not even started yet is answered, and never sent."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    promises = submitted(batcher, [1])
    await batcher.aclose()
    await turn()
    assert errors_of(promises) == [LimiterClosedError]
    assert road.batches == []


async def test_closing_starts_nothing_beside_what_is_under_way() -> None:
    """A batch that was about to go beside another when it was closed does not go: its connection would be closed."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US, in_flight_max=2)
    under_way = submitted(batcher, [0])
    await turn()
    beside = submitted(batcher, range(1, 300))  # enough for a batch of their own, in the next turn
    assert batcher._starting
    await batcher.aclose()
    await turn()
    assert errors_of([*under_way, *beside]) == [LimiterClosedError] * 300
    assert road.batches == [[0]]


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
