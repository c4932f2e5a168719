"""A hold: expired by the store's clock, given up by the holder before that, renewed together, released on exit."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import InvalidInputError, Limit, LimitExceededError
from sluicegate.ratelimit.stores.store import RELEASE, RENEW, TAKE, Reply, Request
from tests.conformance.examples import UPLOADS

if TYPE_CHECKING:
    from tests.conformance.rig import Rig

TERM_S = 60.0
MARGIN_S = 0.6  # a hundredth of the term: so much two clocks may run apart
MANY = Limit("many", "100", algorithm="concurrency", hold_seconds=TERM_S)
LONG = Limit("one", "1", algorithm="concurrency", hold_seconds=TERM_S)
SHORT = Limit("one", "1", algorithm="concurrency", hold_seconds=1)  # the same limit after a change of its rule
TWO_LONG = Limit("two", "2", algorithm="concurrency", hold_seconds=TERM_S)
TWO_SHORT = Limit("two", "2", algorithm="concurrency", hold_seconds=1)


def asked(rig: Rig, verb: int, holder: str, limit: Limit = UPLOADS) -> tuple[int, int]:
    """Ask the store as a holder that nobody renews; return whether granted, and what remains."""
    reply: Reply = rig.ask(Request(verb, ((limit, "key", 1),), holder))
    return reply.answers[0], reply.answers[1]


def entered(rig: Rig, hold: Any) -> None:
    """Enter a hold's context."""
    rig._do(hold.__enter__ if rig.face == "sync" else hold.__aenter__)


def left(rig: Rig, hold: Any) -> None:
    """Leave a hold's context."""
    rig._do(hold.__exit__ if rig.face == "sync" else hold.__aexit__, None, None, None)


def test_the_stores_clock_expires_a_holder_that_died(rig: Rig) -> None:
    """After a term to the microsecond the unit is free again, and not sooner."""
    assert asked(rig, TAKE, "first") == (1, 1)
    rig.advance(10)
    assert asked(rig, TAKE, "second") == (1, 0)
    rig.advance_us(50_000_000 - 1)
    assert asked(rig, TAKE, "third") == (0, 0)
    rig.advance_us(1)
    assert asked(rig, TAKE, "third") == (1, 0)
    assert rig.peek(UPLOADS).remaining == 0
    rig.advance(60)
    assert rig.peek(UPLOADS).remaining == 2


def test_a_holder_that_asks_again_keeps_its_unit(rig: Rig) -> None:
    """A repeated take of one holder takes no second unit, so a lost answer does no harm."""
    assert [asked(rig, TAKE, "one") for _ in range(3)] == [(1, 1)] * 3
    assert asked(rig, RELEASE, "one") == (1, 2)
    assert asked(rig, RELEASE, "one") == (0, 2)


def test_only_who_holds_can_renew(rig: Rig) -> None:
    """An expired holder is not revived, and a stranger gets nothing by renewing."""
    asked(rig, TAKE, "one")
    assert asked(rig, RENEW, "stranger")[0] == 0
    rig.advance(59)
    assert asked(rig, RENEW, "one")[0] == 1
    rig.advance_us(60_000_000 - 1)
    assert asked(rig, RENEW, "one")[0] == 1
    rig.advance(60)
    assert asked(rig, RENEW, "one") == (0, 2)


def test_a_hold_is_renewed_for_as_long_as_its_holder_lives(rig: Rig) -> None:
    """Ten terms later it is still held, and nobody else got the unit."""
    with rig.hold(UPLOADS) as hold:
        for _ in range(30):
            rig.advance(20)
            assert not hold.lost
            assert rig.peek(UPLOADS).remaining == 1


def test_all_holds_that_are_due_are_renewed_in_one_round_trip(rig: Rig) -> None:
    """Twenty holds cost one run of the script every third of their term, and none in between."""
    with ExitStack() as held:
        holds = [held.enter_context(rig.hold(MANY, f"key{number % 5}")) for number in range(20)]
        rig.settle()
        before = rig.script_runs()[0] if rig.store_name == "redis" else 0
        rig.advance_us(19_999_999)
        assert rig.store_name == "memory" or rig.script_runs()[0] == before
        rig.advance_us(1)
        assert rig.store_name == "memory" or rig.script_runs()[0] == before + 1
        assert not any(hold.lost for hold in holds)
        assert rig.clock.sleepers == 1


