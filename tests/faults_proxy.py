"""A TCP proxy that does to a connection what networks do: cut it in the middle, swallow, delay, garble, refuse."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"


class FaultProxy:
    """Stands between a client and a server; a context manager that runs in a thread of its own.

    Attributes:
        cut_after: Close both ends after so many more bytes of replies; ``None`` lets all pass. It happens once.
        swallow: Whether replies vanish while the connection stays open.
        delay_s: Seconds by which each piece of a reply is late.
        rewrite: Bytes of replies, and what stands in their place; ``None`` changes nothing.
        refuse: Whether a new connection is closed at once.
        before_request: Called with each piece of what a client sends, before it goes on.
        connections: How many were accepted so far.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self.cut_after: int | None = None
        self.swallow = False
        self.delay_s = 0.0
        self.rewrite: tuple[bytes, bytes] | None = None
        self.refuse = False
        self.before_request: Callable[[bytes], object] | None = None
        self.connections = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://{HOST}:{self.port}/0"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut_all(self) -> None:
        """Close every connection now."""
        asyncio.run_coroutine_threadsafe(self._cut_all(), self._loop).result(10)

    def inject(self, reply: bytes) -> None:
        """Send every client a reply that nobody asked for."""
        asyncio.run_coroutine_threadsafe(self._inject(reply), self._loop).result(10)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._cut_all()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)  # they end by themselves when their connections do

    async def _cut_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _inject(self, reply: bytes) -> None:
        for writer in self._clients:
            writer.write(reply)
            await writer.drain()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.refuse:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, server_writer)
        self._writers.update(pair)
        self._clients.add(writer)
        ways = [
            asyncio.create_task(self._requests(reader, server_writer)),
            asyncio.create_task(self._replies(server_reader, writer)),
        ]
        with suppress(asyncio.CancelledError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self._clients.discard(writer)
        for side in pair:
            self._writers.discard(side)
            side.transport.abort()
        await asyncio.wait(ways)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if self.before_request is not None:
                    self.before_request(data)
                writer.write(data)

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.swallow:
                    continue
                if self.rewrite is not None:
                    data = data.replace(*self.rewrite)
                if self.cut_after is not None:
                    if len(data) >= self.cut_after:
                        writer.write(data[: self.cut_after])
                        self.cut_after = None
                        await writer.drain()
                        writer.close()  # what was written arrives, then the end
                        await writer.wait_closed()
                        return
                    self.cut_after -= len(data)
                writer.write(data)
