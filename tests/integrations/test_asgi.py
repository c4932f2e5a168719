"""The middleware asks once, tells once, and otherwise is not there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import InvalidInputError, Limit, Limiter, StoreUnavailableError
from sluicegate.integrations import DECISIONS_KEY, ClientAddress, RateLimitMiddleware
from sluicegate.ratelimit.rules import parse_rules
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluicegate.integrations.asgi import Message, Receive, Scope, Send

pytestmark = pytest.mark.asyncio

TWO = Limit("two", "2/minute", algorithm="fixed_window")
DAILY = Limit("daily", "100/day", algorithm="fixed_window")
SLOTS = Limit("slots", "1", algorithm="concurrency")


def http_scope(**changes: Any) -> dict[str, Any]:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"host", b"example.org")],
        "client": ("203.0.113.9", 4711),
    }
    return {**scope, **changes}


async def answered(app: Any, scope: dict[str, Any]) -> list[Message]:
    """Let *app* serve *scope*, and return the messages that it sent."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def fields(message: Message) -> dict[str, str]:
    found = [(name.decode(), value.decode()) for name, value in message["headers"]]
    assert len(found) == len(dict(found))
    return dict(found)


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"1")]})
    await send({"type": "http.response.body", "body": b"hello", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def limiter() -> Limiter:
    return Limiter(clock=ManualClock(1_000_020.0))


def by_address(*limits: Limit) -> Callable[[Scope], list[tuple[Limit, str]]]:
    return lambda scope: [(limit, scope["client"][0]) for limit in limits]


async def test_what_passes_is_told_what_is_left() -> None:
    """An allowed response keeps its own headers and body messages, and gains the fields."""
    app = RateLimitMiddleware(hello, limiter(), limits=by_address(TWO))
    start, *body = await answered(app, http_scope())
    assert start["status"] == 200
    assert fields(start) == {"x-app": "1", "ratelimit": '"two";r=1;t=60', "ratelimit-policy": '"two";q=2;w=60'}
    assert [message["body"] for message in body] == [b"hello", b""]


async def test_what_is_denied_never_reaches_the_application() -> None:
    """A denial is 429 with when to come back and a problem body that names the limits."""
    served = []

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        served.append(scope["path"])
        await hello(scope, receive, send)

    app = RateLimitMiddleware(counting, limiter(), limits=by_address(TWO, DAILY))
    for _ in range(2):
        await answered(app, http_scope())
    start, body = await answered(app, http_scope())
    assert len(served) == 2
    assert start["status"] == 429
    problem = json.loads(body["body"])
    assert fields(start) == {
        "content-type": "application/problem+json",
        "content-length": str(len(body["body"])),
        "retry-after": "60",
        "ratelimit": '"two";r=0;t=60, "daily";r=98',
        "ratelimit-policy": '"two";q=2;w=60, "daily";q=100;w=86400',
    }
    assert problem == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "detail": "The request may pass in 60.000 seconds.",
        "violated-policies": ["two"],
    }


async def test_a_denied_head_request_has_no_body() -> None:
    """HEAD is denied with the headers of a GET and nothing after them."""
    app = RateLimitMiddleware(hello, limiter(), limits=lambda _: [(TWO, "k", 9)])
    start, body = await answered(app, http_scope(method="HEAD"))
    assert (start["status"], body["body"]) == (429, b"")
    assert int(fields(start)["content-length"]) > 0
    assert "retry-after" not in fields(start)


async def test_an_async_function_may_choose_the_limits() -> None:
    """What limits a request may be awaited, and may name a cost."""

    async def asked(scope: Scope) -> list[tuple[Limit, str, int]]:
        return [(TWO, scope["path"], 2)]

    app = RateLimitMiddleware(hello, limiter(), limits=asked)
    statuses = [(await answered(app, http_scope(path=path)))[0]["status"] for path in ("/a", "/a", "/b")]
    assert statuses == [200, 429, 200]


async def test_what_matches_no_limit_passes_untouched() -> None:
    """A request without limits, a lifespan and an unknown scope gain nothing and are not counted."""
    app = RateLimitMiddleware(hello, limiter(), limits=lambda _: [])
    assert await answered(app, http_scope()) == await answered(hello, http_scope())
    unlimited = RateLimitMiddleware(hello, limiter(), limits=by_address(TWO))
    for kind in ("lifespan", "websocket", "something.new"):
        assert "ratelimit" not in fields((await answered(unlimited, {"type": kind}))[0])


async def test_the_application_finds_the_decisions() -> None:
    """The scope holds the decisions, so that the application can refund or tell more."""
    seen = []

    async def looking(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope[DECISIONS_KEY])
        await hello(scope, receive, send)

    app = RateLimitMiddleware(looking, limiter(), limits=by_address(TWO, DAILY))
    await answered(app, http_scope())
    assert [(decision.limit.name, decision.remaining) for decision in seen] == [("two", 1), ("daily", 99)]


async def test_nested_middleware_tells_once() -> None:
    """One middleware in another gives one set of fields, with the limits of both."""
    inner = RateLimitMiddleware(hello, limiter(), limits=by_address(DAILY))
    outer = RateLimitMiddleware(inner, limiter(), limits=by_address(TWO))
    (start, *_) = await answered(outer, http_scope())
    assert fields(start)["ratelimit"] == '"two";r=1;t=60, "daily";r=99;t=36780'


async def test_the_applications_own_fields_stand() -> None:
    """A response that already carries RateLimit fields is left as it is."""

    async def telling(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"RateLimit", b'"own";r=1')]})
        await send({"type": "http.response.body"})

    app = RateLimitMiddleware(telling, limiter(), limits=by_address(TWO))
    assert fields((await answered(app, http_scope()))[0]) == {"RateLimit": '"own";r=1'}


