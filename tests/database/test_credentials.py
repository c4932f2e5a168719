"""Credentials are asked anew for each connection, so that a password can change while a process runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import StoreAuthenticationError, StoreError
from sluicegate.database import Access, FilePassword, Password, connect
from tests.database.calling import COUNT, DEADLINE_US, KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from sluicegate.database import Credentials, RedisClient

FIRST, SECOND = "the-first-canary", "the-second-canary"


@pytest.fixture
def user(redis_client: redis.Redis) -> Iterator[str]:
    """Make a user with the first password."""
    redis_client.execute_command("ACL", "SETUSER", "rotating", "on", f">{FIRST}", "~*", "&*", "+@all")
    yield "rotating"
    redis_client.execute_command("ACL", "DELUSER", "rotating")


async def count(client: RedisClient) -> Any:
    """Count one more."""
    return await client.run(COUNT, [KEY], [], read_only=False, deadline_us=DEADLINE_US)


async def test_a_password_in_a_file_may_change_without_a_restart(
    redis_url: str, redis_client: redis.Redis, user: str, tmp_path: Path
) -> None:
    """Open connections go on; a new one takes what the file says then."""
    path = tmp_path / "password"
    path.write_text(f"{FIRST}\nand more\n", "utf-8")
    client = connect(redis_url, Access(credentials=FilePassword(path, username=user)))
    await client.start()
    assert await count(client) == 1
    redis_client.execute_command("ACL", "SETUSER", user, f">{SECOND}")
    path.write_text(SECOND, "utf-8")
    redis_client.execute_command("ACL", "SETUSER", user, f"<{FIRST}")
    assert await count(client) == 2
    redis_client.client_kill_filter(user=user)
    seen = [connection["user"] for connection in redis_client.client_list()]
    assert user not in seen
    for _ in range(3):  # what was cut may be noticed by the call that meets it
        try:
            counted = await count(client)
            break
        except StoreError:
            continue
    assert counted in {3, 4}
    assert user in [connection["user"] for connection in redis_client.client_list()]
    await client.aclose()


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe", b"x" * 5_000])
async def test_a_file_without_a_password_is_a_refusal_of_credentials(
    redis_url: str, user: str, tmp_path: Path, content: bytes | None
) -> None:
    """Missing, empty, no text, or some other file: nothing is sent, and nothing of it is shown."""
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    client = connect(redis_url, Access(credentials=FilePassword(path, username=user)))
    with pytest.raises(StoreAuthenticationError) as caught:
        await client.start()
    assert "xxx" not in str(caught.value)
    await client.aclose()


async def test_a_pipe_is_no_file_of_a_password(redis_url: str, user: str, tmp_path: Path) -> None:
    """It is refused at once: waiting for who writes into it would stop all that the process does."""
    os.mkfifo(tmp_path / "password")
    client = connect(redis_url, Access(credentials=FilePassword(tmp_path / "password", username=user)))
    with pytest.raises(StoreAuthenticationError, match="there are no credentials"):
        await client.start()
    await client.aclose()


@pytest.mark.parametrize(
    ("credentials", "works"),
    [
        (Password("rotating", FIRST), True),
        (Password("rotating", SECOND), False),
        (Password("nobody", FIRST), False),
        (None, True),
    ],
)
async def test_credentials_go_before_those_of_the_url(
    redis_url: str, user: str, credentials: Credentials | None, works: bool
) -> None:
    """Whatever stands in the URL; and no message shows a password."""
    url = redis_url.replace("redis://", f"redis://{user}:{SECOND if credentials else FIRST}@")
    client = connect(url, Access(credentials=credentials))
    if works:
        await client.start()
    else:
        with pytest.raises(StoreAuthenticationError) as caught:
            await client.start()
        assert FIRST not in str(caught.value) + repr(credentials)
        assert SECOND not in str(caught.value) + repr(credentials)
    await client.aclose()
