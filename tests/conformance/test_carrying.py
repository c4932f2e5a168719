"""A limit that gets another rate while keys are in use: what remains is carried over as the limit says."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from sluicegate import InvalidInputError, Limit

if TYPE_CHECKING:
    from tests.conformance.rig import Rig

COUNTED = ("gcra", "fixed_window", "sliding_window_counter", "calendar_quota")
WAYS = ("keep", "proportional", "additive", "reset")
OLD_LEFT = 40
NUMBERS = {200: (40, 80, 140, 200), 20: (20, 8, 0, 20)}  # of 100 with 40 left, as WAYS


def limit_of(algorithm: str, limit: int, way: str | None = None, *, unit: str = "day", seconds: float = 1.0) -> Limit:
    """Return a limit of that name which all tests change."""
    return Limit("changing", f"{limit}/{unit}", algorithm=algorithm, on_change=way, lease_seconds=seconds)


@pytest.mark.parametrize("algorithm", COUNTED)
@pytest.mark.parametrize("new", NUMBERS)
@pytest.mark.parametrize("at", range(4), ids=WAYS)
@pytest.mark.parametrize("known", ["told", "marked"])
def test_what_remains_is_carried_over_as_the_limit_says(
    rig: Rig, algorithm: str, new: int, at: int, known: str
) -> None:
    """Whether the change is told, or the state says which rule it is of; a peek says the same, and writes nothing."""
    way = WAYS[at]
    old = limit_of(algorithm, 100, None if known == "told" else "keep")
    changed = limit_of(algorithm, new, way)
    if known == "told":
        changed = changed.changed_from(old)
    assert rig.acquire(old, cost=100 - OLD_LEFT).remaining == OLD_LEFT
    before = rig.contents()
    assert rig.peek(changed).remaining == NUMBERS[new][at]
    assert rig.contents() == before
    decision = rig.acquire(changed, cost=1)
    assert decision.allowed is (NUMBERS[new][at] > 0)
    assert decision.remaining == max(0, NUMBERS[new][at] - 1)
    assert rig.acquire(changed, cost=0).remaining == max(0, NUMBERS[new][at] - 1)


@pytest.mark.parametrize("algorithm", COUNTED)
@pytest.mark.parametrize("way", WAYS)
def test_what_nobody_used_is_new(rig: Rig, algorithm: str, way: str) -> None:
    """A key without a state begins with all of the new limit, as does one whose state has ended."""
    old, changed = limit_of(algorithm, 100), limit_of(algorithm, 200, way)
    changed = changed.changed_from(old)
    assert rig.peek(changed).remaining == 200
    rig.acquire(old, cost=60)
    rig.advance_us(2 * 86_400_000_000)
    assert rig.acquire(changed, cost=1).remaining == 199


@pytest.mark.parametrize("algorithm", COUNTED)
def test_a_denial_is_carried_over_as_well(rig: Rig, algorithm: str) -> None:
    """From the first request on the new rule's time counts: who obeys its wait is granted, and not a moment sooner."""
    old = limit_of(algorithm, 100)
    changed = limit_of(algorithm, 10).changed_from(old)
    rig.acquire(old, cost=100)
    denied = rig.acquire(changed)
    assert not denied.allowed
    assert denied.remaining == 0
    rig.advance_us(denied.retry_after_us - 1)
    assert not rig.acquire(changed).allowed
    rig.advance_us(1)
    assert rig.acquire(changed).allowed


