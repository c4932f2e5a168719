"""The answer to one request, and to one that several limits decide together.

A decision is a tuple underneath: making one is the dearest thing on the path that answers from
memory, and a tuple costs a third of a frozen dataclass. It reads like a frozen value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sluicegate.ratelimit.algorithms.exact import time_of
from sluicegate.utils import LimitExceededError

if TYPE_CHECKING:
    from sluicegate.ratelimit.limit import Limit

__all__ = ["Decision", "JointDecision"]

NEVER_US = -1
UNKNOWN_US = -2
NOTHING_TAKEN = -1
BANNED = "ban"


class _Fields(NamedTuple):
    allowed: bool
    limit: Limit
    key: str
    cost: int
    remaining: int | None
    retry_after_us: int
    reset_after_us: int
    decided_at_us: int
    source: str
    degraded: bool
    shadow_denied: bool
    serial: int


class Decision(_Fields):
    """The answer of one limit to one request. True as a condition when the request may pass.

    Attributes:
        allowed: Whether the request may pass.
        limit: The limit that decided.
        key: Who was limited.
        cost: The units asked for.
        remaining: Units that could still be taken now; ``None`` when unknown.
        retry_after_us: The wait in microseconds: 0 when allowed, -1 for never, -2 for unknown.
        reset_after_us: Microseconds until nothing is left of the past under any of the limit's rates.
        decided_at_us: The store's time of the decision, in microseconds since the epoch; of a lease, of the taking.
        source: What answered: ``memory``, ``redis``, ``lease``, ``deny_cache``, ``ban`` or ``fallback``.
        degraded: Whether it was decided without the authority that should have decided.
        shadow_denied: Whether a shadow limit would have denied it.
        serial: Tells this decision from others of its key at the same microsecond; -1 when the store
            took nothing for it.
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        return self.allowed

    @property
    def retry_after(self) -> float | None:
        """Seconds until the request would pass if nobody else came; 0.0 when allowed.

        ``None`` when that is unknown (``concurrency``) or never (see `never`).
        """
        wait_us = self.retry_after_us
        return wait_us / 1_000_000 if wait_us >= 0 else None

    @property
    def never(self) -> bool:
        """Whether the cost is more than the limit could ever grant, or the key is banned without an end."""
        return self.retry_after_us == NEVER_US

    @property
    def banned(self) -> bool:
        """Whether the key is banned, and therefore denied; under a shadow limit, whether it would have been.

        `Limiter.bans` says why.
        """
        return self.source == BANNED and (self.retry_after_us != 0 or self.shadow_denied)

    @property
    def reset_after(self) -> float:
        """Seconds until nothing is left of the past."""
        return self.reset_after_us / 1_000_000

    @property
    def reset_at(self) -> float:
        """When nothing is left of the past, in seconds since the epoch, by the store's clock."""
        return (self.decided_at_us + self.reset_after_us) / 1_000_000

    @property
    def delay(self) -> float:
        """For ``leaky_bucket``: seconds after which to run the request so that the output is even.

        0.0 for other algorithms and for denials.
        """
        if self.limit.algorithm != "leaky_bucket" or not self.allowed or self.degraded:
            return 0.0
        # With several rates the slowest paces the output. Rounded up, as the time to reset is.
        times = [time_of(self.cost, *rule[1:4]) for rule in self.limit.plan.rules]
        own_us = max(whole_us + (rem > 0) for whole_us, rem in times)
        return max(0, self.reset_after_us - own_us) / 1_000_000

    def raise_if_denied(self) -> None:
        """Turn a denial into an exception.

        Raises:
            LimitExceededError: The request was denied.
        """
        if not self.allowed:
            raise LimitExceededError(self)

    def __str__(self) -> str:
        if self.allowed:
            return f"{self.limit.name} allowed, {self.remaining} remaining"
        if self.banned and self.never:
            return f"{self.limit.name} denied, banned without an end"
        if self.never:
            return f"{self.limit.name} denied, never possible"
        wait = self.retry_after
        denied = "banned" if self.banned else "denied"
        return f"{self.limit.name} {denied}, retry after {'an unknown time' if wait is None else f'{wait} s'}"


@dataclass(frozen=True, slots=True)
class JointDecision:
    """The answer of several limits to one request: all of them granted it, or none was charged.

    True as a condition when the request may pass.

    Attributes:
        allowed: Whether the request may pass.
        binding: On a denial the one with the longest wait, else the one with the least remaining.
        decisions: One for each limit asked, in the order asked.
    """

    allowed: bool
    binding: Decision
    decisions: tuple[Decision, ...]

    @classmethod
    def of(cls, decisions: tuple[Decision, ...]) -> JointDecision:
        """Join *decisions*, of which at least one must be there; shadow limits never bind."""
        denials = [decision for decision in decisions if not decision.allowed]
        if denials:
            return cls(allowed=False, binding=max(denials, key=_wait_rank), decisions=decisions)
        enforced = [decision for decision in decisions if not decision.limit.shadow] or decisions
        return cls(allowed=True, binding=min(enforced, key=_room_rank), decisions=decisions)

    def __bool__(self) -> bool:
        return self.allowed

    def raise_if_denied(self) -> None:
        """Turn a denial into an exception.

        Raises:
            LimitExceededError: The request was denied.
        """
        if not self.allowed:
            raise LimitExceededError(self)

    def __str__(self) -> str:
        return str(self.binding)


def _wait_rank(decision: Decision) -> tuple[bool, bool, int]:
    wait_us = decision.retry_after_us
    return wait_us == NEVER_US, wait_us != 0, wait_us  # what does not wait is denied along with another


def _room_rank(decision: Decision) -> tuple[bool, int]:
    return decision.remaining is None, decision.remaining or 0
