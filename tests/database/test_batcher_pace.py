"""The batcher finds its pace by itself: how many go at once, what goes beside it, and who would wait for nothing."""

from __future__ import annotations

import asyncio

import pytest

from sluicegate.database import Batcher
from sluicegate.database.batcher import BATCH_MAX, SHARE_MIN
from sluicegate.utils import StoreOverloadedError
from tests.database.road import LONG_US, Road, submitted, turn


async def test_a_crowd_of_any_size_travels_in_two_halves() -> None:
    """However many callers ask at once, two batches of half of them are under way, and so they stay."""
    for callers in (2 * SHARE_MIN, 80, 2 * BATCH_MAX):
        road = Road()
        batcher = Batcher(road.send, deadline_us=LONG_US)
        submitted(batcher, range(callers))
        await turn()
        assert [len(batch) for batch in road.batches] == [callers // 2] * 2
        for _ in range(6):  # each half asks again when it has its answer
            half = len(road.batches[-2])
            await road.let_go()
            submitted(batcher, range(half))
            await turn()
        assert [len(batch) for batch in road.batches] == [callers // 2] * 8
        await batcher.aclose()


async def test_few_callers_share_one_batch_after_the_other() -> None:
    """Of fewer than two shares nothing goes beside what is under way: small calls waste the server's time."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    submitted(batcher, range(2 * SHARE_MIN - 1))
    await turn()
    submitted(batcher, range(SHARE_MIN - 1))
    await turn()
    assert [len(batch) for batch in road.batches] == [2 * SHARE_MIN - 1]
    await batcher.aclose()


async def test_a_trickle_never_overlaps() -> None:
    """Requests that come one in a turn wait for the batch that is under way, however long it takes."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US)
    for number in range(SHARE_MIN):
        submitted(batcher, [number])
        await turn()
    assert road.most_at_once == 1
    await batcher.aclose()


async def test_heavy_items_make_smaller_batches() -> None:
    """A batch ends with the item that makes its work a full batch, so that no call keeps the server for long."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=LONG_US, in_flight_max=1)
    loop = asyncio.get_running_loop()
    for number in range(8):
        batcher.submit(number, loop.create_future(), loop, weight=BATCH_MAX // 2)
    await turn()
    while road.under_way:
        await road.let_go()
    assert road.batches == [[0, 1], [2, 3], [4, 5], [6, 7]]
    await batcher.aclose()


async def test_who_would_come_too_late_is_refused_at_once() -> None:
    """When batches turn out to be slow, only as many may wait as will be decided within the deadline."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=100_000, batch_max=2, in_flight_max=1)
    submitted(batcher, range(2))
    await turn()
    await asyncio.sleep(0.02)  # so a batch of two in 20 ms: four or five of them within the deadline
    await road.let_go()
    promises = submitted(batcher, range(6))
    with pytest.raises(StoreOverloadedError, match="requests wait already"):
        submitted(batcher, range(10))
    assert not any(promise.done() for promise in promises)
    await batcher.aclose()


async def test_however_slow_it_was_two_full_batches_may_wait() -> None:
    """After a batch that took nearly all of the deadline, those who come find out whether it was but a moment."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=50_000, batch_max=4, in_flight_max=2)
    submitted(batcher, range(4))
    await turn()
    await asyncio.sleep(0.044)
    await road.let_go()
    road.held = False
    promises = submitted(batcher, range(8))
    assert await asyncio.gather(*promises)
    with pytest.raises(StoreOverloadedError):
        submitted(batcher, range(20_001))
    await batcher.aclose()


async def test_the_line_is_long_again_when_the_server_is_fast_again() -> None:
    """A slow moment is forgotten after a few fast batches."""
    road = Road()
    batcher = Batcher(road.send, deadline_us=100_000, batch_max=8, in_flight_max=1)
    submitted(batcher, range(2))
    await turn()
    await asyncio.sleep(0.03)
    await road.let_go()
    road.held = False
    for _ in range(60):
        await asyncio.gather(*submitted(batcher, range(8)))
    assert len(submitted(batcher, range(500))) == 500
    await batcher.aclose()
