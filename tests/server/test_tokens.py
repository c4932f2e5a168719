"""Ids can be carried by anyone and made by nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate import InvalidInputError
from sluicegate.server.tokens import TokenSigner

SECRET = b"0123456789abcdef"
scalars = st.one_of(st.integers(), st.text(st.characters(exclude_categories=["Cs"])))


@given(st.lists(scalars, max_size=8))
def test_what_was_signed_is_read(values: list[object]) -> None:
    """A process with the same secret reads the values that were signed, in characters that fit a path."""
    token = TokenSigner(SECRET).signed("hold", values)
    assert TokenSigner(SECRET).read("hold", token) == values
    assert all(character.isalnum() or character in "-_" for character in token)


@given(st.data())
def test_a_changed_id_is_refused(data: st.DataObject) -> None:
    """No character of an id can be changed, taken away or added."""
    signer = TokenSigner(SECRET)
    token = signer.signed("hold", ["slots", 7, "tenant"])
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCZaz09-_").filter(lambda character: character != token[at]))
    for changed in (token[:at] + other + token[at + 1 :], token[:at] + token[at + 1 :], token + other, token + "="):
        with pytest.raises(InvalidInputError, match="id: found text of"):
            signer.read("hold", changed)


def test_an_id_serves_one_purpose_and_one_secret() -> None:
    """A hold's id refunds nothing, and another service's id is nobody's."""
    token = TokenSigner(SECRET).signed("hold", [1])
    for signer, purpose in (
        (TokenSigner(SECRET), "refund"),
        (TokenSigner(), "hold"),
        (TokenSigner(SECRET + b"x"), "hold"),
    ):
        with pytest.raises(InvalidInputError):
            signer.read(purpose, token)


@pytest.mark.parametrize("token", [None, 7, "", "\u00e9", "x" * 40_000, "not base 64!", ["a"]])
def test_what_is_no_id_is_refused(token: object) -> None:
    """Whatever stands in an id's place is refused by its shape."""
    with pytest.raises(InvalidInputError, match="accepted: the id of a hold"):
        TokenSigner(SECRET).read("hold", token)


@pytest.mark.parametrize("secret", [b"", b"fifteen bytes..", "text of sixteen."])
def test_a_weak_secret_is_refused(secret: object) -> None:
    """A secret that could be guessed is refused, and its text is not told."""
    with pytest.raises(InvalidInputError, match=r"secret: found .*; accepted: at least 16 bytes"):
        TokenSigner(secret)  # type: ignore[arg-type]  # that is the point
