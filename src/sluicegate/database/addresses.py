"""What a URL says: which servers, of which kind, and whether they are spoken to in secret.

Everything that is wrong with it is found here, before anything is made of it and without the package that connects, and
no secret is shown.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NoReturn
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FOLDER_BYTES_MAX",
    "OVERRULED",
    "PORT_MAX",
    "TLS_OPTIONS",
    "Address",
    "Endpoint",
    "address_of",
    "refuse_url",
]

Kind = Literal["single", "socket", "embedded", "sentinel", "cluster"]
Endpoint = tuple[str, int]

BRACKETS: Final = MappingProxyType({ord("["): None, ord("]"): None})
OPTIONS: Final = frozenset({"client_name", "db", "password", "protocol", "socket_keepalive", "username"})
TLS_PREFIX: Final = "ssl_"
TLS_FILES: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
TLS_OPTIONS: Final = TLS_FILES | {
    *("ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers"),
    *("ssl_exclude_verify_flags", "ssl_include_verify_flags", "ssl_min_version", "ssl_password"),
}
SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")
OF_THE_MASTER: Final = frozenset({"client_name", "db", "password", "username"})  # sentinels have no use for them
OVERRULED: Final = frozenset({
    *("decode_responses", "health_check_interval", "maint_notifications_config", "retry", "retry_on_error"),
    *("socket_connect_timeout", "socket_timeout"),
})  # fmt: skip
NO: Final = frozenset({"0", "f", "false", "n", "no"})
TRUTHS: Final = "0|1|f|t|false|true|n|y|no|yes"
VALUES: Final[Mapping[str, str]] = MappingProxyType(
    {  # redis-py takes any other text for a yes, and some numbers for none
        "db": "[0-9]{1,9}",
        "protocol": "2|3",
        "socket_keepalive": TRUTHS,
        "ssl_cert_reqs": "(?-i:none|optional|required)",  # redis-py knows no others
        "ssl_check_hostname": TRUTHS,
        "ssl_min_version": "769|770|771|772",
    }
)
KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "redis": "single",
        "rediss": "single",
        "unix": "socket",
        "embedded": "embedded",
        "redis+sentinel": "sentinel",
        "rediss+sentinel": "sentinel",
        "redis+cluster": "cluster",
        "rediss+cluster": "cluster",
    }
)
URL_LENGTH_MAX: Final = 4_096  # sixty-four servers with long names have less
SEEDS_MAX: Final = 64  # servers that a URL names: the others are learnt from them
FOLDER_BYTES_MAX: Final = 88  # what the system has for the name of a socket, with some to spare
PORTS: Final[Mapping[str, int]] = MappingProxyType({"single": 6_379, "sentinel": 26_379, "cluster": 6_379})
PORT_MAX: Final = 65_535
ACCEPTED: Final = (
    "redis://host:port/db, rediss://…, unix:///path, embedded://, redis+sentinel://host:port,…/service or "
    "redis+cluster://host:port,…, with what is special in a password percent-encoded"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What a URL says.

    Attributes:
        kind: ``single``, ``socket``, ``embedded``, ``sentinel`` or ``cluster``.
        scheme: How it begins, in small letters.
        seeds: The servers that it names; several where sentinels or a Cluster are asked.
        service: What sentinels call the master.
        folder: The directory of an embedded server, where it is named.
        database: The number of the database.
        options: The names of its options.
        shown: The URL without what may be secret.
        has_password: Whether it says a password for the servers that keep state.
        is_verified: Whether the servers have to prove that they are who they say, which takes TLS.
        files: The files that its options name.
        username: The user for the servers that keep state, or ``None`` where it says none.
        password: The password of that user, or ``None`` where it says none.
        sentinel_credentials: User and password for the sentinels themselves, URL-encoded, with their ``@``.
    """

    kind: Kind
    scheme: str
    seeds: tuple[Endpoint, ...] = ()
    service: str = ""
    folder: str = ""
    database: int = 0
    options: frozenset[str] = frozenset()
    shown: str
    has_password: bool = False
    is_verified: bool = False
    files: tuple[str, ...] = ()
    username: str | None = field(default=None, repr=False)  # of redis://secret@host it is a password
    password: str | None = field(default=None, repr=False)
    sentinel_credentials: str = field(default="", repr=False)
    _userinfo: str = field(default="", repr=False)
    _tail: str = field(default="", repr=False)

    @property
    def is_local(self) -> bool:
        """Whether nothing that is said leaves this machine."""
        return self.kind in {"socket", "embedded"}

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.scheme.startswith("rediss")

    def url_of(self, endpoint: Endpoint) -> str:
        """Return the URL of one of its servers."""
        return f"{self.scheme.partition('+')[0]}://{self._userinfo}{_written(endpoint)}{self._tail}"

    def sentinel_url_of(self, endpoint: Endpoint) -> str:
        """Return the URL of one of its sentinels."""
        options = parse_qsl(self._tail.partition("?")[2], keep_blank_values=True)
        query = urlencode([(name, value) for name, value in options if name not in OF_THE_MASTER])
        plain = f"{self.scheme.partition('+')[0]}://{self.sentinel_credentials}{_written(endpoint)}/0"
        return plain + (f"?{query}" if query else "")


