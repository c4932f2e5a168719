"""Idle, an item goes at once; busy, items gather; and who waits is answered in time, or left out."""

from __future__ import annotations

import asyncio

import pytest

from sluicegate.database import Batcher
from sluicegate.utils import LimiterClosedError, StoreOverloadedError, StoreUnavailableError
from tests.database.road import LONG_US, Road, errors_of, submitted, turn
from tests.timing import GRACE_S, lag_watched, timed

DEADLINE_US = 40_000
DEADLINE_S = DEADLINE_US / 1_000_000


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


async def test_less_than_a_batch_waits_while_any_is_under_way() -> None:
    """When the first of two batches has landed, what is left over waits for the second one, and gathers."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US, batch_max=4, in_flight_max=2)
    submitted(batcher, range(10))
    await turn()
    await road.let_go()
    assert road.batches == [[0, 1, 2, 3], [4, 5, 6, 7]]
    submitted(batcher, [10])
    await road.let_go()
    assert road.batches[2:] == [[8, 9, 10]]
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


async def test_when_nobody_has_time_enough_nothing_is_sent() -> None:
    """A line in which all are late is answered, and the next item goes at once."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=10 * DEADLINE_US)
    submitted(batcher, [0])
    await turn()
    late = submitted(batcher, [1, 2])
    await asyncio.sleep(9.2 * DEADLINE_S)
    await road.let_go()
    assert errors_of(late) == [StoreUnavailableError] * 2
    submitted(batcher, [3])
    await turn()
    assert road.batches == [[0], [3]]
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
