"""Bans and overrides over HTTP: made, heard of by every process, listed, ended, and refused where they are wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sluicegate import Limiter, NullLogger
from sluicegate.ratelimit.rules import parse_rules
from tests.cli.command import Serving, run, serving
from tests.server.service import service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULES = """
version: 1
limits:
  api: {rate: 30/hour, algorithm: fixed_window, key: client_address}
"""
WORKERS = 3
HEARD_S = 1.0


@pytest.fixture(params=["memory", "redis"])
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of a service on either store."""
    limiter = Limiter(logger=NullLogger())
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        limiter = Limiter.connect(url, changes=True, deadline=5, logger=NullLogger())
    with service(limiter) as client:
        yield client


def asked(client: httpx.Client, verb: str, **body: Any) -> dict[str, Any]:
    """Ask, and return the answer of what was done."""
    answer = client.post(f"/v1/{verb}", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_ban_is_made_listed_and_lifted(client: httpx.Client) -> None:
    """Meanwhile every verb answers for it, with Retry-After; without an end with none."""
    before = time.time()
    told = asked(client, "bans", keys="a", seconds=600, reason="abuse")
    (ban,) = told["bans"]
    assert (ban["key"], ban["limit"], ban["reason"], ban["times"]) == ("a", None, "abuse", 0)
    assert 590 < ban["until"] - before < 610
    asked(client, "bans", keys=["b", "c"], limit="daily")
    denied = client.post("/v1/acquire", json={"limit": "api", "key": "a"})
    assert (denied.status_code, denied.json()["banned"], denied.json()["source"]) == (429, True, "ban")
    assert 590 < int(denied.headers["Retry-After"]) <= 600
    assert denied.headers["RateLimit"] == '"api";r=0'
    several = [{"limit": "api", "key": "x"}, {"limit": "daily", "key": "b"}]
    joint = client.post("/v1/acquire-all", json={"requests": several})
    assert (joint.status_code, joint.json()["never"], joint.json()["binding"]["limit"]) == (429, True, "daily")
    assert "Retry-After" not in joint.headers
    held = client.post("/v1/holds", json={"limit": "slots", "key": "a"})
    assert (held.status_code, held.json()["banned"]) == (429, True)
    listed = client.get("/v1/bans").json()
    assert [(each["key"], each["limit"]) for each in listed["bans"]] == [("a", None), ("b", "daily"), ("c", "daily")]
    assert listed["total"] == 3
    assert asked(client, "bans/lift", keys=["a", "b"]) == {"lifted": 2}
    assert asked(client, "bans/lift", keys="c", limit="api") == {"lifted": 0}
    assert client.post("/v1/acquire", json={"limit": "api", "key": "a"}).status_code == 200


def test_an_override_is_made_listed_and_dropped(client: httpx.Client) -> None:
    """Meanwhile the key has its own rate, what it took can be refunded, and headers tell that rate."""
    told = asked(client, "overrides", limit="api", key="a", rate="20/hour", seconds=600)
    assert (told["limit"], told["key"], told["rate"]) == ("api", "a", "20/hour")
    taken = client.post("/v1/acquire", json={"limit": "api", "key": "a", "cost": 5})
    assert (taken.json()["remaining"], taken.headers["RateLimit-Policy"]) == (15, '"api";q=20;w=3600')
    assert asked(client, "refund", id=taken.json()["id"]) == {"refunded": 5}
    assert client.get("/v1/overrides").json() == {"overrides": [told], "total": 1}
    late = client.post("/v1/acquire", json={"limit": "api", "key": "a"}).json()["id"]
    assert asked(client, "overrides/drop", limit="api", key="a") == {"dropped": True}
    assert asked(client, "overrides/drop", limit="api", key="a") == {"dropped": False}
    assert client.post("/v1/refund", json={"id": late}).status_code == 409
    assert asked(client, "overrides", limit="slots", key="t", rate="5")["rate"] == "5"


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("bans/lift", {"keys": "a", "plan": ["pro"]}, "plan: found a value of type list; accepted: the name of a plan"),
    ("bans", {}, "keys: found None; accepted: a key, or a list of 1 to 1,000"),
    ("bans", {"keys": []}, "keys: found 0 of them"),
    ("bans", {"keys": ["a", 7]}, "keys[1]: found 7"),
    ("bans", {"keys": ["a"] * 1_001}, "keys: found 1,001 of them"),
    ("bans", {"keys": "a", "seconds": "600"}, "seconds: found '600'"),
    ("bans", {"keys": "a", "seconds": -1}, "seconds: found -1"),
    ("bans", {"keys": "a", "reason": 7}, "reason: found 7"),
    ("bans", {"keys": "a", "limit": "apix"}, "limit: found 'apix'; accepted: the name of a limit"),
    ("bans", {"keys": "a", "until": 7}, "'until': found a name that is not known; accepted: keys, seconds, reason"),
    ("bans/lift", {"keys": ""}, "keys: found ''"),
    ("overrides", {"key": "a", "rate": "1/s"}, "limit: found nothing"),
    ("overrides", {"limit": "api", "rate": "1/s"}, "key: found nothing"),
    ("overrides", {"limit": "api", "key": "a"}, "rate: found nothing; accepted: a rate such as 20/minute"),
    ("overrides", {"limit": "api", "key": "a", "rate": ["1/s"]}, "rate: found a value of type list"),
    ("overrides", {"limit": "api", "key": "a", "rate": "1/s burst 5"}, "rate burst: found"),
    ("overrides", {"limit": "api", "key": 7, "rate": "1/s"}, "key: found 7"),
    ("overrides/drop", {"limit": "api"}, "key: found None"),
]


