"""How servers are reached: each value has a range, and does what it says on a real server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import InvalidInputError, StoreError, StoreOverloadedError
from sluicegate.database import Access, Password, connect
from tests.database.calling import blocked, connections_of, until
from tests.servers import free_port

if TYPE_CHECKING:
    import redis


@pytest.mark.parametrize(
    ("name", "wrong", "accepted"),
    [
        *[("connect_timeout", wrong, "a number of seconds from 0.01 to 60") for wrong in (0, 0.009, 60.1, True, "2")],
        ("connect_timeout", float("nan"), "a number of seconds from 0.01 to 60"),
        *[("connections_max", wrong, "a whole number from 2 to 64") for wrong in (1, 65, 8.0, True, None)],
        *[("reconnect_pause_min", wrong, "a number of seconds from 0.001 to 60") for wrong in (0, 61, None)],
        *[("reconnect_pause_max", wrong, "a number of seconds from 0.05 to 600") for wrong in (0.049, 601)],
        *[("refused_pause", wrong, "a number of seconds from 0.001 to 3600") for wrong in (0, 3_601)],
    ],
)
def test_what_is_out_of_its_range_is_refused(name: str, wrong: Any, accepted: str) -> None:
    """The line names the value and its range."""
    with pytest.raises(InvalidInputError) as caught:
        Access(**{name: wrong})
    assert (caught.value.where, caught.value.accepted) == (name, accepted)


async def test_no_more_connections_are_opened_than_allowed(redis_url: str, redis_client: redis.Redis) -> None:
    """One more call at once is refused when its time is over, and says what is the most."""
    client = connect(redis_url, Access(connections_max=2))
    seen = connections_of(redis_client)
    try:
        waiting = [asyncio.create_task(client.execute("BLPOP", f"list{at}", 5)) for at in range(2)]
        await until(lambda: blocked(redis_client) == 2)
        with pytest.raises(StoreOverloadedError, match="all 2 connections are in use"):
            await client.execute("PING", deadline_us=50_000)
        assert connections_of(redis_client) == seen + 2
        for at in range(2):
            redis_client.rpush(f"list{at}", at)
        await asyncio.gather(*waiting)
    finally:
        await client.aclose()


async def attempts_within(access: Access, port: int, seconds: float) -> int:
    """Ask again and again for a while, and return how often a server that ends each connection was tried."""
    attempts = 0

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", port)
    client = connect(f"redis://127.0.0.1:{port}", access)
    until_s = time.monotonic() + seconds
    try:
        while time.monotonic() < until_s:
            with pytest.raises(StoreError):
                await client.execute("PING")
            await asyncio.sleep(0.002)
    finally:
        await client.aclose()
        server.close()
    return attempts


async def test_the_pauses_between_attempts_grow_as_told() -> None:
    """From the least to the most: pauses of 2 ms make many attempts of what pauses of half a second make two."""
    patient = Access(reconnect_pause_min=0.5, reconnect_pause_max=0.5)
    hasty = Access(reconnect_pause_min=0.002, reconnect_pause_max=0.002)
    growing = Access(reconnect_pause_min=0.002, reconnect_pause_max=600)
    # At 0, and after 0.25 to 0.5 s each.
    assert 1 <= await attempts_within(patient, free_port(), 0.45) <= 2
    assert await attempts_within(hasty, free_port(), 0.45) > 20
    # At 0, 1, 3, 7, … ms at the earliest: after 9 attempts the next is 255 ms away at least.
    assert 4 <= await attempts_within(growing, free_port(), 0.45) <= 10


async def test_the_pause_after_a_refusal_is_as_told(redis_url: str) -> None:
    """A user that the server does not know is tried again when the pause is over, not before."""
    for pause, least, most in ((0.02, 3, 100), (60, 1, 1)):
        asked = Counting("nobody", "wrong")
        client = connect(redis_url, Access(credentials=asked, refused_pause=pause))
        until_s = time.monotonic() + 0.4
        while time.monotonic() < until_s:
            with pytest.raises(StoreError):
                await client.execute("PING")
            await asyncio.sleep(0.005)
        await client.aclose()
        assert least <= asked.times <= most


class Counting:
    """Credentials that count how often they are asked for."""

    def __init__(self, username: str, password: str) -> None:
        self._same = Password(username, password)
        self.times = 0

    def current(self) -> tuple[str | None, str | None]:
        """Return them."""
        self.times += 1
        return self._same.current()
