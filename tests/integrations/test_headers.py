"""The fields say what the decision says, in the syntax of their standards."""

from __future__ import annotations

import re
from typing import Any, cast

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate import Decision, InvalidInputError, JointDecision, Limit
from sluicegate.integrations import limit_headers, policy_name
from sluicegate.integrations.headers import HeaderFields

API = Limit("api", "100/minute burst 20")


def decided(limit: Limit, **changes: Any) -> Decision:
    fields: dict[str, Any] = {
        "allowed": True,
        "limit": limit,
        "key": "user:42",
        "cost": 1,
        "remaining": 7,
        "retry_after_us": 0,
        "reset_after_us": 1_500_000,
        "decided_at_us": 1_700_000_000_000_000,
        "source": "memory",
        "degraded": False,
        "shadow_denied": False,
        "serial": 1,
    }
    return Decision(**{**fields, **changes})


def parsed(fields: list[tuple[str, str]], name: str) -> list[tuple[str, dict[str, Any]]]:
    value = dict(fields)[name]
    return cast("list[tuple[str, dict[str, Any]]]", http_sf.parse(value.encode(), tltype="list"))


def test_an_allowed_request_is_told_what_is_left() -> None:
    """The fields carry quota, window, burst, remaining units and the time to the next unit."""
    fields = limit_headers(decided(API, remaining=18, reset_after_us=1_200_000))
    assert fields == [
        ("RateLimit", '"api";r=18;t=1'),
        ("RateLimit-Policy", '"api";q=100;w=60;sluicegate-burst=20'),
    ]


def test_a_denied_request_is_told_when_to_come_back() -> None:
    """Retry-After is the wait in whole seconds, rounded up."""
    fields = limit_headers(
        decided(API, allowed=False, remaining=0, retry_after_us=1_000_001, reset_after_us=12_000_000)
    )
    assert fields[0] == ("Retry-After", "2")
    assert parsed(fields, "RateLimit") == [("api", {"r": 0, "t": 2})]


@pytest.mark.parametrize("wait_us", [-1, -2])
def test_an_unknown_wait_is_not_told(wait_us: int) -> None:
    """Neither a wait that never ends nor one of unknown length is given a number."""
    fields = limit_headers(decided(API, allowed=False, remaining=3, retry_after_us=wait_us))
    assert "Retry-After" not in dict(fields)
    assert parsed(fields, "RateLimit") == [("api", {"r": 3})]


def test_every_limit_of_a_joint_decision_is_listed_once() -> None:
    """Each enforced limit is told, a limit asked for two keys by the tighter one, a shadow not at all."""
    daily = Limit("daily", "1000/day", algorithm="fixed_window")
    trial = Limit("trial", "1/day", shadow=True)
    decisions = (
        decided(API, remaining=9),
        decided(daily, remaining=900),
        decided(API, key="other", remaining=4),
        decided(trial, remaining=0, shadow_denied=True),
    )
    fields = limit_headers(JointDecision.of(decisions))
    assert [(name, values["r"]) for name, values in parsed(fields, "RateLimit")] == [("api", 4), ("daily", 900)]
    assert [name for name, _ in parsed(fields, "RateLimit-Policy")] == ["api", "daily"]


def test_no_reset_lies_beyond_retry_after() -> None:
    """A limit that did not deny leaves out its time when that is later than Retry-After."""
    daily = Limit("daily", "1000/day", algorithm="fixed_window")
    denied = decided(API, allowed=False, remaining=0, retry_after_us=300_000)
    roomy = decided(daily, remaining=900, reset_after_us=50_000_000_000)
    fields = limit_headers(JointDecision.of((denied, roomy)))
    assert dict(fields)["Retry-After"] == "1"
    assert parsed(fields, "RateLimit") == [("api", {"r": 0, "t": 1}), ("daily", {"r": 900})]


def test_the_longest_denial_is_told() -> None:
    """Of two denials Retry-After is the longer, and absent when one of them never ends."""
    short = decided(API, allowed=False, remaining=0, retry_after_us=300_000)
    long = decided(Limit("b", "1/h"), allowed=False, remaining=0, retry_after_us=9_300_000)
    never = decided(Limit("c", "1/h"), allowed=False, remaining=1, retry_after_us=-1)
    assert dict(limit_headers(JointDecision.of((short, long))))["Retry-After"] == "10"
    assert "Retry-After" not in dict(limit_headers(JointDecision.of((short, never))))


