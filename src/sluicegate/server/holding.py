"""Units of concurrency limits over HTTP: taken, renewed and given back by an id, kept alive by their client.

Nothing of a hold is kept here. Its id carries who holds what, signed, and the store's clock ends it
when its client stops renewing, so any process of a fleet can renew what another one granted.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from fastapi import Request  # noqa: TC002 - the framework reads the signatures
from starlette.responses import Response  # noqa: TC002 - as above

from sluicegate.integrations import Problem
from sluicegate.ratelimit import HoldVerbs
from sluicegate.server.answers import LIMIT_CHANGED, answer, decision_answer, problem_answer
from sluicegate.server.bodies import read_asked, read_object
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from sluicegate.ratelimit import Limit, Limiter
    from sluicegate.ratelimit.rules import LiveRules
    from sluicegate.server.tokens import TokenSigner

__all__ = ["Holding"]

_HOLD = "hold"


class Holding:
    """Holds by id.

    Args:
        limiter: What decides.
        rules: Which limits there are.
        signer: Signs the ids.
    """

    __slots__ = ("_rules", "_signer", "_verbs")

    def __init__(self, limiter: Limiter, rules: LiveRules, signer: TokenSigner) -> None:
        self._verbs = HoldVerbs(limiter.engine)
        self._rules = rules
        self._signer = signer

    async def take(self, request: Request) -> Response:
        """Take a unit of a concurrency limit, to be renewed before it expires."""
        limit, key, *_ = read_asked(await read_object(request, names=("limit", "key", "plan")), self._rules)
        if limit.algorithm != "concurrency":
            found = f"{limit.algorithm} limit {limit.name!r}"
            raise InvalidInputError("limit", found, "a concurrency limit; POST /v1/acquire takes units of this one")
        holder = secrets.token_hex(16)  # nobody can release what is not theirs
        decision = await self._verbs.take(limit, key, holder)
        token = None
        # Who passed undecided, or only because the limit is on trial, holds nothing.
        if decision.allowed and not decision.degraded and not decision.shadow_denied:
            token = self._signer.signed(_HOLD, [limit.name, limit.plan.tag, decision.key, holder])
        return decision_answer(decision, token, expires_after=limit.hold_seconds if token else None)

    async def renew(self, hold_id: str) -> Response:
        """Keep a hold for another term, counted from now."""
        held = self._held(hold_id)
        if held is None:
            return problem_answer(LIMIT_CHANGED)
        if not await self._verbs.renew(*held):
            detail = "id: found a hold that has expired or was released; accepted: one that is alive"
            return problem_answer(Problem(status=410, title="Gone", detail=detail))
        return answer({"id": hold_id, "expires_after": held[0].hold_seconds})

    async def release(self, hold_id: str) -> Response:
        """Give a hold back; it does no harm twice."""
        held = self._held(hold_id)
        if held is None:
            return problem_answer(LIMIT_CHANGED)
        return answer({"released": await self._verbs.release(*held)})

    def _held(self, hold_id: str) -> tuple[Limit, str, str] | None:
        """Return the limit, key and holder that an id stands for; ``None`` when the limit is gone or changed."""
        name, tag, key, holder = self._signer.read(_HOLD, hold_id)
        limit = self._rules.recall(name, tag)
        return None if limit is None else (limit, key, holder)
