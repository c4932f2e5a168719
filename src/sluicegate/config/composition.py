"""The one place that builds the object graph of a process from its settings, and closes it in order.

Every part can be brought along; what is not is made here, from the settings and from nothing else. `parts` makes the
graph without any I/O, `open` starts it and closes it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sluicegate.config.named_files import check_files
from sluicegate.config.refusing import check_meant
from sluicegate.config.risks import risks_of
from sluicegate.config.switching import features_of
from sluicegate.config.unused import unused_of
from sluicegate.database import (
    Access,
    Credentials,
    FilePassword,
    Keyspace,
    Password,
    Tls,
    address_of,
    connect,
    tags_for,
)
from sluicegate.monitoring import Logger, StandardLogger, structlog_logger
from sluicegate.ratelimit import Batching, BlockingLimiter, DenialLog, Limiter, RedisStore
from sluicegate.utils import ConfigurationError, InvalidInputError, SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sluicegate.config.environments import Settings
    from sluicegate.database import RedisClient
    from sluicegate.ratelimit.rules import Fallback, LiveRules
    from sluicegate.utils import Clock

__all__ = ["App", "blocking_limiter", "client_of", "fallback_of", "logger_of", "open", "parts"]

AnyLimiter = TypeVar("AnyLimiter", Limiter, BlockingLimiter)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The parts of a process, each made once.

    Attributes:
        settings: What they were made from.
        clock: The process's time.
        logger: Where events go.
        client: The servers that keep state, or ``None`` where the process does.
        rules: The rules of the file, or ``None`` where the settings name none.
        limiter: What decides.
    """

    settings: Settings
    clock: Clock
    logger: Logger
    client: RedisClient | None
    rules: LiveRules | None
    limiter: Limiter

    async def start(self) -> bool:
        """Connect; return whether state can be reached, and if not run degraded until it can.

        Raises:
            ConfigurationError: The servers can never be used as they are.
        """
        usual = risks_of(type(self.settings).model_construct())  # what the environment does by itself is no news
        for risk in risks_of(self.settings):
            if risk in usual:
                continue
            self.logger.warning("settings.risk", name=risk.name, setting=risk.where, found=risk.found, mend=risk.mend)
        unused = unused_of(self.settings)
        if unused:
            self.logger.warning("settings.unused", settings=", ".join(unused))
        return await self.limiter.start()

    async def aclose(self) -> None:
        """Close the parts, each before those that it is made of."""
        await self.limiter.aclose()  # and with it the store and its client


def parts(
    settings: Settings,
    *,
    clock: Clock | None = None,
    logger: Logger | None = None,
    client: RedisClient | None = None,
) -> App:
    """Return the parts of a process that *settings* describe; nothing is sent and no task is started.

    Args:
        settings: What to make.
        clock: Another clock than the machine's.
        logger: Another logger than the settings say.
        client: Another client than the settings say; it is closed with the others.

    Raises:
        ConfigurationError: The settings contradict each other or are too risky, whoever made them; the file of rules is
            refused, another cannot be read, or a package is missing.
        InvalidInputError: The address of the server is refused.
    """
    clock, logger = _begun(settings, clock, logger)
    rules = _rules_of(settings, clock, logger)
    client = client or client_of(settings)
    limiter = _limiter_of(Limiter, settings, clock, logger, client)
    return App(settings=settings, clock=clock, logger=logger, client=client, rules=rules, limiter=limiter)


@asynccontextmanager
async def open(  # noqa: A001 - read as sluicegate.open, like io.open
    settings: Settings,
    *,
    clock: Clock | None = None,
    logger: Logger | None = None,
    client: RedisClient | None = None,
) -> AsyncIterator[App]:
    """Build a process from its settings, start it, and close it in order at the end.

    Args:
        settings: What to build; see `load_settings`.
        clock: Another clock than the machine's.
        logger: Another logger than the settings say.
        client: Another client than the settings say; it is closed with the others.

    Yields:
        The parts; `App.limiter` decides.

    Raises:
        ConfigurationError: The settings name what cannot be used as it is.
    """
    app = parts(settings, clock=clock, logger=logger, client=client)
    try:
        await app.start()
        yield app
    finally:
        await app.aclose()


def logger_of(settings: Settings) -> Logger:
    """Return the logger that *settings* name.

    Raises:
        ConfigurationError: Its package is not installed.
    """
    monitoring = settings.monitoring
    if monitoring.logger == "standard":
        return StandardLogger()
    try:
        return structlog_logger(level=monitoring.log_level, as_json=monitoring.log_format == "json")
    except ImportError:
        problem = InvalidInputError("monitoring.logger", "no package structlog", "pip install 'sluicegate[structlog]'")
        raise ConfigurationError([problem]) from None


