"""From what redis-py raises to what it means, in one table.

The class hierarchy of redis-py is no taxonomy: a wrong password and a full pool are both a
`ConnectionError`, and `CROSSSLOT` on the client side is not even a `RedisError`. The code that the
server sent decides, and beside it whether anything had been sent.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

from redis import exceptions

from sluicegate.utils import (
    CorruptStateError,
    OutcomeUnknownError,
    ScriptError,
    StoreAuthenticationError,
    StoreError,
    StoreOverloadedError,
    StoreTopologyError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UNNAMED", "classified", "code_of"]

UNNAMED = "ERR"  # stands where the server gave no code of its own
REASON_LENGTH_MAX = 200  # a server's message may carry what a client sent

_CODE = re.compile(r"^[A-Z][A-Z0-9]{2,}$")

_BY_CODE: Mapping[str, type[StoreError]] = {
    "ASK": StoreTopologyError,
    "BUSY": StoreOverloadedError,
    "CLUSTERDOWN": StoreTopologyError,
    "CROSSSLOT": ScriptError,
    "DENIED": StoreAuthenticationError,
    "LOADING": StoreUnavailableError,
    "MASTERDOWN": StoreTopologyError,
    "MISCONF": StoreUnavailableError,
    "MOVED": StoreTopologyError,
    "NOAUTH": StoreAuthenticationError,
    "NOPERM": StoreAuthenticationError,
    "NOREPLICAS": StoreTopologyError,
    "NOSCRIPT": ScriptError,
    "OOM": StoreOverloadedError,
    "READONLY": StoreTopologyError,
    "SGLAYOUT": ScriptError,
    "TRYAGAIN": StoreTopologyError,
    "UNBLOCKED": StoreTopologyError,
    "WRONGPASS": StoreAuthenticationError,
    "WRONGTYPE": CorruptStateError,
}

# Subclasses stand before what they derive from.
_BY_CLASS: tuple[tuple[type[BaseException], type[StoreError]], ...] = (
    (exceptions.AuthenticationError, StoreAuthenticationError),
    (exceptions.AuthorizationError, StoreAuthenticationError),
    (exceptions.BusyLoadingError, StoreUnavailableError),
    (exceptions.MaxConnectionsError, StoreOverloadedError),
    (exceptions.NoPermissionError, StoreAuthenticationError),
    (exceptions.RedisClusterException, ScriptError),
)


def code_of(error: BaseException) -> str:
    """Return the server's code for *error*, `UNNAMED` where it gave none."""
    code = getattr(error, "status_code", None)
    if isinstance(code, str) and code:
        return code
    first, _, _ = str(error).partition(" ")
    return first if _CODE.match(first) else UNNAMED


def classified(error: BaseException, operation: str, *, sent: bool) -> StoreError:
    """Return what *error* means.

    Args:
        error: What was raised.
        operation: What was being done.
        sent: Whether bytes had left, so that a lost answer leaves the outcome unknown.
    """
    reason = _bounded(f"{type(error).__name__}: {error}".splitlines()[0])
    by_code = _BY_CODE.get(code_of(error))
    if by_code is not None:
        return by_code(operation, reason)
    if "max number of clients" in str(error):
        return StoreOverloadedError(operation, reason)
    for raised, meant in _BY_CLASS:
        if isinstance(error, raised):
            return meant(operation, reason)
    if isinstance(error, exceptions.ResponseError) and not isinstance(error, exceptions.InvalidResponse):
        # The node is alive and answered: the script or the command itself failed.
        return ScriptError(operation, reason)
    if sent:
        return OutcomeUnknownError(operation, reason)
    unsent = StoreAuthenticationError if _is_refused_handshake(error) else StoreUnavailableError
    return unsent(operation, reason)


def _bounded(text: str) -> str:
    """Return *text*, or as many whole words of it as there is room for."""
    if len(text) <= REASON_LENGTH_MAX:
        return text
    kept, space, _ = text[: REASON_LENGTH_MAX - 1].rpartition(" ")
    return f"{kept if space else text[: REASON_LENGTH_MAX - 2]} …"


def _is_refused_handshake(error: BaseException) -> bool:
    """Say whether TLS was refused, as it will be again: a certificate, a version, a server without it."""
    within = error.__cause__ or error.__context__
    return isinstance(within, ssl.SSLError) and not isinstance(within, ssl.SSLEOFError | ssl.SSLZeroReturnError)
