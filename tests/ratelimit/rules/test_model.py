"""Which requests a rule covers, and under which key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.ratelimit import Limit
from sluicegate.ratelimit.rules import KeyTemplate, Match, PathPattern, Rule, Rules
from sluicegate.utils import KEY_LENGTH_MAX, InvalidInputError, checked_key

REQUEST = {"client_address": "192.0.2.7", "path": "/api/a", "method": "GET", "tenant": "blue", "user": ""}
any_text = st.text(max_size=30) | st.text(alphabet=":%~\x00a\ud800é", max_size=30)


def test_a_rule_covers_what_its_match_covers() -> None:
    """A request stands under every rule whose path and method fit, in the file's order, each with its own key."""
    first = Limit("first", "1/s")
    second = Limit("second", "1/s")
    rules = Rules(
        (
            Rule(
                limit=first,
                key=KeyTemplate(("client_address",)),
                match=Match(values=(("path", (PathPattern("/api/**"),)),)),
            ),
            Rule(limit=second, key=KeyTemplate(("tenant", "method")), match=Match(methods=frozenset({"GET", "HEAD"}))),
            Rule(limit=Limit("post", "1/s"), key=KeyTemplate(("tenant",)), match=Match(methods=frozenset({"POST"}))),
            Rule(
                limit=Limit("else", "1/s"),
                key=KeyTemplate(("tenant",)),
                match=Match(values=(("path", (PathPattern("/b"),)),)),
            ),
        )
    )
    assert rules.matching(REQUEST) == [(first, "192.0.2.7"), (second, "blue:GET")]


def test_two_limits_of_one_name_are_refused() -> None:
    """Rules may share a limit, but not a name for two limits: they would share their state."""
    key, other = KeyTemplate(("tenant",)), KeyTemplate(("user",))
    limit = Limit("caf\u00e9", "1/s")
    assert len(Rules((Rule(limit=limit, key=key), Rule(limit=Limit("cafe\u0301", "1/s"), key=other))).limits) == 2
    with pytest.raises(InvalidInputError, match=r"rules\[1\]: found another limit named .* before it"):
        Rules((Rule(limit=limit, key=key), Rule(limit=Limit("cafe\u0301", "2/s"), key=key)))


@pytest.mark.parametrize("parts", [("user",), ("host",), ("tenant", "user"), ("header:x-key", "tenant")])
def test_a_rule_leaves_out_requests_without_its_key(parts: tuple[str, ...]) -> None:
    """A request that lacks a descriptor of the key, or has it empty, has no key."""
    assert KeyTemplate(parts).key(REQUEST) is None


def test_a_match_on_the_path_needs_a_path() -> None:
    """A request without a path is not covered by a match that names one, and covered by one that does not."""
    assert not Match(values=(("path", (PathPattern("/**"),)),)).covers({})
    assert Match().covers({})


def test_a_plain_value_is_its_own_key() -> None:
    """An address, IPv6 too, is a key as it stands."""
    template = KeyTemplate(("client_address",))
    assert template.key({"client_address": "2001:db8::/64"}) == "2001:db8::/64"


def test_names_of_headers_are_in_small_letters() -> None:
    """A header is named without regard to case."""
    assert KeyTemplate(("header:X-Api-Key",)).parts == ("header:x-api-key",)


@given(one=st.tuples(any_text, any_text), other=st.tuples(any_text, any_text))
def test_keys_of_several_parts_are_injective(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Two requests have one key only when all their parts are equal."""
    template = KeyTemplate(("tenant", "route"))
    keys = [template.key({"tenant": pair[0], "route": pair[1]}) for pair in (one, other)]
    if None not in keys:
        assert (keys[0] == keys[1]) == (one == other)


@pytest.mark.parametrize(("one", "other"), [(("a:b", "c"), ("a", "b:c")), (("a%3Ab", "c"), ("a:b", "c"))])
def test_a_separator_within_a_part_is_told_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    """A colon in a part never poses as the one between parts, escaped or not."""
    template = KeyTemplate(("tenant", "route"))
    assert template.key({"tenant": one[0], "route": one[1]}) != template.key({"tenant": other[0], "route": other[1]})


@given(value=st.text(min_size=1, max_size=60))
def test_every_key_is_accepted_by_the_limiter(value: str) -> None:
    """Whatever a client sends, its key is one that the limiter takes."""
    for parts in (("user_agent",), ("user_agent", "user_agent")):
        key = KeyTemplate(parts).key({"user_agent": value})
        assert key is not None
        assert checked_key(key)


@pytest.mark.parametrize("value", ["a" * 5000, "\x00" * 2000, "é" * 5000, "\ud800" * 3000])
def test_a_long_value_becomes_its_digest(value: str) -> None:
    """What is too long for a key, escaped or not, is a digest: short, and another for another value."""
    template = KeyTemplate(("user_agent", "path"))
    key = template.key({"user_agent": value, "path": "/"})
    other = template.key({"user_agent": value + "x", "path": "/"})
    assert key is not None
    assert key.startswith("%~")
    assert len(key) < KEY_LENGTH_MAX
    assert key != other
    assert template.key({"user_agent": key.partition(":")[0], "path": "/"}) != key


@pytest.mark.parametrize("part", ["client_adress", "header:", "header:a b", "header:" + "a" * 65, "", 7, None])
def test_refuses_a_descriptor_that_nobody_knows(part: object) -> None:
    """A key of something that no request has is refused, with what there is."""
    with pytest.raises(InvalidInputError, match="client_address, path"):
        KeyTemplate((part,))  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 9])
def test_refuses_a_key_of_too_many_parts(count: int) -> None:
    """A key has one to eight parts."""
    with pytest.raises(InvalidInputError, match="1 to 8"):
        KeyTemplate(("path",) * count)
