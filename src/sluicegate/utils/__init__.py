"""What every layer may use: errors, clocks, validation and threads; standard library only, no I/O, no globals."""

from sluicegate.utils.clock import Clock, SystemClock
from sluicegate.utils.errors import (
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
    shape_of,
)
from sluicegate.utils.threads import in_thread
from sluicegate.utils.validation import (
    COST_MAX,
    KEY_LENGTH_MAX,
    NAME_LENGTH_MAX,
    checked_cost,
    checked_key,
    checked_name,
    checked_seconds,
)

__all__ = [
    "COST_MAX",
    "KEY_LENGTH_MAX",
    "NAME_LENGTH_MAX",
    "Clock",
    "ConfigurationError",
    "CorruptStateError",
    "ErrorClass",
    "InvalidInputError",
    "LimitExceededError",
    "LimiterClosedError",
    "OutcomeUnknownError",
    "ScriptError",
    "SluicegateError",
    "StoreAuthenticationError",
    "StoreError",
    "StoreOverloadedError",
    "StoreTopologyError",
    "StoreUnavailableError",
    "SystemClock",
    "checked_cost",
    "checked_key",
    "checked_name",
    "checked_seconds",
    "in_thread",
    "shape_of",
]
