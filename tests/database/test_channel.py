"""A channel hands each caller its own replies, whole and in order, and ends when anything else comes."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from redis import exceptions

from sluicegate.database.channel import Channel
from tests.database.calling import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ASKED = b"*1\r\n$4\r\nPING\r\n"
LONG_S = 60.0  # where a test is not about time
SHORT_S = 0.02
PUSH = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
HUGE = 30_000_000  # more than the sockets between two processes hold


@dataclass
class Ends:
    """A channel, and what a server would have in hand of it."""

    channel: Channel
    heard: asyncio.StreamReader
    said: asyncio.StreamWriter

    def ask(self, expected: int = 1, *, packed: bytes = ASKED, seconds: float = LONG_S) -> asyncio.Future[list[Any]]:
        """Ask within so many seconds."""
        return self.channel.ask(packed, expected, asyncio.get_running_loop().time() + seconds)

    async def say(self, reply: bytes) -> None:
        """Send the channel something, and let it arrive."""
        self.said.write(reply)
        await asyncio.sleep(0.01)


@asynccontextmanager
async def joined() -> AsyncIterator[Ends]:
    """A channel over a real socket to this test."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = loop.create_future()
    server = await asyncio.start_server(lambda *ends: accepted.set_result(ends), "127.0.0.1", 0)
    async with server:
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        ends = Ends(Channel(transport, loop), *await accepted)
        try:
            yield ends
        finally:
            ends.channel.close()
            ends.said.transport.abort()


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """Both ends of a channel."""
    async with joined() as made:
        yield made


async def test_what_is_asked_travels_as_it_was_packed(ends: Ends) -> None:
    """Nothing stands before or behind a command, and its reply is the promise's."""
    promise = ends.ask()
    assert not ends.channel.usable
    assert await ends.heard.readexactly(len(ASKED)) == ASKED
    await ends.say(b"+PONG\r\n")
    assert await promise == [b"PONG"]
    assert ends.channel.usable


async def test_a_reply_in_pieces_is_one_reply(ends: Ends) -> None:
    """However small the pieces in which replies come, each is told once, when all have come."""
    promise = ends.ask(3)
    for byte in b"*2\r\n:1\r\n$4\r\na\r\nb\r\n:-7\r\n$-1\r\n":
        assert not promise.done()
        ends.said.write(bytes([byte]))
        await ends.said.drain()
        await asyncio.sleep(0.001)
    assert await promise == [[1, b"a\r\nb"], -7, None]
    assert ends.channel.usable


async def test_errors_are_replies_in_their_places(ends: Ends) -> None:
    """What the server refuses is of redis-py's classes, with the server's code where redis-py keeps it."""
    promise = ends.ask(4)
    await ends.say(b"-NOSCRIPT No matching script\r\n:1\r\n-READONLY no\r\n-WRONGTYPE of the wrong kind\r\n")
    unknown, one, refused, wrong = await promise
    assert one == 1
    assert [type(unknown), type(refused), type(wrong)] == [
        exceptions.NoScriptError,
        exceptions.ReadOnlyError,
        exceptions.ResponseError,
    ]
    assert refused.status_code == "READONLY"
    assert str(wrong) == "WRONGTYPE of the wrong kind"
    assert ends.channel.usable


async def test_push_messages_are_no_replies(ends: Ends) -> None:
    """What the server pushes before replies and between them is passed over."""
    promise = ends.ask(2)
    await ends.say(PUSH + b":1\r\n" + PUSH)
    assert not promise.done()
    await ends.say(b":2\r\n")
    assert await promise == [1, 2]
    assert ends.channel.usable


@pytest.mark.parametrize("unasked", [b":4711\r\n", b"$9\r\nhal", PUSH, b"?"])
async def test_what_comes_unasked_ends_the_channel(ends: Ends, unasked: bytes) -> None:
    """A reply, half a reply or anything else that comes while nothing is due is nobody's."""
    await ends.say(unasked)
    assert not ends.channel.usable
    assert await ends.heard.read() == b""


