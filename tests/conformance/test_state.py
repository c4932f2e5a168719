"""What the store keeps: nothing for a look, one place for a pair named twice, nothing for ever."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from sluicegate import InvalidInputError, Limit
from tests.conformance.examples import RATED, UPLOADS

if TYPE_CHECKING:
    from tests.conformance.rig import Rig

REAL_US_MAX = 10_000_000  # the server counts expiries by its own clock, which went on meanwhile

every_kind = pytest.mark.parametrize("kind", RATED)


@every_kind
def test_a_peek_writes_nothing_and_agrees_with_acquire(rig: Rig, kind: str) -> None:
    """From any state a peek leaves every byte as it was, and says what the acquire after it is answered."""
    limit, draw = RATED[kind], random.Random(kind)
    denials = 0
    for _ in range(50):
        rig.advance_us(draw.choice([0, 1, draw.randrange(4_000_000), draw.randrange(30_000_000)]))
        cost = draw.choice([0, 1, 1, 2, 3, 8])
        before = rig.contents()
        looked = rig.peek(limit, cost=cost)
        assert rig.contents() == before
        answered = rig.acquire(limit, cost=cost)
        denials += not answered.allowed
        assert looked.allowed == answered.allowed
        assert looked.retry_after_us == answered.retry_after_us
        assert looked.decided_at_us == answered.decided_at_us
        if not answered.allowed:
            assert (looked.remaining, looked.reset_after_us) == (answered.remaining, answered.reset_after_us)
        elif "several" not in kind:
            assert looked.remaining == (answered.remaining or 0) + cost
    assert denials >= 10


def test_a_peek_of_holders_writes_nothing(rig: Rig) -> None:
    """A look at who holds changes no byte, also when a holder has expired."""
    with rig.hold(UPLOADS):
        for step_s in (0, 61):
            rig.clock._clock._now_us += step_s * 1_000_000  # the wall clock alone, so that nobody renews
            rig.clock._tell()
            before = rig.contents()
            assert rig.peek(UPLOADS).remaining == (2 if step_s else 1)
            assert rig.contents() == before


@every_kind
def test_a_peek_reads_and_is_not_counted(rig: Rig, kind: str) -> None:
    """A look asks the server with a command that cannot write, and is no decision."""
    limit = RATED[kind]
    rig.acquire(limit)
    before = rig.script_runs() if rig.store_name == "redis" else (0, 0)
    rig.peek(limit)
    if rig.store_name == "redis":
        assert rig.script_runs() == (before[0], before[1] + 1)
    assert rig.limiter.statistics().decisions == {("rated", "allowed"): 1}


@every_kind
def test_a_pair_named_twice_is_taken_once_with_the_greater_cost(rig: Rig, kind: str) -> None:
    """It is answered in both places, and each answer is the one that was taken."""
    limit = RATED[kind]
    capacity = limit.plan.capacity
    joint = rig.acquire_all([(limit, "key", 1), (limit, "other"), (limit, "key", 2), (limit, "key", 0)])
    first, other, second, third = joint.decisions
    assert first == second == third
    assert (first.cost, first.remaining) == (2, capacity - 2)
    assert (other.key, other.remaining) == ("other", capacity - 1)


def test_two_rules_of_one_name_in_one_request_are_refused(rig: Rig) -> None:
    """Which of the two should decide, nobody could say."""
    with pytest.raises(InvalidInputError, match="two rules named 'rated'"):
        rig.acquire_all([(RATED["gcra"], "key"), (RATED["gcra_burst"], "key")])
    assert rig.contents() == {}


@every_kind
def test_no_state_is_without_expiry_and_none_outlives_its_meaning(rig: Rig, kind: str) -> None:
    """Whatever takes units, the store keeps the state for as long as it differs from none, and no longer."""
    limit, draw = RATED[kind], random.Random(kind)
    for _ in range(30):
        rig.advance_us(draw.randrange(20_000_000))
        decision = rig.acquire(limit, cost=draw.choice([1, 2]))
        if not decision.allowed:
            continue
        ((_, left_us),) = rig.expiries_us().items()
        longest_us = 3_600_000_000 if "several" in kind else decision.reset_after_us
        assert decision.reset_after_us - REAL_US_MAX < left_us <= longest_us + 1000


@every_kind
def test_what_a_refund_leaves_behind_expires(rig: Rig, kind: str) -> None:
    """A refund shortens the stay of the state, and what remembers the refund goes when it can no longer be asked."""
    limit = RATED[kind]
    kept = rig.acquire(limit)
    decision = rig.acquire(limit, cost=2)
    rig.refund(decision)
    expiries_us = rig.expiries_us()
    assert len(expiries_us) == 2
    companion_us = next(left_us for name, left_us in expiries_us.items() if "once:" in name)
    state_us = next(left_us for name, left_us in expiries_us.items() if "once:" not in name)
    assert 0 < companion_us <= decision.reset_after_us + 1000
    assert 0 < state_us <= (3_600_000_000 if "several" in kind else kept.reset_after_us) + 1000


def test_holders_expire_with_the_last_of_them(rig: Rig) -> None:
    """The state of a concurrency limit stays for a term and no longer."""
    with rig.hold(UPLOADS), rig.hold(UPLOADS):
        assert [0 < left <= 60_000_000 for left in rig.expiries_us().values()] == [True]
    assert rig.peek(UPLOADS).remaining == 2


def test_an_acquire_of_nothing_leaves_nothing(rig: Rig) -> None:
    """A cost of 0, a denial, and a reset leave no key behind."""
    for limit in RATED.values():
        rig.acquire(limit, cost=0)
        rig.acquire(limit, cost=10)
        rig.reset(limit)
        rig.peek(limit)
    assert rig.contents() == {}


@every_kind
def test_keys_do_not_meet(rig: Rig, kind: str) -> None:
    """Names and keys that could run together are told apart."""
    rate = RATED[kind]
    pairs = [("a:b", "c"), ("a", "b:c"), ("a", "b"), ("a:b", "b:c"), ("a%3Ab", "c"), ("a", "{b}c"), ("a", "%7Bb%7Dc")]
    pairs += [("a", "~b"), ("a", "%7Eb"), ("a", "x" * 200), ("a", "x" * 201), ("a", "ü" * 90), ("once", "a:b:c")]
    limits = {name: Limit(name, rate.rates, algorithm=rate.algorithm, time_zone=rate.time_zone) for name, _ in pairs}
    assert [rig.acquire(limits[name], key).remaining for name, key in pairs] == [rate.plan.capacity - 1] * len(pairs)
    assert len(rig.contents()) == len(pairs)


def test_two_spellings_of_one_key_are_one_key(rig: Rig) -> None:
    """A key is normalised: a letter with its accent is the same, however it is composed."""
    limit = RATED["gcra"]
    rig.acquire(limit, "u\u0308ber")
    assert rig.acquire(limit, "\u00fcber").remaining == 5
    assert rig.peek(limit, "u\u0308ber").remaining == 5
    assert rig.acquire_all([(limit, "u\u0308ber"), (limit, "\u00fcber")]).binding.remaining == 4
    assert rig.reset(limit, "u\u0308ber") is True