async def test_exceptions_are_the_applications_own() -> None:
    """What the application raises comes out as it is, and so does a mistake in choosing limits."""

    async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise LookupError("own")

    with pytest.raises(LookupError, match="own"):
        await answered(RateLimitMiddleware(failing, limiter(), limits=by_address(TWO)), http_scope())
    with pytest.raises(InvalidInputError, match="key"):
        await answered(RateLimitMiddleware(hello, limiter(), limits=lambda _: [(TWO, "")]), http_scope())


async def test_a_hold_lasts_as_long_as_the_application() -> None:
    """A unit of a concurrency limit is held while the application runs and given back when it fails."""
    inside: list[int] = []

    async def nesting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fail":
            raise LookupError
        if not inside:
            inside.append((await answered(app, http_scope()))[0]["status"])
        await hello(scope, receive, send)

    app = RateLimitMiddleware(nesting, limiter(), limits=lambda _: [(SLOTS, "k")])
    with pytest.raises(LookupError):
        await answered(app, http_scope(path="/fail"))
    (start, *_) = await answered(app, http_scope())
    assert inside == [429]
    assert fields(start)["ratelimit-policy"] == '"slots";q=1;qu="concurrent-requests"'
    assert fields(start)["ratelimit"] == '"slots";r=0'


async def test_a_hold_is_given_back_when_a_rate_denies() -> None:
    """A request that a rate denies holds nothing afterwards, and one that finds no hold pays no rate."""
    shared = limiter()
    app = RateLimitMiddleware(hello, shared, limits=lambda _: [(TWO, "k"), (SLOTS, "k")])
    statuses = [(await answered(app, http_scope()))[0]["status"] for _ in range(3)]
    assert statuses == [200, 200, 429]
    async with shared.hold(SLOTS, "k"):
        await shared.reset(TWO, "k")
        assert (await answered(app, http_scope()))[0]["status"] == 429
    assert (await shared.peek(TWO, "k")).remaining == 2


async def test_rules_choose_by_what_a_request_is() -> None:
    """Rules match path and method, and count by address, header, host or what the application adds."""
    rules = parse_rules(
        """
        version: 1
        limits:
          api: {rate: 1/minute, key: client_address, match: {path: /api/**, method: POST}}
          tenants: {rate: 2/minute, key: [tenant, "header:x-api-key"], match: {path: /api/**}}
          hosts: {rate: 100/minute, key: host, match: {path: /api/**}}
        """
    )
    app = RateLimitMiddleware(
        hello,
        limiter(),
        limits=rules,
        client_address=ClientAddress(trusted_proxies=1),
        descriptors=lambda scope: {"tenant": scope["path"].rpartition("/")[2]},
    )

    async def told(path: str, method: str = "GET", **headers: str) -> str:
        named = [(b"host", b"example.org"), *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())]
        (start, *_) = await answered(app, http_scope(path=path, method=method, headers=named))
        return f"{start['status']} {fields(start).get('ratelimit')}"

    assert await told("/other") == "200 None"
    assert await told("/api/a") == '200 "hosts";r=99;t=1'
    assert await told("/api/a", x_api_key="s") == '200 "tenants";r=1;t=30, "hosts";r=98;t=1'
    assert (await told("/api/b", "POST", x_forwarded_for="192.0.2.1")).startswith("200")
    assert (await told("/api/b", "POST", x_forwarded_for="192.0.2.1")).startswith("429")
    assert (await told("/api/b", "POST", x_forwarded_for="192.0.2.2")).startswith("200")


