"""What a URL says: which servers, of which kind, and how connections to each of them are made.

Everything that is wrong with it is found here, at the construction of a client, and no secret is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Connection

    from sluicegate.database.access import Access
    from sluicegate.database.credentials import Credentials

__all__ = ["Address", "Endpoint", "address_of", "maker_of"]

OPTIONS = frozenset({"client_name", "db", "password", "protocol", "socket_keepalive", "username"})
OPTIONS_OF_TLS = "ssl_"  # all that begin with it: redis-py knows which there are
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
SEEDS_MAX = 64  # servers that a URL names: the others are learnt from them
PORTS = {"sentinel": 26_379, "cluster": 6_379}
PORT_MAX = 65_535
ACCEPTED = (
    "redis://host:port/db, rediss://…, unix://path, redis+sentinel://host:port,…/service or redis+cluster://host:port,…"
)

Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What a URL of several servers says.

    Attributes:
        kind: ``sentinel`` or ``cluster``.
        seeds: The servers that it names.
        service: What sentinels call the master.
        sentinel_credentials: User and password for the sentinels themselves, URL-encoded, with their ``@``.
    """

    kind: str
    seeds: tuple[Endpoint, ...]
    service: str
    sentinel_credentials: str
    _scheme: str
    _userinfo: str
    _tail: str

    def url_of(self, endpoint: Endpoint) -> str:
        """Return the URL of one of its servers."""
        return f"{self._scheme}://{self._userinfo}{_written(endpoint)}{self._tail}"

    def sentinel_url_of(self, endpoint: Endpoint) -> str:
        """Return the URL of one of its sentinels."""
        query = self._tail.partition("?")[2]
        return f"{self._scheme}://{self.sentinel_credentials}{_written(endpoint)}/0" + (f"?{query}" if query else "")


def address_of(url: str) -> Address:
    """Return what a URL of several servers says.

    Raises:
        InvalidInputError: It cannot be read.
    """
    scheme, _, rest = url.partition("://")
    tls, _, kind = scheme.partition("+")
    if tls not in {"redis", "rediss"} or kind not in PORTS:
        _refuse(url)
    try:
        parts = urlsplit(f"redis://{rest}")
        userinfo, at, hosts = parts.netloc.rpartition("@")
        seeds = tuple(_endpoint(host, PORTS[kind]) for host in hosts.split(","))
        segments = [segment for segment in parts.path.split("/") if segment]
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        _refuse(url)
    service, db = "", segments
    if kind == "sentinel":
        service, db = (segments[0] if segments else ""), segments[1:]
    is_db = len(db) <= 1 and all(each.isascii() and each.isdigit() for each in db)
    if parts.fragment or len(seeds) > SEEDS_MAX or not is_db or (kind == "sentinel" and not service):
        _refuse(url)
    if kind == "cluster" and db and int(db[0]):
        raise InvalidInputError(
            "redis url", f"database {int(db[0]):,} of a Cluster", "database 0, the only one there is"
        )
    name, word = (options.pop(option, "") for option in SENTINEL_OPTIONS)
    query = f"?{urlencode(options)}" if options else ""
    return Address(
        kind=kind,
        seeds=seeds,
        service=service,
        sentinel_credentials=f"{quote(name, safe='')}:{quote(word, safe='')}@" if name or word else "",
        _scheme=tls,
        _userinfo=userinfo + at,
        _tail=f"/{db[0] if db else '0'}{query}",
    )


def maker_of(url: str, access: Access) -> tuple[str, Callable[[], Connection]]:
    """Return the name in messages of the one server at *url*, and what makes connections to it.

    Raises:
        InvalidInputError: The URL cannot be read.
    """
    ours: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": None,  # every call brings its own deadline
        "socket_connect_timeout": access.connect_timeout,
        "health_check_interval": 0,
        "decode_responses": False,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    try:
        _check_options(url, ours)
        if access.tls is not None and url.startswith("rediss:"):
            ours |= access.tls.options()
        if access.credentials is not None:
            url = _without_userinfo(url)
            ours["credential_provider"] = _Provider(access.credentials)
        factory = ConnectionPool.from_url(url, **ours)
        factory.make_connection()  # type: ignore[no-untyped-call] # a value that no option takes is found here
    except InvalidInputError:
        raise
    except (ValueError, TypeError, RedisError):
        _refuse(url)
    kwargs = factory.connection_kwargs
    name = kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
    return name, factory.make_connection


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


def _without_userinfo(url: str) -> str:
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _check_options(url: str, ours: dict[str, object]) -> None:
    """Refuse what redis-py would misunderstand, or would take from the URL although it is ours to say."""
    parts = urlsplit(url)
    if parts.fragment:  # the rest of a password with a number sign, and what stands before it is no host
        raise ValueError
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError
    elif not re.fullmatch(r"/?|/[0-9]+/?", parts.path):  # of what is no number redis-py would make database 0
        raise ValueError
    options = dict(parse_qsl(parts.query, keep_blank_values=True)).keys()
    overruled = sorted(ours.keys() & options)
    if overruled:  # redis-py would let the URL win, and repeat commands or wait for ever
        found = f"the option {', '.join(overruled)}"
        raise InvalidInputError("redis url", found, "deadline= and connect_timeout= for times, and no retries")
    if any(name not in OPTIONS and not name.startswith(OPTIONS_OF_TLS) for name in options):
        # It is not named, for it may be a part of a password. Many options of redis-py are objects, which no text is.
        accepted = f"{', '.join(sorted(OPTIONS))}, and {OPTIONS_OF_TLS}… with rediss://"
        raise InvalidInputError("redis url", "an option that is none of these", accepted)


def _refuse(url: str) -> NoReturn:
    """Refuse a URL; nothing behind the scheme is shown, for a password may stand there."""
    scheme, separator, _ = url.partition("://")
    schemed = separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme)
    found = f"a URL that begins with {shape_of(scheme)}" if schemed else "a text without a scheme"
    raise InvalidInputError("redis url", found, ACCEPTED) from None


def _endpoint(text: str, port: int) -> Endpoint:
    parts = urlsplit(f"redis://{text}")
    if not parts.hostname or parts.path or parts.query or "@" in text:
        raise ValueError
    found = parts.port if parts.port is not None else port
    if not 0 < found <= PORT_MAX:
        raise ValueError
    return parts.hostname, found


def _written(endpoint: Endpoint) -> str:
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
