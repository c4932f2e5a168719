"""A denial is true: it consumes nothing, and it names the very microsecond at which it ends."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from sluicegate import Decision, InvalidInputError, Limit, LimitExceededError
from tests.conformance.examples import RATED, UPLOADS

if TYPE_CHECKING:
    from tests.conformance.rig import Rig

every_kind = pytest.mark.parametrize("kind", RATED)


def drain(rig: Rig, limit: Limit) -> Decision:
    """Take units one by one until there are none, and return the denial."""
    while (decision := rig.acquire(limit)).allowed:
        pass
    return decision


@every_kind
def test_a_denied_request_consumes_nothing(rig: Rig, kind: str) -> None:
    """A denial, however often it is repeated, leaves the store as it was."""
    limit = RATED[kind]
    drain(rig, limit)
    before = rig.contents()
    assert not any(rig.acquire(limit, cost=cost).allowed for cost in (1, 2, 4))
    assert rig.contents() == before


@every_kind
def test_a_joint_denial_consumes_nothing_under_any_of_its_limits(rig: Rig, kind: str) -> None:
    """When one limit of several denies, the others keep what they had, wherever in the request it stands."""
    limit = RATED[kind]
    full = Limit("full", "1/hour")
    rig.acquire(full)
    rig.acquire(limit)
    before = rig.contents()
    for members in ([(limit, "key"), (full, "key")], [(full, "key"), (limit, "key")]):
        assert not rig.acquire_all(members).allowed
        assert rig.contents() == before


@every_kind
def test_a_cost_that_does_not_fit_is_denied_whole(rig: Rig, kind: str) -> None:
    """Of a cost greater than what remains nothing is taken: what remains can still be had."""
    limit = RATED[kind]
    room = rig.acquire(limit).remaining
    assert room is not None
    denied = rig.acquire(limit, cost=room + 1)
    assert (denied.allowed, denied.remaining) == (False, room)
    assert rig.acquire(limit, cost=room).allowed


@every_kind
def test_never_says_that_no_wait_would_help(rig: Rig, kind: str) -> None:
    """A cost beyond the capacity is denied with never, and has no retry_after."""
    limit = RATED[kind]
    denied = rig.acquire(limit, cost=limit.plan.capacity + 1)
    assert (denied.allowed, denied.never, denied.retry_after) == (False, True, None)
    assert rig.contents() == {}


@every_kind
def test_a_denial_that_will_end_is_not_never(rig: Rig, kind: str) -> None:
    """A denial for want of units names a wait, and an allowed request needs none."""
    limit = RATED[kind]
    allowed = rig.acquire(limit)
    assert (allowed.retry_after, allowed.never) == (0.0, False)
    denied = drain(rig, limit)
    assert denied.retry_after is not None
    assert denied.retry_after > 0
    assert not denied.never


@every_kind
def test_a_wait_for_what_can_never_be_had_raises_at_once(rig: Rig, kind: str) -> None:
    """A wait for more than the capacity does not wait, also when others stand in line."""
    limit = RATED[kind]
    never = limit.plan.capacity + 1
    with pytest.raises(LimitExceededError) as alone:
        rig.wait(limit, cost=never, timeout=86_400)
    assert alone.value.decision.never
    drain(rig, limit)
    head = rig.begin_wait(limit, timeout=86_400)
    with pytest.raises(LimitExceededError) as behind:
        rig.wait(limit, cost=never, timeout=86_400)
    assert behind.value.decision.never
    assert not head.done()
    rig.reset(limit)
    rig.advance(86_400)
    assert head.result(10).allowed


def test_a_full_concurrency_limit_does_not_know_when_and_says_so(rig: Rig) -> None:
    """A hold that is denied raises at once; its retry_after is unknown, and that is not never."""
    with rig.hold(UPLOADS), rig.hold(UPLOADS):
        with pytest.raises(LimitExceededError) as full, rig.hold(UPLOADS):
            pytest.fail("a third was granted")
        denied = full.value.decision
        assert (denied.allowed, denied.retry_after, denied.never) == (False, None, False)


@every_kind
def test_retry_after_is_true_to_the_microsecond(rig: Rig, kind: str) -> None:
    """Obeyed to the microsecond it succeeds, and a microsecond sooner it does not, from any state."""
    limit, draw = RATED[kind], random.Random(kind)
    denials = 0
    for _ in range(60):
        rig.advance_us(draw.choice([0, 1, draw.randrange(5_000_000), draw.randrange(40_000_000)]))
        cost = draw.choice([1, 1, 2, 3])
        denied = rig.acquire(limit, cost=cost)
        if denied.allowed:
            continue
        denials += 1
        rig.advance_us(denied.retry_after_us - 1)
        sooner = rig.acquire(limit, cost=cost)
        assert (sooner.allowed, sooner.retry_after_us) == (False, 1)
        rig.advance_us(1)
        assert rig.acquire(limit, cost=cost).allowed
    assert denials >= 10


@every_kind
def test_reset_at_does_not_wobble(rig: Rig, kind: str) -> None:
    """Looked at from any later instant it is the same, until something is taken."""
    limit, draw = RATED[kind], random.Random(kind)
    drain(rig, limit)
    first = rig.peek(limit)
    reset_at_us = first.decided_at_us + first.reset_after_us
    for _ in range(8):
        rig.advance_us(draw.randrange(first.reset_after_us // 10))
        looked = rig.peek(limit)
        assert looked.decided_at_us + looked.reset_after_us == reset_at_us
        assert looked.reset_at == reset_at_us / 1_000_000


@every_kind
def test_at_reset_at_nothing_is_left_of_the_past(rig: Rig, kind: str) -> None:
    """At that instant all can be had again, and a microsecond before something is still remembered."""
    limit = RATED[kind]
    drain(rig, limit)
    rig.advance_us(rig.peek(limit).reset_after_us - 1)
    assert rig.peek(limit).reset_after_us == 1
    rig.advance_us(1)
    looked = rig.peek(limit)
    assert (looked.remaining, looked.reset_after) == (limit.plan.capacity, 0.0)


@every_kind
def test_a_cost_of_nothing_looks(rig: Rig, kind: str) -> None:
    """A cost of 0 is allowed when nothing remains, and takes nothing."""
    limit = RATED[kind]
    drain(rig, limit)
    before = rig.contents()
    looked = rig.acquire(limit, cost=0)
    assert (looked.allowed, looked.remaining) == (True, 0)
    assert rig.contents() == before


@every_kind
def test_bad_input_consumes_nothing(rig: Rig, kind: str) -> None:
    """A refused member of a request leaves no trace of the others."""
    limit = RATED[kind]
    with pytest.raises(InvalidInputError, match=r"limits\[1\]"):
        rig.acquire_all([(limit, "key"), (limit, "key\x00")])
    with pytest.raises(InvalidInputError, match=r"limits\[1\]"):
        rig.acquire_many([(limit, "key"), (limit, "key", -1)])
    assert rig.contents() == {}
