"""Bans and overrides over HTTP: made, listed and ended; in force in every process of the fleet that listens."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request  # noqa: TC002 - the framework reads the signatures
from starlette.responses import Response  # noqa: TC002 - as above

from sluicegate.integrations import Problem
from sluicegate.ratelimit import BAN, OVERRIDE
from sluicegate.server.answers import answer, problem_answer
from sluicegate.server.bodies import read_object, read_rule
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from sluicegate.ratelimit import Limit, Limiter
    from sluicegate.ratelimit.rules import LiveRules

__all__ = ["LISTED_MAX", "Overruling"]

LISTED_MAX: Final = 1_000  # in one answer, some hundred kilobytes
_DEAF: Final = Problem(
    status=409,
    title="Conflict",
    detail="flags.changes: found off, so other processes would not hear of it; accepted: on, in all of the fleet",
)


class Overruling:
    """What the service does with bans and overrides.

    Args:
        limiter: What decides.
        rules: Which limits there are.
    """

    __slots__ = ("_limiter", "_rules")

    def __init__(self, limiter: Limiter, rules: LiveRules) -> None:
        self._limiter = limiter
        self._rules = rules

    async def ban(self, request: Request) -> Response:
        """Ban keys under a limit, or under all of them."""
        body = await read_object(request, names=("keys", "seconds", "reason", "limit", "plan"))
        if self._is_deaf():
            return problem_answer(_DEAF)
        limit = self._limit_in(body)
        bans = await self._limiter.bans.add(
            body.get("keys"),  # type: ignore[arg-type] # it checks what it is given, as the next
            seconds=body.get("seconds"),
            reason=body.get("reason", ""),
            limit=limit,
        )
        return answer({"bans": [asdict(ban) for ban in bans]})

    async def lift(self, request: Request) -> Response:
        """Lift the bans of keys."""
        body = await read_object(request, names=("keys", "limit", "plan"))
        limit = self._limit_in(body)
        return answer({"lifted": await self._limiter.bans.lift(body.get("keys"), limit=limit)})  # type: ignore[arg-type] # as above

    async def list_bans(self) -> Response:
        """List the bans that are in force."""
        return self._listed("bans", BAN, await self._limiter.bans.in_force(most=LISTED_MAX))

    async def override(self, request: Request) -> Response:
        """Give a key another rate of a limit."""
        body = await read_object(request, names=("limit", "key", "rate", "seconds", "plan"))
        if self._is_deaf():
            return problem_answer(_DEAF)
        limit = read_rule(body, self._rules).limit
        for name, accepted in (("key", "text"), ("rate", "a rate such as 20/minute")):
            if name not in body:
                raise InvalidInputError(name, "nothing", accepted)
        override = await self._limiter.overrides.set(limit, body["key"], body["rate"], seconds=body.get("seconds"))
        return answer(asdict(override))

    async def drop(self, request: Request) -> Response:
        """Have a key judged by the limit's own rate again."""
        body = await read_object(request, names=("limit", "key", "plan"))
        limit = read_rule(body, self._rules).limit
        return answer({"dropped": await self._limiter.overrides.drop(limit, body.get("key"))})  # type: ignore[arg-type] # as above

    async def list_overrides(self) -> Response:
        """List the overrides that are in force."""
        return self._listed("overrides", OVERRIDE, await self._limiter.overrides.in_force(most=LISTED_MAX))

    def _is_deaf(self) -> bool:
        """Say whether what is made here would be in force in this process only."""
        return self._limiter.engine.ruling.changes.is_shared and not self._limiter.features.changes

    def _limit_in(self, body: dict[str, Any]) -> Limit | None:
        if body.get("limit") is not None:
            return read_rule(body, self._rules).limit
        if not isinstance(body.get("plan", ""), str):
            raise InvalidInputError("plan", shape_of(body["plan"]), "the name of a plan")
        return None

    def _listed(self, name: str, kind: str, found: tuple[Any, ...]) -> Response:
        total = len(self._limiter.engine.ruling.overrides.entries(kind))  # most of which nobody has to read
        return answer({name: [asdict(each) for each in found], "total": total})
