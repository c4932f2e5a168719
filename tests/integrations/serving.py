"""Serves an ASGI application with a real server on a free port of this machine, for as long as a test needs."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS_MAX = 20.0


class _Server(uvicorn.Server):
    """A server that says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.listening.set()


@contextlib.contextmanager
def served(app: Any, **settings: Any) -> Iterator[str]:
    """Yield ``127.0.0.1:PORT``, where *app* is served; by default no proxy header is read."""
    options: dict[str, Any] = {"proxy_headers": False, "log_level": "warning", "lifespan": "auto", **settings}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = _Server(uvicorn.Config(app, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            assert server.listening.wait(START_SECONDS_MAX)
            yield "{}:{}".format(*listener.getsockname())
        finally:
            server.should_exit = True
            thread.join()
