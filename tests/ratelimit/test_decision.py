"""A decision: what it carries and in which unit, what it says when it denies, and that it is a value."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from sluicegate import Decision, ErrorClass, JointDecision, Limit, Limiter, LimitExceededError, SluicegateError
from sluicegate.testing import ManualClock

START = 1_700_006_400.0
API = Limit("api", "7/minute")  # a unit takes 8.571428 4/7 s
FIELDS = (
    "allowed",
    "limit",
    "key",
    "cost",
    "remaining",
    "retry_after_us",
    "reset_after_us",
    "decided_at_us",
    "source",
    "degraded",
    "shadow_denied",
    "serial",
)


def decision_of(**fields: Any) -> Decision:
    """Make a decision of which only some fields matter."""
    usual = {
        "allowed": False,
        "limit": API,
        "key": "key",
        "cost": 1,
        "remaining": 0,
        "retry_after_us": 0,
        "reset_after_us": 0,
        "decided_at_us": 1_700_006_400_000_001,
        "source": "memory",
        "degraded": False,
        "shadow_denied": False,
        "serial": 0,
    }
    return Decision(**{**usual, **fields})


async def real_decisions(limit: Limit, requests: int, *, key: str = "key") -> list[Decision]:
    """Return what a real limiter says to so many requests at one instant."""
    async with Limiter(clock=ManualClock(START)) as limiter:
        return [await limiter.acquire(limit, key) for _ in range(requests)]


async def test_a_decision_names_its_request_and_its_answer() -> None:
    """All that is asked and all that is answered can be read from it."""
    decision = (await real_decisions(API, 1, key="user:42"))[0]
    assert decision._fields == FIELDS
    assert (decision.allowed, decision.limit, decision.key, decision.cost) == (True, API, "user:42", 1)
    assert (decision.remaining, decision.retry_after, decision.never) == (6, 0.0, False)
    assert (decision.source, decision.degraded, decision.shadow_denied, decision.delay) == ("memory", False, False, 0.0)


async def test_times_are_seconds() -> None:
    """What a user reads is in seconds, to the microsecond; what ends in _us is whole microseconds."""
    denied = (await real_decisions(API, 8))[-1]
    assert (denied.retry_after_us, denied.reset_after_us) == (8_571_429, 60_000_000)
    assert (denied.retry_after, denied.reset_after) == (8.571429, 60.0)
    assert (denied.decided_at_us, denied.reset_at) == (1_700_006_400_000_000, START + 60)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_decision_is_a_condition(allowed: bool) -> None:
    """It is true when the request may pass."""
    assert bool(decision_of(allowed=allowed)) is allowed


@pytest.mark.parametrize(
    ("retry_after_us", "retry_after", "never"),
    [(0, 0.0, False), (1, 0.000001, False), (90_000_000, 90.0, False), (-1, None, True), (-2, None, False)],
)
def test_a_wait_is_a_number_or_never_or_unknown(retry_after_us: int, retry_after: float | None, never: bool) -> None:
    """Where there is no number, never tells which of the two it is."""
    decision = decision_of(retry_after_us=retry_after_us)
    assert (decision.retry_after, decision.never) == (retry_after, never)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"allowed": True, "remaining": 6}, "api allowed, 6 remaining"),
        ({"allowed": True, "remaining": None}, "api allowed, None remaining"),
        ({"retry_after_us": 1_500_000}, "api denied, retry after 1.5 s"),
        ({"retry_after_us": -1}, "api denied, never possible"),
        ({"retry_after_us": -2}, "api denied, retry after an unknown time"),
    ],
)
def test_a_decision_says_itself_in_a_line(fields: dict[str, Any], text: str) -> None:
    """The name of the limit, and what follows for the caller; the key, which may be a person's, is left out."""
    assert str(decision_of(**fields)) == text


def test_only_an_allowed_leaky_bucket_delays() -> None:
    """A denial, a degraded decision and other algorithms run at once or not at all."""
    leaky = Limit("pace", "10/minute", algorithm="leaky_bucket")
    ahead = {"allowed": True, "reset_after_us": 18_000_000}
    assert decision_of(limit=leaky, **ahead).delay == 12.0
    assert decision_of(limit=leaky, cost=3, **ahead).delay == 0.0
    assert decision_of(limit=leaky, **{**ahead, "allowed": False}).delay == 0.0
    assert decision_of(limit=leaky, degraded=True, **ahead).delay == 0.0
    assert decision_of(limit=Limit("pace", "10/minute"), **ahead).delay == 0.0


def test_of_several_rates_the_slowest_paces() -> None:
    """A leaky bucket of two rates delays by the one that takes longer for a unit."""
    leaky = Limit("pace", "10/minute; 60/hour", algorithm="leaky_bucket")
    assert decision_of(limit=leaky, allowed=True, reset_after_us=180_000_000).delay == 120.0


def test_an_allowed_decision_raises_nothing() -> None:
    """To ask it to raise is harmless."""
    decision_of(allowed=True).raise_if_denied()
    joint = JointDecision.of((decision_of(allowed=True),))
    joint.raise_if_denied()
    assert joint.allowed


