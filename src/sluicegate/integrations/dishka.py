"""The parts of a process for dishka: one of each for the application, and for each request what was decided for it.

container = make_async_container(sluicegate_provider(load_settings()), FastapiProvider())
setup_dishka(container, app)

@app.get("/")
@inject
async def hello(limiter: FromDishka[RequestLimiter]) -> ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator  # noqa: TC003 - dishka reads the annotations

from dishka import Provider, Scope

from sluicegate.config import App, Settings
from sluicegate.config import open as open_app
from sluicegate.database import RedisClient
from sluicegate.integrations.headers import limit_headers
from sluicegate.monitoring import Logger
from sluicegate.ratelimit import Decision, Limit, Limiter
from sluicegate.ratelimit.rules import LiveRules
from sluicegate.utils import Clock

__all__ = ["RequestLimiter", "sluicegate_provider"]


class RequestLimiter:
    """The application's limiter as one request sees it: it remembers what was decided for that request.

    Args:
        limiter: The application's.

    Attributes:
        decisions: What was decided, in order.
    """

    __slots__ = ("_limiter", "decisions")

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self.decisions: list[Decision] = []

    async def acquire(self, limit: Limit, key: str, cost: int = 1) -> Decision:
        """Take units; see `Limiter.acquire`."""
        decision = await self._limiter.acquire(limit, key, cost)
        self.decisions.append(decision)
        return decision

    def headers(self) -> dict[str, str]:
        """Return the fields that tell the client of all these decisions."""
        return dict(limit_headers(self.decisions)) if self.decisions else {}


def sluicegate_provider(
    settings: Settings,
    *,
    clock: Clock | None = None,
    logger: Logger | None = None,
    client: RedisClient | None = None,
) -> Provider:
    """Return a provider of `App`, `Settings`, `Clock`, `Logger` and `Limiter` for the application's scope, and of
    `RequestLimiter` for each request's; closing the container closes them.

    Where the settings name rules there are `LiveRules`, too, and where state is on a server its `RedisClient`.
    What there is not is not provided, so a container whose parts need it is refused when it is made.

    Args:
        settings: What to build.
        clock: Another clock than the machine's.
        logger: Another logger than the settings say.
        client: Another client than the settings say.
    """  # noqa: D205 - one sentence

    async def opened() -> AsyncIterator[App]:
        async with open_app(settings, clock=clock, logger=logger, client=client) as app:
            yield app

    provider = Provider(scope=Scope.APP)
    provider.provide(opened, provides=App)
    provider.provide(_settings_of, provides=Settings)
    provider.provide(_clock_of, provides=Clock)
    provider.provide(_logger_of, provides=Logger)
    provider.provide(_limiter_of, provides=Limiter)
    provider.provide(RequestLimiter, scope=Scope.REQUEST)
    if settings.rules is not None:
        provider.provide(_rules_of, provides=LiveRules)
    if client is not None or settings.redis.url is not None:
        provider.provide(_client_of, provides=RedisClient)
    return provider


def _settings_of(app: App) -> Settings:
    return app.settings


def _clock_of(app: App) -> Clock:
    return app.clock


def _logger_of(app: App) -> Logger:
    return app.logger


def _limiter_of(app: App) -> Limiter:
    return app.limiter


def _rules_of(app: App) -> LiveRules:
    assert app.rules is not None
    return app.rules


def _client_of(app: App) -> RedisClient:
    assert app.client is not None
    return app.client
