"""Limits around functions: what goes in and out passes through, and only a call that runs has its unit."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import BlockingLimiter, InvalidInputError, Limit, Limiter, LimitExceededError, NullLogger
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

API = Limit("api", "3/minute")
HELD = Limit("held", "1", algorithm="concurrency", hold_seconds=60)


class Face:
    """A limiter of either kind in memory, and functions decorated with it that are called alike."""

    def __init__(self, face: str) -> None:
        self.face = face
        clock = ManualClock(1_700_006_400)
        self.limiter: Any = (
            BlockingLimiter(clock=clock, logger=NullLogger())
            if face == "sync"
            else Limiter(clock=clock, logger=NullLogger())
        )

    def decorated(self, function: Callable[..., Any], limit: Limit = API, **options: Any) -> Callable[..., Any]:
        """Decorate *function*, made async where the limiter is, and return what calls it."""
        decorate = self.limiter.limit(limit, **{"key": "key", **options})
        if self.face != "async":
            plain: Callable[..., Any] = decorate(function)
            return plain

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        limited = decorate(awaited)

        @functools.wraps(limited)
        def called(*args: Any, **kwargs: Any) -> Any:
            return asyncio.run(limited(*args, **kwargs))

        return called

    def remaining(self, key: str = "key", limit: Limit = API) -> int | None:
        """Return what is left."""
        looked = self.limiter.peek(limit, key)
        return (asyncio.run(looked) if inspect.isawaitable(looked) else looked).remaining  # type: ignore[no-any-return] # of either


@pytest.fixture(params=["async", "sync", "async with plain functions"])
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    """Each way in which a function can be limited."""
    made = Face(request.param)
    yield made
    if request.param == "sync":
        made.limiter.close()


def test_arguments_and_results_pass_through(face: Face) -> None:
    """The function gets what the caller gave, and the caller what the function returned."""

    def function(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert face.decorated(function)(1, [2], three=3) == ((1, [2]), {"three": 3})


def test_a_key_may_be_told_by_the_arguments(face: Face) -> None:
    """A function of the call's own arguments, by place and by name, says who is limited."""
    told: list[Any] = []

    def key_of(user: str, *, tenant: str = "none") -> str:
        told.append((user, tenant))
        return f"{tenant}:{user}"

    def function(user: str, *, tenant: str = "none") -> str:
        return user + tenant

    limited = face.decorated(function, key=key_of)
    assert [limited("ann", tenant="x"), limited("ann"), limited(user="ann", tenant="x")] == ["annx", "annnone", "annx"]
    assert told == [("ann", "x"), ("ann", "none"), ("ann", "x")]
    assert (face.remaining("x:ann"), face.remaining("none:ann"), face.remaining("none:bob")) == (1, 2, 3)


def test_a_method_is_limited_by_its_object(face: Face) -> None:
    """The key function sees self like any other argument."""

    class Account:
        def __init__(self, name: str) -> None:
            self.name = name

        def pay(self, amount: int) -> str:
            return f"{self.name} pays {amount}"

    limited = face.decorated(Account.pay, key=lambda self, _amount: self.name)
    assert limited(Account("ann"), 5) == "ann pays 5"
    assert (face.remaining("ann"), face.remaining("bob")) == (2, 3)


def test_a_call_takes_its_cost(face: Face) -> None:
    """Each call takes what the decorator says."""
    limited = face.decorated(lambda: "ran", cost=2)
    assert limited() == "ran"
    assert face.remaining() == 1
    with pytest.raises(LimitExceededError):
        limited()
    assert face.remaining() == 1


def test_a_denied_call_does_not_run(face: Face) -> None:
    """The exception carries the decision, and the function was never entered."""
    runs: list[int] = []
    limited = face.decorated(runs.append)
    for number in range(3):
        limited(number)
    with pytest.raises(LimitExceededError) as denial:
        limited(3)
    assert runs == [0, 1, 2]
    assert (denial.value.decision.limit, denial.value.decision.retry_after) == (API, 20.0)


def test_what_the_function_raises_passes_through(face: Face) -> None:
    """Its exception arrives as it was raised; the call has run, so its unit is gone."""
    error = ValueError("of the function")

    def failing() -> None:
        raise error

    with pytest.raises(ValueError, match="of the function") as raised:
        face.decorated(failing)()
    assert raised.value is error
    assert face.remaining() == 2


