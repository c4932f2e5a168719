"""As whom a process connects: user and password may come from different places, and each overrules its own alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluicegate import ConfigurationError, Limit, NullLogger
from sluicegate.config import blocking_limiter, load_settings, read_settings
from sluicegate.config.environments import USUAL
from tests.servers import RedisServer

from .sources import SOURCES, say_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

API = Limit("api", "3/hour")
WORD = "p%40 w"  # is sent as it stands where nothing decodes it, so it must be encoded in a URL
ENCODED = "p%2540%20w"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Begin with a server that lets only the user ``app`` do anything."""
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "app", "on", f">{WORD}", "~*", "&*", "+@all")
        server.command("ACL", "SETUSER", "default", "off")
        yield server


@pytest.mark.parametrize(
    ("user", "options", "apart"),
    [
        (f"app:{ENCODED}@", "", {}),
        ("app@", "", {"password": WORD}),
        ("app@", "", {"password_file": "file"}),
        ("app:other@", "", {"password": WORD}),
        ("app:other@", "", {"password_file": "file"}),
        ("", "?username=app", {"password": WORD}),
        ("", "?username=app", {"password_file": "file"}),
        (f":{ENCODED}@", "", {"username": "app"}),
        (f"other:{ENCODED}@", "", {"username": "app"}),
        ("", f"?password={ENCODED}", {"username": "app"}),
        ("", f"?username=other&password={ENCODED}", {"username": "app"}),
        ("other:other@", "", {"username": "app", "password": WORD}),
        ("other:other@", "", {"username": "app", "password_file": "file"}),
        (f"app:{ENCODED}@", "?username=other&password=other", {}),
        ("app@", "?username=other&password=other", {"password": WORD}),
        (f":{ENCODED}@", "?username=other&password=other", {"username": "app"}),
    ],
)
def test_user_and_password_may_come_from_different_places(
    user: str, options: str, apart: dict[str, str], server: RedisServer, bare: Path
) -> None:
    """Each of the settings overrules its own counterpart in the URL, and what they leave out is taken from there."""
    (bare / "file").write_text(f"{WORD}\n", "utf-8")
    url = f"redis://{user}127.0.0.1:{server.port}{options}"
    settings = load_settings("test", redis={"url": url, **apart}, pool={"deadline_ms": 2_000})
    with blocking_limiter(settings, logger=NullLogger()) as limiter:
        assert limiter.acquire(API, "someone", cost=0).source == "redis"


@pytest.mark.parametrize(
    ("user", "apart"), [("other@", {"password": WORD}), ("", {"password": WORD}), ("app:other@", {})]
)
def test_who_is_not_who_they_say_is_refused(user: str, apart: dict[str, str], server: RedisServer) -> None:
    """So that the test above shows who connects."""
    url = f"redis://{user}127.0.0.1:{server.port}"
    settings = load_settings("test", redis={"url": url, **apart}, pool={"deadline_ms": 2_000})
    with blocking_limiter(settings, logger=NullLogger()) as limiter:
        assert limiter.acquire(API, "someone", cost=0).degraded


PROD: dict[str, str | None] = {"username": "prod", "password": "prod-secret", "password_file": None}
NOTHING: dict[str, str | None] = {"username": None, "password": None, "password_file": None}
THERE = "rediss://there:6380"


@pytest.mark.parametrize("source", [each for each in SOURCES if each != "argument"])
@pytest.mark.parametrize(
    ("own", "named", "who"),
    [
        (None, THERE, PROD),  # what else could they be for
        (None, "rediss://ops:opspw@there", NOTHING),
        (None, "rediss://ops@there", NOTHING),
        (None, "rediss://:opspw@there", NOTHING),
        (None, "rediss://there?username=ops&password=opspw", NOTHING),
        (THERE, "rediss://there", PROD),
        (THERE, THERE, PROD),
        (THERE, "rediss+sentinel://there/service", PROD),
        (THERE, "rediss://other:6380", NOTHING),
        (THERE, "rediss+cluster://there,other", NOTHING),
        (THERE, "unix:///run/redis.sock", NOTHING),
        (THERE, "embedded://", NOTHING),
        (THERE, "rediss://ops:opspw@there", NOTHING),
        (THERE, "rediss://ops@there", NOTHING),
        ("rediss://app@there", "rediss://app@there", PROD),
        ("rediss://app@there", "rediss://there", PROD),
        ("rediss://app@there", "rediss://app@other", NOTHING),
        ("rediss+cluster://a,b,c", "rediss+cluster://b", PROD),
        ("unix:///run/redis.sock", "unix:///run/redis.sock", PROD),
    ],
)
def test_who_connects_is_told_only_to_the_servers_of_the_settings(
    own: str | None,
    named: str,
    who: dict[str, str | None],
    source: str,
    bare: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever names another server in an argument, or says who connects there, sends it no password of production."""
    said = {("redis", "username"): "prod", ("redis", "password"): "prod-secret"}
    if own is not None:
        said["redis", "url"] = own
    arguments = say_all(source, said, bare, monkeypatch)
    redis = {**arguments.pop("redis", {}), "url": named}
    loaded = read_settings("test", redis=redis, **arguments)
    found = loaded.settings.redis
    password = None if found.password is None else found.password.get_secret_value()
    assert {"username": found.username, "password": password, "password_file": found.password_file} == who
    assert (loaded.origin(("redis", "password")) == USUAL) == (who == NOTHING)
    assert found.url is not None
    assert found.url.get_secret_value() == named


def test_a_file_of_a_password_is_for_the_servers_of_the_settings_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what production has; and what is no secret stays as it is, wherever the argument leads."""
    monkeypatch.setenv("SLUICEGATE_REDIS", '{"url": "rediss://there", "password_file": "file", "key_prefix": "own"}')
    assert load_settings("test").redis.password_file is not None
    found = load_settings("test", redis={"url": "rediss://other"}).redis
    assert (found.password_file, found.key_prefix) == (None, "own")


def test_an_argument_may_say_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands beside the URL there is for it; a URL that is none is refused as ever."""
    monkeypatch.setenv("SLUICEGATE_REDIS__USERNAME", "prod")
    found = load_settings("test", redis={"url": "rediss://ops@other", "password": "opspw"}).redis
    assert (found.username, found.password and found.password.get_secret_value()) == (None, "opspw")
    with pytest.raises(ConfigurationError, match=r"redis.url \(set by an argument\)"):
        load_settings("test", redis={"url": "other:opspw"})
