"""Who is banned is denied by every verb, for as long as was said and to the microsecond, and costs nobody anything."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Ban, InvalidInputError, Limit, LimiterClosedError, LimitExceededError
from tests.conformance.examples import RATED, UPLOADS

if TYPE_CHECKING:
    from tests.conformance.rig import Rig

API = Limit("api", "5/minute")
OTHER = Limit("other", "5/minute")
TRIAL = Limit("trial", "5/minute", shadow=True)
LEASED = Limit("leased", "5/minute", mode="leased")
every_kind = pytest.mark.parametrize("kind", RATED)


@every_kind
def test_a_banned_key_is_denied_until_its_ban_ends(rig: Rig, kind: str) -> None:
    """Until then nothing passes; obeying the decision to the microsecond passes, and a microsecond sooner does not."""
    limit = RATED[kind]
    (ban,) = rig.ban(seconds=90, reason="abuse")
    assert (ban.key, ban.limit, ban.reason, ban.times) == ("key", None, "abuse", 0)
    rig.advance(30)
    denied = rig.acquire(limit)
    assert (denied.allowed, denied.banned, denied.source, denied.never) == (False, True, "ban", False)
    assert (denied.retry_after, denied.remaining, denied.reset_at) == (60.0, 0, ban.until)
    assert str(denied) == f"{limit.name} banned, retry after 60.0 s"
    rig.advance_us(denied.retry_after_us - 1)
    assert rig.acquire(limit).banned
    rig.advance_us(1)
    allowed = rig.acquire(limit)
    assert (allowed.allowed, allowed.banned) == (True, False)


def test_a_ban_without_an_end_is_never_over(rig: Rig) -> None:
    """Its denials say never, whatever time passes."""
    (ban,) = rig.ban()
    assert ban.until is None
    rig.advance(400 * 86_400)
    denied = rig.acquire(API)
    assert (denied.banned, denied.never, denied.retry_after) == (True, True, None)
    assert str(denied) == "api denied, banned without an end"


def test_every_verb_knows_of_a_ban(rig: Rig) -> None:
    """Taking, looking, waiting, holding and decorating all end with it; what is not banned is as it was."""
    rig.ban(seconds=60)
    denials = [
        rig.acquire(API),
        rig.acquire(LEASED),
        rig.peek(API),
        rig.peek(UPLOADS),
        *rig.acquire_many([(API, "key")]),
    ]
    assert [denial.banned for denial in denials] == [True] * 5
    with pytest.raises(LimitExceededError) as waited:
        rig.wait(API, timeout=59.0)
    with pytest.raises(LimitExceededError) as held, rig.hold(UPLOADS):
        pass
    with pytest.raises(LimitExceededError) as called:
        rig.decorated(API)()
    assert all(error.value.decision.banned for error in (waited, held, called))
    assert rig.acquire(API, "somebody else").remaining == 4
    with rig.hold(UPLOADS, "somebody else") as hold:
        assert hold.decision.allowed


def test_who_waits_long_enough_passes_when_the_ban_ends(rig: Rig) -> None:
    """A ban that ends within the time-out is waited for like any denial."""
    rig.ban(seconds=60)
    waiter = rig.begin_wait(API, timeout=61.0)
    assert not waiter.done()
    rig.advance(60)
    assert waiter.result(30).allowed


def test_a_ban_under_one_limit_is_none_under_another(rig: Rig) -> None:
    """The key is denied under that limit, and by `acquire_all` where that limit is one of those asked."""
    rig.ban(limit=API, seconds=60)
    assert (rig.acquire(API).banned, rig.acquire(OTHER).allowed) == (True, True)
    joint = rig.acquire_all([(OTHER, "key"), (API, "key")])
    assert (joint.allowed, joint.binding.limit, joint.binding.banned) == (False, API, True)
    other = joint.decisions[0]
    assert (other.allowed, other.retry_after, other.remaining, other.banned) == (False, 0.0, None, False)
    assert rig.peek(OTHER).remaining == 4
    assert rig.acquire_all([(API, "friend"), (OTHER, "key")]).allowed


def test_the_longer_of_two_bans_is_told(rig: Rig) -> None:
    """A key that is banned under its limit and under all is told the end of both."""
    rig.ban(limit=API, seconds=60)
    rig.ban(seconds=30)
    assert rig.acquire(API).retry_after == 60.0
    assert rig.acquire(OTHER).retry_after == 30.0
    rig.ban()
    assert rig.acquire(API).never


def test_a_ban_consumes_nothing_and_gives_nothing_back(rig: Rig) -> None:
    """What the key had used stays as it was, a refund of a ban's denial is worth nothing, and each is counted."""
    rig.acquire(API)
    rig.ban(seconds=30)
    denied = [rig.acquire(API) for _ in range(3)]
    assert [rig.refund(denial) for denial in denied] == [0, 0, 0]
    rig.lift()
    assert rig.peek(API).remaining == 4
    statistics = rig.limiter.statistics()
    assert (statistics.decisions["api", "denied"], statistics.early["api", "ban"]) == (3, 3)


def test_a_ban_that_is_lifted_is_over_at_once(rig: Rig) -> None:
    """Lifting says how many there were; without a limit the bans under single limits go, too."""
    rig.ban(["a", "b", "c"], seconds=60)
    rig.ban("a", limit=API)
    rig.ban("b", limit=API)
    assert rig.lift("b", limit=API) == 1
    assert (rig.acquire(API, "b").banned, rig.lift("nobody")) == (True, 0)
    assert rig.lift(["a", "b"]) == 3
    assert [rig.acquire(API, key).banned for key in "abc"] == [False, False, True]


