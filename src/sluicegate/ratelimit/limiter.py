"""The limiter that is awaited: every verb in one place, each a check, an ask and an answer."""

from __future__ import annotations

import functools
from asyncio import Future, get_running_loop
from typing import TYPE_CHECKING, Self, cast

from sluicegate.database import Keyspace, tags_for
from sluicegate.monitoring import StandardLogger
from sluicegate.ratelimit.checking import (
    checked_acquire,
    checked_all,
    checked_hold,
    checked_many,
    checked_peek,
    checked_refund,
    checked_reset,
)
from sluicegate.ratelimit.decision import Decision, JointDecision
from sluicegate.ratelimit.decorating import Function, decorator_of
from sluicegate.ratelimit.engine import DENY_CACHE_US, forget_parent_after_fork, in_order
from sluicegate.ratelimit.features import Features
from sluicegate.ratelimit.holds import Hold, HoldKeeper
from sluicegate.ratelimit.joint import Joint
from sluicegate.ratelimit.overruling import Bans, RateOverrides
from sluicegate.ratelimit.parts import closed, engine_of, started, store_at
from sluicegate.ratelimit.stages.lease_book import LEASES_MAX
from sluicegate.ratelimit.statistics import Statistics
from sluicegate.ratelimit.stores.memory import KEYS_MAX
from sluicegate.ratelimit.stores.store import Request
from sluicegate.ratelimit.waiting import WaitingLines
from sluicegate.utils import InvalidInputError, SluicegateError, StoreError, checked_seconds, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.stores.store import Reply, Store
    from sluicegate.utils import Clock

__all__ = ["Limiter"]

WAIT_SECONDS_MAX = 86_400.0  # who waits longer should be queued by something that survives a restart


