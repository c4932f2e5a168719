r"""A FastAPI application whose requests are limited per caller, with one dearer route.

    uvicorn examples.fastapi_app:app
    curl -i http://127.0.0.1:8000/                       # tells what is left
    for i in $(seq 12); do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8000/search?q=x; done

State is in this process; with ``REDIS_URL=redis://127.0.0.1:6379`` all workers and machines share it.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from sluicegate import Limit, Limiter
from sluicegate.integrations import ClientAddress, RateLimitMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Scope

PER_CALLER = Limit("per-caller", "100/minute burst 20")
SEARCHES = Limit("searches", "10/minute", algorithm="sliding_window_counter")
EXPORTS = Limit("exports", "2", algorithm="concurrency")

redis_url = os.environ.get("REDIS_URL")
limiter = Limiter.connect(redis_url) if redis_url else Limiter()
client_address = ClientAddress(trusted_proxies=0)  # 1 behind one proxy: see docs/http.md


def limits_of(scope: Scope) -> list[tuple[Limit, str] | tuple[Limit, str, int]]:
    """Say what limits a request: all of these together, or none is charged."""
    if scope["path"] == "/health":
        return []
    caller = client_address.of(scope)
    if scope["path"] == "/search":
        return [(PER_CALLER, caller, 5), (SEARCHES, caller)]
    if scope["path"] == "/export":
        return [(PER_CALLER, caller), (EXPORTS, caller)]
    return [(PER_CALLER, caller)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Open the limiter with the application, and close it with it."""
    async with limiter:
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(RateLimitMiddleware, limiter=limiter, limits=limits_of)


@app.get("/")
async def hello() -> dict[str, str]:
    """Say hello; costs one unit."""
    return {"message": "hello"}


@app.get("/search")
async def search(q: str) -> dict[str, str]:
    """Search; costs five units, and has a limit of its own."""
    return {"found": q}


@app.get("/export")
async def export() -> dict[str, str]:
    """Export; at most two at once for each caller."""
    return {"exported": "everything"}


@app.get("/health")
async def health() -> dict[str, str]:
    """Say that the process lives; not limited."""
    return {"status": "ok"}
