"""Sluicegate itself: `acquire` as users call it, with the deadline, checks and counters of every day."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.contenders.target import Target

from sluicegate import BlockingLimiter, Limit, Limiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.workload import Wish

    from sluicegate import Decision, JointDecision

LEASE_SECONDS = 1.0
LOG_LIMIT_MAX = 10_000
DENY_CACHE_LONG_S = 60.0


def read(decision: Decision) -> bool:
    """Read every field; what the fallback answered is no decision of the store's."""
    _ = (decision.limit, decision.key, decision.cost, decision.remaining, decision.retry_after, decision.never)
    _ = (decision.reset_after, decision.reset_at, decision.delay, decision.source, decision.shadow_denied)
    return decision.allowed and not decision.degraded


def read_verdict(decision: Decision) -> bool:
    """Read what limits gives: whether the request may pass; and see that it was not the fallback who said so."""
    return decision.allowed and not decision.degraded


def read_denial(decision: Decision) -> bool:
    """Read every field of what should be a denial."""
    return not read(decision) and not decision.degraded


def read_joint(joint: JointDecision) -> bool:
    """Read every field of every decision."""
    admitted = [read(decision) for decision in joint.decisions]
    return all(admitted)


async def open_async(url: str, wish: Wish) -> Target:
    """Return the limiter that is awaited, on Redis."""
    limiter = Limiter.connect(url, **_options(wish))
    await limiter.start()
    return _target(limiter, limiter.aclose, wish)


def open_blocking(url: str, wish: Wish) -> Target:
    """Return the limiter for threads, on Redis."""
    limiter = BlockingLimiter.connect(url, **_options(wish))
    limiter.start()
    return _target(limiter, limiter.close, wish)


def open_memory(wish: Wish) -> Target:
    """Return the limiter for threads, with state in this process."""
    limiter = BlockingLimiter(keys_max=wish.keys_max)
    return _target(limiter, limiter.close, wish, keys=lambda: limiter.statistics().keys)


def limit_of(wish: Wish) -> Limit:
    """Return the limit that is wished for.

    Limits of one contest have names of their own where their rates differ, for keys on the server are by name.
    """
    if wish.mode == "leased":
        return Limit("lsd", _rate(wish), mode="leased", lease_seconds=LEASE_SECONDS)
    match wish.algorithm:
        case "gcra" | "acquire_all":
            return Limit("dny" if wish.denials else "api", _rate(wish))
        case "gcra-fraction":
            return Limit("frc", f"7000/hour burst {wish.burst}")  # 514,285 5/7 microseconds a unit
        case "sliding_window_log":
            return Limit("api", f"{min(wish.burst, LOG_LIMIT_MAX)}/hour", algorithm=wish.algorithm)
        case "calendar_quota":
            return Limit("api", f"{wish.burst}/day", algorithm=wish.algorithm, time_zone="UTC")
    return Limit("api", f"{wish.burst}/hour", algorithm=wish.algorithm)


def _rate(wish: Wish) -> str:
    return f"{wish.per_hour}/hour burst {wish.burst}"


def _options(wish: Wish) -> dict[str, Any]:
    caches = {"uncached": 0.0, "cached": DENY_CACHE_LONG_S}
    return {"deny_cache_s": caches[wish.mode]} if wish.mode in caches else {}


def _target(limiter: Any, close: Callable[[], Any], wish: Wish, **more: Any) -> Target:
    if wish.algorithm == "acquire_all":
        limits = [Limit(name, _rate(wish)) for name in ("api", "tenant", "all")]
        return Target(
            decide=lambda key: limiter.acquire_all([(limit, key) for limit in limits]),
            read=read_joint,
            close=close,
        )
    reads = read_verdict if wish.verdict else read_denial if wish.denials else read
    return Target(
        decide=partial(limiter.acquire, limit_of(wish)),
        read=reads,
        close=close,
        source=lambda decision: decision.source,
        **more,
    )
