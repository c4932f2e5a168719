r"""A FastAPI application whose parts come from dishka: one limiter for the application, one view of it for a request.

    SLUICEGATE_REDIS__URL=redis://127.0.0.1:6379 uvicorn examples.fastapi_dishka:app
    for i in $(seq 7); do curl -s -i http://127.0.0.1:8000/search | head -1; done

Settings come from variables and files (see docs/configuration.md); without any, state is in this process.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dishka import make_async_container
from dishka.integrations.fastapi import FastapiProvider, FromDishka, inject, setup_dishka
from fastapi import FastAPI, Request, Response

from sluicegate import Limit
from sluicegate.config import load_settings
from sluicegate.integrations.dishka import RequestLimiter, sluicegate_provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SEARCHES = Limit("searches", "5/minute")

container = make_async_container(sluicegate_provider(load_settings()), FastapiProvider())


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close what the container made when the application ends."""
    yield
    await container.close()


app = FastAPI(lifespan=lifespan)


@app.get("/search")
@inject
async def search(request: Request, response: Response, limiter: FromDishka[RequestLimiter]) -> dict[str, str]:
    """Search, if there is a unit left for the caller."""
    caller = request.client.host if request.client else "unknown"
    decision = await limiter.acquire(SEARCHES, caller)
    response.headers.update(limiter.headers())
    if not decision:
        response.status_code = 429
        return {"error": "too many searches"}
    return {"found": "nothing"}


setup_dishka(container, app)
