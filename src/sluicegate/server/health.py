"""Says whether this process lives, and whether requests should be sent to it."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from starlette.responses import Response  # noqa: TC002 - the framework reads the signatures

from sluicegate.integrations import Problem
from sluicegate.ratelimit import Limit
from sluicegate.server.answers import answer, problem_answer

if TYPE_CHECKING:
    from sluicegate.ratelimit import Limiter
    from sluicegate.ratelimit.rules import LiveRules

__all__ = ["Health"]

_PROBE: Final = Limit("sluicegate.readyz", "1/s")
_ROLLOUTS_TOLD_MAX: Final = 100  # an answer that is asked for every second stays small; GET /v1/limits has all
_ON_TRIAL: Final = ("allowed", "denied", "shadow_denied")
_KEY_BYTES = 8  # nobody bans the probe by chance


class Health:
    """Whether the service can decide.

    Args:
        limiter: What decides.
        rules: Which limits are in force.

    Attributes:
        draining: Whether the process is about to end: it still answers, but should get nothing new.
    """

    __slots__ = ("_key", "_limiter", "_rules", "draining")

    def __init__(self, limiter: Limiter, rules: LiveRules) -> None:
        self._limiter = limiter
        self._rules = rules
        self._key = secrets.token_hex(_KEY_BYTES)
        self.draining = False

    async def live(self) -> Response:
        """Say that the process answers; nothing else is looked at."""
        return answer({"status": "ok"})

    async def ready(self) -> Response:
        """Say whether the store answers and the process is not about to end."""
        if self.draining:
            return _not_ready("This process is draining and will end.")
        decision = await self._limiter.peek(_PROBE, self._key)
        if decision.degraded:
            return _not_ready("The store does not answer; until it does, each limit's on_failure decides.")
        told = {"status": "ready", "store": decision.source, "features": asdict(self._limiter.features)}
        return answer({**told, "changes": self._changes_json(), "rules": self._rules_json()})

    def _changes_json(self) -> dict[str, object]:
        """Return whether changes of other processes are heard; what is known stays in force while they are not."""
        ruling = self._limiter.engine.ruling
        changes = ruling.changes
        state = "away" if changes.is_away else "heard" if changes.is_listening or not changes.is_shared else "off"
        return {"state": state, "keys": ruling.overrides.keys_in_force()}

    def _rules_json(self) -> dict[str, object]:
        """Return whether the rules in force are those of the file; older ones are no reason not to be ready."""
        state = self._rules.state
        told: dict[str, object] = {"state": "stale" if state.stale else "current", "since": state.since_us / 1_000_000}
        if state.stale:
            told["problems"] = list(state.problems)
        rollouts = self._rollouts_json()
        return {**told, "rollouts": rollouts} if rollouts else told

    def _rollouts_json(self) -> list[dict[str, object]]:
        """Return what is being rolled out, how far, and what this process counted of it."""
        rollouts = self._rules.current.rollouts
        if not rollouts:
            return []
        counts = self._limiter.statistics()
        told = []
        for (plan, name), rollout in list(rollouts.items())[:_ROLLOUTS_TOLD_MAX]:
            at = {"limit": name, "plan": plan} if plan else {"limit": name}
            if rollout.candidate is None:
                counted = {outcome: counts.decisions.get((name, outcome), 0) for outcome in _ON_TRIAL}
            else:
                counted = counts.comparison(name)
            told.append({**at, "percent": rollout.percent, **counted})
        return told


def _not_ready(detail: str) -> Response:
    return problem_answer(Problem(status=503, title="Service Unavailable", detail=detail), {"Retry-After": "1"})
