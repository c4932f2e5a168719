"""A wait is first come, first served for each key; only the head of a line takes, at the instant it was told."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from sluicegate import Limit, LimitExceededError
from tests.conformance.examples import RATED

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sluicegate import Decision
    from tests.conformance.rig import Rig

SLOW = Limit("slow", "1/minute")
DAY_S = 86_400.0


def finished(waiters: list[Future[Decision]]) -> list[int]:
    """Return the places of the waiters that have their unit."""
    return [place for place, waiter in enumerate(waiters) if waiter.done()]


@pytest.mark.parametrize("kind", RATED)
def test_a_wait_is_first_come_first_served(rig: Rig, kind: str) -> None:
    """Whatever each of them wants, waiters are served in the order in which they came."""
    limit, draw = RATED[kind], random.Random(kind)
    while rig.acquire(limit).allowed:
        pass
    waiters = [rig.begin_wait(limit, cost=draw.choice([1, 2, 3]), timeout=DAY_S) for _ in range(5)]
    step_s = 4_200 if kind == "calendar_quota" else 100 if "several" in kind else 7
    order: list[int] = []
    for place, waiter in enumerate(waiters):
        waiter.add_done_callback(lambda _, place=place: order.append(place))  # type: ignore[misc] # a default
    while rig.clock.sleepers:
        rig.advance(step_s)
    decisions = [waiter.result(10) for waiter in waiters]
    assert [decision.allowed for decision in decisions] == [True] * 5
    decided_us = [decision.decided_at_us for decision in decisions]
    assert decided_us == sorted(decided_us)
    if rig.face == "async":  # threads may be told in order and run in another
        assert order == [0, 1, 2, 3, 4]


def test_only_the_head_of_a_line_takes(rig: Rig) -> None:
    """While ten wait, one request is made for each instant that the head was told; the others are still."""
    rig.acquire(SLOW)
    before = rig.script_runs() if rig.store_name == "redis" else (0, 0)
    waiters = [rig.begin_wait(SLOW, timeout=DAY_S) for _ in range(10)]
    for number in range(10):
        # The head was denied once, and stands still; so do the others.
        assert rig.limiter.statistics().decisions == {("slow", "allowed"): number + 1, ("slow", "denied"): number + 1}
        rig.advance(60)
        waiters[number].result(10)
        assert rig.clock.sleepers == 9 - number
    assert rig.limiter.statistics().decisions == {("slow", "allowed"): 11, ("slow", "denied"): 10}
    if rig.store_name == "redis":
        runs = rig.script_runs()
        assert (runs[0] - before[0], runs[1] - before[1]) == (20, 9)  # who is not the head looks once, on coming


def test_a_wait_debits_nothing_ahead(rig: Rig) -> None:
    """A line changes nothing in the store: what others are told does not depend on who waits."""
    rig.acquire(SLOW)
    before = rig.contents()
    waiters = [rig.begin_wait(SLOW, timeout=DAY_S) for _ in range(3)]
    assert rig.contents() == before
    rig.reset(SLOW)
    assert rig.peek(SLOW).remaining == 1
    assert finished(waiters) == []
    for waiter in waiters:
        rig.advance(60)
        assert waiter.result(10).allowed


def test_a_direct_acquire_may_overtake(rig: Rig) -> None:
    """Who does not wait is not held up by a head that wants more than there is."""
    limit = Limit("slow", "2/minute")
    rig.acquire(limit, cost=1)
    head = rig.begin_wait(limit, cost=2, timeout=DAY_S)
    assert rig.acquire(limit).allowed
    assert not head.done()
    rig.advance(30)
    rig.advance(30)
    assert head.result(10).cost == 2


def test_lines_of_different_keys_do_not_hinder_each_other(rig: Rig) -> None:
    """One key's line says nothing about another's."""
    rig.acquire(SLOW, "full")
    stuck = rig.begin_wait(SLOW, "full", timeout=DAY_S)
    assert rig.wait(SLOW, "free", timeout=0).allowed
    assert not stuck.done()
    rig.advance(60)
    assert stuck.result(10).allowed


def test_two_spellings_of_a_key_stand_in_one_line(rig: Rig) -> None:
    """A line is the normalised key's."""
    rig.acquire(SLOW, "\u00fc")
    first = rig.begin_wait(SLOW, "u\u0308", timeout=DAY_S)
    second = rig.begin_wait(SLOW, "\u00fc", timeout=DAY_S)
    rig.advance(60)
    assert first.result(10).allowed
    assert not second.done()
    rig.advance(60)
    assert second.result(10).allowed


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_cancelled_waiter_leaves_the_line(rig: Rig, place: int) -> None:
    """The others move up, whether it was the head, in the middle or the last; nothing was taken for it."""
    if rig.face == "sync":
        assert not hasattr(rig.limiter, "cancel"), "a thread that blocks cannot be cancelled"
        return
    rig.acquire(SLOW)
    waiters = [rig.begin_wait(SLOW, timeout=DAY_S) for _ in range(3)]
    waiters.pop(place).cancel()
    rig.settle()
    for number in range(2):
        rig.advance(60)
        waiters[number].result(10)
    assert rig.limiter.statistics().decisions["slow", "allowed"] == 3
    assert rig.limiter._lines._lines == {} if rig.face == "async" else True


def test_a_wait_that_cannot_be_in_time_fails_at_once(rig: Rig) -> None:
    """The head and who stands behind it are told at once, with the denial; a microsecond decides."""
    rig.acquire(SLOW)
    with pytest.raises(LimitExceededError) as late:
        rig.wait(SLOW, timeout=59.999999)
    assert late.value.decision.retry_after == 60.0
    head = rig.begin_wait(SLOW, timeout=60)
    with pytest.raises(LimitExceededError):
        rig.wait(SLOW, timeout=59.999999)
    assert not head.done()
    rig.advance(60)
    assert head.result(10).allowed


def test_who_stands_in_line_too_long_is_told_at_its_time(rig: Rig) -> None:
    """Behind a head that takes the unit first, a waiter fails when its time is up, and the line goes on."""
    rig.acquire(SLOW)
    head = rig.begin_wait(SLOW, timeout=DAY_S)
    impatient = rig.begin_wait(SLOW, timeout=90)
    patient = rig.begin_wait(SLOW, timeout=DAY_S)
    rig.advance(60)
    assert head.result(10).allowed
    with pytest.raises(LimitExceededError):
        impatient.result(10)  # at the head it is told that 60 s more are too many for its 30
    rig.advance(60)
    assert patient.result(10).allowed


def test_who_never_comes_to_the_head_fails_when_its_time_is_up(rig: Rig) -> None:
    """A waiter behind a head that waits for much is told at its own deadline."""
    limit = Limit("slow", "2/minute")
    rig.acquire(limit)
    head = rig.begin_wait(limit, cost=2, timeout=DAY_S)
    behind = rig.begin_wait(limit, timeout=10)
    rig.advance(10)
    with pytest.raises(LimitExceededError):
        behind.result(10)
    assert not head.done()
    rig.advance(20)
    assert head.result(10).allowed


def test_a_wait_of_no_time_is_an_acquire_that_raises(rig: Rig) -> None:
    """With a time-out of 0 it takes what is there, and raises where nothing is."""
    assert rig.wait(SLOW, timeout=0).allowed
    with pytest.raises(LimitExceededError):
        rig.wait(SLOW, timeout=0)
