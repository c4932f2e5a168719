"""Writes a decision as JSON values: one form for the service, its clients and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluicegate.ratelimit import Decision

__all__ = ["decision_json"]


def decision_json(decision: Decision, token: str | None = None) -> dict[str, Any]:
    """Return *decision* as members of a JSON object.

    Args:
        decision: The decision; times are told in seconds.
        token: The ``id`` by which it is known again, if there is one.
    """
    return {
        "allowed": decision.allowed,
        "limit": decision.limit.name,
        "key": decision.key,
        "cost": decision.cost,
        "remaining": decision.remaining,
        "retry_after": decision.retry_after,
        "never": decision.never,
        "reset_after": decision.reset_after,
        "reset_at": decision.reset_at,
        "delay": decision.delay,
        "source": decision.source,
        "degraded": decision.degraded,
        "shadow_denied": decision.shadow_denied,
        "banned": decision.banned,
        "id": token,
    }
