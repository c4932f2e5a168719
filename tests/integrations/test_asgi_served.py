"""The middleware behind a real server, before real clients."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sluicegate import Limit, Limiter
from sluicegate.integrations import ClientAddress, RateLimitMiddleware
from sluicegate.ratelimit.rules import parse_rules

from .serving import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

TEN = Limit("ten", "10/day", algorithm="fixed_window")
SLOTS = Limit("slots", "2", algorithm="concurrency")
SECONDS_MAX = 10.0


def application(limits: Any, *routes: Route | WebSocketRoute, **settings: Any) -> Starlette:
    return Starlette(
        routes=routes, middleware=[Middleware(RateLimitMiddleware, limiter=Limiter(), limits=limits, **settings)]
    )


def test_a_stream_is_not_held_back() -> None:
    """The client reads the first part of a response before the application has made the second."""
    read_first = threading.Event()
    seen = []

    async def stream(_: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first"
            seen.append(await _in_thread(read_first.wait, SECONDS_MAX))
            yield b"second"

        return StreamingResponse(parts())

    with (
        served(application(lambda _: [(TEN, "k")], Route("/", stream))) as address,
        httpx.stream("GET", f"http://{address}/", timeout=SECONDS_MAX) as response,
    ):
        parts = response.iter_raw()
        assert next(parts) == b"first"
        assert response.headers["ratelimit-policy"] == '"ten";q=10;w=86400'
        read_first.set()
        assert list(parts) == [b"second"]
    assert seen == [True]


def test_background_tasks_run_after_the_response() -> None:
    """A response is complete before its background task is, and the task does run."""
    answered, finished = threading.Event(), threading.Event()

    async def later() -> None:
        await _in_thread(answered.wait, SECONDS_MAX)
        finished.set()

    async def start(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok", background=BackgroundTask(later))

    with served(application(lambda _: [(TEN, "k")], Route("/", start))) as address:
        assert httpx.get(f"http://{address}/").text == "ok"
        assert not finished.is_set()
        answered.set()
        assert finished.wait(SECONDS_MAX)


def test_a_client_that_leaves_gives_its_hold_back() -> None:
    """A connection that breaks off in the middle of a stream frees its unit of a concurrency limit."""

    async def endless(_: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"." * 1000
                await _in_thread(time.sleep, 0.01)

        return StreamingResponse(parts())

    with served(application(lambda _: [(SLOTS, "k")], Route("/", endless))) as address:
        for _ in range(5):
            statuses = [_first_status(f"http://{address}/") for _ in range(2)]
            assert statuses == [200, 200]


def test_an_upload_is_refused_unread() -> None:
    """A denied upload is answered, and the next request on the same client is served."""

    async def take(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    app = application(
        lambda scope: [(TEN, scope["path"], 11)] if scope["path"] == "/no" else [],
        Route("/{_}", take, methods=["POST"]),
    )
    with served(app) as address, httpx.Client(base_url=f"http://{address}") as client:
        assert client.post("/no", content=b"x" * 5_000_000).status_code == 429
        assert client.post("/yes", content=b"x" * 5_000_000).text == "5000000"


def test_heads_are_answered_by_their_headers() -> None:
    """HEAD gets the same fields as GET, allowed and denied, and the connection stays usable."""

    async def hello(_: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    with served(application(lambda _: [(TEN, "k", 5)], Route("/", hello))) as address, httpx.Client() as client:
        statuses = [client.head(f"http://{address}/").status_code for _ in range(3)]
        denied = client.get(f"http://{address}/")
    assert statuses == [200, 200, 429]
    assert denied.json()["violated-policies"] == ["ten"]
    assert int(denied.headers["retry-after"]) > 0


@pytest.mark.parametrize(("header", "prefix"), [("X-Forwarded-For", ""), ("Forwarded", "for="), ("X-Real-IP", "")])
def test_headers_of_strangers_buy_nothing(header: str, prefix: str) -> None:
    """Who sends another address with each request is one client all the same."""
    draw = random.Random(11)

    async def hello(_: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    rules = parse_rules("version: 1\nlimits: {each: {rate: 10/day, algorithm: fixed_window, key: client_address}}")
    with served(application(rules, Route("/", hello))) as address, httpx.Client(base_url=f"http://{address}") as client:
        statuses = [
            client.get("/", headers={header: f"{prefix}192.0.2.{draw.randrange(256)}"}).status_code for _ in range(50)
        ]
    assert statuses == [200] * 10 + [429] * 40


def test_one_proxy_can_be_trusted() -> None:
    """Behind one trusted proxy each address that it reports is a client, and what stands left of it nothing."""

    async def hello(_: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    rules = parse_rules("version: 1\nlimits: {each: {rate: 1/day, key: client_address}}")
    app = application(rules, Route("/", hello), client_address=ClientAddress(trusted_proxies=["127.0.0.0/8"]))
    with served(app) as address, httpx.Client(base_url=f"http://{address}") as client:
        statuses = [
            client.get("/", headers={"X-Forwarded-For": f"192.0.2.{i}, 203.0.113.{i % 3}"}).status_code
            for i in range(9)
        ]
    assert statuses == [200] * 3 + [429] * 6


def test_websockets_are_limited_at_the_handshake() -> None:
    """An accepted websocket talks as if nothing were there; a denied one is told 429 and why."""

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    app = application(lambda _: [(TEN, "k", 6)], WebSocketRoute("/", echo), websockets=True)
    with served(app, ws="websockets-sansio") as address:
        with connect(f"ws://{address}/") as websocket:
            assert websocket.response is not None
            assert websocket.response.headers["RateLimit"].startswith('"ten";r=4;t=')
            websocket.send("hello")
            assert websocket.recv() == "hello"
        with pytest.raises(InvalidStatus) as refused, connect(f"ws://{address}/"):
            pass
    assert refused.value.response.status_code == 429
    assert b"quota-exceeded" in (refused.value.response.body or b"")
    assert int(refused.value.response.headers["Retry-After"]) > 0


async def _in_thread(function: Any, *arguments: Any) -> Any:
    import anyio.to_thread

    return await anyio.to_thread.run_sync(function, *arguments)


def _first_status(url: str) -> int:
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        with httpx.stream("GET", url, timeout=SECONDS_MAX) as response:
            if response.status_code == 200:
                next(response.iter_raw())
            # The server notices a broken connection when it next writes to it.
            if response.status_code == 200 or time.monotonic() > deadline:
                return response.status_code
