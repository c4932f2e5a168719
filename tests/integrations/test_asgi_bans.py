"""A banned request is answered before the application, with the end of the ban or as one that will never pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluicegate import BanRule, Limit
from sluicegate.integrations import RateLimitMiddleware, denial_problem, limit_headers
from sluicegate.ratelimit.rules import parse_rules
from tests.integrations.test_asgi import answered, fields, hello, http_scope, limiter

pytestmark = pytest.mark.asyncio
RULES = parse_rules(
    """
    version: 1
    limits:
      api: {rate: 5/hour, key: client_address}
      login: {rate: 5/hour, key: client_address, match: {path: /login}, charge: {status: 401}}
    """
)
CLIENT = "203.0.113.66"


async def test_a_ban_with_an_end_is_429_until_then() -> None:
    """Retry-After tells the end, and the body that it is a matter of time; nothing of it is told why."""
    shared = limiter()
    app = RateLimitMiddleware(hello, shared, limits=RULES)
    await shared.bans.add(CLIENT, seconds=90.5, reason="secret")
    start, body = await answered(app, http_scope(client=(CLIENT, 1)))
    told = fields(start)
    assert (start["status"], told["retry-after"], told["ratelimit"]) == (429, "91", '"api";r=0')
    assert json.loads(body["body"]) == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Requests of this client are refused for a while. The request may pass in 90.500 seconds.",
        "violated-policies": ["api"],
    }
    assert (await answered(app, http_scope(client=("203.0.113.67", 1))))[0]["status"] == 200


async def test_a_ban_without_an_end_is_403() -> None:
    """There is nothing to wait for, so no Retry-After is sent."""
    shared = limiter()
    app = RateLimitMiddleware(hello, shared, limits=RULES)
    await shared.bans.add(CLIENT)
    start, body = await answered(app, http_scope(client=(CLIENT, 1)))
    assert (start["status"], "retry-after" in fields(start)) == (403, False)
    assert (
        json.loads(body["body"])["detail"]
        == "This request is refused whatever its rate; it will not pass later either."
    )


async def test_a_ban_of_one_of_several_limits_refuses_the_request() -> None:
    """So it does where that limit is charged by the response; others have nothing taken from them."""
    shared = limiter()
    app = RateLimitMiddleware(hello, shared, limits=RULES)
    login = RULES.limits[1].limit
    await shared.bans.add(CLIENT, limit=login, seconds=60)
    start, body = await answered(app, http_scope(client=(CLIENT, 1), path="/login"))
    assert (start["status"], json.loads(body["body"])["violated-policies"]) == (429, ["login"])
    assert (await answered(app, http_scope(client=(CLIENT, 1))))[0]["status"] == 200
    assert (await shared.peek(RULES.limits[0].limit, CLIENT)).remaining == 4


async def test_a_websocket_of_a_banned_client_is_closed() -> None:
    """By the code of those who are refused, or of those who come too often, as the ban has no end or has one."""
    shared = limiter()
    app = RateLimitMiddleware(hello, shared, limits=RULES, websockets=True)
    scope: dict[str, Any] = {"type": "websocket", "path": "/", "headers": [], "client": (CLIENT, 1)}
    for seconds, code in ((60, 1013), (None, 1008)):
        await shared.bans.add(CLIENT, seconds=seconds)
        (closed,) = await answered(app, {**scope})
        assert closed["code"] == code


async def test_fields_of_a_ban_are_true_whatever_the_cost() -> None:
    """The time to the next unit is not told, for there is none; a ban beside a cost that never fits is never over."""
    shared = limiter()
    limit = Limit("api", "5/hour", ban=BanRule(after=1, within=1, duration=60))
    assert not (await shared.acquire(limit, "key", 6)).banned
    denied = await shared.acquire(limit, "key", 3)
    assert dict(limit_headers(denied))["RateLimit"] == '"api";r=0'
    assert denial_problem(denied).status == 429
    never = (await shared.acquire(Limit("api", "5/hour"), "other", 6), denied)
    assert "Retry-After" not in dict(limit_headers(never))
    assert denial_problem(never).status == 429
    assert "it will not pass later either" in denial_problem(never).detail


async def test_who_goes_on_after_too_many_failures_is_banned() -> None:
    """Refusals of a limit that is charged by the response lead to its ban, and stand among the decisions."""
    rules = parse_rules(
        """
        version: 1
        limits:
          login:
            rate: 2/hour
            key: client_address
            charge: {status: 401}
            ban: {after: 3, within: 1 minute, for: 10 minutes}
        """
    )
    shared = limiter()

    async def failing(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = RateLimitMiddleware(failing, shared, limits=rules)
    waits = []
    for _ in range(7):
        start, _body = await answered(app, http_scope(client=(CLIENT, 1)))
        waits.append((start["status"], fields(start).get("retry-after")))
    assert waits == [(401, None)] * 2 + [(429, "1800")] * 3 + [(429, "600")] * 2
    ban = shared.bans.find(CLIENT, limit=rules.limits[0].limit)
    assert ban is not None
    counts = shared.statistics()
    assert dict(counts.decisions) == {("login", "allowed"): 2, ("login", "denied"): 5}
    assert counts.early["login", "ban"] == 2
