r"""A Starlette application limited by rules, a stream and a websocket among what they cover.

uvicorn examples.starlette_app:app
curl -i http://127.0.0.1:8000/
curl -N http://127.0.0.1:8000/api/ticks              # a stream is one request
for i in $(seq 8); do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8000/api/ticks; done
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from sluicegate import Limiter
from sluicegate.integrations import RateLimitMiddleware
from sluicegate.ratelimit.rules import parse_rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

RULES = """
version: 1
limits:
  per-client:
    rate: 100/minute
    key: client_address
  api:
    rate: 5 per 10 seconds
    algorithm: fixed_window
    key: client_address
    match: {path: /api/**}
"""


async def hello(_: Request) -> PlainTextResponse:
    """Say hello."""
    return PlainTextResponse("hello\n")


async def ticks(_: Request) -> StreamingResponse:
    """Stream a few lines."""

    async def lines() -> AsyncIterator[str]:
        for number in range(3):
            yield f"tick {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def echo(websocket: WebSocket) -> None:
    """Send back the first message."""
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


app = Starlette(
    routes=[Route("/", hello), Route("/api/ticks", ticks), WebSocketRoute("/api/echo", echo)],
    middleware=[
        Middleware(RateLimitMiddleware, limiter=Limiter(), limits=parse_rules(RULES), websockets=True),
    ],
)
