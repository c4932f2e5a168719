"""Every verb of every algorithm on both stores and both faces: one test each, from which docs/verbs.md is made.

A test's name is its verb and its parameters are its place in the table. Where a verb does not go with
an algorithm the test holds the refusal.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from sluicegate import InvalidInputError, Limit, LimitExceededError

if TYPE_CHECKING:
    from tests.conformance.rig import Rig

LIMITS = {
    "gcra": Limit("cell", "3/minute"),
    "token_bucket": Limit("cell", "3/minute", algorithm="token_bucket"),
    "leaky_bucket": Limit("cell", "3/minute", algorithm="leaky_bucket"),
    "fixed_window": Limit("cell", "3/minute", algorithm="fixed_window"),
    "sliding_window_counter": Limit("cell", "3/minute", algorithm="sliding_window_counter"),
    "sliding_window_log": Limit("cell", "3/minute", algorithm="sliding_window_log"),
    "calendar_quota": Limit("cell", "3/day", algorithm="calendar_quota"),
    "concurrency": Limit("cell", "3", algorithm="concurrency"),
}
ONCE = Limit("once", "1/minute", algorithm="fixed_window")

every_algorithm = pytest.mark.parametrize("algorithm", LIMITS)


def refused(algorithm: str, verb: str) -> bool:
    """Say whether a verb does not go with an algorithm."""
    return (algorithm == "concurrency") == (
        verb in {"acquire", "acquire_all", "acquire_many", "wait", "refund"}
    ) and verb not in {"peek", "reset", "decorator"}


def take_all(rig: Rig, limit: Limit) -> None:
    """Take the three units that each limit has."""
    assert [rig.acquire(limit).remaining for _ in range(3)] == [2, 1, 0]


@every_algorithm
def test_acquire(rig: Rig, algorithm: str) -> None:
    """An acquire takes what there is, then is denied until the instant that the denial names."""
    limit = LIMITS[algorithm]
    if refused(algorithm, "acquire"):
        with pytest.raises(InvalidInputError, match=r"hold\(\)"):
            rig.acquire(limit)
        assert rig.peek(limit).remaining == 3
        return
    take_all(rig, limit)
    denied = rig.acquire(limit)
    assert (denied.allowed, denied.remaining, denied.source) == (False, 0, rig.store_name)
    rig.advance_us(denied.retry_after_us)
    assert rig.acquire(limit).allowed


@every_algorithm
def test_acquire_all(rig: Rig, algorithm: str) -> None:
    """A joint acquire takes of all its limits or of none."""
    limit = LIMITS[algorithm]
    if refused(algorithm, "acquire_all"):
        with pytest.raises(InvalidInputError, match=r"limits\[1\].*hold\(\)"):
            rig.acquire_all([(ONCE, "key"), (limit, "key")])
        assert rig.peek(ONCE).remaining == 1
        return
    granted = rig.acquire_all([(limit, "key", 2), (ONCE, "key")])
    assert (granted.allowed, [decision.remaining for decision in granted.decisions]) == (True, [1, 0])
    denied = rig.acquire_all([(limit, "key"), (ONCE, "key")])
    assert (denied.allowed, denied.binding.limit) == (False, ONCE)
    assert rig.peek(limit).remaining == 1


@every_algorithm
def test_acquire_many(rig: Rig, algorithm: str) -> None:
    """A bulk acquire decides each of its requests for itself, in the order given."""
    limit = LIMITS[algorithm]
    if refused(algorithm, "acquire_many"):
        with pytest.raises(InvalidInputError, match=r"limits\[1\].*hold\(\)"):
            rig.acquire_many([(ONCE, "key"), (limit, "key")])
        assert rig.peek(ONCE).remaining == 1
        return
    decisions = rig.acquire_many([(limit, "a", 2), (limit, "b"), (limit, "a", 2), (limit, "a")])
    assert [(decision.key, decision.allowed, decision.remaining) for decision in decisions] == [
        ("a", True, 1),
        ("b", True, 2),
        ("a", False, 1),
        ("a", True, 0),
    ]


@every_algorithm
def test_wait(rig: Rig, algorithm: str) -> None:
    """A wait ends when the unit is there, and is refused at once when that would be too late."""
    limit = LIMITS[algorithm]
    if refused(algorithm, "wait"):
        with pytest.raises(InvalidInputError, match=r"hold\(\)"):
            rig.wait(limit, timeout=1)
        return
    rig.advance(10)
    take_all(rig, limit)
    due_us = rig.peek(limit).retry_after_us
    with pytest.raises(LimitExceededError):
        rig.wait(limit, timeout=due_us / 1_000_000 - 1)
    waiter = rig.begin_wait(limit, timeout=due_us / 1_000_000 + 1)
    rig.advance_us(due_us)
    assert waiter.result(10).allowed


@every_algorithm
def test_peek(rig: Rig, algorithm: str) -> None:
    """A peek tells what there is and what an acquire would be answered, and takes nothing."""
    limit = LIMITS[algorithm]
    assert [rig.peek(limit).remaining for _ in range(2)] == [3, 3]
    with ExitStack() as held:
        for _ in range(3):
            if algorithm == "concurrency":
                held.enter_context(rig.hold(limit))
            else:
                rig.acquire(limit)
        looked = rig.peek(limit)
        assert (looked.allowed, looked.remaining) == (False, 0)
        if algorithm == "concurrency":
            assert (looked.retry_after, looked.never) == (None, False)
        else:
            assert looked.retry_after_us == rig.acquire(limit).retry_after_us


@every_algorithm
def test_reset(rig: Rig, algorithm: str) -> None:
    """A reset forgets a key, and says whether there was something to forget."""
    limit = LIMITS[algorithm]
    assert rig.reset(limit) is False
    with ExitStack() as held:
        if algorithm == "concurrency":
            held.enter_context(rig.hold(limit))
        else:
            take_all(rig, limit)
        assert rig.reset(limit) is True
        assert rig.peek(limit).remaining == 3
        assert rig.reset(limit) is False


@every_algorithm
def test_refund(rig: Rig, algorithm: str) -> None:
    """A refund gives back what a decision took, and gives it back once."""
    limit = LIMITS[algorithm]
    if refused(algorithm, "refund"):
        with rig.hold(limit) as hold, pytest.raises(InvalidInputError, match="release"):
            rig.refund(hold.decision)
        return
    decision = rig.acquire(limit, cost=2)
    assert rig.refund(decision) == 2
    assert rig.peek(limit).remaining == 3
    rig.acquire(limit, cost=2)
    assert rig.refund(decision) == 2
    assert rig.peek(limit).remaining == 1


@every_algorithm
def test_hold(rig: Rig, algorithm: str) -> None:
    """A hold keeps one unit until it is released; a full limit raises."""
    limit = LIMITS[algorithm]
    if refused(algorithm, "hold"):
        with pytest.raises(InvalidInputError, match="concurrency"), rig.hold(limit):
            pytest.fail("it was entered")
        assert rig.peek(limit).remaining == 3
        return
    with rig.hold(limit) as first, rig.hold(limit), rig.hold(limit):
        assert (first.decision.allowed, first.lost) == (True, False)
        with pytest.raises(LimitExceededError), rig.hold(limit):
            pytest.fail("a fourth was granted")
    assert rig.peek(limit).remaining == 3


@every_algorithm
def test_decorator(rig: Rig, algorithm: str) -> None:
    """A decorated function runs while there are units, and raises when there are none."""
    limit = LIMITS[algorithm]
    function = rig.decorated(limit)
    if algorithm == "concurrency":
        assert [function(number) for number in range(5)] == [(number,) for number in range(5)]
        with rig.hold(limit), rig.hold(limit), rig.hold(limit), pytest.raises(LimitExceededError):
            function(5)
        assert rig.peek(limit).remaining == 3
        return
    assert [function(number) for number in range(3)] == [(0,), (1,), (2,)]
    with pytest.raises(LimitExceededError) as denial:
        function(3)
    assert denial.value.decision.limit is limit
