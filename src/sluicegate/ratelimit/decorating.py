"""Limits around functions: each call asks first, and a denial is an exception."""

from __future__ import annotations

import functools
import inspect
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.utils import InvalidInputError, checked_cost, checked_key, shape_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from sluicegate.ratelimit.decision import Decision
    from sluicegate.ratelimit.limiter import Limiter

__all__ = ["Function", "check_decoration", "decorated", "decorator_of", "key_function"]

Function = TypeVar("Function", bound="Callable[..., Any]")


def check_decoration(limit: object, key: object, cost: object) -> None:
    """Refuse at the decoration what would be refused at every call.

    Raises:
        InvalidInputError: An argument is refused.
    """
    if not isinstance(limit, Limit):
        raise InvalidInputError("limit", shape_of(limit), "a Limit")
    if not callable(key):
        checked_key(key)
    checked_cost(cost)


def key_function(key: str | Callable[..., str]) -> Callable[..., str]:
    """Return the function of a call's arguments that names who is limited."""
    if callable(key):
        return key
    return lambda *_args, **_kwargs: key


def decorator_of(
    limiter: Limiter, limit: Limit, key: str | Callable[..., str], cost: int
) -> Callable[[Function], Function]:
    """Return the decorator of a limiter that is awaited; see `Limiter.limit`."""
    check_decoration(limit, key, cost)
    key_of = key_function(key)

    def decorate(function: Function) -> Function:
        if inspect.iscoroutinefunction(function):
            return _decorated_async(
                function,
                key_of,
                holds=limit.plan.holds,
                acquire=lambda whose: limiter.acquire(limit, whose, cost),
                hold=lambda whose: limiter.hold(limit, whose),
            )
        if limiter.engine.store.source != MemoryStore.source or limit.plan.holds:
            raise InvalidInputError("function", "a plain function", "an async one, or a BlockingLimiter")
        here = cast("Callable[..., Decision]", limiter.engine.acquire_here)
        return decorated(
            function, key_of, holds=False, acquire=lambda whose: here(limit, whose, cost), hold=nullcontext
        )

    return decorate


def _decorated_async(
    function: Function,
    key_of: Callable[..., str],
    *,
    holds: bool,
    acquire: Callable[[str], Awaitable[Decision]],
    hold: Callable[[str], AbstractAsyncContextManager[Any]],
) -> Function:
    """Return *function* so that each awaited call acquires, or holds while it runs."""

    @functools.wraps(function)
    async def limited(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's own
        key = key_of(*args, **kwargs)
        if holds:
            async with hold(key):
                return await function(*args, **kwargs)
        (await acquire(key)).raise_if_denied()
        return await function(*args, **kwargs)

    return cast("Function", limited)


def decorated(
    function: Function,
    key_of: Callable[..., str],
    *,
    holds: bool,
    acquire: Callable[[str], Decision],
    hold: Callable[[str], AbstractContextManager[Any]],
) -> Function:
    """Return *function* so that each plain call acquires, or holds while it runs."""

    @functools.wraps(function)
    def limited(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's own
        key = key_of(*args, **kwargs)
        if holds:
            with hold(key):
                return function(*args, **kwargs)
        acquire(key).raise_if_denied()
        return function(*args, **kwargs)

    return cast("Function", limited)
