"""Where there is a token, only who brings it bans keys, gives them other rates, and sees for whom that was done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate.server.admission import Admission
from sluicegate.utils import InvalidInputError
from tests.cli.command import run
from tests.server.service import service

if TYPE_CHECKING:
    import httpx

TOKEN = "käse and sixteen more"  # nosec - of a test
VERBS: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("POST", "bans", {"keys": "a"}),
    ("GET", "bans", None),
    ("POST", "bans/lift", {"keys": "a"}),
    ("POST", "overrides", {"limit": "api", "key": "a", "rate": "7/hour"}),
    ("GET", "overrides", None),
    ("POST", "overrides/drop", {"limit": "api", "key": "a"}),
)
every_verb = pytest.mark.parametrize(("method", "verb", "body"), VERBS, ids=[f"{m} {v}" for m, v, _ in VERBS])


def asked(client: httpx.Client, method: str, verb: str, body: Any, *, told: str | None) -> httpx.Response:
    """Ask, with what is told in the field Authorization."""
    fields = {} if told is None else {"Authorization": told.encode()}
    return client.request(method, f"/v1/{verb}", json=body, headers=fields)  # type: ignore[arg-type]  # bytes are meant


@every_verb
def test_who_does_not_know_the_token_is_refused(method: str, verb: str, body: Any) -> None:
    """With 401, what would be accepted, and nothing done; neither the token nor what was told is in it."""
    wrong = (None, "", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN)
    with service(admin_token=TOKEN) as client:
        for told in wrong:
            answer = asked(client, method, verb, body, told=told)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
            assert TOKEN not in answer.text
        assert client.get("/readyz").json()["changes"]["keys"] == 0
        for told in (f"Bearer {TOKEN}", f"bearer  {TOKEN}"):
            assert asked(client, method, verb, body, told=told).status_code == 200


@every_verb
def test_where_there_is_no_token_nobody_has_to_know_one(method: str, verb: str, body: Any) -> None:
    """As behind something that asks for it already, or on a machine of one's own."""
    with service() as client:
        assert asked(client, method, verb, body, told=None).status_code == 200


def test_who_only_has_requests_decided_needs_no_token() -> None:
    """Nor does whoever looks whether the service is well."""
    with service(admin_token=TOKEN) as client:
        assert client.post("/v1/acquire", json={"limit": "api", "key": "a"}).status_code == 200
        assert client.get("/v1/limits").status_code == client.get("/readyz").status_code == 200


def test_the_command_tells_the_token_of_the_settings() -> None:
    """Where the service wants it; with none, or the wrong one, it says what is missing."""
    with service(admin_token=TOKEN) as client:
        url = str(client.base_url)
        for token, code in ((TOKEN, 0), ("another of sixteen", 2), (None, 2)):
            own = {} if token is None else {"SLUICEGATE_SERVER__ADMIN_TOKEN": token}
            made = run("ban", "a", "--url", url, "--json", **own)
            assert made.code == code, made.err
            if code:
                assert "server.admin_token" in made.err
                assert (token or TOKEN) not in made.err
            else:
                assert json.loads(made.out)["bans"][0]["key"] == "a"
        assert client.get("/readyz").json()["changes"]["keys"] == 1


@pytest.mark.parametrize("token", ["", " " * 16, "guess", "x" * 15, 7, b"x" * 16])
def test_a_token_that_is_soon_guessed_is_refused(token: Any) -> None:
    """An empty one above all, which whoever knows nothing would bring; it is not shown."""
    with pytest.raises(InvalidInputError, match=r"admin_token: found .*; accepted: a text of at least 16") as caught:
        Admission(token)
    assert "guess" not in str(caught.value)
