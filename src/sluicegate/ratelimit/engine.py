"""The one way of a request: checked once, decided here or there, answered truly, counted.

HERE is this process, without waiting: a ban, a lease, the deny cache, or a store that answers at once. THERE is a
store that has to be awaited. `Limiter` awaits it, `BlockingLimiter` waits for it in its thread; between the
check and the answer both come through here.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import TYPE_CHECKING, Final, TypeVar

from sluicegate.monitoring import Counters
from sluicegate.ratelimit.at_once import acquirer
from sluicegate.ratelimit.checking import checked_acquire, not_acquirable
from sluicegate.ratelimit.decision import BANNED, NOTHING_TAKEN, UNKNOWN_US, Decision, JointDecision
from sluicegate.ratelimit.features import Features
from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.outcomes import CACHED, COLUMNS, DEGRADED, EARLY, LEASED, SHADOW_DENIED
from sluicegate.ratelimit.ruling import Ruling
from sluicegate.ratelimit.stages.deny_cache import DenyCache
from sluicegate.ratelimit.stages.lease_book import LEASES_MAX, LeaseBook
from sluicegate.ratelimit.store_watch import StoreWatch
from sluicegate.ratelimit.stores.redis import RedisStore
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, RESET, Reply, Request
from sluicegate.utils import COST_MAX, KEY_LENGTH_MAX, LimiterClosedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.stores.store import Member, Promise, Store
    from sluicegate.utils import Clock

__all__ = ["ANSWER_LENGTH", "DENY_CACHE_US", "Engine", "forget_parent_after_fork", "in_order"]

DENY_CACHE_US = 1_000_000  # how long a denial is believed, at most, after another process gave units back
ANSWER_LENGTH = 4  # granted, remaining, retry_after_us, reset_after_us

Owner = TypeVar("Owner")

_ONE: Final = 1  # there is one 1, so that the cost of nearly every request is told by what it is
_decision_of = tuple.__new__  # a third of the cost of the generated constructor
_request_of = tuple.__new__  # as above


class Engine:
    """Has requests decided by the first that can: ban, lease, deny cache, store, fallback.

    Args:
        store: Where state lives.
        clock: This process's time.
        logger: Told when the store is lost and when it is back.
        deny_cache_us: How long a denial is believed at most, in microseconds; 0 asks the store each time.
        lease_keys_max: How many keys may have a lease.

    Attributes:
        acquire_here: Checks an acquire of (limit, key, cost) and decides it here, or returns the request to ask there.
        place: Where the state of a limit and key lies, where the store cannot decide everything together.
        ruling: The bans and overrides that are in force.
        watch: Tells the log when the store is lost and when it is back.
        on_denied: Told of each denial, where somebody wants to know; ``None`` costs nothing but on denials.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        logger: Logger,
        *,
        deny_cache_us: int = DENY_CACHE_US,
        lease_keys_max: int = LEASES_MAX,
    ) -> None:
        self.store = store
        self.clock = clock
        self.logger = logger
        self.counters = Counters(COLUMNS)
        self.sleep: Callable[[float], Awaitable[None]] = getattr(clock, "sleep", asyncio.sleep)
        self.closed = False
        self.features = Features()
        self.denials = DenyCache(clock, longest_us=deny_cache_us)
        self.ruling = Ruling(store, clock, logger)
        self.on_denied: Callable[[Decision], None] | None = None
        self._overruled = self.ruling.by_key  # one look-up nearer
        self.ask_there = _never_asked if store.at_once else store.ask
        self.leases = LeaseBook(clock, self.sleep, self.ask_there, self.give_back, leases_max=lease_keys_max)
        self.leases.renewals.post = _post
        self._spend = self.leases.spend  # one look-up nearer
        self.watch = StoreWatch(logger, clock, store.source)
        self.place: Callable[[Limit, str], int] | None = getattr(store, "place", None)
        self._source = store.source
        self._row = self.counters.row
        self.acquire_here: Callable[[Limit, str, int], Decision | Request] = (
            acquirer(self, store) if store.at_once else self._acquire_here
        )

    def _acquire_here(self, limit: Limit, key: str, cost: int) -> Decision | Request:
        # The common case is checked in place: this runs for every decision.
        if (
            type(limit) is not Limit
            or (cost is not _ONE and (type(cost) is not int or not 0 <= cost <= COST_MAX))
            or type(key) is not str
            or not key.isascii()
            or not key.isprintable()
            or not 0 < len(key) <= KEY_LENGTH_MAX
        ):
            key = checked_acquire(limit, key, cost)
        plan = limit.plan
        if plan.holds:
            raise not_acquirable(limit)
        if self._overruled:
            ruled = self.ruling.ruled(limit, key, cost)
            if isinstance(ruled, Decision):
                self.check_open()
                return self.counted((ruled,))[0]
            limit, plan = ruled, ruled.plan
        decision, column = None, LEASED
        if plan.lease_us:
            decision = self._spend(limit, key, cost)
        if decision is None and self.denials.denials:  # units in hand may have come after a denial
            decision, column = self.denials.find(limit, key, cost), CACHED
        if decision is None or (limit.beside and column == CACHED):  # what is known of that is for joint requests
            return _request_of(Request, (ACQUIRE, ((limit, key, cost),), None, 1))
        if self.closed:
            raise LimiterClosedError("the limiter is closed")
        row = self._row(limit.name)
        row[decision[0]] += 1
        row[column] += 1
        if column == CACHED and (limit.ban is not None or self.on_denied is not None):
            self.denied(decision)
        return decision

    def answer_here(self, request: Request) -> Reply | StoreError | None:
        """Return what a store answers that answers at once, or its failure; ``None`` where it has to be awaited."""
        store = self.store
        try:
            return store.ask_now(request) if store.at_once else None
        except StoreError as error:
            return error

    def switch(self, features: Features) -> None:
        """Do from now on what is on, and do what is off the plain way."""
        self.features = features
        self.leases.switch(on=features.leases)
        self.denials.switch(on=features.deny_cache)
        self.ruling.changes.switch(on=features.changes)
        if isinstance(self.store, RedisStore):
            self.store.coalesces = features.coalescing
            self.store.marks = features.carrying

    async def ask(self, request: Request) -> Reply:
        """Ask the store, for verbs that nothing can answer in its place.

        Raises:
            StoreError: There is no usable answer.
        """
        return self.settled(request, await self.outcome(request))

    def settled(self, request: Request, outcome: Reply | StoreError) -> Reply:
        """Return the reply, after which nothing is believed any more that a reset or a refund has made untrue.

        Raises:
            StoreError: There is none.
        """
        limit, key, _ = request.members[0]
        if isinstance(outcome, StoreError):
            if request.verb in (RESET, REFUND):  # nobody knows whether it was done
                self.denials.forget(limit, key, -1)
            if request.verb == RESET:
                self.leases.drop(limit, key)
            raise outcome
        if request.verb in (RESET, REFUND):
            self.denials.forget(limit, key, outcome.now_us)
        if request.verb == RESET:
            self.leases.drop(limit, key, outcome.now_us)
        return outcome

    def acquired(self, request: Request, outcome: Reply | StoreError) -> Decision:
        """Do what `decided` does for the one member of an acquire, in as few steps as there are."""
        if isinstance(outcome, StoreError):
            return self.counted(self.fallen_back(request, outcome))[0]
        if self.watch.lost:
            self.watch.answered()
        limit, key, cost = request[1][0]
        now_us, serial, (granted, remaining, retry_after_us, reset_after_us), sent_us = outcome
        allowed, shadow_denied = granted > 0, False
        if not allowed and limit.shadow:
            allowed = shadow_denied = True
        self._row(limit.name)[SHADOW_DENIED if shadow_denied else allowed] += 1
        decision = _decision_of(Decision, (
            allowed, limit, key, cost, remaining, 0 if allowed else retry_after_us, reset_after_us,
            now_us, self._source, False, shadow_denied, serial,
        ))  # fmt: skip
        if not allowed or limit.plan.lease_us or self.denials.denials:
            self._note(decision, sent_us)
            if not allowed:
                self.denied(decision)
        return decision

    async def decisions(self, request: Request) -> tuple[Decision, ...]:
        """Ask the store, and make and count the decisions; when it cannot answer, the fallback does."""
        return self.decided(request, await self.outcome(request))

    async def outcome(self, request: Request) -> Reply | StoreError:
        """Return what the store answered, or its failure."""
        return (await self.outcomes((request,)))[0]

    async def outcomes(self, requests: Sequence[Request]) -> list[Reply | StoreError]:
        """Return what the store answered to each, or its failure; all are asked before the first is awaited."""
        loop = asyncio.get_running_loop()
        asked = [self._asked(request, loop) for request in requests]
        outcomes: list[Reply | StoreError] = []
        for answer in asked:
            try:
                outcomes.append(await answer if isinstance(answer, asyncio.Future) else answer)
            except StoreError as error:
                outcomes.append(error)
        return outcomes

    def _asked(self, request: Request, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Reply] | Reply | StoreError:
        here = self.answer_here(request)
        if here is not None:
            return here
        promise: asyncio.Future[Reply] = asyncio.Future(loop=loop)
        try:
            self.ask_there(request, promise, loop)
        except StoreError as error:
            return error
        return promise

    def decided(self, request: Request, outcome: Reply | StoreError, *, counted: bool = True) -> tuple[Decision, ...]:
        """Make decisions of what the store answered, or of its failure, and count them."""
        if isinstance(outcome, StoreError):
            decisions = self.fallen_back(request, outcome)
        else:
            decisions = self.answered(request, outcome)
        return self.counted(decisions) if counted else decisions

    def answered(self, request: Request, reply: Reply) -> tuple[Decision, ...]:
        """Make decisions of a reply, one for each member."""
        if self.watch.lost:
            self.watch.answered()
        answers = reply.answers
        members = request.members
        decisions = tuple(
            self._decision(member, answers[at * ANSWER_LENGTH : (at + 1) * ANSWER_LENGTH], reply)
            for at, member in enumerate(members)
        )
        if request.verb == ACQUIRE and reply.sent_us:
            for decision in decisions:
                self._note(decision, reply.sent_us)
        if len(members) == 1 or all(decisions):
            return decisions
        # Beside a denial even what a shadow limit would have allowed was not taken, and cannot be refunded.
        return tuple(decision._replace(serial=NOTHING_TAKEN) if decision else decision for decision in decisions)

    def fallen_back(self, request: Request, error: StoreError) -> tuple[Decision, ...]:
        """Make the decisions that answer in the store's place, as each limit says."""
        self.watch.failed(error)
        now_us = self.clock.now_us()
        decisions = []
        for limit, key, cost in request.members:
            self.watch.fell_back(limit)
            allowed = limit.shadow or limit.on_failure == "open"
            wait_us = 0 if allowed else UNKNOWN_US
            decisions.append(
                Decision(allowed, limit, key, cost, None, wait_us, 0, now_us, "fallback", True, False, NOTHING_TAKEN)  # noqa: FBT003 - a tuple's places
            )
        return tuple(decisions)

    def counted(self, decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
        """Count *decisions* and return them."""
        for decision in decisions:
            outcome = SHADOW_DENIED if decision.shadow_denied else int(decision.allowed)
            if decision.degraded:
                outcome += DEGRADED
            row = self._row(decision.limit.name)
            row[outcome] += 1
            if decision.source in EARLY:
                row[CACHED + EARLY.index(decision.source)] += 1
            # Denied by itself, and by who counts: not beside another limit, by a ban, or in the store's absence.
            counts = decision.limit.ban is not None and not decision.degraded and decision.source != BANNED
            if counts and decision.retry_after_us:
                self.ruling.denied(decision.limit, decision.key)
            if decision.retry_after_us and self.on_denied is not None:
                self.on_denied(decision)
        return decisions

    def denied(self, decision: Decision) -> None:
        """Count a denial against its key, where the limit bans, and tell of it."""
        limit = decision[1]
        if limit.ban is not None:
            self.ruling.denied(limit, decision[2])
        if self.on_denied is not None:
            self.on_denied(decision)

    def peek_here(self, request: Request) -> Decision | Request:
        """Return what a ban or a lease says to a peek; or what is to be asked of the store."""
        ((limit, key, cost),) = request.members
        if self._overruled:
            ruled = self.ruling.ruled(limit, key, cost)
            if isinstance(ruled, Decision):
                return ruled
            if ruled is not limit:
                limit, request = ruled, Request(PEEK, ((ruled, key, cost),))
        seen = self.leases.look(limit, key, cost) if limit.plan.lease_us else None
        return request if seen is None else seen

    def after_fork(self) -> None:
        """Share nothing with the parent."""
        self.counters.after_fork()
        self.denials.clear()
        self.leases.clear()
        self.ruling.after_fork()
        self.store.after_fork()

    def check_open(self) -> None:
        """Refuse to go on when closed."""
        if self.closed:
            raise LimiterClosedError("the limiter is closed")

    def _note(self, decision: Decision, sent_us: int) -> None:
        """Remember of the store's answer what may answer the next request."""
        if decision.limit.plan.lease_us:
            self.leases.learn(decision)
        if decision.allowed:
            self.denials.outdate(decision)
        elif decision.retry_after_us:  # else another limit of the request denied it
            self.denials.remember(decision, sent_us)

    async def give_back(self, requests: Sequence[Request]) -> list[Reply | StoreError]:
        """Give back units that were taken ahead, after which a denial is not believed any more."""
        outcomes = await self.outcomes(requests)
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, Reply):
                limit, key, _ = request.members[0]
                self.denials.forget(limit, key, outcome.now_us)
        return outcomes

    def _decision(self, member: Member, answers: Sequence[int], reply: Reply) -> Decision:
        limit, key, cost = member
        granted, remaining, retry_after_us, reset_after_us = answers
        shadow_denied = granted <= 0 and limit.shadow
        allowed = granted > 0 or shadow_denied
        return _decision_of(
            Decision,
            (
                allowed,
                limit,
                key,
                cost,
                remaining,
                0 if allowed else retry_after_us,
                reset_after_us,
                reply.now_us,
                self._source,
                False,
                shadow_denied,
                reply.serial,
            ),
        )


def _post(
    ask: Callable[[Request, Promise, asyncio.AbstractEventLoop], None], request: Request, promise: Promise
) -> None:
    """Ask without waiting, from a task of the loop."""
    ask(request, promise, asyncio.get_running_loop())


def _never_asked(*_: object) -> None:
    raise AssertionError("the store answers at once")


def in_order(decisions: tuple[Decision, ...], order: Sequence[int]) -> JointDecision:
    """Join the decisions of a request, each member answered where it was named."""
    return JointDecision.of(tuple(decisions[place] for place in order))


def forget_parent_after_fork(owner: Owner, forget: Callable[[Owner], None]) -> None:
    """Call *forget* on *owner* in each forked child, for as long as the owner lives."""
    reference = weakref.ref(owner)

    def in_child() -> None:
        alive = reference()
        if alive is not None:
            forget(alive)

    os.register_at_fork(after_in_child=in_child)