def test_holds_due_at_different_times_are_renewed_in_time(rig: Rig) -> None:
    """A later hold does not put off the renewal of an earlier one."""
    with rig.hold(UPLOADS) as first:
        rig.advance(15)
        with rig.hold(UPLOADS) as second:
            for _ in range(20):
                rig.advance(7)
                assert (first.lost, second.lost) == (False, False)
                assert rig.peek(UPLOADS).remaining == 0
        for _ in range(20):
            rig.advance(7)
            assert not first.lost
            assert rig.peek(UPLOADS).remaining == 1


def test_a_holder_gives_up_before_the_store_does(rig: Rig) -> None:
    """A hold that was not renewed in time is lost a margin before the store expires it."""
    with rig.hold(UPLOADS) as hold:
        rig.clock._clock._monotonic_us += round((TERM_S - MARGIN_S) * 1_000_000) - 1  # the process slept
        assert not hold.lost
        rig.clock._clock._monotonic_us += 1
        assert hold.lost


def test_lost_is_final(rig: Rig) -> None:
    """A renewal that would succeed after all does not bring a lost hold back."""
    with rig.hold(UPLOADS) as hold:
        rig.advance(TERM_S - MARGIN_S)  # in one step, as after a pause; the store still knows the holder
        assert hold.lost
        rig.advance(30)
        assert hold.lost
        rig.advance(31)
        assert rig.peek(UPLOADS).remaining == 2


def test_a_reset_hold_is_lost(rig: Rig) -> None:
    """A hold that the store no longer knows is lost with its next renewal."""
    with rig.hold(UPLOADS) as hold:
        assert rig.reset(UPLOADS) is True
        rig.advance(20)
        assert hold.lost
        with rig.hold(UPLOADS), rig.hold(UPLOADS):
            assert rig.peek(UPLOADS).remaining == 0


def test_a_released_unit_is_free_at_once(rig: Rig) -> None:
    """Leaving the context gives the unit back, also by an exception, and renews no more."""
    with pytest.raises(ZeroDivisionError), rig.hold(UPLOADS):
        1 / 0  # noqa: B018 - the body fails
    assert rig.peek(UPLOADS).remaining == 2
    rig.settle()
    assert rig.clock.sleepers == 0
    assert rig.contents() == {} or rig.store_name == "memory"
    assert rig.reset(UPLOADS) is False


def test_to_release_twice_does_no_harm(rig: Rig) -> None:
    """A second release takes nobody else's unit."""
    with rig.hold(UPLOADS) as hold:
        rig._do(hold.release)
        with rig.hold(UPLOADS), rig.hold(UPLOADS):
            rig._do(hold.release)
            assert rig.peek(UPLOADS).remaining == 0


def test_a_hold_that_was_left_can_be_entered_afresh(rig: Rig) -> None:
    """It is a new hold then: not lost, renewed for as long as it lasts, and no renewal of before counts for it."""
    hold = rig.limiter.hold(UPLOADS, "key")
    for _ in range(3):
        entered(rig, hold)
        decided_at_us = hold.decision.decided_at_us
        for _ in range(10):
            rig.advance(19)
            assert not hold.lost
            assert rig.peek(UPLOADS).remaining == 1
        left(rig, hold)
        assert rig.peek(UPLOADS).remaining == 2
        rig.advance(200)
        assert not hold.lost  # until it was left
        assert hold.decision.decided_at_us == decided_at_us
    rig.settle()
    assert rig.clock.sleepers == 0


def test_a_lost_hold_is_a_new_one_when_it_is_entered_again(rig: Rig) -> None:
    """What was lost stays lost until its context is left; what is taken then is not."""
    hold = rig.limiter.hold(UPLOADS, "key")
    entered(rig, hold)
    rig.reset(UPLOADS)
    rig.advance(20)
    assert hold.lost
    with pytest.raises(InvalidInputError, match="hold: found"):
        entered(rig, hold)
    assert hold.lost
    left(rig, hold)
    entered(rig, hold)
    assert not hold.lost
    assert rig.peek(UPLOADS).remaining == 1
    left(rig, hold)


