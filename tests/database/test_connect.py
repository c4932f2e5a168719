"""Which addresses are taken and which refused, and that no message ever shows a password."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.database import connect
from sluicegate.database.addresses import ACCEPTED, OVERRULED
from sluicegate.utils import ConfigurationError, InvalidInputError
from tests.database.calling import forget_driver

if TYPE_CHECKING:
    import redis

OPTIONS_ACCEPTED = "client_name, db, password, protocol, socket_keepalive, username, and ssl_… with rediss://"
REDIS, UNIX, NOTHING = "a URL that begins with 'redis'", "a URL that begins with 'unix'", "a text without a scheme"
ANOTHER_OPTION = "an option that is none of these"


def refusal_of(url: str) -> InvalidInputError:
    """Return the error with which an address is refused: one line that shows nothing of the password ``hunter2``."""
    with pytest.raises(InvalidInputError) as caught:
        connect(url)
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown.replace(f'connect("{url}"', "")
    assert str(caught.value).isprintable()
    return caught.value


@pytest.mark.parametrize(
    ("url", "node"),
    [
        ("redis://", "localhost:6379"),
        ("redis://cache.internal", "cache.internal:6379"),
        ("redis://cache.internal:7000/3", "cache.internal:7000"),
        ("redis://cache.internal:7000/", "cache.internal:7000"),
        ("redis://user:hunter2@127.0.0.1:7000/0", "127.0.0.1:7000"),
        ("redis://:hunter2%40%23%2F%3F@127.0.0.1", "127.0.0.1:6379"),
        ("redis://h?client_name=a&protocol=2&socket_keepalive=yes&db=1&username=u&password=hunter2", "h:6379"),
        ("rediss://h:1?ssl_cert_reqs=none&ssl_check_hostname=no&ssl_ca_certs=ca.pem", "h:1"),
        ("unix:///run/redis.sock?db=2&password=hunter2", "/run/redis.sock"),
        ("unix://user:hunter2@/run/redis.sock", "/run/redis.sock"),
    ],
)
def test_an_address_is_taken_and_told_without_credentials(url: str, node: str) -> None:
    """What the client tells of its server is where it is, and nothing else."""
    assert connect(url).nodes() == (node,)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("", NOTHING),
        ("cache.internal:6379", NOTHING),
        ("default:hunter2@h:6379/0?next=a://b", NOTHING),
        ("http://u:hunter2@h", "a URL that begins with 'http'"),
        ("s" * 1_000_000 + "://u:hunter2@h", "a URL that begins with text of 1,000,000 characters"),
        ("redis://u:hunter2@h:port", REDIS),
        ("redis://u:hunter2@h:99999", REDIS),
        ("redis://u:hunter2@[::1", REDIS),
        ("redis://u:hunter2/x@h", REDIS),
        ("redis://u:#hunter2@h", REDIS),
        ("redis://u#hunter2@h:6379", REDIS),
        ("redis://u:hunter2@h/zero", REDIS),
        ("redis://u:hunter2@h/-1", REDIS),
        ("redis://u:hunter2@h/1_0", REDIS),
        ("redis://u:hunter2@h/\u0663", REDIS),
        ("redis://u:hunter2@h/0/1", REDIS),
        ("redis://u:hunter2@\u2100", REDIS),
        ("redis://u:hunter2@h?db=first", REDIS),
        ("redis://u:hunter2@h?protocol=9", REDIS),
        ("redis://u:hunter2@h?ssl_cert_reqs=none", REDIS),
        ("rediss://u:hunter2@h?ssl_cert_reqs=perhaps", "a URL that begins with 'rediss'"),
        ("rediss://u:hunter2@h?ssl_hunter2=none", "a URL that begins with 'rediss'"),
        ("unix://hunter2", UNIX),
        ("unix:///run/redis.sock?db=hunter2", UNIX),
    ],
)
def test_what_is_no_address_is_refused(url: str, found: str) -> None:
    """The line shows at most how the address begins, and names the forms that are accepted."""
    error = refusal_of(url)
    assert (error.where, error.found, error.accepted) == ("redis url", found, ACCEPTED)


@pytest.mark.parametrize(
    "option",
    sorted(OVERRULED),
)
def test_an_option_that_is_ours_to_set_is_refused_by_name(option: str) -> None:
    """An address cannot bring back retries, nor time-outs other than the deadline."""
    error = refusal_of(f"redis://u:hunter2@h?{option}=1")
    assert error.found == f"the option {option}"
    assert error.accepted == "deadline= and connect_timeout= for times, and no retries"


@pytest.mark.parametrize(
    "query",
    [
        "retry_on_timeout=yes",
        "max_connections=1",
        "credential_provider=x",
        "redis_connect_func=x",
        "encoding=x",
        "host=elsewhere",
        "connection_class=x",
        "hunter2=x@h",
        "hunter2@h:6379",
    ],
)
def test_another_option_is_refused_without_a_name(query: str) -> None:
    """An option that a text cannot carry is refused, and not shown, for it may be a part of a password."""
    error = refusal_of(f"redis://u:pass@h?{query}")
    assert (error.where, error.found, error.accepted) == ("redis url", ANOTHER_OPTION, OPTIONS_ACCEPTED)


@given(st.text(), st.text(min_size=1), st.text())
def test_no_text_is_anything_but_an_address_or_refused(before: str, secret: str, after: str) -> None:
    """Whatever stands around a password, the address is taken or refused within the tree, and tells nothing of it."""
    marked = f"hunter2{secret}"
    for url in (f"redis://{before}:{marked}@{after}", f"{before}://{marked}", f"redis://{before}?{marked}{after}"):
        try:
            connect(url)
        except InvalidInputError as error:
            told = str(error)
        else:
            continue
        assert "hunter2" not in told


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where redis-py cannot be imported, the error says what to install."""
    for name in [name for name in sys.modules if name.startswith("redis.")]:
        monkeypatch.delitem(sys.modules, name)
    forget_driver(monkeypatch)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError) as caught:
        connect("redis://u:hunter2@h")
    (problem,) = caught.value.problems
    assert (problem.where, problem.accepted) == ("redis", "pip install 'sluicegate[redis]'")
    assert problem.found.startswith("no package redis")


async def test_nothing_is_sent_before_the_first_use(redis_url: str, redis_client: redis.Redis) -> None:
    """A client that is made and closed again has never been seen by the server."""
    stats: Any = redis_client.info("stats")
    client = connect(redis_url)
    await client.aclose()
    again: Any = redis_client.info("stats")
    assert again["total_connections_received"] == stats["total_connections_received"]


async def test_an_address_chooses_database_and_name(redis_url: str, redis_client: redis.Redis) -> None:
    """What the address says of the connection is what the server sees."""
    client = connect(f"{redis_url.removesuffix('/0')}/5?client_name=gate&protocol=2")
    told = (await client.execute("CLIENT", "INFO")).decode()
    await client.aclose()
    assert {"db=5", "name=gate", "resp=2"} <= set(told.split())
