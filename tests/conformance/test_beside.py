"""Two limits of one name for one request: one is enforced, the other runs beside it, and what differs is counted."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from sluicegate import BlockingLimiter, Limit, NullLogger
from sluicegate.testing import ManualClock

from .rig import START

if TYPE_CHECKING:
    from .rig import Rig

ALONE = [
    Limit("api", "6 per 10 seconds"),
    Limit("api", "9 per 7 seconds burst 4"),
    Limit("api", "7 per 3 seconds; 30/minute"),
    Limit("api", "5 per 10 seconds", algorithm="fixed_window"),
    Limit("api", "8 per 10 seconds", algorithm="sliding_window_counter"),
    Limit("api", "6 per 10 seconds", algorithm="sliding_window_log"),
    Limit("api", "40/day", algorithm="calendar_quota"),
]
COMPARED = ("agreed", "only_candidate_denied", "only_current_denied")


def beside(limit: Limit) -> Limit:
    """Return the limit as it runs beside another."""
    return replace(limit, shadow=True, beside=True)


def candidate(limit: Limit) -> Limit:
    """Return the limit as what another of its name is to become."""
    return replace(limit, candidate=True)


def compared(rig: Rig, name: str = "api") -> tuple[int, ...]:
    """Return how often both agreed, only the candidate denied, and only the current one."""
    found = rig.limiter.statistics().compared
    return tuple(found.get((name, column), 0) for column in COMPARED)


class Apart:
    """Limiters of their own for each limit, on a clock that is moved along."""

    def __init__(self, *limits: Limit) -> None:
        self.clock = ManualClock(START)
        self._limiters = {limit: BlockingLimiter(clock=self.clock, logger=NullLogger()) for limit in limits}

    def grants(self, limit: Limit, key: str, cost: int) -> bool:
        """Say whether a limit would grant it."""
        decision = self._limiters[limit].peek(limit, key, cost)
        return decision.allowed and not decision.shadow_denied

    def take(self, limit: Limit, key: str, cost: int) -> bool:
        """Have a limit decide."""
        return self._limiters[limit].acquire(limit, key, cost).allowed


@pytest.mark.parametrize("seed", range(6))
def test_both_decide_as_two_limiters_run_apart(rig: Rig, seed: int) -> None:
    """Whichever of the two is enforced, each tells what it would alone, and the differences are those of the two."""
    random = Random(seed)
    current, new = random.choice(ALONE), random.choice(ALONE)
    apart = Apart(current, replace(new, candidate=True))
    new = candidate(new)
    expected = [0, 0, 0]
    for _ in range(250):
        cost, key = random.choice((1, 1, 1, 2, 3)), random.choice("ab")
        step_us = random.choice((0, 1, 100_000, 700_000))
        rig.clock.advance_us(step_us)
        apart.clock.advance_us(step_us)
        by_current, by_new = apart.take(current, key, cost), apart.take(new, key, cost)
        if key == "a":
            joint = rig.acquire_all([(current, key, cost), (beside(new), key, cost)])
            assert joint.allowed is by_current
            assert joint.decisions[1].shadow_denied is not by_new
        else:
            joint = rig.acquire_all([(new, key, cost), (beside(current), key, cost)])
            assert joint.allowed is by_new
            assert joint.decisions[1].shadow_denied is not by_current
        assert joint.binding is joint.decisions[0]
        expected[0 if by_current is by_new else 1 if by_current else 2] += 1
    assert compared(rig) == tuple(expected)
    counted = rig.limiter.statistics().decisions
    assert sum(counted.values()) == 250
    assert set(counted) <= {("api", "allowed"), ("api", "denied")}


@pytest.mark.parametrize("seed", range(6))
def test_among_others_each_counts_what_the_others_let_through(rig: Rig, seed: int) -> None:
    """It is charged when all others grant it and it does itself, whatever the one that it stands beside says."""
    random = Random(seed)
    other = Limit("other", "12 per 10 seconds")
    trial = Limit("trial", "4 per 5 seconds", shadow=True)
    current, new = random.choice(ALONE), candidate(random.choice(ALONE))
    second, second_new = Limit("second", "9 per 10 seconds"), candidate(Limit("second", "4 per 4 seconds"))
    apart = Apart(other, trial, current, new, second, second_new)
    for _ in range(250):
        cost = random.choice((1, 1, 2))
        step_us = random.choice((0, 1, 100_000, 700_000))
        rig.clock.advance_us(step_us)
        apart.clock.advance_us(step_us)
        grants = {limit: apart.grants(limit, "k", cost) for limit in (other, trial, current, new, second, second_new)}
        enforced, shadow = (current, new) if random.random() < 0.5 else (new, current)
        members = [other, enforced, beside(shadow), trial, second_new, beside(second)]
        joint = rig.acquire_all([(limit, "k", cost) for limit in members])
        assert joint.allowed is (grants[other] and grants[enforced] and grants[second_new])
        told = [not decision.shadow_denied for decision in joint.decisions]
        assert (told[2], told[3], told[5]) == (grants[shadow], grants[trial], grants[second])
        charged = {
            other: joint.allowed,
            enforced: joint.allowed,
            shadow: grants[other] and grants[second_new] and grants[shadow],
            trial: joint.allowed and grants[trial],
            second_new: joint.allowed,
            second: grants[other] and grants[enforced] and grants[second],
        }
        for limit, is_charged in charged.items():
            if is_charged:
                assert apart.take(limit, "k", cost)


@pytest.mark.parametrize("limit", ALONE, ids=str)
def test_two_that_are_alike_never_differ(rig: Rig, limit: Limit) -> None:
    """Also where another limit of the request denies much, and where which of them is enforced changes."""
    random = Random(str(limit))
    other = Limit("other", "3 per 4 seconds")
    new = candidate(limit)
    for _ in range(150):
        rig.clock.advance_us(random.choice((0, 1, 100_000, 900_000)))
        pair = [(limit, "k"), (beside(new), "k")] if random.random() < 0.5 else [(new, "k"), (beside(limit), "k")]
        rig.acquire_all([(other, "k"), *pair] if random.random() < 0.7 else pair)
    assert compared(rig) == (150, 0, 0)


def test_a_candidate_has_a_state_of_its_own(rig: Rig) -> None:
    """No other limit has it, whatever its name, nor the one that it is to replace."""
    limit = Limit("api", "5/minute")
    others = [limit, *(Limit(name, "5/minute") for name in ("api|candidate", "api:candidate", "candidate", "api%7C"))]
    assert rig.acquire(candidate(limit), "k", 5)
    for other in others:
        assert rig.peek(other, "k").remaining == 5
        assert rig.peek(other, "candidate:k").remaining == 5
    assert rig.reset(limit, "k") is False
    assert rig.peek(candidate(limit), "k").remaining == 0


def test_a_refund_goes_to_the_one_that_was_enforced(rig: Rig) -> None:
    """What ran beside it keeps its count."""
    limit = Limit("api", "5/minute")
    joint = rig.acquire_all([(candidate(limit), "k", 3), (beside(limit), "k", 3)])
    assert rig.refund(joint.decisions[0]) == 3
    assert rig.peek(candidate(limit), "k").remaining == 5
    assert rig.peek(limit, "k").remaining == 2


def test_a_shadow_beside_an_enforced_limit_must_be_a_shadow() -> None:
    """A limit that is enforced binds every request, so it cannot stand in another's place."""
    with pytest.raises(ValueError, match="beside: found a limit that is enforced"):
        Limit("api", "5/minute", beside=True)
