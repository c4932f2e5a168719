"""dishka provides the parts of a process: one of each, and for a request what was decided for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dishka import Provider, Scope, make_async_container
from dishka.exceptions import GraphMissingFactoryError

from sluicegate import Clock, Limit, Limiter, Logger, NullLogger
from sluicegate.config import App, Settings, load_settings
from sluicegate.database import RedisClient
from sluicegate.integrations.dishka import RequestLimiter, sluicegate_provider
from sluicegate.ratelimit.rules import LiveRules
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

API = Limit("api", "2/minute")


async def test_the_application_has_one_of_each_part() -> None:
    """Those of the settings, or those that were brought along; closing the container closes them."""
    settings, clock, logger = load_settings("test"), ManualClock(), NullLogger()
    container = make_async_container(sluicegate_provider(settings, clock=clock, logger=logger))
    app = await container.get(App)
    limiter = await container.get(Limiter)
    assert limiter is app.limiter
    assert await container.get(Settings) is settings
    assert await container.get(Clock) is clock
    assert await container.get(Logger) is logger
    await container.close()
    assert limiter.engine.closed


async def test_rules_and_servers_are_provided_where_there_are_any(redis_url: str, tmp_path: Path) -> None:
    """They are the application's own."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("version: 1\nlimits:\n  api: {rate: 2/minute, key: user}\n", "utf-8")
    settings = load_settings("test", rules=rules, redis={"url": redis_url})
    container = make_async_container(sluicegate_provider(settings, logger=NullLogger()))
    app = await container.get(App)
    assert await container.get(LiveRules) is app.rules
    assert await container.get(RedisClient) is app.client
    await container.close()


@pytest.mark.parametrize("part", [LiveRules, RedisClient])
def test_a_container_that_needs_what_there_is_not_is_not_made(part: type) -> None:
    """Nobody is handed nothing in its place: it is said before the first request."""
    needing = Provider(scope=Scope.APP)

    def made(own: object) -> Needing:
        return Needing(own)

    made.__annotations__["own"] = part
    needing.provide(made, provides=Needing)
    with pytest.raises(GraphMissingFactoryError, match=part.__name__):
        make_async_container(sluicegate_provider(load_settings("test")), needing)


class Needing:
    """A part of the user's own."""

    def __init__(self, own: object) -> None:
        self.own = own


async def test_each_request_sees_what_was_decided_for_it() -> None:
    """And all take of the same limiter."""
    container = make_async_container(sluicegate_provider(load_settings("test"), clock=ManualClock()))
    async with container() as request:
        first = await request.get(RequestLimiter)
        assert first.headers() == {}
        await first.acquire(API, "a")
        await first.acquire(API, "a")
        assert [decision.remaining for decision in first.decisions] == [1, 0]
        assert first.headers()["RateLimit"].startswith('"api";r=0')
    async with container() as request:
        second = await request.get(RequestLimiter)
        assert second.decisions == []
        assert not await second.acquire(API, "a")
        assert "Retry-After" in second.headers()
    await container.close()
