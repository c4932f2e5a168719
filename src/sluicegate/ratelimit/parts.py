"""What a limiter is made of: refused when it does not fit, or made of what its caller says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.database import Access, connect
from sluicegate.monitoring import Logger, StandardLogger
from sluicegate.ratelimit.engine import Engine
from sluicegate.ratelimit.features import Features
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.redis import RedisStore
from sluicegate.utils import InvalidInputError, StoreError, SystemClock, checked_seconds, shape_of

if TYPE_CHECKING:
    from sluicegate.database import Keyspace
    from sluicegate.ratelimit.stores.store import Store
    from sluicegate.utils import Clock

__all__ = ["closed", "engine_of", "started", "store_at"]

DENY_CACHE_SECONDS_MAX = 60.0  # for so long another process's reset or refund could go unnoticed


def engine_of(
    clock: Clock | None,
    store: Store | None,
    logger: Logger | None,
    *,
    keys_max: int,
    deny_cache_s: float,
    lease_keys_max: int,
    changes: bool,
) -> Engine:
    """Return what decides; the arguments are those of `Limiter`.

    Raises:
        InvalidInputError: One of them is refused.
    """
    clock, logger = clock or SystemClock(), logger or StandardLogger()
    _check_parts(clock, store, logger)
    checked_seconds(deny_cache_s, "deny_cache_s", at_least=0, at_most=DENY_CACHE_SECONDS_MAX)
    store = store or MemoryStore(clock, keys_max=keys_max)
    if not isinstance(changes, bool):
        raise InvalidInputError("changes", shape_of(changes), "True or False")
    engine = Engine(store, clock, logger, deny_cache_us=round(deny_cache_s * 1_000_000), lease_keys_max=lease_keys_max)
    if changes:
        engine.switch(Features(changes=True))
    return engine


async def started(engine: Engine) -> bool:
    """Get the store ready, and know what the fleet was told; see `Limiter.start`."""
    engine.check_open()
    try:
        await engine.store.start()
    except StoreError as error:
        engine.watch.away(error)
        return False
    await engine.ruling.changes.start()
    engine.watch.there()
    return True


async def closed(engine: Engine) -> None:
    """Give back what was taken ahead, hear of nothing any more, and close the connections."""
    await engine.ruling.changes.aclose()
    await engine.leases.aclose()
    await engine.store.aclose()
    engine.closed = True


def _check_parts(clock: object, store: object, logger: object) -> None:
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
    if not isinstance(url, str):
        raise InvalidInputError("redis url", shape_of(url), "text such as redis://127.0.0.1:6379")
    return RedisStore(
        connect(url, Access(connect_timeout=connect_timeout)),
        SystemClock(),
        logger,
        keyspace=keyspace,
        deadline_us=round(deadline * 1_000_000),
    )
