r"""A Starlette application whose limiter comes from svcs: the same parts, another container.

uvicorn examples.svcs_app:app
for i in $(seq 7); do curl -s -i http://127.0.0.1:8000/ | head -1; done
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import svcs
import svcs.starlette
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import sluicegate
from sluicegate import Limit, Limiter
from sluicegate.config import load_settings
from sluicegate.integrations import limit_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

HELLOS = Limit("hellos", "5/minute")


@svcs.starlette.lifespan
async def lifespan(_: Starlette, registry: svcs.Registry) -> AsyncIterator[dict[str, object]]:
    """Open the parts with the application, register the limiter, and close them with it."""
    async with sluicegate.open(load_settings()) as parts:
        registry.register_value(Limiter, parts.limiter)
        yield {}


async def hello(request: Request) -> PlainTextResponse:
    """Say hello, if there is a unit left for the caller."""
    limiter = await svcs.starlette.aget(request, Limiter)
    decision = await limiter.acquire(HELLOS, request.client.host if request.client else "unknown")
    headers = dict(limit_headers(decision))
    return PlainTextResponse("hello" if decision else "come back later", 200 if decision else 429, headers)


app = Starlette(lifespan=lifespan, middleware=[Middleware(svcs.starlette.SVCSMiddleware)], routes=[Route("/", hello)])