@pytest.mark.parametrize("surplus", [b":4711\r\n", b"$9\r\nhal", PUSH, b"?"])
async def test_what_comes_behind_the_replies_ends_the_channel(ends: Ends, surplus: bytes) -> None:
    """The replies that were due are told, and the next caller does not get the rest."""
    promise = ends.ask(2)
    await ends.say(b":1\r\n:2\r\n" + surplus)
    assert await promise == [1, 2]
    assert not ends.channel.usable


@pytest.mark.parametrize("said", [b"", b":1\r\n", b":1\r\n:"])
async def test_an_end_before_the_last_reply_is_told(ends: Ends, said: bytes) -> None:
    """A connection that the server closes too early answers none of what was asked together."""
    promise = ends.ask(2)
    await ends.say(said)
    ends.said.close()
    with pytest.raises(exceptions.ConnectionError, match="the server closed the connection"):
        await promise
    assert not ends.channel.usable


async def test_a_lost_connection_is_told_with_its_reason(ends: Ends) -> None:
    """A connection that is reset says so to who waits."""
    promise = ends.ask()
    sock = ends.said.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # so that its end is a reset
    ends.said.transport.abort()
    with pytest.raises(exceptions.ConnectionError, match=r"the connection was lost: .*reset"):
        await promise


async def test_an_idle_channel_notes_the_end(ends: Ends) -> None:
    """A connection that was closed while nothing was due is not usable."""
    assert ends.channel.usable
    ends.said.close()
    await until(lambda: not ends.channel.usable)


async def test_what_is_no_reply_is_told(ends: Ends) -> None:
    """Bytes that no server sends fail the call, and end the channel."""
    promise = ends.ask(2)
    await ends.say(b":1\r\n?2\r\n")
    with pytest.raises(exceptions.InvalidResponse):
        await promise
    assert not ends.channel.usable


async def test_a_call_ends_when_its_time_is_over(ends: Ends) -> None:
    """Who waits is told by a time-out, and a channel on which a reply may still come is closed."""
    promise = ends.ask(2, seconds=SHORT_S)
    await ends.say(b":1\r\n")
    with pytest.raises(TimeoutError):
        await promise
    assert not ends.channel.usable
    assert await ends.heard.read() == ASKED


async def test_each_call_has_the_time_of_its_own(ends: Ends) -> None:
    """A call that was answered leaves no time-out behind for the next."""
    for number in range(3):
        promise = ends.ask(seconds=SHORT_S)
        await ends.say(b":%d\r\n" % number)
        assert await promise == [number]
    promise = ends.ask()
    await asyncio.sleep(2 * SHORT_S)
    await ends.say(b":4\r\n")
    assert await promise == [4]


async def test_a_given_up_call_whose_replies_came_leaves_a_usable_channel(ends: Ends) -> None:
    """Until the last reply is there the channel is in use, whoever went; afterwards nothing is due on it."""
    promise = ends.ask(2)
    promise.cancel()
    await ends.say(b":1\r\n")
    assert not ends.channel.usable
    await ends.say(b":2\r\n")
    assert ends.channel.usable
    promise = ends.ask()
    await ends.say(b":3\r\n")
    assert await promise == [3]


async def test_closing_ends_the_call_and_keeps_the_rest_of_it_back(ends: Ends) -> None:
    """Who waits is told at once, and of a command that had left in part no more leaves."""
    promise = ends.ask(packed=bytes(HUGE))
    ends.channel.close()
    with pytest.raises(exceptions.ConnectionError, match="the connection was closed"):
        await promise
    assert len(await ends.heard.read()) < HUGE


async def test_a_command_of_any_size_leaves_without_waiting(ends: Ends) -> None:
    """What the sockets do not hold goes on leaving while the call waits for its reply."""
    promise = ends.ask(packed=bytes(HUGE))
    assert await ends.heard.readexactly(HUGE) == bytes(HUGE)
    await ends.say(b"$%d\r\n" % HUGE + bytes(HUGE) + b"\r\n")
    assert await promise == [bytes(HUGE)]