def test_a_hold_that_is_entered_cannot_be_entered_again(rig: Rig) -> None:
    """The second entry is refused with what to do in its place, and the first keeps its unit."""
    hold = rig.limiter.hold(UPLOADS, "key")
    entered(rig, hold)
    accepted = "hold: found one that is entered already; accepted: a hold of its own for each unit"
    with pytest.raises(InvalidInputError, match=accepted):
        entered(rig, hold)
    for _ in range(10):
        rig.advance(20)
    assert not hold.lost
    assert rig.peek(UPLOADS).remaining == 1
    left(rig, hold)
    assert rig.peek(UPLOADS).remaining == 2


def test_a_hold_that_was_refused_can_be_entered_when_there_is_a_unit(rig: Rig) -> None:
    """A denial leaves it as it was before."""
    hold = rig.limiter.hold(UPLOADS, "key")
    with rig.hold(UPLOADS), rig.hold(UPLOADS):
        for _ in range(2):
            with pytest.raises(LimitExceededError):
                entered(rig, hold)
    entered(rig, hold)
    assert hold.decision.allowed
    assert rig.peek(UPLOADS).remaining == 1
    left(rig, hold)


def test_closing_the_limiter_gives_its_units_back(rig: Rig, request: pytest.FixtureRequest) -> None:
    """Holds end with their limiter, and leaving their contexts afterwards does no harm."""
    with rig.hold(UPLOADS), rig.hold(UPLOADS):
        assert rig.peek(UPLOADS).remaining == 0
        kept = dict(rig.contents())
        rig._do(rig.limiter.aclose if rig.face == "async" else rig.limiter.close)
        assert kept
        assert rig.contents() == {}


def test_a_shadow_concurrency_limit_never_denies(rig: Rig) -> None:
    """Beyond its number it lets pass and says so, and keeps no unit for it."""
    limit = Limit("uploads", "1", algorithm="concurrency", shadow=True)
    with rig.hold(limit) as first, rig.hold(limit) as second:
        assert (first.decision.shadow_denied, second.decision.shadow_denied) == (False, True)
        assert not second.lost
        for _ in range(6):
            rig.advance(20)
            assert not first.lost
            assert not second.lost
    assert rig.peek(limit).remaining == 1


def test_an_unentered_hold_takes_nothing(rig: Rig) -> None:
    """Making a hold asks nobody; it has no decision and is not lost."""
    hold = rig.limiter.hold(UPLOADS, "key")
    assert (hold.decision, hold.lost) == (None, False)
    assert rig.contents() == {}


@pytest.mark.parametrize("key", ["", "a\x00", 5, b"key"])
def test_a_hold_refuses_a_bad_key_at_once(rig: Rig, key: object) -> None:
    """Before it is entered."""
    with pytest.raises(InvalidInputError, match="key: found"):
        rig.limiter.hold(UPLOADS, key)


def test_a_step_back_of_the_stores_clock_extends_nobody_beyond_a_term(rig: Rig) -> None:
    """After the wall clock stepped back, a dead holder's unit is back within a term of the next look."""
    asked(rig, TAKE, "dead")
    rig.clock.advance_us(-3_600_000_000)
    assert asked(rig, TAKE, "other") == (1, 0)
    rig.advance_us(60_000_000)
    assert rig.peek(UPLOADS).remaining == 2


@pytest.mark.parametrize("verb", [TAKE, RENEW, RELEASE])
def test_nobody_shortens_the_hold_of_another_by_asking(rig: Rig, verb: int) -> None:
    """Whatever is asked under a rule of shorter holds, a hold lasts as long as it was promised, and no longer."""
    assert asked(rig, TAKE, "old", LONG) == (1, 0)
    assert asked(rig, verb, "new", SHORT) == (0, 0)
    rig.advance_us(60_000_000 - 1)
    assert asked(rig, TAKE, "new", SHORT) == (0, 0)
    rig.advance_us(1)
    assert asked(rig, TAKE, "new", SHORT) == (1, 0)