def address_of(url: object) -> Address:
    """Return what a URL says.

    Raises:
        InvalidInputError: It cannot be read.
    """
    if not isinstance(url, str):
        refuse_url("")
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    kind = KINDS.get(scheme)
    if kind is None or "://" not in url:
        refuse_url(url)
    if len(url) > URL_LENGTH_MAX:
        raise InvalidInputError("redis url", f"a URL of {len(url):,} characters", f"at most {URL_LENGTH_MAX:,}")
    if not rest.isprintable() or rest != rest.strip():  # which readers of URLs drop, or stumble over
        refuse_url(url)
    if kind == "embedded":
        return _embedded(url, rest)
    try:
        return _read(scheme, kind, _split(rest))
    except InvalidInputError:
        raise
    except ValueError:
        refuse_url(url)


def refuse_url(url: str) -> NoReturn:
    """Refuse a URL; nothing behind the scheme is shown, for a password may stand there."""
    scheme, separator, _ = url.partition("://")
    schemed = separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme)
    found = f"a URL that begins with {shape_of(scheme)}" if schemed else "a text without a scheme"
    raise InvalidInputError("redis url", found, ACCEPTED) from None


def _split(rest: str) -> SplitResult:
    """Split what stands behind the scheme; Python's own way refuses several hosts where one stands in brackets.

    Raises:
        ValueError: It has what redis-py would refuse.
    """
    rest, _, fragment = rest.partition("#")
    before, _, query = rest.partition("?")
    netloc, slash, path = before.partition("/")
    urlsplit(f"redis://{netloc.rpartition('@')[0].translate(BRACKETS)}@host")  # what a name may not hold
    return SplitResult("redis", netloc, slash + path, query, fragment)


def _embedded(url: str, rest: str) -> Address:
    folder = unquote(rest)
    if (folder and not folder.startswith("/")) or "?" in rest or "#" in rest or not folder.isprintable():
        refuse_url(url)
    if len(os.fsencode(folder)) > FOLDER_BYTES_MAX:
        raise InvalidInputError("redis url", "a directory with a long name", f"at most {FOLDER_BYTES_MAX} bytes")
    shown = f"embedded://{'…' if '@' in folder else rest}"
    return Address(kind="embedded", scheme="embedded", folder=folder, shown=shown)


