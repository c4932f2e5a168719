"""Limits that are rolled out, asked for by name: the same as in the middleware, whatever the verb."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limiter, NullLogger
from sluicegate.integrations import RateLimitMiddleware
from sluicegate.ratelimit.rules import parse_rules
from tests.integrations.test_asgi import answered, fields, hello, http_scope
from tests.ratelimit.stages.fleet import script_calls
from tests.server.service import service

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

TEXT = """
version: 1
limits:
  api:
    rate: 10/hour
    algorithm: fixed_window
    key: client_address
    rollout: {rate: 3/hour, percent: 50}
  plain: {rate: 10/hour, algorithm: fixed_window, key: client_address, cost: 2}
  slots:
    {rate: 1, algorithm: concurrency, key: user, shadow: true, rollout: {percent: 50}}
"""
RULES = parse_rules(TEXT)
API, _, SLOTS = (rule.rollout for rule in RULES.limits)
assert API is not None
assert SLOTS is not None
KEYS = [f"192.0.2.{at}" for at in range(20)]
INSIDE, OUTSIDE = (next(key for key in KEYS if API.includes(key) is side) for side in (True, False))


@pytest.fixture(params=["memory", "redis"])
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of a service, on each store."""
    limiter = None
    if request.param == "redis":
        limiter = Limiter.connect(request.getfixturevalue("redis_url"), deadline=5)
    with service(limiter, RULES) as client:
        yield client


def asked(client: httpx.Client, verb: str, key: str, limit: str = "api", **more: object) -> Any:
    """Return what a verb answers."""
    return client.post(f"/v1/{verb}", json={"limit": limit, "key": key, **more}).json()


def counts(client: httpx.Client) -> dict[str, Any]:
    """Return what the service tells of the roll-out of the limit."""
    return client.get("/readyz").json()["rules"]["rollouts"][0]  # type: ignore[no-any-return] # as it is


def test_each_key_has_the_limit_that_is_in_force_for_it(client: httpx.Client) -> None:
    """What runs beside it stands in no answer; a refund gives back to the one that decided."""
    for key, limit in ((INSIDE, 3), (OUTSIDE, 10)):
        assert asked(client, "peek", key)["remaining"] == limit
        answer = client.post("/v1/acquire", json={"limit": "api", "key": key, "cost": 2})
        assert answer.headers["ratelimit-policy"] == f'"api";q={limit};w=3600'
        assert (answer.json()["limit"], answer.json()["remaining"]) == ("api", limit - 2)
        for _ in range(2):
            assert client.post("/v1/refund", json={"id": answer.json()["id"]}).json() == {"refunded": 2}
        assert asked(client, "peek", key)["remaining"] == limit
        denied = client.post("/v1/acquire", json={"limit": "api", "key": key, "cost": limit + 1})
        assert (denied.status_code, denied.json()["never"]) == (429, True)
        assert asked(client, "reset", key) == {"reset": True}
        assert asked(client, "reset", key) == {"reset": False}
    # Four were never possible for what it becomes, and eleven for neither.
    assert counts(client) == {
        "limit": "api",
        "percent": 50,
        "agreed": 3,
        "only_candidate_denied": 1,
        "only_current_denied": 0,
    }
    told = client.get("/v1/limits").json()["limits"][0]["rollout"]
    assert (told["percent"], told["rates"], told["algorithm"]) == (50, ["3/hour"], "fixed_window")


def test_both_forget_at_a_reset(client: httpx.Client) -> None:
    """After it neither denies what it would have denied before."""
    for _ in range(4):
        asked(client, "acquire", OUTSIDE)
    assert counts(client)["only_candidate_denied"] == 1
    asked(client, "reset", OUTSIDE)
    for _ in range(3):
        asked(client, "acquire", OUTSIDE)
    assert counts(client) == {
        "limit": "api",
        "percent": 50,
        "agreed": 6,
        "only_candidate_denied": 1,
        "only_current_denied": 0,
    }


