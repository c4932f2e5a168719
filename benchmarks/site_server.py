"""Serves a minimal ASGI application by uvicorn, with or without the middleware before it."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop
from benchmarks.contenders.sluicegate import limit_of
from benchmarks.workload import Wish

from sluicegate import Limiter
from sluicegate.integrations.asgi import RateLimitMiddleware

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BODY = b"hello"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
PENDING_MAX = 1_024


async def bare(scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answer hello."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def serve(settings: dict[str, Any]) -> None:
    """Serve on a free port until the process is ended."""
    wish = Wish(**settings["wish"])
    app: Any = bare
    if wish.mode != "bare":
        limiter = Limiter() if wish.mode == "memory" else Limiter.connect(f"redis://127.0.0.1:{settings['port']}/0")
        await limiter.start()
        limit = limit_of(wish)
        app = RateLimitMiddleware(bare, limiter, limits=lambda scope: [(limit, scope["path"][1:])])
    config = uvicorn.Config(app, http="httptools", lifespan="off", access_log=False, log_level="warning")
    with socket.create_server(("127.0.0.1", 0), backlog=PENDING_MAX) as listener:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        await uvicorn.Server(config).serve(sockets=[listener])


def main() -> None:
    """Serve on the loop that is wished for."""
    settings = json.loads(sys.argv[1])
    factory = uvloop.new_event_loop if settings["loop"] == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    main()