def test_a_denial_raises_when_asked_and_is_carried_along() -> None:
    """The exception is one of ours, says what the decision says, and brings the decision itself."""
    denied = decision_of(retry_after_us=1_500_000)
    with pytest.raises(LimitExceededError, match=r"^limit exceeded: api denied, retry after 1\.5 s$") as exceeded:
        denied.raise_if_denied()
    assert exceeded.value.decision is denied
    assert isinstance(exceeded.value, SluicegateError)
    assert exceeded.value.error_class is ErrorClass.PROGRAMMING


def test_a_joint_denial_raises_with_all_of_it() -> None:
    """The exception carries the joint decision, and says what binds."""
    joint = JointDecision.of(
        (decision_of(retry_after_us=0), decision_of(limit=Limit("tight", "1/s"), retry_after_us=5))
    )
    with pytest.raises(LimitExceededError, match="tight denied, retry after 5e-06 s") as exceeded:
        joint.raise_if_denied()
    assert exceeded.value.decision is joint


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_is_the_same_decision(copied: Any) -> None:
    """Decisions, joint ones and the exceptions that carry them travel between processes unchanged."""
    denied = decision_of(retry_after_us=1_500_000, limit=Limit("api", "5/min; 9/h burst 3"))
    joint = JointDecision.of((denied, decision_of(limit=Limit("day", "5/day", algorithm="calendar_quota"))))
    for value in (denied, joint):
        again = copied(value)
        assert type(again) is type(value)
        assert (again, str(again), hash(again)) == (value, str(value), hash(value))
        error = copied(LimitExceededError(value))
        assert (type(error), error.decision, str(error)) == (LimitExceededError, value, f"limit exceeded: {value}")


@pytest.mark.parametrize("field", [*FIELDS, "retry_after", "never", "reset_after", "reset_at", "delay", "surprise"])
def test_nothing_changes_a_decision(field: str) -> None:
    """No field can be set, added or deleted."""
    decision = decision_of()
    with pytest.raises(AttributeError):
        setattr(decision, field, None)
    with pytest.raises(AttributeError):
        delattr(decision, field)
    assert decision == decision_of()


@pytest.mark.parametrize("field", ["allowed", "binding", "decisions"])
def test_nothing_changes_a_joint_decision(field: str) -> None:
    """No field of it can be set or deleted either."""
    joint = JointDecision.of((decision_of(),))
    with pytest.raises(AttributeError):
        setattr(joint, field, None)
    with pytest.raises(AttributeError):
        delattr(joint, field)
    assert joint == JointDecision.of((decision_of(),))


def joined(*fields: dict[str, Any]) -> JointDecision:
    """Join decisions of limits named a, b, c."""
    names = "abcdef"
    return JointDecision.of(
        tuple(decision_of(**{"limit": Limit(names[place], "5/s"), **own}) for place, own in enumerate(fields))
    )


@pytest.mark.parametrize(
    ("waits_us", "binding"),
    [
        ((5, 9, 7), "b"),
        ((0, 0, 3), "c"),
        ((9, -1, 7), "b"),
        ((-1, 10**12), "a"),
        ((5, 5), "a"),
    ],
)
def test_what_must_be_waited_for_longest_binds_a_denial(waits_us: tuple[int, ...], binding: str) -> None:
    """Never comes before any wait; of equals the first."""
    joint = joined(*({"retry_after_us": wait_us} for wait_us in waits_us))
    assert (joint.allowed, bool(joint), joint.binding.limit.name) == (False, False, binding)
    assert str(joint) == str(joint.binding)


@pytest.mark.parametrize(
    ("remaining", "binding"),
    [((5, 3, 4), "b"), ((0, 3), "a"), ((None, 3), "b"), ((None, None), "a"), ((None, 0), "b"), ((3, 3), "a")],
)
def test_what_has_least_left_binds_a_grant(remaining: tuple[int | None, ...], binding: str) -> None:
    """What is unknown comes last."""
    joint = joined(*({"allowed": True, "remaining": own} for own in remaining))
    assert (joint.allowed, bool(joint), joint.binding.limit.name) == (True, True, binding)
    assert [decision.remaining for decision in joint.decisions] == list(remaining)


def test_one_denial_among_grants_denies() -> None:
    """With some that would let pass and one that would not, the request does not pass, and that one binds."""
    joint = joined({"allowed": True, "remaining": 0}, {"retry_after_us": -2}, {"allowed": True, "remaining": 1})
    assert (joint.allowed, joint.binding.limit.name) == (False, "b")


def test_a_shadow_limit_does_not_bind_a_grant() -> None:
    """Also not when least remains of it, unless there are only such."""
    shadow = Limit("shadow", "5/s", shadow=True)
    beside = joined({"allowed": True, "remaining": 9}, {"allowed": True, "remaining": 0, "limit": shadow})
    assert beside.binding.limit.name == "a"
    alone = joined({"allowed": True, "remaining": 0, "limit": shadow})
    assert alone.binding.limit is shadow
