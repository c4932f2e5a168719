"""What a URL is understood to say, without the package that connects, and what is shown of it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import ConnectionPool, SSLConnection

from sluicegate.database import Access, Tls, address_of
from sluicegate.database.addresses import OVERRULED, TLS_OPTIONS
from sluicegate.database.making import maker_of, ours_to_say
from sluicegate.utils import InvalidInputError

CANARY = "s3cretX"


@pytest.mark.parametrize(
    ("url", "kind", "has_tls", "has_password", "is_verified"),
    [
        ("redis://", "single", False, False, False),
        ("redis://:6380", "single", False, False, False),
        ("redis://user@h", "single", False, False, False),
        ("redis://:p@h", "single", False, True, False),
        ("REDISS://h?password=p", "single", True, True, True),
        ("rediss://:p@h?ssl_cert_reqs=none", "single", True, True, False),
        ("rediss://:p@h?ssl_cert_reqs=optional", "single", True, True, True),
        ("rediss://:p@h?ssl_check_hostname=False", "single", True, True, False),
        ("rediss://:p@h?ssl_check_hostname=1", "single", True, True, True),
        ("unix:///run/redis.sock", "socket", False, False, False),
        ("unix://u:p@/run/redis.sock", "socket", False, True, False),
        ("embedded://", "embedded", False, False, False),
        ("embedded:///some/directory", "embedded", False, False, False),
        ("rediss+sentinel://:p@a:1,b/service/2?ssl_cert_reqs=none", "sentinel", True, True, False),
        ("redis+sentinel://a/service?sentinel_password=p", "sentinel", False, False, False),
        ("rediss+cluster://a,[::1]:2/0", "cluster", True, False, True),
    ],
)
def test_a_url_says_what_it_is(url: str, kind: str, has_tls: bool, has_password: bool, is_verified: bool) -> None:
    """Of which kind, whether it has a password, and whether whoever answers has to prove who it is."""
    address = address_of(url)
    assert (address.kind, address.has_tls, address.has_password, address.is_verified) == (
        kind,
        has_tls,
        has_password,
        is_verified,
    )
    assert address.is_local == (kind in {"socket", "embedded"})


@pytest.mark.parametrize(
    ("url", "username", "password"),
    [
        ("redis://h", None, None),
        (f"redis://a%40b:{CANARY}%2F@h", "a@b", f"{CANARY}/"),
        (f"redis://{CANARY}@h", CANARY, None),
        (f"redis://:{CANARY}@h", None, CANARY),
        (f"redis://h?username=a%40b&password={CANARY}%2F", "a@b", f"{CANARY}/"),
        (f"redis://a@h?username=b&password={CANARY}", "a", CANARY),
        (f"unix://a:{CANARY}@/run/redis.sock?password=p", "a", CANARY),
        (f"rediss+sentinel://a:{CANARY}@h/service?sentinel_username=b&sentinel_password=p", "a", CANARY),
        (f"redis+cluster://h,i?username=a&password={CANARY}", "a", CANARY),
        ("embedded://", None, None),
    ],
)
def test_a_url_says_who_connects(url: str, username: str | None, password: str | None) -> None:
    """As what connects understands it, and where it is printed neither is."""
    address = address_of(url)
    assert (address.username, address.password) == (username, password)
    assert CANARY not in repr(address)
    if address.kind in {"single", "socket"}:
        options = ConnectionPool.from_url(url).connection_kwargs
        assert (options.get("username"), options.get("password")) == (username, password)


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "//h",
        "htp://h",
        "redis:/:p@h",
        "someone:p@h:6379",
        "redis://h:abc",
        "redis://h:0",
        "redis://h:99999",
        "redis://h/x",
        "redis://a:1,b:2",
        "redis://a,b",
        "redis://h/1234567890",
        "redis://h\n",
        " redis://h",
        "redis://h ",
        "redis://:p@h\u2100",
        "rediss://[::1",
        "redis://h?db=",
        "redis://h?db=1&db=2",
        "rediss://h?ssl_check_hostname=off",
        "rediss://h?ssl_min_version=1",
        "unix://",
        "unix://h/path",
        "embedded://folder",
        "embedded://:p@h",
        "embedded:///x?db=1",
        "embedded:///x#y",
        "embedded:///x%00y",
        "embedded:///x%0Ay",
        "rediss://h?ssl_cert_reqs=NONE",
        "redis+sentinel://h:1",
        "redis+sentinel:///service",
        "redis+cluster://",
        "redis+cluster://a:1/3",
        "redis+cluster://a:1?db=3",
        "redis+cluster://" + ",".join("abc" * 22),
        "redis://" + "h" * 4_096,
        "embedded:///" + "f" * 100,
    ],
)
def test_what_cannot_be_meant_is_refused_without_the_driver(url: object) -> None:
    """At the reading already, and no line is long."""
    with pytest.raises(InvalidInputError) as caught:
        address_of(url)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("embedded://", ""),
        ("embedded:///some%20dir", "/some dir"),
        ("EMBEDDED:///some dir", "/some dir"),
        ("embedded:///a%25b%3Fc%23d", "/a%b?c#d"),
        ("embedded:///" + "%20" * 60, "/" + " " * 60),
    ],
)
def test_the_directory_of_an_embedded_server_is_percent_encoded(url: str, folder: str) -> None:
    """Like a path in any URL."""
    assert address_of(url).folder == folder


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ("db=3&username=u&password=s3cretX&client_name=n", ""),
        ("db=3&protocol=3&socket_keepalive=yes", "?protocol=3&socket_keepalive=yes"),
        ("ssl_ca_certs=%2Fca.pem&client_name=n&sentinel_password=p", "?ssl_ca_certs=%2Fca.pem"),
    ],
)
def test_what_is_said_of_the_master_is_not_said_to_sentinels(options: str, left: str) -> None:
    """They have no databases, users and names of their own; how servers are reached holds for both."""
    address = address_of(f"rediss+sentinel://u:p@a:1,b:2/service?{options}")
    told = address.sentinel_url_of(("a", 1))
    assert told.rpartition("@")[2].removeprefix("rediss://") == f"a:1/0{left}"
    assert CANARY not in told
    kept = [each for each in options.split("&") if not each.startswith("sentinel_")]
    assert address.url_of(("a", 1)) == "rediss://u:p@a:1/0?" + "&".join(kept)


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_file_for_tls_is_said_once(option: str) -> None:
    """The driver would take the URL's, whatever else was said."""
    tls = Tls(ca_file="ca", cert_file="cert", key_file="key")
    with pytest.raises(InvalidInputError, match=f"the option {option} beside such a file"):
        maker_of(f"rediss://h?{option}=other", Access(tls=tls))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis://:s3cretX@h", "redis://…@h"),
        ("redis://s3cretX@h", "redis://…@h"),
        ("redis://u:1@s3cretX@h", "redis://u:…@h"),
        ("rediss+cluster://u:s3cretX@a:1,b:2", "rediss+cluster://u:…@a:1,b:2"),
        ("redis://h?password=s3cretX", "redis://h?…"),
        ("redis://h?password=1@s3cretX", "redis://…"),
        ("redis://u:12?password=s3cretX@h", "redis://…"),
        ("unix://u:s3cretX@/some/path?db=1", "unix://u:…@/some/path?…"),
        ("embedded:///some/directory", "embedded:///some/directory"),
        ("redis+sentinel://h/service/0?sentinel_password=s3cretX", "redis+sentinel://h/service/0?…"),
    ],
)
def test_nothing_secret_of_a_url_is_shown(url: str, shown: str) -> None:
    """Neither the password nor options; nor in what Python shows of it."""
    address = address_of(url)
    assert address.shown == shown
    assert CANARY not in repr(address)