@pytest.mark.parametrize("rule", ["{rate: 1/s, key: tenant}", "{rate: 1/s, key: path, match: {tenant: a}}"])
async def test_a_rule_that_could_never_apply_is_refused(rule: str) -> None:
    """A rule that counts or matches by something nobody supplies fails at the start, not silently in service."""
    rules = parse_rules(f"version: 1\nlimits: {{api: {rule}}}")
    with pytest.raises(InvalidInputError, match=r"'api'.*tenant.*descriptors="):
        RateLimitMiddleware(hello, limiter(), limits=rules)


async def test_plans_choose_by_the_descriptor_that_the_application_supplies() -> None:
    """Whoever supplies the plan of a request has its limits taken; nobody who does is a mistake at the start."""
    rules = parse_rules(
        "version: 1\nlimits: {api: {rate: 1/minute, key: path}}\nplans: {pro: {limits: {api: {rate: 5/minute}}}}"
    )
    app = RateLimitMiddleware(hello, limiter(), limits=rules, descriptors=lambda _: {"plan": "pro"})
    assert fields((await answered(app, http_scope()))[0])["ratelimit-policy"] == '"api";q=5;w=60'
    with pytest.raises(InvalidInputError, match="plans: found no descriptor plan"):
        RateLimitMiddleware(hello, limiter(), limits=rules)


async def test_a_host_is_the_same_in_capitals() -> None:
    """Whoever writes the host's name otherwise is neither counted apart nor missed by a match."""
    rules = parse_rules("version: 1\nlimits: {api: {rate: 1/minute, key: host, match: {host: '*.org'}}}")
    app = RateLimitMiddleware(hello, limiter(), limits=rules)
    hosts = (b"example.org", b"EXAMPLE.org", b"example.com")
    statuses = [(await answered(app, http_scope(headers=[(b"host", host)])))[0]["status"] for host in hosts]
    assert statuses == [200, 429, 200]


async def test_wrong_arguments_are_refused() -> None:
    """Neither limits that cannot be asked nor an unknown draft get as far as a request."""
    with pytest.raises(InvalidInputError, match="limits: found"):
        RateLimitMiddleware(hello, limiter(), limits=[(TWO, "k")])  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidInputError, match="draft: found"):
        RateLimitMiddleware(hello, limiter(), limits=lambda _: [], draft=6)


async def test_an_absent_store_is_the_limiters_affair() -> None:
    """With Redis away an open limit passes without a RateLimit field, and a closed one says 503."""
    async with Limiter.connect("redis://127.0.0.1:1", connect_timeout=0.2) as degraded:
        closed = Limit("closed", "5/s", on_failure="closed")
        app = RateLimitMiddleware(
            hello, degraded, limits=lambda scope: [(closed if "c" in scope["path"] else TWO, "k")]
        )
        (start, *_) = await answered(app, http_scope())
        assert (start["status"], "ratelimit" in fields(start)) == (200, False)
        start, body = await answered(app, http_scope(path="/c"))
    assert start["status"] == 503
    assert json.loads(body["body"])["type"].endswith("#temporary-reduced-capacity")
    assert "retry-after" not in fields(start)


async def test_a_websocket_is_limited_when_asked() -> None:
    """A denied handshake is answered with 429 where the server can, and else closed before it is open."""
    app = RateLimitMiddleware(hello, limiter(), limits=lambda _: [(TWO, "k", 3)], websockets=True)
    start, body = await answered(app, {"type": "websocket", "extensions": {"websocket.http.response": {}}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    assert body["type"] == "websocket.http.response.body"
    assert json.loads(body["body"])["violated-policies"] == ["two"]
    (closed,) = await answered(app, {"type": "websocket", "extensions": None})
    assert (closed["type"], closed["code"]) == ("websocket.close", 1013)


async def test_an_accepted_websocket_is_told_too() -> None:
    """The handshake's answer carries the fields; later messages are left alone."""

    async def accepting(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})

    app = RateLimitMiddleware(accepting, limiter(), limits=lambda _: [(TWO, "k")], websockets=True)
    accept, message = await answered(app, {"type": "websocket"})
    assert fields(accept)["ratelimit"] == '"two";r=1;t=60'
    assert message == {"type": "websocket.send", "text": "hello"}


async def test_store_errors_from_other_verbs_are_not_swallowed() -> None:
    """An error of the application's own use of a store passes through the middleware."""

    async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise StoreUnavailableError("reset", "away")

    with pytest.raises(StoreUnavailableError):
        await answered(RateLimitMiddleware(failing, limiter(), limits=by_address(TWO)), http_scope())
