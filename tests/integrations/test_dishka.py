"""dishka provides the parts of a process: one of each, and for a request what was decided for it."""

from __future__ import annotations

from dishka import make_async_container

from sluicegate import Clock, Limit, Limiter, Logger, NullLogger
from sluicegate.config import App, Settings, load_settings
from sluicegate.integrations.dishka import RequestLimiter, sluicegate_provider
from sluicegate.testing import ManualClock

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
