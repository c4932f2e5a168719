"""The lines of those who wait: bounded, left in good order, and ended by closing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sluicegate import Decision, ErrorClass, Limit, Limiter, LimiterClosedError, LimitExceededError, NullLogger
from sluicegate.ratelimit.waiting import WAITERS_MAX, WaitingLines
from sluicegate.testing import ManualClock
from sluicegate.utils import StoreOverloadedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SLOW = Limit("slow", "1/minute")
DAY_S = 86_400.0


class Counter:
    """One that gives out units by hand; whoever asks is told to come back a minute later."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.units = 0
        self.asked = 0

    async def acquire(self) -> Decision:
        """Take a unit if there is one."""
        self.asked += 1
        allowed = self.units > 0
        self.units -= allowed
        return self._decision(allowed=allowed)

    async def peek(self) -> Decision:
        """Look whether there is one."""
        return self._decision(allowed=self.units > 0)

    def _decision(self, *, allowed: bool) -> Decision:
        now_us = self._clock.now_us()
        wait_us = 0 if allowed else 60_000_000
        return Decision(allowed, SLOW, "key", 1, 0, wait_us, 60_000_000, now_us, "memory", False, False, 0)


class Hall:
    """Lines of few places on a clock moved by hand."""

    def __init__(self, waiters_max: int = WAITERS_MAX) -> None:
        self.clock = ManualClock()
        self.lines = WaitingLines(self.clock, self.clock.sleep, waiters_max=waiters_max)
        self.counter = Counter(self.clock)

    def begin(self, name: str, timeout_s: float = DAY_S) -> asyncio.Task[Decision]:
        """Begin to wait in the line of that name."""
        return asyncio.create_task(
            self.lines.wait(name, timeout_s, acquire=self.counter.acquire, peek=self.counter.peek)
        )

    async def settle(self) -> None:
        """Let everybody do what there is to do."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def until_done(self, waiting: list[asyncio.Task[Decision]]) -> None:
        """Give out units, one a minute, until all who wait have one."""
        while not all(task.done() for task in waiting):
            self.counter.units += 1
            self.clock.advance(60)
            await self.settle()


async def test_one_more_than_may_wait_is_refused() -> None:
    """The bound is over all lines; the refusal is an overload, says the number, and disturbs nobody."""
    hall = Hall(waiters_max=3)
    waiting = [hall.begin("a"), hall.begin("a"), hall.begin("b")]
    await hall.settle()
    asked = hall.counter.asked
    for name in ("a", "b", "c"):
        with pytest.raises(StoreOverloadedError, match="wait: 3 wait already") as refusal:
            await hall.begin(name)
        assert refusal.value.error_class is ErrorClass.OVERLOAD
    assert hall.counter.asked == asked
    assert not any(task.done() for task in waiting)
    await hall.until_done(waiting)


@pytest.mark.parametrize("leaves", ["served", "cancelled", "late"])
async def test_a_place_is_free_again_when_somebody_leaves(leaves: str) -> None:
    """However a waiter's wait ends, somebody else may wait then."""
    hall = Hall(waiters_max=2)
    waiting = [hall.begin("a", 90 if leaves == "late" else DAY_S), hall.begin("b")]
    await hall.settle()
    if leaves == "served":
        hall.counter.units = 1
        hall.clock.advance(60)
    elif leaves == "cancelled":
        waiting[0].cancel()
    else:
        hall.clock.advance(60)
    await hall.settle()
    assert sum(task.done() for task in waiting) == 1
    third = hall.begin("c")
    await hall.settle()
    assert not third.done()
    with pytest.raises(StoreOverloadedError):
        await hall.begin("d")
    third.cancel()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, third, return_exceptions=True)


async def test_the_bound_that_nobody_set_is_a_hundred_thousand() -> None:
    """So many may wait in one process; who comes then is told at once, also through the limiter."""
    assert WAITERS_MAX == 100_000
    async with Limiter(clock=ManualClock(), logger=NullLogger()) as limiter:
        await limiter.acquire(SLOW, "key")
        limiter._lines._waiters = WAITERS_MAX  # as if so many tasks stood there
        with pytest.raises(StoreOverloadedError, match="wait: 100,000 wait already"):
            await limiter.wait(SLOW, "key", timeout=DAY_S)
        limiter._lines._waiters = 0


async def test_lines_leave_nothing_behind() -> None:
    """When the last of a line is gone, so is the line; nobody is counted any more."""
    hall = Hall()
    for ending in ("served", "cancelled", "late"):
        waiting = [hall.begin(f"line{number % 3}", 30 if ending == "late" else DAY_S) for number in range(12)]
        await hall.settle()
        if ending == "cancelled":
            for task in waiting:
                task.cancel()
        if ending == "served":
            await hall.until_done(waiting)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        kind = {"served": Decision, "cancelled": asyncio.CancelledError, "late": LimitExceededError}[ending]
        assert all(isinstance(outcome, kind) for outcome in outcomes)
        assert (hall.lines._lines, hall.lines._waiters) == ({}, 0)


async def test_closing_sends_everybody_away() -> None:
    """Heads and those behind them are told that the limiter was closed, and the lines are empty."""
    hall = Hall()
    waiting = [hall.begin(f"line{number % 3}") for number in range(12)]
    await hall.settle()
    hall.lines.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert [type(outcome) for outcome in outcomes] == [LimiterClosedError] * 12
    assert (hall.lines._lines, hall.lines._waiters) == ({}, 0)


async def test_a_failing_store_ends_its_heads_wait_and_not_the_line() -> None:
    """An error that an acquire raises is its own caller's; the next one moves up."""
    hall = Hall()

    def failing(after: int) -> Callable[[], Awaitable[Decision]]:
        calls = 0

        async def acquire() -> Decision:
            nonlocal calls
            calls += 1
            if calls > after:
                raise ZeroDivisionError
            return await hall.counter.acquire()

        return acquire

    head = asyncio.create_task(hall.lines.wait("a", DAY_S, acquire=failing(1), peek=hall.counter.peek))
    await hall.settle()
    behind = hall.begin("a")
    await hall.settle()
    hall.clock.advance(60)
    await hall.settle()
    with pytest.raises(ZeroDivisionError):
        await head
    await hall.until_done([behind])
    assert (await behind).allowed


async def test_a_cancelled_head_wakes_the_next_one_at_once() -> None:
    """Who moves up asks then, not when the one before would have."""
    hall = Hall()
    head, behind = hall.begin("a"), hall.begin("a")
    await hall.settle()
    hall.counter.units = 1
    head.cancel()
    await hall.settle()
    assert behind.done()
    assert (await behind).allowed


async def test_a_wait_is_measured_by_a_clock_that_never_steps_back() -> None:
    """A wall clock that is put back does not lengthen anybody's wait."""
    async with Limiter(clock=(clock := ManualClock(10**9)), logger=NullLogger()) as limiter:
        await limiter.acquire(SLOW, "key")
        waiting = asyncio.create_task(limiter.wait(SLOW, "key", timeout=90))
        for _ in range(20):
            await asyncio.sleep(0)
        clock.advance(-3600)
        clock.advance(60)
        for _ in range(20):
            await asyncio.sleep(0)
        # By the wall clock an hour more was asked for; there were thirty seconds left.
        with pytest.raises(LimitExceededError):
            await waiting
