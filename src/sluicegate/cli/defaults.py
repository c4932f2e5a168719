"""What commands take from the settings where an option does not say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluicegate.monitoring import NullLogger
from sluicegate.ratelimit.rules import load_rules
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from sluicegate.cli.places import Where
    from sluicegate.config import Settings
    from sluicegate.ratelimit import BlockingLimiter
    from sluicegate.ratelimit.rules import Rules

__all__ = ["admin_token", "direct_limiter", "rules_here", "rules_named", "settings_of", "where_to_ask"]

_DEADLINE_MS = 2_000  # somebody waits at a terminal, not a request
_SERVICE = "http://127.0.0.1:8000"


def settings_of(where: Where, **values: Any) -> Settings:  # noqa: ANN401 - the fields of the settings
    """Return the settings that options, variables and files say; *values* go before all others."""
    from sluicegate.config import load_settings  # noqa: PLC0415 - not every command needs them

    if where.redis is not None:  # who connects may be a setting, which without a server would be refused
        values = {"redis": {"url": where.redis}, **values}
    return load_settings(where.environment, file=where.config, **values)


def where_to_ask(where: Where) -> tuple[str, str | None]:
    """Return where the service is, and where the Redis that is asked in its place, if it is."""
    url, redis = where.url, where.redis
    if redis is None and url is None:
        settings = settings_of(where)
        url = settings.url
        if url is None and settings.redis.url is not None:
            redis = settings.redis.url.get_secret_value()
    return url or _SERVICE, redis


def admin_token(where: Where) -> str | None:
    """Return what operators have to tell a service, as the settings say."""
    token = settings_of(where).server.admin_token
    return None if token is None else token.get_secret_value()


def direct_limiter(where: Where, redis: str) -> BlockingLimiter:
    """Return a limiter in this process whose state is in Redis; all but where that is, is as the settings say."""
    from sluicegate.config import blocking_limiter  # noqa: PLC0415 - as above

    settings = settings_of(where, redis={"url": redis}, pool={"deadline_ms": _DEADLINE_MS}, flags={"changes": True})
    return blocking_limiter(settings, logger=NullLogger())  # what goes wrong is told by the answer or by the error


def rules_here(where: Where) -> Rules:
    """Return the rules of the file that the option names, or else the settings.

    Raises:
        InvalidInputError: Neither names one.
        ConfigurationError: The file is refused.
    """
    from sluicegate.config import fallback_of  # noqa: PLC0415 - as above

    settings = settings_of(where)
    return load_rules(rules_named(where.rules, settings), fallback=fallback_of(settings))


def rules_named(option: str | None, settings: Settings) -> str:
    """Return the file of rules: the one that the option names, or else the settings.

    Raises:
        InvalidInputError: Neither names one.
    """
    if option is not None:
        return option
    if settings.rules is None:
        raise InvalidInputError("--rules", "nothing", "the file that defines the limits, here or as SLUICEGATE_RULES")
    return str(settings.rules)
