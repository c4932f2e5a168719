"""Sluicegate decides whether one more request may pass, the same way on every machine of a fleet."""

from typing import TYPE_CHECKING

from sluicegate.monitoring import Logger, NullLogger, StandardLogger, StructlogLogger
from sluicegate.ratelimit import (
    Ban,
    BanRule,
    BlockingHold,
    BlockingLimiter,
    Decision,
    Features,
    Hold,
    JointDecision,
    Limit,
    Limiter,
    Override,
    Rate,
    Statistics,
)
from sluicegate.utils import (
    Clock,
    ConfigurationError,
    CorruptStateError,
    ErrorClass,
    InvalidInputError,
    LimiterClosedError,
    LimitExceededError,
    OutcomeUnknownError,
    ScriptError,
    SluicegateError,
    StoreAuthenticationError,
    StoreError,
    StoreOverloadedError,
    StoreTopologyError,
    StoreUnavailableError,
    SystemClock,
)

__all__ = [
    "Ban",
    "BanRule",
    "BlockingHold",
    "BlockingLimiter",
    "Clock",
    "ConfigurationError",
    "CorruptStateError",
    "Decision",
    "ErrorClass",
    "Features",
    "Hold",
    "InvalidInputError",
    "JointDecision",
    "Limit",
    "LimitExceededError",
    "Limiter",
    "LimiterClosedError",
    "Logger",
    "NullLogger",
    "OutcomeUnknownError",
    "Override",
    "Rate",
    "ScriptError",
    "SluicegateError",
    "StandardLogger",
    "Statistics",
    "StoreAuthenticationError",
    "StoreError",
    "StoreOverloadedError",
    "StoreTopologyError",
    "StoreUnavailableError",
    "StructlogLogger",
    "SystemClock",
    "open",
]

if TYPE_CHECKING:
    from sluicegate.config import open  # noqa: A004 - read as sluicegate.open, like io.open


def __getattr__(name: str) -> object:
    """Import what needs the extra ``config`` when it is asked for."""
    if name == "open":
        from sluicegate.config import open as opened  # noqa: PLC0415 - as above

        return opened
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
