"""What a limiter is made of: refused when it does not fit, or made of what a caller of `connect` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.database import connect
from sluicegate.ratelimit.stores.redis import RedisStore
from sluicegate.utils import InvalidInputError, SystemClock, checked_seconds, shape_of

if TYPE_CHECKING:
    from sluicegate.database import Keyspace
    from sluicegate.monitoring import Logger

__all__ = ["check_parts", "store_at"]


def check_parts(clock: object, store: object, logger: object) -> None:
    """Refuse parts that have not what is asked of them, before anything is decided with them.

    Raises:
        InvalidInputError: One of them is something else.
    """
    for where, part, wanted in (
        ("clock", clock, ("now_us", "monotonic_us")),
        ("store", store, ("source", "at_once", "start", "aclose", "after_fork")),
        ("logger", logger, ("debug", "info", "warning", "error", "bind")),
    ):
        if part is not None and not all(hasattr(part, name) for name in wanted):
            raise InvalidInputError(where, shape_of(part), f"an object with {', '.join(wanted)}")


def store_at(url: str, *, deadline: float, connect_timeout: float, keyspace: Keyspace, logger: Logger) -> RedisStore:
    """Return the store in Redis that a limiter is connected to; the arguments are those of `Limiter.connect`."""
    checked_seconds(deadline, "deadline", at_least=0.001, at_most=10)
    checked_seconds(connect_timeout, "connect_timeout", at_least=0.01, at_most=60)
    if not isinstance(url, str):
        raise InvalidInputError("redis url", shape_of(url), "text such as redis://127.0.0.1:6379")
    return RedisStore(
        connect(url, connect_timeout=connect_timeout),
        SystemClock(),
        logger,
        keyspace=keyspace,
        deadline_us=round(deadline * 1_000_000),
    )
