"""A refund is taken once, and opens no gap: nobody gets more than if the decision had never been made."""

from __future__ import annotations

import pickle
import random
from typing import TYPE_CHECKING

import pytest

from sluicegate import Decision, InvalidInputError, Limit
from tests.conformance.examples import RATED

if TYPE_CHECKING:
    from tests.conformance.rig import Rig

every_kind = pytest.mark.parametrize("kind", RATED)
WINDOWS = ("fixed_window", "sliding_window_counter", "calendar_quota")


@every_kind
def test_a_refund_is_taken_once_for_each_decision(rig: Rig, kind: str) -> None:
    """Repeated, also of a copy from elsewhere, it says the same and gives nothing more."""
    limit = RATED[kind]
    rig.acquire(limit)
    decision = rig.acquire(limit, cost=2)
    assert rig.refund(decision) == 2
    after = rig.peek(limit).remaining
    assert rig.refund(decision) == 2
    assert rig.refund(pickle.loads(pickle.dumps(decision))) == 2
    assert rig.peek(limit).remaining == after == limit.plan.capacity - 1


@every_kind
def test_decisions_of_one_instant_are_refunded_each_for_itself(rig: Rig, kind: str) -> None:
    """Two decisions of one microsecond are two decisions, in one call or in two."""
    limit = RATED[kind]
    first, second = rig.acquire_many([(limit, "key"), (limit, "key")])
    assert [rig.refund(first), rig.refund(second), rig.refund(first)] == [1, 1, 1]
    assert rig.peek(limit).remaining == limit.plan.capacity


@every_kind
def test_what_took_nothing_gives_nothing_back(rig: Rig, kind: str) -> None:
    """A denial, a cost of 0 and a peek are worth nothing."""
    limit = RATED[kind]
    rig.acquire(limit, cost=2)
    nothing = [rig.acquire(limit, cost=limit.plan.capacity), rig.acquire(limit, cost=0)]
    before = rig.contents()
    assert [rig.refund(decision) for decision in nothing] == [0, 0]
    assert rig.contents() == before


def test_a_shadow_denial_gives_nothing_back(rig: Rig) -> None:
    """What a shadow limit let pass although it would have denied took nothing."""
    limit = Limit("shadow", "1/hour", shadow=True)
    rig.acquire(limit)
    passed = rig.acquire(limit)
    assert (passed.allowed, passed.shadow_denied) == (True, True)
    assert rig.refund(passed) == 0
    assert rig.peek(limit).remaining == 0


def test_a_shadow_member_of_a_joint_denial_gives_nothing_back(rig: Rig) -> None:
    """It would have granted, but the request was denied by another, so nothing was taken of it."""
    shadow, full = Limit("shadow", "2/hour", shadow=True), Limit("full", "1/hour")
    rig.acquire_all([(shadow, "key"), (full, "key")])
    joint = rig.acquire_all([(shadow, "key"), (full, "key")])
    assert not joint.allowed
    assert [rig.refund(decision) for decision in joint.decisions] == [0, 0]
    assert rig.peek(shadow).remaining == 1


@pytest.mark.parametrize("kind", ["gcra", "leaky_bucket", "gcra_burst"])
def test_a_paced_refund_gives_back_what_still_lies_ahead(rig: Rig, kind: str) -> None:
    """At most the time from now to the decision's own reset_at: what is paid off by then is gone."""
    limit = Limit("paced", "3/minute", algorithm=RATED[kind].algorithm)
    early = rig.acquire(limit, cost=3)
    rig.advance(40)
    assert rig.acquire(limit, cost=2).allowed
    assert rig.refund(early) == 1
    assert rig.peek(limit).remaining == 1


@every_kind
def test_a_refund_after_reset_at_gives_nothing(rig: Rig, kind: str) -> None:
    """When nothing is left of a decision there is nothing to give back, also of a key used since."""
    limit = RATED[kind]
    decision = rig.acquire(limit, cost=3)
    rig.advance_us(max(decision.reset_after_us, rig.peek(limit).reset_after_us))
    rig.advance(3600)
    later = rig.acquire(limit)
    assert rig.refund(decision) == 0
    assert rig.peek(limit).remaining == later.remaining