@pytest.mark.parametrize(
    ("limit", "policy"),
    [
        (Limit("a", "10/s"), '"a";q=10;w=1'),
        (Limit("a", "5 per 0.3 seconds"), '"a";q=5;w=1'),
        (Limit("a", "5 per 1.5 seconds"), '"a";q=5;w=2'),
        (Limit("a", "10/s; 100/h"), '"a";q=10;w=1, "a";q=100;w=3600'),
        (Limit("a", "10/s burst 10"), '"a";q=10;w=1'),
        (Limit("a", "10/day", algorithm="calendar_quota"), '"a";q=10;w=86400'),
        (Limit("a", "10/month", algorithm="calendar_quota"), '"a";q=10'),
        (Limit("a", "5", algorithm="concurrency"), '"a";q=5;qu="concurrent-requests"'),
    ],
)
def test_policies_are_told_as_they_are(limit: Limit, policy: str) -> None:
    """Windows are whole seconds, rounded up, and left out where their length varies."""
    assert dict(limit_headers(decided(limit)))["RateLimit-Policy"] == policy


def test_what_nobody_counted_is_not_told() -> None:
    """Without a known rest there is a policy but no RateLimit field."""
    fields = limit_headers(decided(API, remaining=None, degraded=True, source="fallback"))
    assert [name for name, _ in fields] == ["RateLimit-Policy"]


def test_a_draft_can_be_left_out() -> None:
    """Without a draft only Retry-After is sent, and an unknown draft is refused."""
    denied = decided(API, allowed=False, remaining=0, retry_after_us=1)
    assert limit_headers(denied, draft=None) == [("Retry-After", "1")]
    with pytest.raises(InvalidInputError, match="draft: found 7"):
        limit_headers(denied, draft=7)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("per client", "per client"),
        ('a"b\\c', 'a"b\\c'),
        ("50%", "50%25"),
        ("%C3%A9", "%25C3%25A9"),
        ("caf\u00e9 50%", "caf%C3%A9 50%25"),
        ("\u202eevil", "%E2%80%AEevil"),
    ],
)
def test_names_survive_the_header(name: str, shown: str) -> None:
    """A name is quoted, and what a header cannot hold is percent-encoded."""
    limit = Limit(name, "1/s")
    assert policy_name(limit) == shown
    assert parsed(limit_headers(decided(limit)), "RateLimit-Policy") == [(shown, {"q": 1, "w": 1})]


def test_two_names_are_two_entries() -> None:
    """A limit whose name is what another's becomes in a header is told as itself."""
    decisions = [decided(Limit(name, "1/s"), remaining=at) for at, name in enumerate(("\u00e9", "%C3%A9"))]
    fields = limit_headers(decisions)
    assert [(name, values["r"]) for name, values in parsed(fields, "RateLimit")] == [("%C3%A9", 0), ("%25C3%25A9", 1)]


any_name = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20)


@given(
    any_name | st.text("%A9\u00e9", min_size=1, max_size=20), any_name | st.text("%A9\u00e9", min_size=1, max_size=20)
)
def test_names_in_a_header_are_injective(one: str, other: str) -> None:
    """Two limits are shown under one name only if they have one name."""
    limits = [Limit(name, "1/s") for name in (one, other)]
    assert (policy_name(limits[0]) == policy_name(limits[1])) == (limits[0].name == limits[1].name)


@given(any_name)
def test_no_name_breaks_out_of_the_header(name: str) -> None:
    """Any name that a limit may have gives one item, in plain printable characters."""
    fields = limit_headers(decided(Limit(name, "1/s")))
    for field, value in fields:
        assert re.fullmatch(r"[ -~]+", value)
        assert len(parsed(fields, field)) == 1


def test_line_breaks_in_a_name_cannot_split_a_header() -> None:
    """Even a name that slipped past validation is written on one line."""
    limit = Limit("a", "1/s")
    object.__setattr__(limit, "name", 'a\r\nSet-Cookie: x="y"\x00')
    for _, value in limit_headers(decided(limit)):
        assert re.fullmatch(r"[ -~]+", value)
        assert "%0D%0A" in value


ENCODED_LIMITS = (
    API,
    Limit("plain", "7/second"),
    Limit('quo"ted', "9 per 0.7 seconds burst 30", algorithm="token_bucket"),
    Limit("two", "5/second; 60/minute"),
    Limit("window", "100/minute", algorithm="fixed_window"),
    Limit("counter", "100/minute", algorithm="sliding_window_counter"),
    Limit("trial", "100/minute", shadow=True),
    Limit("held", "5", algorithm="concurrency"),
)


@given(
    st.sampled_from(ENCODED_LIMITS),
    st.booleans(),
    st.none() | st.integers(0, 110),
    st.integers(0, 40_000_000),
    st.integers(-2, 9_000_000),
)
def test_the_short_way_to_bytes_says_what_the_long_one_says(
    limit: Limit,
    allowed: bool,
    remaining: int | None,
    reset_after_us: int,
    retry_after_us: int,
) -> None:
    """What stands on nearly every response is written down by itself, and is no other."""
    decision = decided(
        limit,
        allowed=allowed,
        remaining=remaining,
        reset_after_us=reset_after_us,
        retry_after_us=0 if allowed else retry_after_us,
    )
    fields = HeaderFields()
    said = [(name.lower().encode(), value.encode()) for name, value in fields.of(decision)]
    assert fields.encoded([decision]) == said
