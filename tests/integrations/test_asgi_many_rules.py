"""More rules than are decided at once: refused at the start where it can be known, and else decided safely."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluicegate import InvalidInputError, Limit, Limiter
from sluicegate.integrations import DECISIONS_KEY, RateLimitMiddleware
from sluicegate.ratelimit.rules import parse_rules
from tests.integrations.test_asgi import answered, fields, hello, http_scope, limiter
from tests.recording import RecordingLogger

pytestmark = pytest.mark.asyncio


def rules_with(count: int, match: str = "", more: str = "") -> Any:
    """Return *count* rules of one match."""
    lines = [f"  r{at}: {{rate: 100/s, key: client_address{more}{match}}}" for at in range(count)]
    return parse_rules("\n".join(["version: 1", "limits:", *lines]))


async def test_rules_that_no_request_could_be_decided_by_are_refused_at_the_start() -> None:
    """More than 32 rules without a match, which every request would meet, fail when the application is made."""
    with pytest.raises(
        InvalidInputError, match=r"limits: found 33 rules that cover one request \(any method, path /\)"
    ):
        RateLimitMiddleware(hello, limiter(), limits=rules_with(33))
    (start, *_) = await answered(RateLimitMiddleware(hello, limiter(), limits=rules_with(32)), http_scope())
    assert start["status"] == 200


async def test_a_request_that_too_many_rules_cover_is_refused_and_told_once() -> None:
    """It gets 503 and takes nothing, the log names it once, and other requests are served."""
    recorder = RecordingLogger()
    shared = Limiter(logger=recorder)
    rules = rules_with(33, match=", match: {path: '/a*'}")
    app = RateLimitMiddleware(hello, shared, limits=rules)
    for _ in range(3):
        scope = http_scope(path="/ab")
        start, body = await answered(app, scope)
        assert start["status"] == 503
        assert "ratelimit" not in fields(start)
        assert json.loads(body["body"])["type"].endswith("#temporary-reduced-capacity")
        assert scope[DECISIONS_KEY] == []
    assert (await answered(app, http_scope(path="/b")))[0]["status"] == 200
    assert (await shared.peek(rules.limits[0].limit, "203.0.113.9")).remaining == 100
    (event,) = recorder.named("request.undecidable")
    assert (event["limits"], event["most"]) == (33, 32)


async def test_a_choosing_function_is_held_to_the_same_bound() -> None:
    """What a function chooses is bounded as rules are."""
    many = [(Limit(f"r{at}", "1/s"), "k") for at in range(33)]
    app = RateLimitMiddleware(hello, Limiter(logger=RecordingLogger()), limits=lambda _: many)
    assert (await answered(app, http_scope()))[0]["status"] == 503


async def test_limits_on_trial_deny_nobody_here_either() -> None:
    """Where only limits on trial are too many, those that are enforced decide, and some trials are left out."""
    recorder = RecordingLogger()
    enforced = [(Limit(f"r{at}", "1/hour"), "k") for at in range(32)]
    trials = [(Limit("trial", "1/hour", shadow=True), f"k{at}") for at in range(5)]
    app = RateLimitMiddleware(hello, Limiter(logger=recorder), limits=lambda _: [*trials, *enforced])
    statuses = [(await answered(app, http_scope()))[0]["status"] for _ in range(2)]
    assert statuses == [200, 429]
    assert len(recorder.named("request.undecidable")) == 1
