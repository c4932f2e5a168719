"""The verbs of a limiter over HTTP: each reads its body, asks the limiter, and writes the answer."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

from fastapi import Request  # noqa: TC002 - the framework reads the signatures
from starlette.responses import Response  # noqa: TC002 - as above

from sluicegate.integrations import decision_json
from sluicegate.ratelimit import JointDecision, without_those_beside
from sluicegate.ratelimit.rules import those_that_fit
from sluicegate.server.answers import (
    LIMIT_CHANGED,
    answer,
    decision_answer,
    decision_of,
    joint_answer,
    problem_answer,
    refund_token,
)
from sluicegate.server.bodies import ALL_MAX, ASKED, MANY_MAX, Asked, read_asked, read_list, read_object
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.ratelimit import Decision, Limit, Limiter
    from sluicegate.ratelimit.rules import LiveRules, Rule
    from sluicegate.server.tokens import TokenSigner

__all__ = ["Verbs"]


class Verbs:
    """What the service does with a limiter and the limits of a file.

    Args:
        limiter: What decides.
        rules: Which limits there are.
        signer: Signs the ids with which decisions can be refunded.
    """

    __slots__ = ("_limiter", "_rules", "_signer")

    def __init__(self, limiter: Limiter, rules: LiveRules, signer: TokenSigner) -> None:
        self._limiter = limiter
        self._rules = rules
        self._signer = signer

    async def acquire(self, request: Request) -> Response:
        """Take units of one limit for a key, or say when they can be had."""
        asked = _with_rate(read_asked(await read_object(request, names=ASKED), self._rules), "limit")
        decision = await self._acquired(asked)
        return decision_answer(decision, refund_token(decision, self._signer))

    async def acquire_all(self, request: Request) -> Response:
        """Take units of several limits at once: all of them grant, or none is charged."""
        asked = await self._listed(request, most=ALL_MAX)
        joint = await self._limiter.acquire_all(those_that_fit([member for each in asked for member in each.members]))
        return joint_answer(JointDecision.of(without_those_beside(joint.decisions)), self._signer)

    async def acquire_many(self, request: Request) -> Response:
        """Decide several independent requests in one call, each for itself, answered in their order."""
        decisions = await self._acquired_each(await self._listed(request, most=MANY_MAX))
        return answer({"decisions": [decision_json(each, refund_token(each, self._signer)) for each in decisions]})

    async def peek(self, request: Request) -> Response:
        """Say what an acquire would be answered, and what is there now; nothing is taken."""
        asked = read_asked(await read_object(request, names=ASKED), self._rules)
        return answer(decision_json(await self._limiter.peek(asked.limit, asked.key, asked.cost)))

    async def reset(self, request: Request) -> Response:
        """Forget the state of a key, as if it had never come."""
        asked = read_asked(await read_object(request, names=("limit", "key", "plan")), self._rules)
        done = [await self._limiter.reset(limit, asked.key) for limit in (asked.limit, *asked.beside)]
        return answer({"reset": any(done)})

    async def refund(self, request: Request) -> Response:
        """Give back what a decision took, once, by the id that it came with."""
        body = await read_object(request, names=("id",))
        decision = decision_of(body.get("id"), self._rules, self._signer, self._limiter.overrides.limit_for)
        if decision is None:
            return problem_answer(LIMIT_CHANGED)
        return answer({"refunded": await self._limiter.refund(decision)})

    async def list_limits(self) -> Response:
        """List the limits that this service decides by."""
        rules = self._rules.current
        told = {"limits": [_rule_json(rule) for rule in rules.limits]}
        plans = {plan: [_rule_json(rule) for rule in listed] for plan, listed in rules.plans.items()}
        return answer({**told, "plans": plans} if plans else told)

    async def _acquired(self, asked: Asked) -> Decision:
        if asked.beside:  # asked in the same round trip, for the counters alone
            return (await self._limiter.acquire_all(asked.members)).decisions[0]
        return await self._limiter.acquire(asked.limit, asked.key, asked.cost)

    async def _acquired_each(self, asked: Sequence[Asked]) -> Sequence[Decision]:
        """Have independent requests decided; all are asked before the first is awaited."""
        alone = [(each.limit, each.key, each.cost) for each in asked if not each.beside]
        if len(alone) == len(asked):
            return await self._limiter.acquire_many(alone)
        together = (self._acquired(each) for each in asked if each.beside)
        singles, pairs = await asyncio.gather(self._acquired_alone(alone), asyncio.gather(*together))
        answers = iter(singles), iter(pairs)
        return [next(answers[bool(each.beside)]) for each in asked]

    async def _acquired_alone(self, alone: Sequence[tuple[Limit, str, int]]) -> Sequence[Decision]:
        return await self._limiter.acquire_many(alone) if alone else ()

    async def _listed(self, request: Request, *, most: int) -> list[Asked]:
        asked = read_list(await read_object(request, names=("requests",)), self._rules, most=most)
        return [_with_rate(each, f"requests[{at}].limit") for at, each in enumerate(asked)]


def _with_rate(asked: Asked, where: str) -> Asked:
    if asked.limit.algorithm == "concurrency":
        found = f"concurrency limit {asked.limit.name!r}"
        raise InvalidInputError(where, found, "a limit with a rate; POST /v1/holds takes units of this one")
    return asked


def _rule_json(rule: Rule) -> dict[str, object]:
    limit = rule.limit
    return {
        "name": limit.name,
        "rates": [str(rate) for rate in limit.rates] or [str(limit.plan.capacity)],
        "algorithm": limit.algorithm,
        "key": list(rule.key.parts),
        "match": rule.match.as_json(),
        "cost": rule.cost,
        "charge": sorted(rule.statuses),
        "schedule": rule.schedule.as_json() if rule.schedule else [],
        "provided": list(rule.provided.parts) if rule.provided else [],
        "rollout": rule.rollout.as_json() if rule.rollout else None,
        "on_failure": limit.on_failure,
        "critical": limit.critical,
        "shadow": limit.shadow,
        "ban": asdict(limit.ban) if limit.ban else None,
    }
