"""Puts a limiter behind HTTP: which path does what, and how everything that goes wrong is said."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response

from sluicegate.integrations import Problem
from sluicegate.monitoring import StandardLogger
from sluicegate.ratelimit.rules import LiveRules
from sluicegate.server.admission import Admission, NotAdmittedError, not_admitted
from sluicegate.server.answers import answer, problem_answer
from sluicegate.server.bodies import BodyError
from sluicegate.server.docs_page import docs_page
from sluicegate.server.health import Health
from sluicegate.server.holding import Holding
from sluicegate.server.openapi import openapi_document
from sluicegate.server.overruling import Overruling
from sluicegate.server.tokens import TokenSigner
from sluicegate.server.verbs import Verbs
from sluicegate.utils import (
    CorruptStateError,
    InvalidInputError,
    OutcomeUnknownError,
    StoreError,
    StoreOverloadedError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from fastapi import Request

    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit import Limiter
    from sluicegate.ratelimit.rules import Rules
    from sluicegate.utils import Clock

__all__ = ["create_app"]

_QUIET_US = 1_000_000  # between lines about requests that the store did not answer: there may be thousands


def create_app(
    limiter: Limiter,
    rules: Rules | LiveRules,
    *,
    secret: bytes | None = None,
    admin_token: str | None = None,
    logger: Logger | None = None,
) -> FastAPI:
    """Return the service as an ASGI application.

    Its lifespan starts the limiter and closes it; a store that is away does not keep it from
    starting. ``app.state.health.draining = True`` makes it say that it is not ready.

    Args:
        limiter: What decides; the application closes it.
        rules: The limits that requests may name; of `LiveRules` those that are in force.
        secret: Signs the ids of decisions and holds: at least 16 bytes, the same in every process
            that is to take them back. Default: random, so that ids end with this process.
        admin_token: What whoever bans keys, gives them other rates, or asks for whom that was done, has to bring as
            ``Authorization: Bearer``: at least 16 characters. Default: nothing, whoever reaches the service may.
        logger: Where events go. Default: the standard library's logger ``sluicegate``.

    Raises:
        InvalidInputError: The secret or the token is too short.
    """
    signer = TokenSigner(secret)
    logger = logger or StandardLogger()
    live = rules if isinstance(rules, LiveRules) else LiveRules(rules, limiter.engine.clock, logger)
    verbs = Verbs(limiter, live, signer)
    holding = Holding(limiter, live, signer)
    overruling = Overruling(limiter, live)
    health = Health(limiter, live)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with limiter:
            yield

    # Pages and document are our own: those of the framework load scripts from elsewhere.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.health = health
    _add_verbs(app, verbs)
    _add_holds(app, holding)
    _add_overruling(app, overruling, Admission(admin_token))
    _add_health(app, health)
    _add_documentation(app, live)
    _add_problems(app, logger, limiter.engine.clock)
    return app


def _add_verbs(app: FastAPI, verbs: Verbs) -> None:
    _route(app, "POST", "/v1/acquire", verbs.acquire)
    _route(app, "POST", "/v1/acquire-all", verbs.acquire_all)
    _route(app, "POST", "/v1/acquire-many", verbs.acquire_many)
    _route(app, "POST", "/v1/peek", verbs.peek)
    _route(app, "POST", "/v1/reset", verbs.reset)
    _route(app, "POST", "/v1/refund", verbs.refund)
    _route(app, "GET", "/v1/limits", verbs.list_limits)


def _add_holds(app: FastAPI, holding: Holding) -> None:
    _route(app, "POST", "/v1/holds", holding.take)
    _route(app, "PUT", "/v1/holds/{hold_id}", holding.renew)
    _route(app, "DELETE", "/v1/holds/{hold_id}", holding.release)


def _add_overruling(app: FastAPI, overruling: Overruling, admission: Admission) -> None:
    for method, path, endpoint in (
        ("POST", "/v1/bans", overruling.ban),
        ("GET", "/v1/bans", overruling.list_bans),
        ("POST", "/v1/bans/lift", overruling.lift),
        ("POST", "/v1/overrides", overruling.override),
        ("GET", "/v1/overrides", overruling.list_overrides),
        ("POST", "/v1/overrides/drop", overruling.drop),
    ):
        _route(app, method, path, endpoint, admission)
    app.add_exception_handler(NotAdmittedError, not_admitted)


def _add_health(app: FastAPI, health: Health) -> None:
    _route(app, "GET", "/livez", health.live)
    _route(app, "GET", "/readyz", health.ready)


def _add_documentation(app: FastAPI, rules: LiveRules) -> None:
    page, policy = docs_page()

    async def openapi_json() -> Response:
        return answer(openapi_document(rules.named, version("sluicegate")))

    async def docs() -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})

    _route(app, "GET", "/openapi.json", openapi_json)
    _route(app, "GET", "/docs", docs)


def _route(
    app: FastAPI, method: str, path: str, endpoint: Callable[..., Any], admission: Admission | None = None
) -> None:
    methods = ["GET", "HEAD"] if method == "GET" else [method]
    checks = [] if admission is None else [Depends(admission.check)]
    app.add_api_route(
        path, endpoint, methods=methods, dependencies=checks, response_model=None, include_in_schema=False
    )


def _add_problems(app: FastAPI, logger: Logger, clock: Clock) -> None:
    async def refused(_: Request, error: Exception) -> Response:
        return problem_answer(Problem(status=400, title="Bad Request", detail=_line(error)))

    async def unreadable(_: Request, error: Exception) -> Response:
        assert isinstance(error, BodyError)
        # The rest of such a body is not waited for.
        return problem_answer(error.problem, {"Connection": "close"})

    quiet_until_us = 0

    async def store_away(request: Request, error: Exception) -> Response:
        nonlocal quiet_until_us
        now_us = clock.monotonic_us()
        if now_us >= quiet_until_us:
            quiet_until_us = now_us + _QUIET_US
            logger.warning("request.unanswered", method=request.method, path=_path_of(request), error=_line(error))
        detail = _detail_of(error)
        return problem_answer(Problem(status=503, title="Service Unavailable", detail=detail), {"Retry-After": "1"})

    async def not_served(request: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)
        detail = f"{request.method}: found no such path or method here; accepted: what /docs lists"
        problem = Problem(status=error.status_code, title=str(error.detail), detail=detail)
        return problem_answer(problem, error.headers)

    async def broken(request: Request, error: Exception) -> Response:
        logger.error("request.failed", method=request.method, path=_path_of(request), error=repr(error))
        detail = "The service failed; its log says why."
        return problem_answer(Problem(status=500, title="Internal Server Error", detail=detail))

    app.add_exception_handler(InvalidInputError, refused)
    app.add_exception_handler(BodyError, unreadable)
    app.add_exception_handler(StoreError, store_away)
    app.add_exception_handler(StarletteHTTPException, not_served)
    app.add_exception_handler(RequestValidationError, refused)
    app.add_exception_handler(Exception, broken)


def _path_of(request: Request) -> str:
    # As it is declared: what stands in for {hold_id} would let whoever reads the log release the hold.
    return str(getattr(request.scope.get("route"), "path", request.url.path))


def _detail_of(error: Exception) -> str:
    # Where the store is, and what it says, is for the log.
    if isinstance(error, OutcomeUnknownError):
        return "The store did not answer; what was asked may have been done."
    if isinstance(error, CorruptStateError):
        return "What the store holds for this key cannot be read; POST /v1/reset mends it."
    if isinstance(error, StoreOverloadedError):
        return "The store has no room, or no time; nothing was done."
    if isinstance(error, StoreUnavailableError):
        return "The store could not be reached; nothing was done."
    return "The store gave no usable answer."


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