def client_of(settings: Settings) -> RedisClient | None:
    """Return the client for the servers that *settings* name, or ``None`` where they name none."""
    redis, pool, resilience = settings.redis, settings.pool, settings.resilience
    if redis.url is None:
        return None
    access = Access(
        connect_timeout=pool.connect_timeout_ms / 1_000,
        connections_max=pool.connections_max,
        reconnect_pause_min=resilience.reconnect_min_ms / 1_000,
        reconnect_pause_max=resilience.reconnect_max_ms / 1_000,
        refused_pause=resilience.refused_pause_ms / 1_000,
        credentials=_credentials_of(settings),
        tls=Tls(ca_file=redis.tls_ca_file, cert_file=redis.tls_cert_file, key_file=redis.tls_key_file),
    )
    return connect(redis.url.get_secret_value(), access)


def blocking_limiter(
    settings: Settings,
    *,
    clock: Clock | None = None,
    logger: Logger | None = None,
    client: RedisClient | None = None,
) -> BlockingLimiter:
    """Return the limiter that *settings* describe for programs that do not await, to be used as ``with``.

    Args:
        settings: What to make.
        clock: Another clock than the machine's.
        logger: Another logger than the settings say.
        client: Another client than the settings say; it is closed with the limiter.

    Raises:
        ConfigurationError: The settings contradict each other or are too risky, whoever made them; a file that they
            name cannot be read, or a package is missing.
        InvalidInputError: The address of the server is refused.
    """
    clock, logger = _begun(settings, clock, logger)
    return _limiter_of(BlockingLimiter, settings, clock, logger, client or client_of(settings))


def _begun(settings: Settings, clock: Clock | None, logger: Logger | None) -> tuple[Clock, Logger]:
    """Refuse settings that nothing can be made of, and return what all parts share."""
    check_meant(settings)
    check_files(settings)
    return clock or SystemClock(), logger or logger_of(settings)


def _limiter_of(
    kind: type[AnyLimiter], settings: Settings, clock: Clock, logger: Logger, client: RedisClient | None
) -> AnyLimiter:
    """Return a limiter as *settings* describe it, on *client* or in memory."""
    limiter = kind(
        clock=clock,
        keys_max=settings.memory.keys_max,
        store=None if client is None else _store_of(settings, clock, logger, client),
        logger=logger,
        deny_cache_s=settings.deny_cache.duration_ms / 1_000,
        lease_keys_max=settings.leases.keys_max,
    )
    limiter.switch(features_of(settings))
    if settings.monitoring.log_level == "debug":
        limiter.engine.on_denied = DenialLog(logger, clock, with_keys=settings.monitoring.log_keys)
    return limiter


def _store_of(settings: Settings, clock: Clock, logger: Logger, client: RedisClient) -> RedisStore:
    redis, batching = settings.redis, settings.batching
    tags = redis.hash_tags if redis.hash_tags is not None else tags_for(redis.url and redis.url.get_secret_value())
    secret = redis.key_secret.get_secret_value().encode() if redis.key_secret else b""
    return RedisStore(
        client,
        clock,
        logger,
        keyspace=Keyspace(redis.key_prefix, secret=secret, tags=tags),
        deadline_us=round(settings.pool.deadline_ms * 1_000),
        batching=Batching(
            requests_max=batching.requests_max, in_flight_max=batching.in_flight_max, queue_max=batching.queue_max
        ),
    )


def _rules_of(settings: Settings, clock: Clock, logger: Logger) -> LiveRules | None:
    """Return the rules of the file that *settings* name, or ``None`` where they name none."""
    if settings.rules is None:
        return None
    from sluicegate.ratelimit.rules import LiveRules  # noqa: PLC0415 - takes its time, and not everybody has rules

    return LiveRules.of_file(settings.rules, clock, logger, fallback=fallback_of(settings))


def fallback_of(settings: Settings) -> Fallback:
    """Return what answers in the store's place where a rule does not say it."""
    from sluicegate.ratelimit.rules import Fallback  # noqa: PLC0415 - as above

    usual = settings.fallback
    return Fallback(ordinary=usual.on_failure, critical=usual.on_failure_critical)


def _credentials_of(settings: Settings) -> Credentials | None:
    """Return who connects, where the settings say more of that than the URL; what they leave out the URL says."""
    redis = settings.redis
    if redis.url is None or (redis.username, redis.password, redis.password_file) == (None, None, None):
        return None
    address = address_of(redis.url.get_secret_value())
    username = redis.username or address.username
    if redis.password_file is not None:
        return FilePassword(redis.password_file, username=username)
    return Password(username, redis.password.get_secret_value() if redis.password is not None else address.password)