@given(st.text("ab1:/?#@=&%[]℀", max_size=12), st.text("ab1:/?#@=&%", max_size=8))
def test_however_a_password_is_written_it_is_not_shown(before: str, after: str) -> None:
    """With whatever is special in it: the URL is refused, or what is shown ends before it."""
    for url in (f"redis://u:{before}{CANARY}{after}@h", f"redis://h?password={before}{CANARY}{after}"):
        try:
            told = address_of(url).shown
        except InvalidInputError as error:
            told = str(error)
        assert CANARY not in told


def test_the_options_are_those_of_the_driver() -> None:
    """What redis-py knows of TLS, and what is ours to say in its place."""
    parameters = inspect.signature(SSLConnection.__init__).parameters
    assert {name for name in parameters if name.startswith("ssl_")} == TLS_OPTIONS
    assert ours_to_say(Access()).keys() == OVERRULED


@pytest.mark.parametrize(
    ("url", "node"),
    [
        ("redis://u:p@h:1/2?client_name=a", "h:1"),
        ("redis://h:1?username=u&password=p@q", "h:1"),
        ("unix://u:p@/run/x.sock?db=2", "/run/x.sock"),
    ],
)
def test_credentials_apart_overrule_those_of_the_url(url: str, node: str) -> None:
    """Wherever in the URL they stand."""

    class Own:
        def current(self) -> tuple[str, str]:
            return "someone", "else"

    name, make = maker_of(url, Access(credentials=Own()))
    assert name == node
    connection = make()
    assert (connection.username, connection.password) == (None, None)
    assert connection.credential_provider.get_credentials() == ("someone", "else")


def test_a_url_is_read_without_the_driver() -> None:
    """Settings are checked where redis-py is not installed, and in little time where it is."""
    program = (
        "import sys; from sluicegate.database import address_of; address_of('redis://h')\n"
        "assert not [name for name in sys.modules if name.startswith(('redis', 'hiredis'))]"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
