"""Requests that are charged by their responses: only failed log-ins count."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sluicegate import Limiter, NullLogger
from sluicegate.integrations import DECISIONS_KEY, RateLimitMiddleware
from sluicegate.ratelimit.rules import parse_rules
from tests.integrations.serving import served
from tests.integrations.test_asgi import answered, fields, http_scope, limiter

if TYPE_CHECKING:
    from sluicegate.integrations.asgi import Message, Receive, Scope, Send

RULES = parse_rules(
    """
    version: 1
    limits:
      all: {rate: 100/hour, algorithm: fixed_window, key: client_address, match: {path: /**}}
      failed: {rate: 2/hour, algorithm: fixed_window, key: client_address, charge: {status: [401, 5xx]}}
    """
)
FAILED = RULES.limits[1].limit
WHO = "203.0.113.9"


async def signing_in(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer with the status that the path names; raise, stop or stream where it says so."""
    word = scope["path"].strip("/")
    if word == "raise":
        raise LookupError("own")
    if word == "nothing":
        return
    if word == "hang":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": int(word), "headers": []})
    for _ in range(3):
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def statuses(app: Any, *paths: str) -> list[int]:
    """Return the statuses of requests, one after the other."""
    return [(await answered(app, http_scope(path=f"/{path}")))[0]["status"] for path in paths]


async def left(shared: Limiter) -> int | None:
    """Return how many failures are left."""
    return (await shared.peek(FAILED, WHO)).remaining


async def test_only_what_fails_is_counted() -> None:
    """Successes are never charged; when the failures are used up, everything is denied, and the other limit is not."""
    shared = limiter()
    app = RateLimitMiddleware(signing_in, shared, limits=RULES)
    assert await statuses(app, *["200"] * 9, "401", "404", "200", "503", "200", "401") == [
        *[200] * 9,
        401,
        404,
        200,
        503,
        429,
        429,
    ]
    assert await left(shared) == 0
    assert (await shared.peek(RULES.limits[0].limit, WHO)).remaining == 100 - 13


async def test_a_charged_response_tells_what_is_left() -> None:
    """The charge is taken before the response goes out, told on it, and found in the scope; a denial tells itself."""
    app = RateLimitMiddleware(signing_in, limiter(), limits=RULES)
    scope = http_scope(path="/401")
    (start, *body) = await answered(app, scope)
    assert fields(start)["ratelimit"].startswith('"all";r=99;t=')
    assert '"failed";r=1' in fields(start)["ratelimit"]
    assert len(body) == 4
    assert [decision.limit.name for decision in scope[DECISIONS_KEY]] == ["all", "failed"]
    (start, *_) = await answered(app, http_scope(path="/200"))
    assert '"failed"' not in fields(start)["ratelimit"]
    await statuses(app, "401")
    start, problem = await answered(app, http_scope(path="/200"))
    assert start["status"] == 429
    assert '"failed";r=0' in fields(start)["ratelimit"]
    assert b'"violated-policies": ["failed"]' in problem["body"]


async def test_an_application_without_an_answer_has_failed() -> None:
    """One that raises, or returns nothing, counts as 500; its exception stays its own."""
    shared = limiter()
    app = RateLimitMiddleware(signing_in, shared, limits=RULES)
    with pytest.raises(LookupError, match="own"):
        await answered(app, http_scope(path="/raise"))
    assert await left(shared) == 1
    assert await answered(app, http_scope(path="/nothing")) == []
    assert await left(shared) == 0


async def test_what_is_cancelled_is_not_charged() -> None:
    """Whoever is cancelled before an answer has given none."""
    shared = limiter()
    app = RateLimitMiddleware(signing_in, shared, limits=RULES)
    task = asyncio.create_task(answered(app, http_scope(path="/hang")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert await left(shared) == 2


async def test_a_failure_within_a_response_is_charged_once() -> None:
    """A stream that breaks was charged, or not, when it began."""
    shared = limiter()

    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        await signing_in(scope, receive, send)
        raise LookupError

    app = RateLimitMiddleware(breaking, shared, limits=RULES)
    for path, expected in (("/200", 2), ("/401", 1)):
        with pytest.raises(LookupError):
            await answered(app, http_scope(path=path))
        assert await left(shared) == expected


async def test_those_under_way_together_are_let_through_together() -> None:
    """As many more may come by as are under way; what cannot be had any more is not charged, and nothing fails."""
    shared = limiter()
    app = RateLimitMiddleware(_slow(signing_in), shared, limits=RULES)
    found = await asyncio.gather(*(statuses(app, "401") for _ in range(5)))
    assert [status for (status,) in found] == [401] * 5
    assert await left(shared) == 0
    assert await statuses(app, "401") == [429]


def _slow(application: Any) -> Any:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.01)
        await application(scope, receive, send)

    return slow


async def test_a_websocket_is_charged_by_how_its_handshake_ends() -> None:
    """Accepted is 101; closed before, 403."""
    rules = parse_rules(
        "version: 1\nlimits: {a: {rate: 9/hour, algorithm: fixed_window, key: path, charge: {status: [101, 403]}}}"
    )
    shared = limiter()

    async def handshake(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept" if scope["path"] == "/yes" else "websocket.close"})
        await send({"type": "websocket.close"})

    app = RateLimitMiddleware(handshake, shared, limits=rules, websockets=True)
    for path in ("/yes", "/no"):
        await answered(app, {"type": "websocket", "path": path, "headers": [], "client": None})
        assert (await shared.peek(rules.limits[0].limit, path)).remaining == 8


async def test_a_plan_may_charge_otherwise() -> None:
    """In another plan other statuses count."""
    rules = parse_rules(
        "version: 1\nlimits: {a: {rate: 9/hour, key: path, charge: {status: 4xx}}}\n"
        "plans: {pro: {limits: {a: {charge: {status: 403}, cost: 2}}}}"
    )
    (free,) = rules.charging({"path": "/"})
    (pro,) = rules.charging({"path": "/", "plan": "pro"})
    assert (401 in free.statuses, free.cost) == (True, 1)
    assert (pro.statuses, pro.cost, pro.key) == ({403}, 2, "/")
    assert rules.matching({"path": "/"}) == []


def test_who_hangs_up_is_charged() -> None:
    """On a real server a client that leaves before the answer has its failure counted."""
    shared = Limiter(logger=NullLogger())
    app = RateLimitMiddleware(_slow(_slow(signing_in)), shared, limits=RULES)
    with served(app) as address:
        for _ in range(2):
            with pytest.raises(httpx.TimeoutException):
                httpx.get(f"http://{address}/401", timeout=httpx.Timeout(5, read=0.005))
        found: list[Message] = []
        for _ in range(100):
            found.append({"status": httpx.get(f"http://{address}/200", timeout=5).status_code})
            if found[-1]["status"] == 429:
                break
    assert found[-1]["status"] == 429