@pytest.mark.parametrize("kind", WINDOWS)
def test_a_window_gets_back_only_what_was_taken_in_it(rig: Rig, kind: str) -> None:
    """A decision of the window before gives nothing to this one."""
    limit = RATED[kind]
    old = rig.acquire(limit, cost=3)
    window_s = 86_400 if kind == "calendar_quota" else 60
    rig.advance(window_s)
    new = rig.acquire(limit, cost=2)
    assert rig.refund(old) == (3 if kind == "sliding_window_counter" else 0)
    assert rig.refund(new) == 2
    assert rig.peek(limit).remaining == 7


def test_the_log_gets_back_only_the_own_entry(rig: Rig) -> None:
    """What was taken at another instant stays, and leaves the window when it should."""
    limit = RATED["sliding_window_log"]
    rig.acquire(limit, cost=2)
    rig.advance(20)
    middle = rig.acquire(limit, cost=2)
    rig.advance(20)
    rig.acquire(limit, cost=2)
    assert rig.refund(middle) == 2
    assert rig.peek(limit).remaining == 3
    rig.advance(20)
    assert rig.peek(limit).remaining == 5
    rig.advance(20)
    assert (rig.peek(limit).remaining, rig.peek(limit).reset_after) == (5, 20.0)


@every_kind
def test_no_refund_opens_a_gap(rig: Rig, kind: str) -> None:
    """After a refund no more can be had than by a twin for whom the refunded decision was never made."""
    limit, draw = RATED[kind], random.Random(kind)
    refunded = 0
    for _ in range(25):
        rig.advance(7200 if kind != "calendar_quota" else 172_800)
        victim: Decision | None = None
        chosen = draw.randrange(5)
        for number in range(6):
            rig.advance_us(draw.choice((0, draw.randrange(25_000_000))))
            decision = rig.acquire(limit, "refunded", draw.choice([1, 2]))
            if number == chosen and decision.allowed:
                victim = decision
            elif decision.allowed:
                assert rig.acquire(limit, "twin", decision.cost).allowed
        if victim is None:
            continue
        rig.advance_us(draw.choice((0, draw.randrange(25_000_000))))
        before = rig.peek(limit, "refunded").remaining
        given = rig.refund(victim)
        after, twins = rig.peek(limit, "refunded").remaining, rig.peek(limit, "twin").remaining
        assert 0 <= given <= victim.cost
        assert before <= after <= min(before + victim.cost, twins)
        refunded += given
    assert refunded > 0


def test_a_refund_gives_a_fast_rate_only_what_is_still_owed_to_it(rig: Rig) -> None:
    """Late refunds under a fast and a slow rate: what flowed back in the fast one long ago comes no second time."""
    limit = Limit("rated", "10/s burst 10; 100/hour burst 100")
    decisions = [rig.acquire(limit) for _ in range(7)]
    rig.advance(200)
    assert sum(rig.acquire(limit).allowed for _ in range(20)) == 10
    assert [rig.refund(decision) for decision in decisions] == [0, 0, 0, 0, 0, 1, 1]
    assert not rig.acquire(limit).allowed
    rig.advance(60)
    assert rig.peek(limit).remaining == 10


def test_a_refund_reaches_each_rate_that_still_counts_it(rig: Rig) -> None:
    """When the second's window is over, the minute's gets its units back."""
    limit = Limit("rated", "10/s; 12/minute", algorithm="fixed_window")
    decision = rig.acquire(limit, cost=8)
    rig.advance(2)
    assert rig.peek(limit).remaining == 4
    assert rig.refund(decision) == 8
    assert rig.peek(limit).remaining == 10


@every_kind
def test_a_reset_voids_the_decisions_before_it(rig: Rig, kind: str) -> None:
    """What a reset has given back is not given back again, and what is taken after it still can be."""
    limit = RATED[kind]
    before = [rig.acquire(limit) for _ in range(limit.plan.capacity)]
    assert rig.reset(limit)
    rig.advance_us(1)
    after = [rig.acquire(limit) for _ in range(limit.plan.capacity)]
    assert [rig.refund(decision) for decision in before] == [0] * len(before)
    assert not rig.acquire(limit).allowed
    assert rig.refund(after[-1]) == 1
    assert rig.peek(limit).remaining == 1


@pytest.mark.parametrize("wrong", [None, "allowed", 1, object()])
def test_only_a_decision_can_be_refunded(rig: Rig, wrong: object) -> None:
    """Anything else is refused by name."""
    with pytest.raises(InvalidInputError, match="decision: found"):
        rig.refund(wrong)