class Limiter:
    """Decides whether one more request may pass; its verbs are awaited.

    ``Limiter()`` keeps state in this process; ``Limiter.connect(url)`` keeps it in Redis, where many
    processes share it. The verbs and the decisions are the same. Use it as ``async with``.

    Attributes:
        engine: What checks, asks and answers; for those who build other verbs on it.
        bans: Keys that are denied whatever their rate.
        overrides: Other rates for single keys.

    Args:
        clock: The time that decides, for state in this process. Default: the machine's.
        keys_max: The most keys to remember in this process, from 1. Default 100,000.
        store: Another store, in place of the memory of this process.
        logger: Where events go. Default: the standard library's logger ``sluicegate``.
        deny_cache_s: Seconds for which a denial of another store is believed at most, from 0 (never) to 60. Default 1.
        lease_keys_max: The most keys that have a lease at once. Default 10,000.
        changes: Whether bans and overrides that other processes make are in force here within a second, which costs a
            command every few seconds and a connection. Default: only once this limiter has made one itself.
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
        self.engine = engine_of(
            clock,
            store,
            logger,
            keys_max=keys_max,
            deny_cache_s=deny_cache_s,
            lease_keys_max=lease_keys_max,
            changes=changes,
        )
        self.bans = Bans(self.engine.ruling)
        self.overrides = RateOverrides(self.engine.ruling)
        self._keeper = HoldKeeper(self.engine)
        self._lines = WaitingLines(self.engine.clock, self.engine.sleep)
        self._acquire_here = self.engine.acquire_here
        forget_parent_after_fork(self, Limiter._after_fork)

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
        """Return a limiter whose state is in the Redis (7.0 or newer) or Valkey at *url*.

        Nothing is sent before it is entered or used. Entering waits up to *connect_timeout* for the
        server, and then starts degraded, with one line in the log.

        Args:
            url: ``redis://host:port/db``, ``rediss://`` or ``unix://``, with user and password where needed.
            deadline: Seconds until every verb has an answer, from 0.001 to 10. Default 0.05.
            connect_timeout: Seconds allowed for a connection, from 0.01 to 60. Default 2.
            key_prefix: What all keys begin with: 1 to 32 letters, digits, ``-`` or ``_``. Default ``sg``.
            key_secret: Keys the digests of long keys, so that nobody tells from the server's keys whose they
                are: up to 64 bytes, the same in the whole fleet. Default none.
            deny_cache_s: Seconds for which a denial is believed at most, so that who is denied again and again costs
                the server nothing, from 0 (ask each time) to 60. Until then another process's reset or refund
                goes unnoticed. Default 1.
            changes: Whether bans and overrides of other processes are in force here within a second; see `Limiter`.
            logger: Where events go. Default: the standard library's logger ``sluicegate``.

        Raises:
            InvalidInputError: An argument is refused.
            ConfigurationError: The extra ``redis`` is not installed.
        """
        logger = logger or StandardLogger()
        store = store_at(
            url,
            deadline=deadline,
            connect_timeout=connect_timeout,
            keyspace=Keyspace(key_prefix, secret=key_secret, tags=tags_for(url)),
            logger=logger,
        )
        return cls(store=store, logger=logger, deny_cache_s=deny_cache_s, changes=changes)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:  # nobody will leave what was not entered
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> bool:
        """Get the store ready; entering does this.

        Returns:
            Whether the store answered; if not, the limiter runs degraded until it does.

        Raises:
            ConfigurationError: The store can never be used as it is, such as a server that is too old.
        """
        return await started(self.engine)

    async def acquire(self, limit: Limit, key: str, cost: int = 1) -> Decision:
        """Take *cost* units of *limit* for *key*, or say when they can be had.

        Args:
            limit: The rule.
            key: Who is limited, such as ``user:42``: text of 1 to 4,096 characters.
            cost: Units to take, a whole number from 0 to 1,000,000,000. 0 looks: it is allowed
                unless the key is in debt.

        Returns:
            The decision. A denial consumes nothing and is an answer, not an error.

        Raises:
            InvalidInputError: An argument is refused; nothing was consumed.

        If cancelled, the units may be taken already: the request can have left.
        """
        here = self._acquire_here(limit, key, cost)
        if type(here) is Decision:
            return here
        # What would read better as one more coroutine is written out: every decision would pay for it twice.
        request, engine, loop = cast("Request", here), self.engine, get_running_loop()
        promise: Future[Reply] = Future(loop=loop)
        try:
            engine.ask_there(request, promise, loop)
            return engine.acquired(request, await promise)
        except StoreError as error:
            return engine.acquired(request, error)

    async def acquire_all(self, limits: Sequence[tuple[Limit, str] | tuple[Limit, str, int]]) -> JointDecision:
        """Take of several limits at once: all of them grant, or none is charged. One round trip.

        Args:
            limits: ``(limit, key)`` or ``(limit, key, cost)``, 1 to 32 of them. A pair named twice
                is taken once, with the greater cost.

        On a Cluster limits that are decided together lie together (see `group` of `Limit`), but for leased ones, which
        are asked first, in a round trip of their own, when no units of them are in hand.

        Returns:
            The joint decision: which limit binds, and what remains of each.

        Raises:
            InvalidInputError: An argument is refused, or strict limits lie apart; nothing was consumed.

        If cancelled, the units may be taken already.
        """
        request, order = checked_all(limits)
        joint = Joint(self.engine, request)
        try:
            while joint.left:
                joint.settle(await self.engine.outcomes(joint.left))
        except SluicegateError:
            joint.put_back()
            raise
        finally:
            if joint.owed:
                await self.engine.give_back(joint.owed)
        return in_order(joint.decisions, order)

    async def acquire_many(self, limits: Sequence[tuple[Limit, str] | tuple[Limit, str, int]]) -> tuple[Decision, ...]:
        """Take of several limits, each for itself, in the order given.

        Args:
            limits: ``(limit, key)`` or ``(limit, key, cost)``, 1 to 1,000 of them.

        Returns:
            A decision for each. On Redis many of them travel in batches that may overtake each other: only up to
            16 are sure to be decided in the order given.

        Raises:
            InvalidInputError: An argument is refused; nothing was consumed.

        If cancelled, units may be taken already.
        """
        here = [self._acquire_here(*member) for member in checked_many(limits)]
        requests = [each for each in here if isinstance(each, Request)]
        answers = iter(await self.engine.outcomes(requests))
        return tuple(self.engine.acquired(each, next(answers)) if isinstance(each, Request) else each for each in here)

    async def wait(self, limit: Limit, key: str, cost: int = 1, *, timeout: float) -> Decision:  # noqa: ASYNC109 - a denial is known before it
        """Wait for *cost* units, first come, first served for each key within this process.

        A direct `acquire` may overtake a waiter, above all one with a large cost.

        Args:
            limit: The rule.
            key: Who is limited.
            cost: Units to take, a whole number from 0 to 1,000,000,000.
            timeout: The longest wait in seconds, from 0 to 86,400.

        Returns:
            The decision, which is allowed.

        Raises:
            LimitExceededError: Never, or it cannot be in time: known at once of who stands first, and of
                others where not even nobody before them would help; else when their time is up.
            StoreOverloadedError: 100,000 wait already.
            InvalidInputError: An argument is refused.

        A cancelled waiter leaves the line.
        """
        key = checked_acquire(limit, key, cost)
        checked_seconds(timeout, "timeout", at_least=0, at_most=WAIT_SECONDS_MAX)
        if limit.ban is not None:  # who waits when told to is not to be banned for it
            limit = limit.without_ban()
        return await self._lines.wait(
            limit.plan.prefix + key,
            timeout,
            acquire=functools.partial(self.acquire, limit, key, cost),
            peek=functools.partial(self.peek, limit, key, cost),
        )

    async def peek(self, limit: Limit, key: str, cost: int = 1) -> Decision:
        """Say what an `acquire` would be answered, and what is there now; nothing is written.

        Returns:
            A decision whose *allowed* and *retry_after* are those of an acquire, and whose
            *remaining* and *reset_after* are those of now, with nothing taken.

        Raises:
            InvalidInputError: An argument is refused.
        """
        here = self.engine.peek_here(checked_peek(limit, key, cost))
        if isinstance(here, Decision):
            return here
        return self.engine.decided(here, await self.engine.outcome(here), counted=False)[0]

    async def reset(self, limit: Limit, key: str) -> bool:
        """Forget the state of *key*, as if it had never come.

        Returns:
            Whether there was a state.

        Raises:
            StoreError: The store could not do it, or nobody knows whether it did.
            InvalidInputError: An argument is refused.
        """
        reply = await self.engine.ask(checked_reset(limit, key))
        return reply.answers[0] > 0

    async def refund(self, decision: Decision) -> int:
        """Give back what a decision took, once: however often it is called, and by whom.

        Paced limits get back at most what the decision's own `reset_at` still lies ahead; windows
        only in the decision's own window; a log only its own entry, and that only while no more than
        256 entries lie on one side of it. So no refund opens a gap.

        Args:
            decision: An allowed decision of this limiter, or of one with the same store.

        Returns:
            The units given back, the same for each call.

        Raises:
            StoreError: The store could not do it, or nobody knows whether it did: call again.
            InvalidInputError: It is not a decision.
        """
        request = checked_refund(decision)
        if request is None:
            return 0
        reply = await self.engine.ask(request)
        return reply.answers[0]

    def hold(self, limit: Limit, key: str) -> Hold:
        """Return a hold on one unit of a ``concurrency`` limit, to be entered with ``async with``.

        It is renewed while this process lives, and expires when it does not. Entering raises
        `LimitExceededError` when all units are held. `Hold.lost` says when the unit may belong to
        somebody else: a hold is not a lock. It is entered once at a time, and afresh when entered again.

        Raises:
            InvalidInputError: An argument is refused.
        """
        key = checked_hold(limit, key)
        return Hold(self._keeper, limit, key)

    def limit(self, limit: Limit, *, key: str | Callable[..., str], cost: int = 1) -> Callable[[Function], Function]:
        """Decorate a function so that each call takes *cost* units first.

        For a ``concurrency`` limit each call holds a unit while it runs. A plain function can be
        decorated where state is in this process; with Redis use `BlockingLimiter` for it.

        Args:
            limit: The rule.
            key: Who is limited: a text, or a function of the call's arguments.
            cost: Units to take.

        Raises:
            InvalidInputError: An argument is refused, or the function cannot be decorated by this
                limiter. A decorated function raises `LimitExceededError` when denied.
        """
        return decorator_of(self, limit, key, cost)

    def switch(self, features: Features) -> None:
        """Switch features on or off, from the next request on; what was decided and taken stays as it is.

        Args:
            features: Which are to be on. `Limiter.features` says which are.

        Raises:
            InvalidInputError: It is something else.
        """
        if not isinstance(features, Features):
            raise InvalidInputError("features", shape_of(features), "Features")
        self.engine.switch(features)

    @property
    def features(self) -> Features:
        """Which features are on."""
        return self.engine.features

    def statistics(self) -> Statistics:
        """Return what was decided so far in this process."""
        return Statistics.of(self.engine)

    async def aclose(self) -> None:
        """Give back holds, answer everybody who waits, and close the connections.

        Raises:
            LimiterClosedError: It belongs to another event loop that still runs, which alone can close it.
        """
        if self.engine.closed:
            return
        check_loop = getattr(self.engine.store, "check_loop", None)
        if check_loop is not None:  # before anything is given up
            check_loop()
        await self._keeper.aclose()
        await closed(self.engine)
        self._lines.close()

    def _after_fork(self) -> None:
        """Share nothing with the parent: no socket, no lock, no hold."""
        self.engine.after_fork()
        self._keeper.after_fork()
        self._lines = WaitingLines(self.engine.clock, self.engine.sleep)
