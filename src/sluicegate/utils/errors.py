"""Every exception that leaves the package, in one tree, so that callers know what they may meet.

    SluicegateError
    ├── InvalidInputError        a value refused at the boundary (also a ValueError)
    ├── ConfigurationError       settings or a rules file that contradict themselves
    ├── LimitExceededError       a denial, where the caller asked for an exception
    ├── LimiterClosedError       a verb on a limiter that was closed or belongs to another loop
    └── StoreError               the store gave no usable answer
        ├── StoreUnavailableError    nothing was sent, or the server said it did nothing
        ├── OutcomeUnknownError      sent, but no answer came: it may have taken effect
        ├── StoreOverloadedError     ours or the server's queue is full
        ├── StoreTopologyError       the node is not (or no longer) the right one
        ├── StoreAuthenticationError credentials or permissions were refused
        ├── ScriptError              the script failed, or is not the one that was shipped
        └── CorruptStateError        a key holds something that is not limiter state

Each carries its facts as attributes, can be pickled, and names an `ErrorClass`, from which retry,
breaker, fallback and alert follow. A denial is not an error: it is a decision.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
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
    "shape_of",
]

SHOWN_LENGTH_MAX = 40  # enough to recognise a typo; a megabyte key must not become a megabyte message


class ErrorClass(Enum):
    """What kind of failure an error is: decides on retry, breaker, fallback and alert."""

    TRANSIENT = "transient"
    AMBIGUOUS = "ambiguous"
    OVERLOAD = "overload"
    TOPOLOGY = "topology"
    AUTHENTICATION = "authentication"
    SCRIPT = "script"
    CORRUPT_STATE = "corrupt_state"
    CONFIGURATION = "configuration"
    PROGRAMMING = "programming"


class SluicegateError(Exception):
    """The root: catching it catches everything that Sluicegate raises.

    Attributes:
        error_class: The kind of failure.
    """

    error_class: ClassVar[ErrorClass] = ErrorClass.PROGRAMMING


class InvalidInputError(SluicegateError, ValueError):
    """Raised when a value is refused at the boundary; nothing was consumed.

    Attributes:
        where: The parameter, field or place in a file.
        found: The shape of what was found, never a secret.
        accepted: What would have been accepted.
    """

    def __init__(self, where: str, found: str, accepted: str) -> None:
        super().__init__(where, found, accepted)
        self.where = where
        self.found = found
        self.accepted = accepted

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; accepted: {self.accepted}"


class ConfigurationError(SluicegateError):
    """Raised when settings or a rules file cannot be used; all problems are named at once.

    Attributes:
        problems: One `InvalidInputError` for each problem, in the order of the source.
    """

    error_class = ErrorClass.CONFIGURATION

    def __init__(self, problems: Sequence[InvalidInputError]) -> None:
        super().__init__(tuple(problems))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class LimitExceededError(SluicegateError):
    """Raised for a denial by `raise_if_denied`, `wait`, `hold` and the decorator.

    Attributes:
        decision: The denying decision, or joint decision.
    """

    def __init__(self, decision: Any) -> None:  # noqa: ANN401 - a lower layer cannot name Decision
        super().__init__(decision)
        self.decision = decision

    def __str__(self) -> str:
        return f"limit exceeded: {self.decision}"


class LimiterClosedError(SluicegateError):
    """Raised when a verb meets a limiter that was closed, or that belongs to another event loop."""


class StoreError(SluicegateError):
    """The store gave no usable answer.

    Attributes:
        operation: What was asked of the store.
        reason: What went wrong, in one line, without secrets.
    """

    error_class = ErrorClass.TRANSIENT

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(operation, reason)
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.operation}: {self.reason}"


class StoreUnavailableError(StoreError):
    """Raised when the store could not be reached or refused before doing anything."""


class OutcomeUnknownError(StoreError):
    """Raised when bytes left and no answer came, so the units may or may not be taken.

    Never retried blindly: a second take could charge the caller twice.
    """

    error_class = ErrorClass.AMBIGUOUS


class StoreOverloadedError(StoreError):
    """Raised when a bounded queue is full, here or in the server; nothing was consumed."""

    error_class = ErrorClass.OVERLOAD


class StoreTopologyError(StoreError):
    """Raised when the node that answered is not the one that may decide."""

    error_class = ErrorClass.TOPOLOGY


class StoreAuthenticationError(StoreError):
    """Raised when the store refused credentials, a permission or the TLS handshake."""

    error_class = ErrorClass.AUTHENTICATION


class ScriptError(StoreError):
    """Raised when a script failed, or is not byte for byte the one that was shipped."""

    error_class = ErrorClass.SCRIPT


class CorruptStateError(StoreError):
    """Raised when a key holds something that this version cannot read; `reset` mends it."""

    error_class = ErrorClass.CORRUPT_STATE


def shape_of(value: object) -> str:
    """Describe *value* for a message: its type and size, and its text only when short and plain."""
    if isinstance(value, str):
        if len(value) <= SHOWN_LENGTH_MAX:
            return repr(value).encode("ascii", "backslashreplace").decode("ascii")
        return f"text of {len(value):,} characters"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{type(value).__name__} of length {len(value):,}"
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 128 else f"a whole number of {value.bit_length():,} bits"  # noqa: PLR2004 - what fits a line
    return f"a value of type {type(value).__name__}"