@pytest.mark.parametrize(("verb", "body", "line"), BAD, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_refused_in_a_line(verb: str, body: dict[str, Any], line: str) -> None:
    """The line names the place, what was found and what is accepted; nothing is in force."""
    with service() as client:
        answer = client.post(f"/v1/{verb}", json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
        assert answer.json()["detail"].startswith(line)
        assert client.get("/v1/bans").json() == {"bans": [], "total": 0}


def test_where_others_would_not_hear_of_it_nothing_is_made(redis_url: str) -> None:
    """A service whose flag is off says so; what there is can be listed and ended."""
    with service(Limiter.connect(redis_url, deadline=5, logger=NullLogger())) as client:
        for verb, body in (("bans", {"keys": "a"}), ("overrides", {"limit": "api", "key": "a", "rate": "1/hour"})):
            answer = client.post(f"/v1/{verb}", json=body)
            assert (answer.status_code, answer.json()["detail"][:25]) == (409, "flags.changes: found off,")
        assert client.get("/readyz").json()["changes"] == {"state": "off", "keys": 0}
        assert client.get("/v1/bans").json() == {"bans": [], "total": 0}
        assert asked(client, "bans/lift", keys="a") == {"lifted": 0}


def test_readiness_tells_of_changes(client: httpx.Client) -> None:
    """Whether they are heard, and for how many keys something is in force; no ban keeps it from being ready."""
    asked(client, "bans", keys=["a", "readyz"])
    ready = client.get("/readyz").json()
    assert (ready["status"], ready["changes"]) == ("ready", {"state": "heard", "keys": 2})


def test_a_rule_bans_over_http() -> None:
    """The denial too many is told as what it is, and the list of limits tells the rule."""
    rules = parse_rules(
        "version: 1\nlimits: {api: {rate: 1/hour, key: user, ban: {after: 2, within: 1 minute, for: 10 minutes}}}"
    )
    with service(rules=rules) as client:
        answers = [client.post("/v1/acquire", json={"limit": "api", "key": "k"}).json() for _ in range(4)]
        assert [(each["allowed"], each["banned"]) for each in answers] == [
            (True, False),
            (False, False),
            (False, False),
            (False, True),
        ]
        assert client.get("/v1/limits").json()["limits"][0]["ban"]["duration"] == 600


@pytest.mark.slow
@pytest.mark.parametrize("url", ["redis", "embedded://"])
def test_every_worker_hears_of_it(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Whichever worker is asked a second later, it knows; so with a Redis as with an embedded server."""
    url = request.getfixturevalue("redis_url") if url == "redis" else url
    rules, settings = tmp_path / "rules.yaml", tmp_path / "settings.toml"
    rules.write_text(RULES, "utf-8")
    settings.write_text(
        f'[redis]\nurl = "{url}"\n[server]\nworkers = {WORKERS}\ndrain_delay_ms = 0\n'
        "[pool]\ndeadline_ms = 2000\n[flags]\nchanges = true\n",
        "utf-8",
    )
    with serving(rules, "--config", str(settings)) as running:
        assert posted(running, "bans", keys=["a"], seconds=600)["bans"]
        time.sleep(HEARD_S)
        answers = [posted(running, "acquire", limit="api", key="a") for _ in range(30)]
        assert [answer["banned"] for answer in answers] == [True] * 30
        assert posted(running, "bans/lift", keys="a") == {"lifted": 1}
        time.sleep(HEARD_S)
        assert all(posted(running, "acquire", limit="api", key="a")["allowed"] for _ in range(30))
        running.terminate()
        assert running.ended() == 0


def posted(running: Serving, verb: str, **body: Any) -> dict[str, Any]:
    """Ask over a connection of its own, so that any of the workers may answer."""
    told: dict[str, Any] = httpx.post(f"{running.url}/v1/{verb}", json=body, timeout=10).json()
    return told


def test_the_command_lists_thousands_of_long_keys() -> None:
    """An answer of more than a megabyte is one of the service's, too."""
    with service() as client:
        for first in range(0, 1_000, 50):
            asked(client, "bans", keys=[f"{number}:{'k' * 1_200}" for number in range(first, first + 50)])
        listed = run("bans", "--url", str(client.base_url), "--json")
        assert (listed.code, len(listed.out) > 1_048_576) == (0, True), listed.err
