"""Says in a response's body why a request was refused, in a form that programs can read (RFC 9457)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sluicegate.integrations.headers import denies, policy_name, shown_decisions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluicegate.ratelimit import Decision, JointDecision

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "QUOTA_EXCEEDED",
    "REDUCED_CAPACITY",
    "Problem",
    "denial_problem",
    "refusal_problem",
    "undecidable_problem",
]

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
REDUCED_CAPACITY: Final = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"

_REDUCED = "Request cannot be satisfied due to temporary server capacity constraints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem body and its status.

    Attributes:
        status: The response's status code.
        title: What kind of problem it is, in one line.
        detail: What happened this time, in one line.
        type: The address that names the kind; ``about:blank`` where the status says it all.
        members: Further members of the body.
    """

    status: int
    title: str
    detail: str
    type: str = "about:blank"
    members: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> bytes:
        """Return the body as JSON."""
        fields = {"type": self.type, "title": self.title, "status": self.status, "detail": self.detail, **self.members}
        return json.dumps(fields).encode()


def denial_problem(decision: Decision | JointDecision | Sequence[Decision]) -> Problem:
    """Describe a denial.

    Args:
        decision: A decision, a joint one, or several, of which at least one denies.

    Returns:
        429 and ``quota-exceeded``; 503 and ``temporary-reduced-capacity`` when nobody counted, and
        the request is denied only because the store is away and the limit is closed without it; for a key that is
        banned 429, and 403 where the ban has no end.
    """
    denials = [each for each in shown_decisions(decision) if denies(each)]
    names = list(dict.fromkeys(policy_name(each.limit) for each in denials))
    members = {"violated-policies": names}
    if denials and all(each.degraded and each.remaining is None for each in denials):
        detail = "The limiter cannot decide at the moment, and this request must not pass undecided."
        return Problem(status=503, type=REDUCED_CAPACITY, title=_REDUCED, detail=detail, members=members)
    bans = [each for each in denials if each.banned]
    if any(each.never for each in bans):
        return refusal_problem()
    if bans and not any(each.never for each in denials):
        wait_us = max(each.retry_after_us for each in denials)
        detail = f"Requests of this client are refused for a while. {_wait(wait_us)}"
        return Problem(status=429, title="Too Many Requests", detail=detail, members=members)
    title = "Request cannot be satisfied as assigned quota has been exceeded"
    return Problem(status=429, type=QUOTA_EXCEEDED, title=title, detail=_advice(denials), members=members)


def refusal_problem() -> Problem:
    """Describe a request that is on the list of those that are refused: 403, for nothing is gained by waiting."""
    detail = "This request is refused whatever its rate; it will not pass later either."
    return Problem(status=403, title="Forbidden", detail=detail)


def undecidable_problem(limits: int) -> Problem:
    """Describe a request that stands under more limits than are decided at once."""
    detail = f"This request stands under {limits} limits, which are more than can be decided at once."
    return Problem(status=503, type=REDUCED_CAPACITY, title=_REDUCED, detail=detail)


def _advice(denials: Sequence[Decision]) -> str:
    if any(each.never for each in denials):
        return "The request asks for more than its limit can ever grant; it will not pass later either."
    waits_us = [each.retry_after_us for each in denials]
    if not waits_us or min(waits_us) < 0:
        return "The request may pass when others have finished."
    return _wait(max(waits_us))


def _wait(wait_us: int) -> str:
    wait_ms = -(-wait_us // 1000)  # rounded up: a client that comes sooner is denied again
    return f"The request may pass in {wait_ms / 1000:.3f} seconds."
