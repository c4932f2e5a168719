"""What the service does not take: each refusal is one line that helps, and nothing is consumed."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.server.service import service

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of one service."""
    with service() as client:
        yield client


def refused(answer: httpx.Response, status: int = 400) -> str:
    """Check that *answer* is a problem of one line, and return the line."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    detail: str = problem["detail"]
    assert "\n" not in detail
    assert len(detail) < 400
    return detail


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", "body: found no JSON at line 1, column 1"),
        ("{", "body: found no JSON at line 1, column 2"),
        ("[]", "body: found a value of type list; accepted: an object with limit, key, cost"),
        ("null", "body: found None"),
        ("{}", "limit: found nothing; accepted: the name of a limit: api, daily, paced, closed, slots, trial"),
        ('{"limit": "api"}', "key: found nothing; accepted: text"),
        ('{"limit": "apix", "key": "a"}', "limit: found 'apix'; accepted: the name of a limit"),
        ('{"limit": ["api"], "key": "a"}', "limit: found a value of type list"),
        ('{"limit": "api", "key": ""}', "key: found ''; accepted: text of 1 to 4,096 characters"),
        ('{"limit": "api", "key": 7}', "key: found 7"),
        ('{"limit": "api", "key": "a\\u0000b"}', "key: found 'a\\x00b' with U+0000 at position 1"),
        ('{"limit": "api", "key": "\\ud800"}', "key: found '\\ud800' with U+D800"),
        ('{"limit": "api", "key": "a", "cost": -1}', "cost: found -1; accepted: a whole number from 0"),
        ('{"limit": "api", "key": "a", "cost": 1.5}', "cost: found 1.5"),
        ('{"limit": "api", "key": "a", "cost": 1e300}', "cost: found a whole number of 997 bits"),
        ('{"limit": "api", "key": "a", "cost": true}', "cost: found True"),
        ('{"limit": "api", "key": "a", "cost": "1"}', "cost: found '1'"),
        ('{"limit": "api", "key": "a", "cost": null}', "cost: found None"),
        ('{"limit": "api", "key": "a", "cost": NaN}', "body: found NaN; accepted: JSON"),
        ('{"limit": "api", "key": "a", "cost": -Infinity}', "body: found -Infinity"),
        ('{"limit": "api", "key": "a", "cost": 1e400}', "cost: found inf"),
        ('{"limit": "api", "key": "a", "cost": 9007199254740993}', "cost: found 9007199254740993"),
        ('{"limit": "api", "key": "a", "cst": 1}', "'cst': found a name that is not known; accepted: limit, key, cost"),
        ('{"limit": "api", "key": "a", "key": "b"}', "body: found a name that stands twice"),
        ('{"limit": "slots", "key": "a"}', "limit: found concurrency limit 'slots'; accepted: a limit with a rate"),
        ("[" * 100_000, "body: found nesting too deep"),
        ('{"limit": "api", "key": "' + "a" * 5000 + '"}', "key: found text of 5,000 characters"),
        (b'{"limit": "\xff"}', "body: found bytes that are no JSON in UTF-8"),
        ("1" * 10_000, "body: found"),
    ],
)
def test_a_malformed_acquire_is_refused_in_one_line(client: httpx.Client, body: str | bytes, detail: str) -> None:
    """The line names the place, what was found and what is accepted; the key is untouched."""
    line = refused(client.post("/v1/acquire", content=body, headers=JSON))
    assert line.startswith(detail)
    assert "; accepted: " in line
    assert client.post("/v1/peek", json={"limit": "api", "key": "a"}).json()["remaining"] == 10


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("acquire-all", {}, "requests: found nothing; accepted: a list of 1 to 32"),
        ("acquire-all", {"requests": []}, "requests: found 0 of them"),
        ("acquire-all", {"requests": {}}, "requests: found a value of type dict"),
        ("acquire-all", {"requests": [{"limit": "api", "key": "a"}] * 33}, "requests: found 33 of them"),
        ("acquire-many", {"requests": [{"limit": "api", "key": "a"}] * 1001}, "requests: found 1,001 of them"),
        ("acquire-many", {"requests": [{"limit": "api", "key": "a"}, 7]}, "requests[1]: found 7; accepted: an object"),
        ("acquire-many", {"requests": [{"limit": "no", "key": "a"}]}, "requests[0].limit: found 'no'"),
        ("acquire-many", {"requests": [{"limit": "api", "key": "a", "x": 1}]}, "requests[0].'x': found a name"),
        ("acquire-all", {"requests": [{"limit": "api", "key": "a", "cost": -1}]}, "requests[0].cost: found -1"),
        ("acquire-all", {"requests": [{"limit": "slots", "key": "a"}]}, "requests[0].limit: found concurrency limit"),
        ("holds", {"limit": "api", "key": "a"}, "limit: found fixed_window limit 'api'; accepted: a concurrency limit"),
        ("holds", {"limit": "slots", "key": "a", "cost": 1}, "'cost': found a name that is not known"),
        ("reset", {"limit": "api", "key": "a", "cost": 1}, "'cost': found a name that is not known"),
        ("refund", {}, "id: found None; accepted: the id of a refundable decision"),
        ("refund", {"id": "x" * 100}, "id: found text of 100 characters"),
        ("refund", {"id": "x", "limit": "api"}, "'limit': found a name that is not known; accepted: id"),
    ],
)
def test_other_malformed_bodies_are_refused_in_one_line(
    client: httpx.Client, path: str, body: object, detail: str
) -> None:
    """Whatever verb it is for, a body is refused by the place within it."""
    assert refused(client.post(f"/v1/{path}", json=body)).startswith(detail)
    assert client.post("/v1/peek", json={"limit": "api", "key": "a"}).json()["remaining"] == 10


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_only_declared_json_is_read(client: httpx.Client, media_type: str) -> None:
    """A type that a page of another origin could send without asking is not read."""
    body = json.dumps({"limit": "api", "key": "a"})
    line = refused(client.post("/v1/acquire", content=body, headers={"content-type": media_type}), 415)
    assert line == f"content-type: found {media_type!r}; accepted: application/json"


def test_a_body_is_bounded(client: httpx.Client) -> None:
    """More than a megabyte is refused, whether its length is declared or not, and the service goes on."""
    big = b'{"limit": "api", "key": "' + b"a" * 2_000_000 + b'"}'
    parts = (big[at : at + 10_000] for at in range(0, len(big), 10_000))
    assert "1,048,576" in refused(client.post("/v1/acquire", content=big, headers=JSON), 413)
    assert "1,048,576" in refused(client.post("/v1/acquire", content=parts, headers=JSON), 413)
    assert client.get("/livez").status_code == 200


def test_an_absurd_declared_length_is_refused_at_once(client: httpx.Client) -> None:
    """A length that nobody will send is answered before anything of it has come."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 999999999999\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/acquire", 405),
        ("POST", "/v1/acquire/", 404),
        ("PATCH", "/v1/holds/x", 405),
    ],
)
def test_what_is_not_served_is_a_problem_too(client: httpx.Client, method: str, path: str, status: int) -> None:
    """An unknown path or method is answered in the same form as every refusal."""
    assert refused(client.request(method, path), status).endswith("accepted: what /docs lists")


def test_a_hold_that_is_none_is_refused(client: httpx.Client) -> None:
    """An id that the service did not give is refused, and so is another kind of id."""
    decision = client.post("/v1/acquire", json={"limit": "paced", "key": "h"}).json()["id"]
    for token in ("x", "x" * 40_000, decision):
        assert refused(client.put(f"/v1/holds/{token}")).startswith("id: found text of")
        assert refused(client.delete(f"/v1/holds/{token}")).startswith("id: found text of")
