"""Writes decisions as JSON, with the header fields that belong to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from sluicegate.integrations import PROBLEM_MEDIA_TYPE, Problem, decision_json, limit_headers
from sluicegate.ratelimit import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sluicegate.ratelimit import JointDecision, Limit
    from sluicegate.ratelimit.rules import LiveRules
    from sluicegate.server.tokens import TokenSigner

__all__ = [
    "LIMIT_CHANGED",
    "answer",
    "decision_answer",
    "decision_of",
    "joint_answer",
    "problem_answer",
    "refund_token",
]

LIMIT_CHANGED: Final = Problem(
    status=409,
    title="Conflict",
    detail="id: found one of a limit that is gone or was changed; accepted: one of a limit as it is",
)
_REFUND = "refundable decision"


def decision_of(
    token: object, rules: LiveRules, signer: TokenSigner, limit_for: Callable[[Limit, str], Limit]
) -> Decision | None:
    """Return the decision that a refund's id stands for; ``None`` when its limit is gone or changed.

    Args:
        token: The id.
        rules: Which limits there are.
        signer: Knows its own ids.
        limit_for: Returns the limit that holds for a key in place of another: its override.

    Raises:
        InvalidInputError: It is no id of ours.
    """
    name, tag, key, cost, decided_at_us, reset_after_us, serial = signer.read(_REFUND, token)
    limit = rules.recall(name, tag)
    if limit is None:
        named = (limit for rule in rules.current.all for limit in rule.limits if limit.name == name)
        limit = next((held for held in (limit_for(each, key) for each in named) if held.plan.tag == tag), None)
    if limit is None:
        return None
    return Decision(
        allowed=True,
        limit=limit,
        key=key,
        cost=cost,
        remaining=None,
        retry_after_us=0,
        reset_after_us=reset_after_us,
        decided_at_us=decided_at_us,
        source="id",
        degraded=False,
        shadow_denied=False,
        serial=serial,
    )


def refund_token(decision: Decision, signer: TokenSigner) -> str | None:
    """Return the id with which *decision* can be refunded; ``None`` when it took nothing."""
    if not decision.allowed or decision.degraded or decision.shadow_denied or decision.cost == 0:
        return None
    values = [
        decision.limit.name,
        decision.limit.plan.tag,
        decision.key,
        decision.cost,
        decision.decided_at_us,
        decision.reset_after_us,
        decision.serial,
    ]
    return signer.signed(_REFUND, values)


def decision_answer(decision: Decision, token: str | None, **members: object) -> Response:
    """Answer with a decision, 200 when it allows, else 429, and with further *members*."""
    content = {**decision_json(decision, token), **members}
    return answer(content, status=200 if decision.allowed else 429, headers=dict(limit_headers(decision)))


def joint_answer(joint: JointDecision, signer: TokenSigner) -> Response:
    """Answer with a joint decision: 200 when allowed, else 429."""
    content = {
        "allowed": joint.allowed,
        "binding": {"limit": joint.binding.limit.name, "key": joint.binding.key},
        "retry_after": joint.binding.retry_after,
        "never": joint.binding.never,
        "decisions": [decision_json(each, refund_token(each, signer)) for each in joint.decisions],
    }
    return answer(content, status=200 if joint.allowed else 429, headers=dict(limit_headers(joint)))


def answer(content: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status, headers, "application/json")


def problem_answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a problem (RFC 9457)."""
    return Response(problem.body(), problem.status, headers, PROBLEM_MEDIA_TYPE)
