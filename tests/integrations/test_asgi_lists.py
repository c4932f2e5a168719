"""Requests that rules let through or refuse before anything is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluicegate import InvalidInputError
from sluicegate.integrations import DECISIONS_KEY, RateLimitMiddleware
from sluicegate.ratelimit.rules import LiveRules, parse_rules
from sluicegate.testing import ManualClock
from tests.integrations.test_asgi import answered, fields, hello, http_scope, limiter
from tests.recording import RecordingLogger

pytestmark = pytest.mark.asyncio
RULES = parse_rules(
    """
    version: 1
    allow: [{path: /health}]
    deny: [{client_address: 203.0.113.66}]
    limits: {api: {rate: 1/hour, key: client_address}}
    """
)


@pytest.mark.parametrize("limits", [RULES, LiveRules(RULES, ManualClock(), RecordingLogger())], ids=["plain", "live"])
async def test_what_is_allowed_is_not_counted_and_what_is_denied_is_refused(limits: Any) -> None:
    """The one passes untouched however often, the other is 403 with a body that says so, and costs no limit."""
    shared = limiter()
    app = RateLimitMiddleware(hello, shared, limits=limits)
    for _ in range(3):
        start, *_ = await answered(app, http_scope(path="/health"))
        assert (start["status"], "ratelimit" in fields(start)) == (200, False)
    scope = http_scope(client=("203.0.113.66", 1), path="/health")
    start, body = await answered(app, scope)
    assert start["status"] == 403
    assert set(fields(start)) == {"content-type", "content-length"}
    assert json.loads(body["body"]) == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "This request is refused whatever its rate; it will not pass later either.",
    }
    assert DECISIONS_KEY not in scope
    statuses = [(await answered(app, http_scope()))[0]["status"] for _ in range(2)]
    assert statuses == [200, 429]
    assert (await shared.peek(RULES.limits[0].limit, "203.0.113.66")).remaining == 1


async def test_a_websocket_that_is_denied_is_closed() -> None:
    """Where the server cannot answer a handshake, it is closed as one against the rules."""
    app = RateLimitMiddleware(hello, limiter(), limits=RULES, websockets=True)
    scope = {"type": "websocket", "path": "/", "headers": [], "client": ("203.0.113.66", 1)}
    (closed,) = await answered(app, scope)
    assert (closed["type"], closed["code"], closed["reason"]) == ("websocket.close", 1008, "refused")


async def test_a_list_of_what_nobody_supplies_is_refused() -> None:
    """An entry that could never fit fails at the start."""
    rules = parse_rules("version: 1\ndeny: [{tenant: a}]\nlimits: {api: {rate: 1/hour, key: path}}")
    with pytest.raises(InvalidInputError, match=r"deny\[0\]: found tenant"):
        RateLimitMiddleware(hello, limiter(), limits=rules)