def test_bans_are_listed_with_their_reasons(rig: Rig) -> None:
    """Those that end first come first, those without an end last, and what is over is not told."""
    now = rig.clock.now_us() / 1_000_000
    rig.ban("short", seconds=1, reason="a moment")
    rig.ban("long", reason="for good: ÄÖ")
    rig.ban("mid:dle", seconds=60, limit=API)
    rig.advance(2)
    listed = (
        Ban(key="mid:dle", limit="api", reason="", until=now + 60, times=0),
        Ban(key="long", limit=None, reason="for good: ÄÖ", until=None, times=0),
    )
    assert rig.bans() == listed
    assert rig.bans(most=1) == listed[:1]
    assert rig.limiter.bans.find("long").reason == "for good: ÄÖ"
    assert rig.limiter.bans.find("mid:dle") is None
    assert rig.limiter.bans.find("mid:dle", limit=API) == listed[0]
    assert rig.limiter.bans.find("short", limit=API) is None


def test_a_shadow_limit_denies_nobody_who_is_banned(rig: Rig) -> None:
    """It lets them pass, says so and takes nothing; beside an enforced limit it ends nothing."""
    rig.ban(limit=TRIAL, seconds=60)
    passed = rig.acquire(TRIAL)
    assert (passed.allowed, passed.shadow_denied, passed.banned, passed.retry_after) == (True, True, True, 0.0)
    joint = rig.acquire_all([(TRIAL, "key"), (API, "key")])
    assert (joint.allowed, joint.binding.limit, [each.banned for each in joint.decisions]) == (True, API, [True, False])
    assert rig.acquire_all([(TRIAL, "key")]).decisions[0].banned
    assert rig.refund(passed) == 0
    rig.lift()
    assert (rig.peek(TRIAL).remaining, rig.peek(API).remaining) == (5, 4)


def test_who_is_banned_anew_has_the_new_end(rig: Rig) -> None:
    """The last word counts, be it longer or shorter."""
    for seconds in (60, 600, 5):
        rig.ban(seconds=seconds)
        assert rig.acquire(API).retry_after == seconds
    assert len(rig.bans()) == 1


def test_keys_of_any_kind_can_be_banned(rig: Rig) -> None:
    """Colons, braces, other scripts and long keys stay what they are; one spelling of a key is the other's."""
    keys = ["a:b", "ban:x:y", "{tag}", "%41", "~x", "ключ", "x" * 4_096, "e\u0301"]
    assert len(rig.ban(keys, seconds=60)) == len(keys)
    assert all(rig.acquire(API, key).banned for key in keys)
    assert rig.acquire(API, "\u00e9").banned
    named = Limit("a:b %", "5/minute")
    rig.ban("other", limit=named, seconds=60)
    assert (rig.acquire(named, "other").banned, rig.acquire(API, "other").banned) == (True, False)
    assert rig.lift(keys) == len(keys)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no key": ({"keys": []}, "keys: found 0 of them; accepted: a key, or a list of 1 to 1,000"),
    "too many": ({"keys": ["k"] * 1_001}, "keys: found 1,001 of them"),
    "a number": ({"keys": 7}, "keys: found 7"),
    "a key among keys": ({"keys": ["a", ""]}, r"keys\[1\]: found ''"),
    "no time": ({"seconds": 0}, "seconds: found 0"),
    "nan": ({"seconds": float("nan")}, "seconds: found nan"),
    "too long": ({"seconds": 4e7}, "seconds: found 40000000.0"),
    "a truth": ({"seconds": True}, "seconds: found True"),
    "a long reason": ({"reason": "x" * 201}, "reason: found text of 201 characters"),
    "lines": ({"reason": "a\nb"}, "reason: found"),
    "no limit": ({"limit": "api"}, "limit: found 'api'; accepted: a Limit"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_ban_that_is_wrong_is_refused(rig: Rig, bad: str) -> None:
    """The line names the parameter, what was found and what is accepted; nobody is banned."""
    how, line = BAD[bad]
    with pytest.raises(InvalidInputError, match=line):
        rig.ban(**{"keys": "key", **how})
    assert rig.bans() == ()
    for keys in ([], 7, [""]):
        with pytest.raises(InvalidInputError):
            rig.lift(keys)
    for most in (0, 10_001, True):
        with pytest.raises(InvalidInputError, match="most"):
            rig.bans(most=most)


def test_verbs_still_check_what_they_are_given(rig: Rig) -> None:
    """While bans are in force bad input is refused as ever, for keys that are banned as for all others."""
    rig.ban(seconds=60)
    with ExitStack() as refused:
        refused.enter_context(pytest.raises(InvalidInputError, match=r"hold\(\)"))
        rig.acquire(UPLOADS)
    for key, cost in (("", 1), (7, 1), ("key", -1), ("key", 1.5), ("\n", 1)):
        with pytest.raises(InvalidInputError):
            rig.acquire(API, key, cost)


def test_a_closed_limiter_bans_nobody_and_answers_nothing(rig: Rig) -> None:
    """Its bans are no answer any more, and no verb of them is done."""
    rig.ban(seconds=60)
    rig._do(rig.limiter.aclose if rig.face == "async" else rig.limiter.close)
    for verb in (lambda: rig.acquire(API), lambda: rig.acquire_all([(API, "key")])):
        with pytest.raises(LimiterClosedError):
            verb()
    if rig.face == "async":
        for verb in (rig.ban, rig.lift, rig.bans, lambda: rig.override(API, "1/s"), rig.overrides):
            with pytest.raises(LimiterClosedError):
                verb()
