"""Asks a limiter before an ASGI application runs, and tells the client what is left.

A pure ASGI middleware: it reads no request body and buffers no response, so streaming, background
tasks and disconnects are the application's own affair, as if nothing stood in front of it. A store that
fails is the limiter's affair; nothing is caught here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AsyncExitStack
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from sluicegate.integrations.asking import NAMES_SHOWN_MAX, Asking, Supply, asked_by_live_rules, asked_by_rules
from sluicegate.integrations.charging import FAILED, Charging
from sluicegate.integrations.client_address import ClientAddress
from sluicegate.integrations.headers import RATELIMIT_DRAFT, HeaderFields
from sluicegate.integrations.problem import (
    PROBLEM_MEDIA_TYPE,
    Problem,
    denial_problem,
    refusal_problem,
    undecidable_problem,
)
from sluicegate.ratelimit.rules import RULES_AT_ONCE_MAX, LiveRules, Rules, those_that_fit
from sluicegate.utils import InvalidInputError, LimitExceededError, shape_of

if TYPE_CHECKING:
    from sluicegate.integrations.asking import Asked, Choose
    from sluicegate.ratelimit import Decision, Limiter
    from sluicegate.ratelimit.rules import ProvidedLimits

__all__ = ["DECISIONS_KEY", "RateLimitMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

DECISIONS_KEY: Final = "sluicegate.decisions"
"""Where the application finds, in the scope, the list of decisions taken for its request."""

_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
_FIELDS = frozenset({b"ratelimit", b"ratelimit-policy"})
_FIELD_LENGTHS = frozenset(map(len, _FIELDS))  # a look at the length spares nearly every name the rest
_FORBIDDEN = 403
_ADDRESS_OF_CONNECTION = ClientAddress()


class RateLimitMiddleware:
    """Limits the requests of an ASGI application.

    A request that is denied is answered with 429, ``Retry-After``, ``RateLimit``, ``RateLimit-Policy``
    and a problem body (RFC 9457), and never reaches the application. To the response of one that
    passes the fields are added, unless the application set them itself. Several of these may stand
    one in another: the innermost then tells of all.

    Args:
        app: The application.
        limiter: What decides.
        limits: What limits a request: `Rules`, `LiveRules` that may change while it runs, or a function, plain
            or async, from the ASGI scope to a list of ``(limit, key)`` or ``(limit, key, cost)``; an empty list lets
            the request pass
            unlimited. Several are taken all or none. A unit of a ``concurrency`` limit is held until
            the application returns, background tasks included. At most 32 may limit one request: of
            limits on trial only as many are asked as there is room for, and a request that more
            enforced ones limit is refused with 503, for nobody could decide it; the log says so once.
        client_address: How `Rules` tell one client from another. Default: by the address of the
            connection, trusting no proxy.
        descriptors: With `Rules`, a function from the scope to further descriptors, such as
            ``{"tenant": ...}``; they take precedence. Default: none.
        provided: With `Rules` that say so, who knows the limits of each customer. Default: nobody.
        websockets: Whether a websocket's handshake is a request too. Default: it passes unlimited.
        draft: Number of the draft for the ``RateLimit`` fields, ``None`` for none of them.

    Raises:
        InvalidInputError: An argument is refused, a rule counts by something nobody supplies, or more
            than 32 rules are seen to cover one request.
    """

    __slots__ = ("_asked", "_fields", "_limiter", "_scope_types", "_told_of_too_many", "app")

    def __init__(
        self,
        app: ASGIApp,
        limiter: Limiter,
        *,
        limits: Rules | LiveRules | Choose,
        client_address: ClientAddress = _ADDRESS_OF_CONNECTION,
        descriptors: Callable[[Scope], Mapping[str, str]] | None = None,
        provided: ProvidedLimits | None = None,
        websockets: bool = False,
        draft: int | None = RATELIMIT_DRAFT,
    ) -> None:
        clock = limiter.engine.clock
        supply = Supply(
            client_address=client_address,
            descriptors=descriptors,
            provided=provided,
            clock=clock,
            is_spread=limiter.engine.place is not None,
        )
        if isinstance(limits, Rules):
            self._asked: Choose = asked_by_rules(limits, supply)
        elif isinstance(limits, LiveRules):
            self._asked = asked_by_live_rules(limits, supply)
        elif callable(limits):
            self._asked = limits
        else:
            raise InvalidInputError("limits", shape_of(limits), "Rules, or a function from the scope to a list")
        self.app = app
        self._limiter = limiter
        self._scope_types = ("http", "websocket") if websockets else ("http",)
        self._fields = HeaderFields(draft=draft)
        self._told_of_too_many = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection: an ASGI application's only entry."""
        if scope["type"] not in self._scope_types:
            await self.app(scope, receive, send)
            return
        asked = self._asked(scope)
        if type(asked) is not list:  # a look at the type is an eighth of the question
            if isawaitable(asked):
                asked = await asked
            if isinstance(asked, Asking):
                await self._serve_charged(scope, receive, send, asked)
                return
        if not asked:
            await self.app(scope, receive, send)
            return
        # Set in place, not in a copy: what outer middleware sees in the scope must stay the
        # application's own (routes, endpoints), and the name is ours alone.
        taken: list[Decision] = scope.setdefault(DECISIONS_KEY, [])
        if len(asked) == 1 and not asked[0][0].plan.holds:  # nearly every request, so without a step more
            decision = await self._limiter.acquire(*asked[0])
            taken.append(decision)
            if decision.allowed:
                await self.app(scope, receive, self._telling(send, taken))
                return
            await self._deny(scope, send, taken)
        else:
            await self._serve(self.app, scope, receive, send, asked)

    async def _serve_charged(self, scope: Scope, receive: Receive, send: Send, asking: Asking) -> None:
        """Serve a request that is charged by its response, unless it is refused, or what may be charged is used up."""
        if asking.is_refused:
            await _refuse(scope, send, refusal_problem(), [])
            return
        taken: list[Decision] = scope.setdefault(DECISIONS_KEY, [])
        charging = Charging(self._limiter, asking.charges, taken)
        denials = await charging.denials()
        if denials:
            taken.extend(denials)
            await self._deny(scope, send, taken)
            return

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self.app(scope, receive, charging.charging(send))
            except Exception:
                await charging.settle(FAILED)
                raise
            await charging.settle(FAILED)

        await self._serve(app, scope, receive, send, asking.asked)

    async def _serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, asked: Asked) -> None:
        """Serve the request if all that limits it lets it pass, and else refuse it."""
        taken: list[Decision] = scope[DECISIONS_KEY]
        if len(asked) > RULES_AT_ONCE_MAX:
            asked = self._those_that_bind(those_that_fit(asked))
        if len(asked) > RULES_AT_ONCE_MAX:
            await _refuse(scope, send, undecidable_problem(len(asked)), [])
        elif not await self._served(app, scope, receive, send, asked):
            await self._deny(scope, send, taken)

    async def _deny(self, scope: Scope, send: Send, taken: list[Decision]) -> None:
        await _refuse(scope, send, denial_problem(taken), self._fields.encoded(taken))

    async def _served(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, asked: Asked) -> bool:
        """Serve the request if all that limits it lets it pass; say whether it did."""
        taken: list[Decision] = scope[DECISIONS_KEY]
        # Which limits hold their units is asked first: leaving a context costs as much as a decision.
        if any(pair[0].plan.holds for pair in asked):
            async with AsyncExitStack() as held:
                if await self._held(asked, taken, held) and await self._granted(asked, taken):
                    await app(scope, receive, self._telling(send, taken))
                    return True
        elif await self._granted(asked, taken):
            await app(scope, receive, self._telling(send, taken))
            return True
        return False

    def _those_that_bind(self, asked: Asked) -> Asked:
        """Return those that are enforced, with as many on trial as there is room for, and tell the log once."""
        if len(asked) <= RULES_AT_ONCE_MAX:
            return asked
        if not self._told_of_too_many:
            self._told_of_too_many = True
            names = ", ".join(pair[0].name for pair in asked[:NAMES_SHOWN_MAX])
            self._limiter.engine.logger.error(
                "request.undecidable", limits=len(asked), most=RULES_AT_ONCE_MAX, first=names
            )
        enforced = [pair for pair in asked if not pair[0].shadow]
        trials = [pair for pair in asked if pair[0].shadow]
        return enforced + trials[: max(0, RULES_AT_ONCE_MAX - len(enforced))]

    async def _held(self, asked: Asked, taken: list[Decision], held: AsyncExitStack) -> bool:
        """Enter the holds, which come first: they can be given back whole when a rate denies."""
        for limit, key in dict.fromkeys(pair[:2] for pair in asked if pair[0].plan.holds):
            hold = self._limiter.hold(limit, key)
            try:
                await held.enter_async_context(hold)
            except LimitExceededError as denial:
                taken.append(denial.decision)
                return False
            if hold.decision is not None:
                taken.append(hold.decision)
        return True

    async def _granted(self, asked: Asked, taken: list[Decision]) -> bool:
        """Take of the limits that are no holds."""
        rates = [pair for pair in asked if not pair[0].plan.holds]
        if len(rates) == 1:
            decision = await self._limiter.acquire(*rates[0])
            taken.append(decision)
            return decision.allowed
        if rates:
            joint = await self._limiter.acquire_all(rates)
            taken += [decision for decision in joint.decisions if not decision.limit.beside]
            return joint.allowed
        return True

    def _telling(self, send: Send, taken: list[Decision]) -> Send:
        """Return a *send* that adds the fields; what only passes through costs no coroutine of its own."""
        encoded = self._fields.encoded

        def send_with_fields(message: Message) -> Awaitable[None]:
            if message["type"] in _STARTS:
                headers = message.get("headers", ())
                for name, _ in headers:
                    if len(name) in _FIELD_LENGTHS and bytes(name).lower() in _FIELDS:
                        break
                else:
                    message = {**message, "headers": [*headers, *encoded(taken)]}
            return send(message)

        return send_with_fields


async def _refuse(scope: Scope, send: Send, problem: Problem, fields: list[tuple[bytes, bytes]]) -> None:
    prefix = "http"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            # Before it is accepted, closing makes the server answer 403; there is no room for more.
            code, reason = (1008, "refused") if problem.status == _FORBIDDEN else (1013, "rate limited")
            await send({"type": "websocket.close", "code": code, "reason": reason})
            return
        prefix = "websocket.http"
    body = problem.body()
    headers = [
        (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *fields,
    ]
    await send({"type": f"{prefix}.response.start", "status": problem.status, "headers": headers})
    if scope.get("method") == "HEAD":
        body = b""
    await send({"type": f"{prefix}.response.body", "body": body})