def test_two_rules_of_one_limit_never_hold_more_than_there_is(rig: Rig) -> None:
    """While processes with a longer and a shorter term stand beside each other, who is not lost holds alone."""
    with rig.hold(LONG) as old:
        with pytest.raises(LimitExceededError), rig.hold(SHORT):
            pytest.fail("a second was granted")
        rig.advance(1.2)
        assert not old.lost
        with pytest.raises(LimitExceededError), rig.hold(SHORT):
            pytest.fail("a second was granted")


def test_holds_of_differing_terms_end_each_in_its_own_time(rig: Rig) -> None:
    """A short one taken after a long one ends before it, and one that was taken before it ends after it."""
    for first, second in ((TWO_LONG, TWO_SHORT), (TWO_SHORT, TWO_LONG)):
        assert asked(rig, TAKE, "first", first) == (1, 1)
        assert asked(rig, TAKE, "second", second) == (1, 0)
        assert rig.peek(TWO_SHORT).reset_after == 60.0
        rig.advance_us(999_999)
        assert asked(rig, TAKE, "third", TWO_SHORT) == (0, 0)
        rig.advance_us(1)
        assert rig.peek(TWO_SHORT).remaining == 1
        rig.advance_us(59_000_000 - 1)
        assert rig.peek(TWO_SHORT).remaining == 1
        rig.advance_us(1)
        assert rig.peek(TWO_SHORT).remaining == 2


def test_the_state_stays_for_as_long_as_its_last_holder(rig: Rig) -> None:
    """A shorter hold that is taken, renewed or released leaves the longer one its time, and no longer than that."""
    for verb, holder in ((TAKE, "short"), (RENEW, "short"), (RELEASE, "short"), (TAKE, "again"), (RELEASE, "long")):
        if verb == TAKE:
            asked(rig, TAKE, "long", TWO_LONG)
        assert asked(rig, verb, holder, TWO_SHORT)[0] == 1
        ((_, left_us),) = rig.expiries_us().items()
        longest_us = 1_000_000 if holder == "long" else 60_000_000
        assert longest_us / 2 < left_us <= longest_us


def test_after_a_step_back_nobody_ends_sooner_nor_stays_beyond_the_longest_term(rig: Rig) -> None:
    """A look under the shorter rule brings the long hold back to a long term from then, not to a short one."""
    asked(rig, TAKE, "dead", LONG)
    rig.clock.advance_us(-3_600_000_000)
    assert rig.peek(SHORT).reset_after == 60.0
    assert asked(rig, TAKE, "other", SHORT) == (0, 0)
    assert rig.peek(SHORT).reset_after == 60.0
    rig.advance_us(60_000_000 - 1)
    assert asked(rig, TAKE, "other", SHORT) == (0, 0)
    rig.advance_us(1)
    assert asked(rig, TAKE, "other", SHORT) == (1, 0)


def test_a_longer_term_is_forgotten_with_the_last_that_needs_it(rig: Rig) -> None:
    """When nobody holds for long any more, a step back of the clock blocks a unit for the shorter term only."""
    asked(rig, TAKE, "long", TWO_LONG)
    rig.advance(59)
    asked(rig, TAKE, "short", TWO_SHORT)
    rig.clock.advance_us(-3_600_000_000)
    assert asked(rig, TAKE, "other", TWO_LONG) == (0, 0)
    assert rig.peek(TWO_LONG).reset_after == 1.0
    rig.advance(1)
    assert rig.peek(TWO_LONG).remaining == 2


def test_a_full_limit_is_free_for_another_key(rig: Rig) -> None:
    """Holders of one key say nothing about another's."""
    with rig.hold(UPLOADS, "a"), rig.hold(UPLOADS, "a"):
        with pytest.raises(LimitExceededError), rig.hold(UPLOADS, "a"):
            pytest.fail("a third was granted")
        with rig.hold(UPLOADS, "b") as other:
            assert other.decision.remaining == 1
