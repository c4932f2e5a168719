"""Makes connections to one server as a URL says, with what is ours to say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from sluicegate.database.addresses import address_of, refuse_url
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Connection

    from sluicegate.database.access import Access
    from sluicegate.database.credentials import Credentials

__all__ = ["maker_of", "ours_to_say"]

USER_OPTIONS = frozenset({"password", "username"})


def maker_of(url: str, access: Access) -> tuple[str, Callable[[], Connection]]:
    """Return the name in messages of the one server at *url*, and what makes connections to it.

    Raises:
        InvalidInputError: The URL cannot be read.
    """
    ours = ours_to_say(access)
    address = address_of(url)
    try:
        if access.tls is not None and address.has_tls:
            ours |= _unsaid(access.tls.options(), address.options)
        if access.credentials is not None:
            url = _without_user(url)
            ours["credential_provider"] = _Provider(access.credentials)
        factory = ConnectionPool.from_url(url, **ours)
        factory.make_connection()  # type: ignore[no-untyped-call] # a value that no option takes is found here
    except InvalidInputError:
        raise
    except (ValueError, TypeError, RedisError):
        refuse_url(url)
    kwargs = factory.connection_kwargs
    name = kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
    return name, factory.make_connection


def _unsaid(files: dict[str, Any], said: frozenset[str]) -> dict[str, Any]:
    """Return *files*, which the URL must not name, too: it would overrule them.

    Raises:
        InvalidInputError: It does.
    """
    twice = sorted(files.keys() & said)
    if twice:
        raise InvalidInputError("redis url", f"the option {', '.join(twice)} beside such a file", "one of both")
    return files


def ours_to_say(access: Access) -> dict[str, Any]:
    """Return what no URL overrules."""
    return {
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": None,  # every call brings its own deadline
        "socket_connect_timeout": access.connect_timeout,
        "health_check_interval": 0,
        "decode_responses": False,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


class _Provider(CredentialProvider):
    """Credentials as redis-py asks for them."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            username, password = self._credentials.current()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "what was found can be none"
            raise AuthenticationError(f"there are no credentials: {reason}") from None
        return (username, password or "") if username is not None else (password or "",)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()  # a short file of this machine, once a connection


def _without_user(url: str) -> str:
    """Return *url* without who connects, for redis-py takes that from one place only."""
    parts = urlsplit(url)
    options = [(name, value) for name, value in parse_qsl(parts.query) if name not in USER_OPTIONS]
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + (f"?{urlencode(options)}" if options else "")
