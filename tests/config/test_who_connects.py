"""As whom a process connects: user and password may come from different places, and each overrules its own alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluicegate import Limit, NullLogger
from sluicegate.config import blocking_limiter, load_settings
from tests.servers import RedisServer

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