@pytest.mark.parametrize("algorithm", COUNTED)
@pytest.mark.parametrize("way", WAYS)
def test_back_again_nothing_is_gained(rig: Rig, algorithm: str, way: str) -> None:
    """Who still decides by the old rule keeps what remains; turns between the two give nothing, whatever the way."""
    old = limit_of(algorithm, 100)
    changed = limit_of(algorithm, 50, way).changed_from(old)
    taken = 0
    rig.acquire(old, cost=100)
    for turn in range(40):
        taken += rig.acquire(old if turn % 2 else changed, cost=5).allowed
    assert taken <= 10  # one burst of the new rule, where it begins anew
    assert taken == (10 if way == "reset" else 0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("algorithm", COUNTED[:3])
@pytest.mark.parametrize("seed", range(5))
def test_two_rules_in_turn_stay_within_the_larger_ones_bound_and_a_burst(
    rig: Rig, algorithm: str, way: str, seed: int
) -> None:
    """Of any interval of a rolling change, with rates and periods of any kind, and keys that were in use before."""
    draw = random.Random(f"{algorithm} {way} {seed}")
    limits = draw.choice([(3, 30), (3, 100), (30, 30), (100, 3)])
    rates = [f"{limit} per {draw.choice(('3 seconds', '10 seconds', 'minute'))}" for limit in limits]
    old = Limit("changing", rates[0], algorithm=algorithm, on_change=draw.choice([None, way]))
    changed = Limit("changing", rates[1], algorithm=algorithm, on_change=way).changed_from(old)
    admitted: list[tuple[int, int]] = []
    now_us = 0
    for _ in range(draw.randint(0, 30)):  # before the change
        now_us += _step(rig, draw)
        _take(rig, old, draw, admitted, now_us)
    for _ in range(150):
        now_us += _step(rig, draw)
        _take(rig, draw.choice([old, changed]), draw, admitted, now_us)
    burst = max(limit.rates[0].capacity for limit in (old, changed))
    for first, (start_us, _) in enumerate(admitted):
        total = 0
        for end_us, cost in admitted[first:]:
            total += cost
            seconds = (end_us - start_us + 1) / 1_000_000
            assert total <= max(old.most_in(seconds), changed.most_in(seconds)) + burst


def _step(rig: Rig, draw: random.Random) -> int:
    step_us = draw.choice([0, 1, 1_000, draw.randrange(400_000), draw.randrange(3_000_000)])
    rig.advance_us(step_us)
    return step_us


def _take(rig: Rig, limit: Limit, draw: random.Random, admitted: list[tuple[int, int]], now_us: int) -> None:
    cost = draw.choice([0, 1, 1, 2, 5, 20, 101])
    if rig.acquire(limit, cost=cost).allowed:
        admitted.append((now_us, cost))


@pytest.mark.parametrize("algorithm", COUNTED)
@pytest.mark.parametrize("way", WAYS[:3])
def test_looks_under_a_smaller_rule_free_nothing(rig: Rig, algorithm: str, way: str) -> None:
    """What the smaller rule finds as good as new stays as it was under the larger one until units are taken."""
    small = limit_of(algorithm, 100)
    large = limit_of(algorithm, 200, way).changed_from(small)
    taken = 0
    rig.acquire(large)
    for _ in range(30):
        decision = rig.acquire(large, cost=20)
        taken += 20 * decision.allowed
        rig.acquire(small, cost=0)
        rig.acquire(small, cost=101)
        taken -= rig.refund(decision._replace(limit=small))
    assert taken <= 200


@pytest.mark.parametrize(
    "rates", [("30 per 10 seconds", "20 per 10 seconds"), ("30 per 10 seconds", "60 per 15 seconds")]
)
@pytest.mark.parametrize("algorithm", COUNTED[:3])
def test_turns_do_not_keep_what_is_used_from_ending(rig: Rig, algorithm: str, rates: tuple[str, str]) -> None:
    """Two rules that take turns and deny both are free again when both would be."""
    old = Limit("changing", rates[0], algorithm=algorithm)
    changed = Limit("changing", rates[1], algorithm=algorithm).changed_from(old)
    rig.acquire(old, cost=30)
    for turn in range(300):
        rig.acquire(old if turn % 2 else changed, cost=200)  # which never fits
        rig.advance_us(100_000)
    assert rig.acquire(old, cost=30).allowed


def test_a_part_of_a_unit_is_not_lost_in_turns(rig: Rig) -> None:
    """Two rules that take turns faster than a unit comes still give what the slower one would."""
    old = Limit("changing", "10/minute")
    changed = Limit("changing", "12/minute").changed_from(old)
    rig.acquire(changed, cost=12)
    rig.acquire(old, cost=0)
    granted = 0
    for turn in range(600):  # a minute
        rig.advance_us(100_000)
        granted += rig.acquire(old if turn % 2 else changed).allowed
    assert 9 <= granted <= 13


@pytest.mark.parametrize("algorithm", COUNTED)
def test_several_rates_are_carried_over_one_by_one(rig: Rig, algorithm: str) -> None:
    """In their order; one that had no counterpart begins anew."""
    old = Limit("changing", "100/day; 50/day", algorithm=algorithm)
    changed = Limit("changing", "200/day; 60/day; 30/day", algorithm=algorithm).changed_from(old)
    rig.acquire(old, cost=20)
    assert rig.peek(changed).remaining == 30
    assert rig.acquire(changed, cost=25).remaining == 5
    assert rig.acquire(Limit("changing", "1000/day", algorithm=algorithm)).remaining == 80 - 25 - 1


@pytest.mark.parametrize("algorithm", COUNTED[:3])
def test_a_refund_goes_back_to_the_rule_that_the_state_is_of(rig: Rig, algorithm: str) -> None:
    """Whichever rule the units were taken under: nothing is carried over by it, and nothing is lost."""
    old = limit_of(algorithm, 100)
    changed = limit_of(algorithm, 200, "additive").changed_from(old)
    decision = rig.acquire(old, cost=60)
    assert rig.acquire(changed, cost=20).remaining == 120
    assert rig.refund(decision) == 60
    assert rig.refund(decision) == 60  # once
    assert rig.peek(changed).remaining == 180
    rig.advance_us(1)  # decisions of one moment are one to the server where nothing else tells them apart
    decision = rig.acquire(changed, cost=50)
    assert rig.acquire(old, cost=10).remaining == 90
    assert rig.refund(decision) == 10  # under the old rule no more is owed
    assert rig.peek(old).remaining == 100
    assert rig.peek(changed).remaining == 100  # and what looks like none is no better than it looks


@pytest.mark.parametrize("algorithm", COUNTED)
def test_a_reset_forgets_whatever_rule_it_is_of(rig: Rig, algorithm: str) -> None:
    """The key begins anew under both."""
    old = limit_of(algorithm, 100)
    changed = limit_of(algorithm, 200).changed_from(old)
    rig.acquire(old, cost=60)
    rig.acquire(changed, cost=20)
    assert rig.reset(old)
    assert rig.peek(changed).remaining == 200
    rig.acquire(changed, cost=20)
    assert rig.reset(changed)
    assert rig.peek(old).remaining == 100


@pytest.mark.parametrize("periods", [(60, 61), (60, 90), (60, 50), (10, 15), (10, 7)])
@pytest.mark.parametrize("way", WAYS[:3])
def test_windows_of_other_lengths_count_each_for_itself(rig: Rig, way: str, periods: tuple[int, int]) -> None:
    """Over many windows two rules in turn admit no more than both together, however their edges lie."""
    old, changed = (
        Limit("changing", f"20 per {seconds} s", algorithm="fixed_window", on_change=way) for seconds in periods
    )
    changed = changed.changed_from(old)
    admitted = 0
    for step in range(600):
        rig.advance_us(1_000_000)
        admitted += rig.acquire(old if step % 2 else changed, cost=2).allowed * 2
    assert admitted <= sum(limit.most_in(600) for limit in (old, changed))
    assert admitted >= 20 * 600 // (2 * sum(periods))


@pytest.mark.parametrize("algorithm", COUNTED[:3])
def test_rates_are_carried_over_to_those_of_about_their_length(rig: Rig, algorithm: str) -> None:
    """Wherever they stand in the text."""
    one = Limit("changing", "1000/hour", algorithm=algorithm)
    two = Limit("changing", "10/s; 1000/hour", algorithm=algorithm).changed_from(one)
    rig.acquire(one, cost=1000)
    rig.advance_us(2_000_000)
    assert not rig.acquire(two, cost=5).allowed
    other = Limit("changing", "2000/hour; 10/s", algorithm=algorithm, on_change="additive").changed_from(two)
    assert rig.acquire(other, "other", cost=1).remaining == 9
    rig.acquire(two, "third", cost=1)
    rig.advance_us(2_000_000)
    assert rig.acquire(other, "third", cost=10).allowed


@pytest.mark.parametrize("algorithm", COUNTED)
def test_units_of_a_rule_that_says_nothing_count_as_long(rig: Rig, algorithm: str) -> None:
    """An override that ended and comes again finds what the limit has taken meanwhile."""
    limit = limit_of(algorithm, 100)
    override = limit_of(algorithm, 200).changed_from(limit)
    rig.acquire(override)
    rig.acquire(limit)
    rig.advance_us(600_000_000)
    while rig.acquire(limit, cost=1).allowed:
        pass
    assert not rig.acquire(override).allowed


def test_rules_of_one_limit_in_one_request_or_batch_take_turns(rig: Rig) -> None:
    """Each finds what the one before left."""
    old = limit_of("fixed_window", 100)
    changed = limit_of("fixed_window", 200, "additive").changed_from(old)
    decisions = rig.acquire_many([(old, "k", 60), (changed, "k", 1), (old, "k", 1), (changed, "k", 1)])
    assert [decision.remaining for decision in decisions] == [40, 139, 99, 98]


@pytest.mark.parametrize("first", [0, 20])
def test_a_window_of_another_length_does_not_begin_anew(rig: Rig, first: int) -> None:
    """A minute's rule and an hour's that take turns do not free each other's windows."""
    minute = Limit("changing", "100/minute", algorithm="fixed_window")
    hour = Limit("changing", "100/hour", algorithm="fixed_window").changed_from(minute)
    rig.acquire(minute, cost=first or 1)
    taken = 0
    for turn in range(200):
        taken += rig.acquire(minute if turn % 2 else hour).allowed
        rig.advance_us(100_000)
    assert taken <= 100


def test_a_change_is_told_of_limits_that_share_their_state_only() -> None:
    """Another name, algorithm or group is another state, and entries of a log stay what they are."""
    for before in (
        Limit("other", "100/day"),
        Limit("changing", "100/day", algorithm="fixed_window"),
        Limit("changing", "100/day", group=1),
    ):
        with pytest.raises(InvalidInputError, match="before"):
            limit_of("gcra", 200).changed_from(before)
    with pytest.raises(InvalidInputError, match="an algorithm whose state can be carried over"):
        limit_of("sliding_window_log", 200).changed_from(limit_of("sliding_window_log", 100))
    with pytest.raises(InvalidInputError, match="on_change"):
        limit_of("sliding_window_log", 200, "keep")
    with pytest.raises(InvalidInputError, match="found 'kept'; accepted: keep, proportional, additive, reset"):
        limit_of("gcra", 200, "kept")
    with pytest.raises(InvalidInputError, match="accepted: a Limit"):
        limit_of("gcra", 200).changed_from("100/day")  # type: ignore[arg-type] # what is refused


def test_a_chain_of_changes_knows_whose_states_say_nothing() -> None:
    """They are of the rule before the first change; all others say it themselves."""
    first, second, third = (limit_of("gcra", number) for number in (100, 200, 300))
    changed = third.changed_from(second.changed_from(first))
    assert changed.before == first
    assert changed == third
    assert limit_of("gcra", 1).changed_from(limit_of("gcra", 2, "keep")).before is None


def test_the_oracle_of_fractions_agrees_on_what_remains(rig: Rig) -> None:
    """For paced limits of any rates: what remains is what exact arithmetic says, or a unit less for a microsecond."""
    draw = random.Random("carry")
    for number in range(120):
        old, new = ((draw.randint(1, 500), draw.randint(1, 90), draw.randint(1, 400)) for _ in range(2))
        way = draw.choice(WAYS)
        limits = [Limit("changing", f"{limit} per {period} s burst {burst}") for limit, period, burst in (old, new)]
        changed = Limit("changing", limits[1].rates, on_change=way).changed_from(limits[0])
        key, taken = f"k{number}", draw.randint(1, old[2])
        rig.acquire(limits[0], key, cost=taken)
        step_us = draw.randrange(2_000_000)
        rig.advance_us(step_us)
        remaining = min(Fraction(old[2]), old[2] - taken + Fraction(old[0] * step_us, old[1] * 1_000_000))
        expected = _carried(way, remaining, old[2], new[2])
        found = rig.peek(changed, key).remaining or 0
        assert int(expected) - 1 <= found <= int(expected)
        if remaining == int(remaining) or way == "proportional":
            assert found == int(expected)


def _carried(way: str, remaining: Fraction, old: int, new: int) -> Fraction:
    if remaining >= old or way == "reset":
        return Fraction(new)
    if way == "keep":
        return min(remaining, Fraction(new))
    if way == "proportional":
        return Fraction(int(remaining) * new, old)  # of whole units
    return min(Fraction(new), max(Fraction(0), remaining + new - old))
