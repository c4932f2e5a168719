"""The limiter for threads: the same verbs without ``await``.

What can be decided in this process is decided in the caller's thread. The rest goes to one event loop
in the background, where the requests of all threads meet in the same batches; there is no second engine.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from sluicegate.database import Keyspace, tags_for
from sluicegate.monitoring import StandardLogger
from sluicegate.ratelimit.background import Background
from sluicegate.ratelimit.checking import checked_all, checked_peek, checked_refund, checked_reset
from sluicegate.ratelimit.decision import Decision, JointDecision
from sluicegate.ratelimit.decorating import Function, check_decoration, decorated, key_function
from sluicegate.ratelimit.engine import DENY_CACHE_US, forget_parent_after_fork, in_order
from sluicegate.ratelimit.joint import Joint
from sluicegate.ratelimit.limiter import Limiter
from sluicegate.ratelimit.overruling import BlockingBans, BlockingRateOverrides
from sluicegate.ratelimit.parts import store_at
from sluicegate.ratelimit.stages.lease_book import LEASES_MAX
from sluicegate.ratelimit.stores.memory import KEYS_MAX
from sluicegate.utils import InvalidInputError, LimiterClosedError, SluicegateError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.background import Ask
    from sluicegate.ratelimit.engine import Engine
    from sluicegate.ratelimit.features import Features
    from sluicegate.ratelimit.holds import Hold
    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.statistics import Statistics
    from sluicegate.ratelimit.stores.store import Promise, Reply, Request, Store
    from sluicegate.utils import Clock

__all__ = ["BlockingHold", "BlockingLimiter"]

Result = TypeVar("Result")


class BlockingLimiter:
    """Decides whether one more request may pass; its verbs block, and any number of threads may call them.

    The arguments, the verbs and the decisions are those of `Limiter`. Use it as ``with``, or call
    `close` when done.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        keys_max: int = KEYS_MAX,
        store: Store | None = None,
        logger: Logger | None = None,
        deny_cache_s: float = DENY_CACHE_US / 1_000_000,
        lease_keys_max: int = LEASES_MAX,
        changes: bool = False,
    ) -> None:
        self._limiter = Limiter(
            clock=clock,
            keys_max=keys_max,
            store=store,
            logger=logger,
            deny_cache_s=deny_cache_s,
            lease_keys_max=lease_keys_max,
            changes=changes,
        )
        self._engine = self._limiter.engine
        self._background = Background()
        self.bans = BlockingBans(self._limiter.bans, self.run)
        self.overrides = BlockingRateOverrides(self._limiter.overrides, self.run)
        self._engine.leases.renewals.post = self._post
        self._acquire_here = self._engine.acquire_here
        forget_parent_after_fork(self, BlockingLimiter._after_fork)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        deadline: float = 0.05,
        connect_timeout: float = 2.0,
        key_prefix: str = "sg",
        key_secret: bytes = b"",
        deny_cache_s: float = DENY_CACHE_US / 1_000_000,
        changes: bool = False,
        logger: Logger | None = None,
    ) -> Self:
        """Return a limiter whose state is in Redis; see `Limiter.connect`."""
        logger = logger or StandardLogger()
        store = store_at(
            url,
            deadline=deadline,
            connect_timeout=connect_timeout,
            keyspace=Keyspace(key_prefix, secret=key_secret, tags=tags_for(url)),
            logger=logger,
        )
        return cls(store=store, logger=logger, deny_cache_s=deny_cache_s, changes=changes)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # nobody will leave what was not entered
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> bool:
        """Get the store ready; entering does this. See `Limiter.start`."""
        return self._background.run(self._limiter.start())

    def acquire(self, limit: Limit, key: str, cost: int = 1) -> Decision:
        """Take *cost* units of *limit* for *key*, or say when they can be had; see `Limiter.acquire`."""
        acquire_here = self._acquire_here
        here = acquire_here(limit, key, cost)
        if type(here) is Decision:
            return here
        request = cast("Request", here)
        try:
            return self._engine.acquired(request, self._background.ask(self._engine.ask_there, request))
        except StoreError as error:
            return self._engine.acquired(request, error)

    def acquire_all(self, limits: Sequence[tuple[Limit, str] | tuple[Limit, str, int]]) -> JointDecision:
        """Take of several limits at once, all or nothing; see `Limiter.acquire_all`."""
        request, order = checked_all(limits)
        joint = Joint(self._engine, request)
        try:
            while joint.left:
                joint.settle([self._outcome(request) for request in joint.left])
        except SluicegateError:
            joint.put_back()
            raise
        finally:
            if joint.owed:
                self._background.run(self._engine.give_back(joint.owed))
        return in_order(joint.decisions, order)

    def acquire_many(self, limits: Sequence[tuple[Limit, str] | tuple[Limit, str, int]]) -> tuple[Decision, ...]:
        """Take of several limits, each for itself; see `Limiter.acquire_many`."""
        return self._background.run(self._limiter.acquire_many(limits))

    def wait(self, limit: Limit, key: str, cost: int = 1, *, timeout: float) -> Decision:
        """Wait for *cost* units; see `Limiter.wait`."""
        return self._background.run(self._limiter.wait(limit, key, cost, timeout=timeout))

    def peek(self, limit: Limit, key: str, cost: int = 1) -> Decision:
        """Say what an `acquire` would be answered; see `Limiter.peek`."""
        here = self._engine.peek_here(checked_peek(limit, key, cost))
        if isinstance(here, Decision):
            return here
        return self._engine.decided(here, self._outcome(here), counted=False)[0]

    def reset(self, limit: Limit, key: str) -> bool:
        """Forget the state of *key*; see `Limiter.reset`."""
        return self._asked(checked_reset(limit, key)).answers[0] > 0

    def refund(self, decision: Decision) -> int:
        """Give back what a decision took, once; see `Limiter.refund`."""
        request = checked_refund(decision)
        return self._asked(request).answers[0] if request is not None else 0

    def hold(self, limit: Limit, key: str) -> BlockingHold:
        """Return a hold on one unit of a ``concurrency`` limit, to be entered with ``with``; see `Limiter.hold`."""
        return BlockingHold(self, self._limiter.hold(limit, key))

    def limit(self, limit: Limit, *, key: str | Callable[..., str], cost: int = 1) -> Callable[[Function], Function]:
        """Decorate a plain function so that each call takes *cost* units first; see `Limiter.limit`."""
        check_decoration(limit, key, cost)
        key_of = key_function(key)

        def decorate(function: Function) -> Function:
            if inspect.iscoroutinefunction(function):
                raise InvalidInputError("function", "an async function", "a plain one, or a Limiter")

            return decorated(
                function,
                key_of,
                holds=limit.plan.holds,
                acquire=lambda whose: self.acquire(limit, whose, cost),
                hold=lambda whose: self.hold(limit, whose),
            )

        return decorate

    def switch(self, features: Features) -> None:
        """Switch features on or off, from the next request on; see `Limiter.switch`."""
        self._limiter.switch(features)

    @property
    def features(self) -> Features:
        """Which features are on."""
        return self._limiter.features

    @property
    def engine(self) -> Engine:
        """What checks, asks and answers; see `Limiter`."""
        return self._engine

    def statistics(self) -> Statistics:
        """Return what was decided so far in this process."""
        return self._limiter.statistics()

    def close(self) -> None:
        """Give back holds, close the connections and end the background thread."""
        if not self._engine.closed:
            try:
                self._background.run(self._limiter.aclose())
            finally:
                self._background.stop()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run *coroutine* on the background loop and wait for it; what holds and bans are made of."""
        return self._background.run(coroutine)

    def _asked(self, request: Request) -> Reply:
        return self._engine.settled(request, self._outcome(request))

    def _outcome(self, request: Request) -> Reply | StoreError:
        here = self._engine.answer_here(request)
        if here is not None:
            return here
        try:
            return self._background.ask(self._engine.ask_there, request)
        except StoreError as error:
            return error

    def _post(self, ask: Ask, request: Request, promise: Promise) -> None:
        self._background.post(ask, request, promise)

    def _after_fork(self) -> None:
        self._background.after_fork()
        self._background = Background()


class BlockingHold:
    """One unit of a concurrency limit; a context manager that takes and gives it back.

    It is entered once at a time, and afresh when entered again; see `Hold`.
    """

    __slots__ = ("_hold", "_limiter")

    def __init__(self, limiter: BlockingLimiter, hold: Hold) -> None:
        self._limiter = limiter
        self._hold = hold

    @property
    def lost(self) -> bool:
        """Whether the unit may belong to somebody else by now; once true it stays true."""
        return self._hold.lost

    @property
    def decision(self) -> Decision | None:
        """How it was granted; before that ``None``."""
        return self._hold.decision

    def __enter__(self) -> Self:
        self._limiter.run(self._hold.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the unit back; it does no harm twice."""
        with suppress(LimiterClosedError):  # closing gave it back
            self._limiter.run(self._hold.release())