def test_what_the_key_function_raises_passes_through(face: Face) -> None:
    """A key that cannot be told takes nothing, and the function does not run."""
    runs: list[object] = []
    with pytest.raises(KeyError, match="user"):
        face.decorated(runs.append, key=lambda _: {}["user"])(1)
    for wrong in (5, None, b"key", "", "a\x00"):
        with pytest.raises(InvalidInputError, match="key: found"):
            face.decorated(runs.append, key=lambda _, wrong=wrong: wrong)(1)
    assert runs == []
    assert face.remaining() == 3


def test_a_decorated_function_is_known_by_its_own_name(face: Face) -> None:
    """Name, documentation, annotations and signature are those of the function."""

    def function(one: int, *, two: str = "x") -> bool:
        """Say whether."""
        return bool(one) and bool(two)

    limited = face.decorated(function)
    assert (limited.__name__, limited.__doc__, limited.__module__) == ("function", "Say whether.", __name__)
    assert inspect.signature(limited) == inspect.signature(function)
    assert inspect.unwrap(limited) is function
    assert limited.__annotations__ == function.__annotations__


async def test_an_async_function_stays_one() -> None:
    """Frameworks that ask whether to await it are told so, also under a concurrency limit."""
    async with Limiter(logger=NullLogger()) as limiter:

        async def awaited() -> None:
            """Do nothing."""

        for limit in (API, HELD):
            limited = limiter.limit(limit, key="key")(awaited)
            assert inspect.iscoroutinefunction(limited)
            await limited()


async def test_a_plain_function_is_refused_where_something_has_to_be_awaited(redis_url: str) -> None:
    """With Redis, and for holds, the refusal names the limiter that can."""
    async with Limiter.connect(redis_url, logger=NullLogger()) as shared, Limiter(logger=NullLogger()) as alone:
        for limiter, limit in ((shared, API), (shared, HELD), (alone, HELD)):
            with pytest.raises(
                InvalidInputError, match="function: found a plain function; accepted: an async one, or a"
            ):
                limiter.limit(limit, key="key")(lambda: None)


async def test_a_unit_is_held_while_the_function_runs() -> None:
    """Not before, not after, and nobody else has it meanwhile; neither an exception nor a cancellation keeps it."""
    async with Limiter(logger=NullLogger()) as limiter:
        go_on = asyncio.Event()

        async def remaining() -> int | None:
            return (await limiter.peek(HELD, "key")).remaining

        @limiter.limit(HELD, key="key")
        async def function(*, fail: bool = False) -> int | None:
            if fail:
                raise ZeroDivisionError
            await go_on.wait()
            return await remaining()

        running = asyncio.create_task(function())
        await asyncio.sleep(0)
        assert await remaining() == 0
        with pytest.raises(LimitExceededError):
            await function()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await remaining() == 1
        with pytest.raises(ZeroDivisionError):
            await function(fail=True)
        assert await remaining() == 1
        go_on.set()
        assert await function() == 0
        assert await remaining() == 1


def test_a_thread_holds_a_unit_while_its_function_runs() -> None:
    """An exception gives it back too."""
    with BlockingLimiter(logger=NullLogger()) as limiter:

        @limiter.limit(HELD, key="key")
        def function(*, fail: bool = False) -> int | None:
            if fail:
                raise ZeroDivisionError
            with pytest.raises(LimitExceededError):
                function()
            return limiter.peek(HELD, "key").remaining

        assert function() == 0
        with pytest.raises(ZeroDivisionError):
            function(fail=True)
        assert limiter.peek(HELD, "key").remaining == 1


@pytest.mark.parametrize("cost", [-1, 1.5, True, "1", 10**9 + 1])
def test_a_cost_that_is_none_is_refused_by_name(face: Face, cost: Any) -> None:
    """Nothing is taken, and the function does not run."""
    runs: list[object] = []
    with pytest.raises(InvalidInputError, match="cost: found"):
        face.decorated(runs.append, cost=cost)(1)
    assert runs == []
    assert face.remaining() == 3