def test_several_are_answered_as_they_were_named(client: httpx.Client) -> None:
    """One decision for each request, in its order, all or nothing or each for itself."""
    named = [("api", OUTSIDE), ("plain", "k"), ("api", INSIDE), ("api", OUTSIDE), ("slots", "k")]
    requests = [{"limit": limit, "key": key} for limit, key in named]
    joint = client.post("/v1/acquire-all", json={"requests": requests[:4]}).json()
    assert [(each["limit"], each["key"], each["remaining"]) for each in joint["decisions"]] == [
        ("api", OUTSIDE, 9),
        ("plain", "k", 8),
        ("api", INSIDE, 2),
        ("api", OUTSIDE, 9),
    ]
    assert joint["binding"] == {"limit": "api", "key": INSIDE}
    many = client.post("/v1/acquire-many", json={"requests": requests[:4]}).json()["decisions"]
    assert [(each["limit"], each["key"], each["remaining"]) for each in many] == [
        ("api", OUTSIDE, 8),
        ("plain", "k", 6),
        ("api", INSIDE, 1),
        ("api", OUTSIDE, 7),
    ]
    only = client.post("/v1/acquire-many", json={"requests": [requests[2]] * 2}).json()["decisions"]
    assert [each["allowed"] for each in only] == [True, False]
    refused = client.post("/v1/acquire-many", json={"requests": requests}).json()["detail"]
    assert refused.startswith("requests[4].limit: found concurrency limit 'slots'")


def test_thirty_two_limits_may_be_named_though_one_is_rolled_out(client: httpx.Client) -> None:
    """What has no room beside them is not compared."""
    requests = [{"limit": "api", "key": f"k{at}"} for at in range(32)]
    answer = client.post("/v1/acquire-all", json={"requests": requests})
    assert (answer.status_code, len(answer.json()["decisions"])) == (200, 32)
    assert counts(client)["agreed"] == 0
    assert client.post("/v1/acquire-all", json={"requests": requests[:20]}).status_code == 200
    assert counts(client)["agreed"] == 12


def test_a_new_limit_is_enforced_for_some_by_name_too(client: httpx.Client) -> None:
    """A holder that is in is denied, one that is not is let through and counted."""
    assert SLOTS is not None
    for key in KEYS:
        first, second = (client.post("/v1/holds", json={"limit": "slots", "key": key}) for _ in range(2))
        assert (first.status_code, first.json()["allowed"]) == (200, True)
        assert client.put(f"/v1/holds/{first.json()['id']}").status_code == 200
        assert second.status_code == (429 if SLOTS.includes(key) else 200)
        assert client.delete(f"/v1/holds/{first.json()['id']}").json() == {"released": True}
    rollout = client.get("/readyz").json()["rules"]["rollouts"][1]
    inside = sum(SLOTS.includes(key) for key in KEYS)
    assert rollout == {
        "limit": "slots",
        "percent": 50,
        "allowed": 20,
        "denied": inside,
        "shadow_denied": 20 - inside,
    }


def test_a_service_without_roll_outs_tells_of_none() -> None:
    """What is not there is not told."""
    with service(rules=parse_rules("version: 1\nlimits: {a: {rate: 1/s, key: user}}")) as client:
        assert "rollouts" not in client.get("/readyz").json()["rules"]
        assert client.get("/v1/limits").json()["limits"][0]["rollout"] is None


def test_independent_requests_share_a_round_trip(redis_url: str, redis_client: Any) -> None:
    """Those with another beside them and those without travel together."""
    requests = [{"limit": limit, "key": f"k{at}"} for at in range(5) for limit in ("api", "plain")]
    with service(Limiter.connect(redis_url, deadline=5), RULES) as client:
        client.post("/v1/acquire-many", json={"requests": requests})
        before = script_calls(redis_client)
        client.post("/v1/acquire-many", json={"requests": requests})
        assert script_calls(redis_client) == before + 1


def test_the_middleware_does_the_same(client: httpx.Client) -> None:
    """What a name is answered, the middleware answers for the same key."""
    app = RateLimitMiddleware(hello, Limiter(logger=NullLogger()), limits=parse_rules(TEXT.partition("  plain")[0]))
    for key in KEYS:
        for _ in range(5):
            (start, *_) = asyncio.run(answered(app, http_scope(client=(key, 1))))
            answer = client.post("/v1/acquire", json={"limit": "api", "key": key})
            assert answer.status_code == start["status"]
            assert answer.headers["ratelimit-policy"] == fields(start)["ratelimit-policy"]
            assert answer.headers["ratelimit"].partition(";t")[0] == fields(start)["ratelimit"].partition(";t")[0]
