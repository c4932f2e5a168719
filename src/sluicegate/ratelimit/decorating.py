"""Limits around functions: each call asks first, and a denial is an exception."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sluicegate.ratelimit.limit import Limit
from sluicegate.utils import InvalidInputError, checked_cost, checked_key, shape_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from sluicegate.ratelimit.decision import Decision

__all__ = ["Function", "check_decoration", "decorated", "decorated_async", "key_function"]

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


def decorated_async(
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
