"""What may pass the boundary, and that each refusal names the place, the shape that was found and what is accepted."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.utils import (
    COST_MAX,
    KEY_LENGTH_MAX,
    NAME_LENGTH_MAX,
    InvalidInputError,
    checked_cost,
    checked_key,
    checked_name,
    checked_seconds,
    checked_service_url,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE_LENGTH_MAX = 2 + 40 * 10  # forty characters, each written as an escape
LINE_LENGTH_MAX = 600  # a refusal is a line for a person, whatever was refused
KEY_ACCEPTED = "text of 1 to 4,096 characters without control characters"
NAME_ACCEPTED = "text of 1 to 64 characters without control characters"
COST_ACCEPTED = "a whole number from 0 to 1,000,000,000"
ANYTHING = st.one_of(
    st.text(st.characters(codec=None)),
    st.binary(),
    st.integers(),
    st.floats(),
    st.none(),
    st.booleans(),
    st.lists(st.text()),
    st.integers(min_value=2**64).map(lambda number: number**20),
)


class Opaque:
    """Something that would tell a secret, were it shown."""

    def __repr__(self) -> str:
        return "hunter2"


def refusal_of(check: Callable[..., object], *arguments: object, **named: object) -> InvalidInputError:
    """Return the one refusal that a check raises, which is one short line whatever was refused."""
    with pytest.raises(InvalidInputError) as caught:
        check(*arguments, **named)
    line = str(caught.value)
    assert line.isprintable()
    assert line.isascii()
    assert len(line) <= LINE_LENGTH_MAX
    return caught.value


@pytest.mark.parametrize(
    "key",
    ["a", "user:42", "a:b:{c}%", " ", "~", "Zoë", "\N{SMILING FACE WITH SUNGLASSES}", "::1", "k" * KEY_LENGTH_MAX],
)
def test_a_plain_key_passes_as_it_is(key: str) -> None:
    """Printable text up to the bound is not changed."""
    assert checked_key(key) == key


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("", "''"),
        ("k" * (KEY_LENGTH_MAX + 1), "text of 4,097 characters"),
        ("é" * 1_000_000, "text of 1,000,000 characters"),
        (b"user:42", "bytes of length 7"),
        (bytearray(2_000), "bytearray of length 2,000"),
        (memoryview(b"\xff\xfe"), "memoryview of length 2"),
        (None, "None"),
        (42, "42"),
        (10**100, "a whole number of 333 bits"),
        (math.nan, "nan"),
        (["user:42"], "a value of type list"),
        (Opaque(), "a value of type Opaque"),
        ("a\nb", r"'a\nb' with U+000A at position 1"),
        ("\x00", r"'\x00' with U+0000 at position 0"),
        ("\x1b[2J", r"'\x1b[2J' with U+001B at position 0"),
        ("a\x7f", r"'a\x7f' with U+007F at position 1"),
        ("\x85", r"'\x85' with U+0085 at position 0"),
        ("é\ud800", r"'\xe9\ud800' with U+D800 at position 1"),
        ("\udfff" * 50, "text of 50 characters with U+DFFF at position 0"),
        ("\u2028", r"'\u2028' with U+2028 at position 0"),
        ("\u2029", r"'\u2029' with U+2029 at position 0"),
        ("k" * 60 + "\r", "text of 61 characters with U+000D at position 60"),
    ],
)
def test_a_wrong_key_is_refused_with_its_shape(key: object, found: str) -> None:
    """The line names the place, shows what was found by its shape, and says what is accepted."""
    error = refusal_of(checked_key, key)
    assert (error.where, error.found, error.accepted) == ("key", found, KEY_ACCEPTED)
    assert str(error) == f"key: found {found}; accepted: {KEY_ACCEPTED}"


def test_a_refusal_names_the_place_that_the_caller_gave() -> None:
    """The parameter of a bulk call is told by its position."""
    assert str(refusal_of(checked_key, None, "limits[3] key")).startswith("limits[3] key: found None; ")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", "''"),
        ("n" * (NAME_LENGTH_MAX + 1), "text of 65 characters"),
        (b"api", "bytes of length 3"),
        ("api\t", r"'api\t' with U+0009 at position 3"),
        (True, "True"),
    ],
)
def test_a_wrong_name_is_refused_with_its_shape(name: object, found: str) -> None:
    """Names have a smaller bound, and the same refusals."""
    error = refusal_of(checked_name, name, "name")
    assert (error.where, error.found, error.accepted) == ("name", found, NAME_ACCEPTED)


@pytest.mark.parametrize("check", [checked_key, checked_name])
def test_two_spellings_of_one_text_are_one(check: Callable[..., str]) -> None:
    """Composed and decomposed accents give the same text, the composed one."""
    assert check("Zoe\u0308", "where") == check("Zo\u00eb", "where") == "Zo\u00eb"
    assert check("\u212b", "where") == "\u00c5"


@pytest.mark.parametrize(("check", "bound"), [(checked_key, KEY_LENGTH_MAX), (checked_name, NAME_LENGTH_MAX)])
def test_the_bound_holds_for_what_normalising_makes_longer(check: Callable[..., str], bound: int) -> None:
    """A character that is written as three after normalising counts as three."""
    assert check("\ufb2c" * (bound // 3), "where") == "\u05e9\u05bc\u05c1" * (bound // 3)
    error = refusal_of(check, "\ufb2c" * bound, "where")
    assert error.found == f"text of {bound:,} characters, {3 * bound:,} when normalised"


@given(ANYTHING)
def test_whatever_comes_a_key_is_refused_or_fit(value: object) -> None:
    """What passes is normalised text within the bound, without what is refused, and passes again unchanged."""
    try:
        key = checked_key(value)
    except InvalidInputError:
        refusal_of(checked_key, value)
        return
    assert 0 < len(key) <= KEY_LENGTH_MAX
    assert unicodedata.is_normalized("NFC", key)
    assert not {unicodedata.category(character) for character in key} & {"Cc", "Cs", "Zl", "Zp"}
    assert key.encode().decode() == checked_key(key) == key


@pytest.mark.parametrize("cost", [0, 1, COST_MAX])
def test_a_whole_cost_passes(cost: int) -> None:
    """Both edges are accepted."""
    assert checked_cost(cost) == cost


@pytest.mark.parametrize(
    ("cost", "found"),
    [
        (-1, "-1"),
        (COST_MAX + 1, "1000000001"),
        (-(10**400), "a whole number of 1,329 bits"),
        (True, "True"),
        (False, "False"),
        (1.0, "1.0"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        ("1", "'1'"),
        (b"1", "bytes of length 1"),
        (None, "None"),
        (Opaque(), "a value of type Opaque"),
    ],
)
def test_a_wrong_cost_is_refused_with_its_shape(cost: object, found: str) -> None:
    """A cost is a whole number, and neither a truth value nor a number that only looks whole."""
    error = refusal_of(checked_cost, cost)
    assert (error.where, error.found, error.accepted) == ("cost", found, COST_ACCEPTED)


@pytest.mark.parametrize("seconds", [0.5, 1, 60, 60.0])
def test_seconds_within_their_range_pass_as_a_float(seconds: float) -> None:
    """Whole numbers and both edges are accepted."""
    checked = checked_seconds(seconds, "timeout", at_least=0.5, at_most=60)
    assert (checked, type(checked)) == (seconds, float)


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        (0.499, "0.499"),
        (60.001, "60.001"),
        (-1, "-1"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (True, "True"),
        ("1", "'1'"),
        (None, "None"),
        (10**400, "a whole number of 1,329 bits"),
        (1 + 0j, "a value of type complex"),
    ],
)
def test_wrong_seconds_are_refused_with_their_shape(seconds: object, found: str) -> None:
    """What is no finite number of the range is refused, and the range is named."""
    error = refusal_of(checked_seconds, seconds, "timeout", at_least=0.5, at_most=60)
    assert (error.where, error.found, error.accepted) == ("timeout", found, "a number of seconds from 0.5 to 60")


@given(ANYTHING)
def test_the_shape_of_anything_is_one_short_line(value: Any) -> None:
    """Whatever its type and size, a shape is printable ASCII that fits a message."""
    shape = shape_of(value)
    assert shape
    assert shape.isascii()
    assert shape.isprintable()
    assert len(shape) <= SHAPE_LENGTH_MAX


@pytest.mark.parametrize(
    ("value", "shape"),
    [("k" * 40, repr("k" * 40)), ("k" * 41, "text of 41 characters"), (2**128 - 1, str(2**128 - 1))],
)
def test_only_what_is_short_is_shown(value: object, shape: str) -> None:
    """Text and numbers are shown up to a bound, and counted beyond it."""
    assert shape_of(value) == shape


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "https://[::1]/gate/", "http://h:65535", "HTTP://h"])
def test_a_url_of_a_service_passes_as_it_is(url: str) -> None:
    """With a port and a path, where there are some."""
    assert checked_service_url(url, "url") == url


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("", "a text of 0 characters"),
        (7, "7"),
        ("s3cretX", "a text of 7 characters"),
        ("u:s3cretX@h", "a URL with more in it than where the service is"),
        ("http://u:s3cretX@h", "a URL with more in it than where the service is"),
        ("http://h?token=s3cretX", "a URL with more in it than where the service is"),
        ("http://h/#s3cretX", "a URL with more in it than where the service is"),
        ("http://h\n", "a URL with more in it than where the service is"),
        ("http://h\u2100", "a URL with more in it than where the service is"),
        ("http://[::1", "a URL that begins with 'http'"),
        ("http://h:s3cretX", "a URL that begins with 'http'"),
        ("http://h:0", "a URL that begins with 'http'"),
        ("http://", "a URL that begins with 'http'"),
        ("redis://h", "a URL that begins with 'redis'"),
        ("http://" + "h" * 4_096, "a text of 4,103 characters"),
    ],
)
def test_a_url_that_may_have_a_secret_in_it_is_refused_and_not_shown(url: object, found: str) -> None:
    """For a URL of a service is shown wherever it is spoken of."""
    with pytest.raises(InvalidInputError) as caught:
        checked_service_url(url, "url")
    assert (caught.value.where, caught.value.found) == ("url", found)
    assert "s3cretX" not in str(caught.value)