def _read(scheme: str, kind: Kind, parts: SplitResult) -> Address:
    """Return what the parts of a URL say.

    Raises:
        ValueError: They cannot be what is meant, or they are more than this.
    """
    if parts.fragment:  # the rest of a password with a number sign, and what stands before it is no host
        raise ValueError
    userinfo, at, hosts = parts.netloc.rpartition("@")
    options = _options(parts.query, with_tls=scheme.startswith("rediss"), of_sentinels=kind == "sentinel")
    service, database = _path(kind, parts.path)
    if kind == "socket" and hosts:
        raise ValueError
    seeds = _seeds(kind, hosts)
    number = int(options.get("db") or database or 0)
    if kind == "cluster" and number:
        found = f"database {number:,} of a Cluster"
        raise InvalidInputError("redis url", found, "database 0, the only one there is")
    name, word = (options.pop(option, "") for option in SENTINEL_OPTIONS)
    user, _, secret = userinfo.partition(":")
    password = unquote(secret) or options.get("password")
    checks_name = options.get("ssl_check_hostname", "yes").lower() not in NO
    return Address(
        kind=kind,
        scheme=scheme,
        seeds=seeds,
        service=service,
        database=number,
        options=frozenset(options),
        shown=_shown(scheme, parts),
        has_password=bool(password),
        is_verified=scheme.startswith("rediss") and checks_name and options.get("ssl_cert_reqs") != "none",
        files=tuple(options[option] for option in sorted(TLS_FILES & options.keys())),
        username=unquote(user) or options.get("username") or None,  # redis-py, too, takes the options last
        password=password or None,
        sentinel_credentials=f"{quote(name, safe='')}:{quote(word, safe='')}@" if name or word else "",
        _userinfo=userinfo + at,
        _tail=f"/{database}" + (f"?{urlencode(options)}" if options else ""),
    )


def _options(query: str, *, with_tls: bool, of_sentinels: bool) -> dict[str, str]:
    """Return the options, each known and with a value that is understood as it is meant."""
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    overruled = sorted(OVERRULED & options.keys())
    if overruled:  # redis-py would let the URL win, and repeat commands or wait for ever
        found = f"the option {', '.join(overruled)}"
        raise InvalidInputError("redis url", found, "deadline= and connect_timeout= for times, and no retries")
    known = OPTIONS | (frozenset(SENTINEL_OPTIONS) if of_sentinels else frozenset())
    if any(name not in known and not name.startswith(TLS_PREFIX) for name in options):
        # It is not named, for it may be a part of a password. Many options of redis-py are objects, which no text is.
        accepted = f"{', '.join(sorted(OPTIONS))}, and {TLS_PREFIX}… with rediss://"
        raise InvalidInputError("redis url", "an option that is none of these", accepted)
    tls_options = options.keys() - known
    if len(options) < len(pairs) or tls_options - TLS_OPTIONS or (tls_options and not with_tls):
        raise ValueError
    if any(not re.fullmatch(VALUES[name], value, re.IGNORECASE) for name, value in options.items() if name in VALUES):
        raise ValueError
    return options


def _path(kind: Kind, path: str) -> tuple[str, str]:
    """Return the service of sentinels, and the database."""
    if kind == "socket":
        if not path:
            raise ValueError
        return "", ""
    service = ""
    if kind == "sentinel":
        service, _, database = path.strip("/").partition("/")
        if not service:
            raise ValueError
        path = f"/{database}"
    if not re.fullmatch(r"/?|/[0-9]{1,9}/?", path):  # of what is no number redis-py would make database 0
        raise ValueError
    return service, path.strip("/") or "0"


def _seeds(kind: Kind, hosts: str) -> tuple[Endpoint, ...]:
    """Return the servers that a URL names; a single one may be this machine without a name."""
    if kind == "socket":
        return ()
    if kind == "single":
        return (_endpoint(hosts if urlsplit(f"redis://{hosts}").hostname else f"localhost{hosts}", PORTS[kind]),)
    seeds = tuple(_endpoint(host, PORTS[kind]) for host in hosts.split(","))
    if len(seeds) > SEEDS_MAX:
        raise ValueError
    return seeds


def _endpoint(text: str, port: int) -> Endpoint:
    parts = urlsplit(f"redis://{text}")
    if not parts.hostname or "," in text:
        raise ValueError
    found = parts.port if parts.port is not None else port
    if not 0 < found <= PORT_MAX:
        raise ValueError
    return parts.hostname, found


def _shown(scheme: str, parts: SplitResult) -> str:
    """Return a URL without the password, and without options, which may hold one."""
    if "@" in parts.path or "@" in parts.query:  # it may be that the password has gone on until there
        return f"{scheme}://…"
    userinfo, at, hosts = parts.netloc.rpartition("@")
    name, colon, _ = userinfo.partition(":")
    user = f"{name}:…@" if name and colon else "…@" if at else ""
    return f"{scheme}://{user}{hosts}{parts.path}" + ("?…" if parts.query else "")


def _written(endpoint: Endpoint) -> str:
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
