"""The one way of a request: checked once, decided here or there, answered truly, counted.

`Limiter` awaits what has to be awaited, `BlockingLimiter` waits for it in its thread; between the
check and the answer both come through here.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sluicegate.monitoring import Counters
from sluicegate.ratelimit.decision import NOTHING_TAKEN, UNKNOWN_US, Decision, JointDecision
from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.store_watch import StoreWatch
from sluicegate.ratelimit.stores.store import ACQUIRE, PEEK, REFUND, RESET, Reply, Request
from sluicegate.utils import (
    COST_MAX,
    KEY_LENGTH_MAX,
    InvalidInputError,
    LimiterClosedError,
    StoreError,
    checked_cost,
    checked_key,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.stores.store import Member, Store
    from sluicegate.utils import Clock

__all__ = ["Engine", "forget_parent_after_fork", "in_order"]

OUTCOMES = ("denied", "allowed", "shadow_denied", "degraded_denied", "degraded_allowed")
_DENIED, _ALLOWED, _SHADOW_DENIED, _DEGRADED = range(4)

MEMBERS_MAX = 32  # limits that one request may stand under
BULK_MAX = 1_000  # independent requests in one call: what Redis decides well within a deadline, beside everybody else
ANSWER_LENGTH = 4

Owner = TypeVar("Owner")

_decision_of = tuple.__new__  # a third of the cost of the generated constructor
_MEMBER_ACCEPTED = "(limit, key) or (limit, key, cost)"


class Engine:
    """Checks requests, asks the store, and makes decisions of its answers.

    Args:
        store: Where state lives.
        clock: This process's time.
        logger: Told when the store is lost and when it is back.
    """

    def __init__(self, store: Store, clock: Clock, logger: Logger) -> None:
        self.store = store
        self.clock = clock
        self.logger = logger
        self.counters = Counters(len(OUTCOMES))
        self.sleep: Callable[[float], Awaitable[None]] = getattr(clock, "sleep", asyncio.sleep)
        self.closed = False
        self._watch = StoreWatch(logger, clock, store.source)
        self._acquire_one = store.acquire_one if store.at_once else None
        self.ask_there = _never_asked if store.at_once else store.ask
        self._source = store.source
        self._row = self.counters.row

    def acquire_here(self, limit: Limit, key: str, cost: int) -> Decision | Request:
        """Check an acquire and decide it here, or return the request that has to be asked there."""
        acquire_one = self._acquire_one
        # The common case is checked in place: this runs for every decision.
        if type(limit) is not Limit or type(cost) is not int or not 0 <= cost <= COST_MAX or type(key) is not str:
            key = self.checked_acquire(limit, key, cost)
        if acquire_one is not None:
            try:
                decision = acquire_one(limit, key, cost)
            except StoreError as error:
                return self.acquired(Request(ACQUIRE, ((limit, checked_key(key), cost),)), error)
            if decision is not None:
                row = self._row
                row(limit.name)[_SHADOW_DENIED if limit.shadow and decision[10] else decision[0]] += 1
                return decision
        if limit.plan.holds:
            raise _not_acquirable(limit)
        if not key.isascii() or not key.isprintable() or not 0 < len(key) <= KEY_LENGTH_MAX:
            key = checked_key(key)
        request = Request(ACQUIRE, ((limit, key, cost),))
        if acquire_one is None:
            return request
        return self.acquired(request, cast("Reply | StoreError", self.answer_here(request)))

    def answer_here(self, request: Request) -> Reply | StoreError | None:
        """Return what a store answers that answers at once, or its failure; ``None`` where it has to be awaited."""
        store = self.store
        try:
            return store.ask_now(request) if store.at_once else None
        except StoreError as error:
            return error

    def checked_acquire(self, limit: Limit, key: str, cost: int) -> str:
        """Check what an acquire would be given; return the key."""
        if type(limit) is not Limit or limit.plan.holds:
            raise _not_acquirable(limit)
        checked_cost(cost)
        return checked_key(key)

    def checked_hold(self, limit: Limit, key: str) -> str:
        """Check a hold and return its key."""
        if type(limit) is not Limit or not limit.plan.holds:
            found = f"{limit.algorithm} limit {limit.name!r}" if type(limit) is Limit else shape_of(limit)
            raise InvalidInputError("limit", found, "a Limit with algorithm concurrency")
        return checked_key(key)

    def checked_all(self, members: Sequence[Any]) -> tuple[Request, list[int]]:
        """Check an acquire of several limits; a pair named twice is taken once, with the greater cost.

        Returns:
            The request, and for each member as it was named its place in the request.
        """
        checked = self._checked_members(members, MEMBERS_MAX)
        places: dict[tuple[str, str], int] = {}
        merged: list[Member] = []
        order = []
        for limit, key, cost in checked:
            place = places.setdefault((limit.plan.prefix, key), len(merged))
            if place == len(merged):
                merged.append((limit, key, cost))
            elif not merged[place][0].decides_like(limit):
                raise InvalidInputError("limits", f"two rules named {limit.name!r}", "one rule for one name")
            else:
                merged[place] = (limit, key, max(cost, merged[place][2]))
            order.append(place)
        return Request(ACQUIRE, tuple(merged)), order

    def checked_many(self, members: Sequence[Any]) -> list[Request]:
        """Check independent acquires; return a request each."""
        return [Request(ACQUIRE, (member,)) for member in self._checked_members(members, BULK_MAX)]

    def checked_peek(self, limit: Limit, key: str, cost: int) -> Request:
        """Check a peek."""
        if type(limit) is not Limit:
            raise _not_acquirable(limit)
        return Request(PEEK, ((limit, checked_key(key), checked_cost(cost)),))

    def checked_reset(self, limit: Limit, key: str) -> Request:
        """Check a reset."""
        if type(limit) is not Limit:
            raise _not_acquirable(limit)
        return Request(RESET, ((limit, checked_key(key), 0),))

    def checked_refund(self, decision: Decision) -> Request | None:
        """Check a refund; ``None`` when the decision took nothing from the store."""
        if type(decision) is not Decision:
            raise InvalidInputError("decision", shape_of(decision), "a Decision of this limiter")
        if decision.limit.plan.holds:
            raise InvalidInputError(
                "decision", f"one of concurrency limit {decision.limit.name!r}", "release() of its hold"
            )
        if not decision.allowed or decision.serial == NOTHING_TAKEN or decision.shadow_denied or decision.cost == 0:
            return None
        detail = (decision.decided_at_us, decision.decided_at_us + decision.reset_after_us, decision.serial)
        return Request(REFUND, ((decision.limit, decision.key, decision.cost),), detail)

    async def ask(self, request: Request) -> Reply:
        """Ask the store, for verbs that nothing can answer in its place.

        Raises:
            StoreError: There is no usable answer.
        """
        outcome = await self.outcome(request)
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    async def acquire_there(self, request: Request) -> Decision:
        """Ask the store for the one member of an acquire, and make and count the decision."""
        loop = asyncio.get_running_loop()
        promise: asyncio.Future[Reply] = asyncio.Future(loop=loop)
        try:
            self.ask_there(request, promise, loop)
            return self.acquired(request, await promise)
        except StoreError as error:
            return self.acquired(request, error)

    def acquired(self, request: Request, outcome: Reply | StoreError) -> Decision:
        """Do what `decided` does for the one member of an acquire, in as few steps as there are."""
        if isinstance(outcome, StoreError):
            return self.counted(self.fallen_back(request, outcome))[0]
        if self._watch.lost:
            self._watch.answered()
        decision = self._decision(request[1][0], outcome.answers, outcome)
        self._row(decision[1].name)[_SHADOW_DENIED if decision[10] else decision[0]] += 1
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
        if self._watch.lost:
            self._watch.answered()
        answers = reply.answers
        members = request.members
        if len(members) == 1:
            return (self._decision(members[0], answers, reply),)
        decisions = tuple(
            self._decision(member, answers[at * ANSWER_LENGTH : (at + 1) * ANSWER_LENGTH], reply)
            for at, member in enumerate(members)
        )
        if all(decisions):
            return decisions
        # Beside a denial even what a shadow limit would have allowed was not taken, and cannot be refunded.
        return tuple(decision._replace(serial=NOTHING_TAKEN) if decision else decision for decision in decisions)

    def fallen_back(self, request: Request, error: StoreError) -> tuple[Decision, ...]:
        """Make the decisions that answer in the store's place, as each limit says."""
        self._watch.failed(error)
        now_us = self.clock.now_us()
        decisions = []
        for limit, key, cost in request.members:
            self._watch.fell_back(limit)
            allowed = limit.shadow or limit.on_failure == "open"
            wait_us = 0 if allowed else UNKNOWN_US
            decisions.append(
                Decision(allowed, limit, key, cost, None, wait_us, 0, now_us, "fallback", True, False, NOTHING_TAKEN)  # noqa: FBT003 - a tuple's places
            )
        return tuple(decisions)

    def counted(self, decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
        """Count *decisions* and return them."""
        for decision in decisions:
            outcome = _SHADOW_DENIED if decision.shadow_denied else int(decision.allowed)
            if decision.degraded:
                outcome += _DEGRADED
            self._row(decision.limit.name)[outcome] += 1
        return decisions

    def after_fork(self) -> None:
        """Share nothing with the parent."""
        self.counters.after_fork()
        self.store.after_fork()

    def check_open(self) -> None:
        """Refuse to go on when closed."""
        if self.closed:
            raise LimiterClosedError("the limiter is closed")

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

    def _checked_members(self, members: Sequence[Any], most: int) -> list[Member]:
        if not isinstance(members, list | tuple) or not 1 <= len(members) <= most:
            found = f"{len(members):,} of them" if isinstance(members, list | tuple) else shape_of(members)
            raise InvalidInputError("limits", found, f"a list of 1 to {most:,} of {_MEMBER_ACCEPTED}")
        checked = []
        for at, member in enumerate(members):
            if not isinstance(member, list | tuple) or len(member) not in (2, 3):
                raise InvalidInputError(f"limits[{at}]", shape_of(member), _MEMBER_ACCEPTED)
            limit, key, cost = (*member, 1)[:3]
            if type(limit) is not Limit or limit.plan.holds:
                raise _not_acquirable(limit, f"limits[{at}]")
            checked.append((limit, checked_key(key, f"limits[{at}] key"), checked_cost(cost, f"limits[{at}] cost")))
        return checked


def _never_asked(*_: object) -> None:
    raise AssertionError("the store answers at once")


def in_order(decisions: tuple[Decision, ...], order: Sequence[int]) -> JointDecision:
    """Join the decisions of a request, each member answered where it was named."""
    return JointDecision.of(tuple(decisions[place] for place in order))


def _not_acquirable(limit: object, where: str = "limit") -> InvalidInputError:
    if type(limit) is Limit:
        return InvalidInputError(where, f"concurrency limit {limit.name!r}", "hold() for it, or a limit with a rate")
    return InvalidInputError(where, shape_of(limit), "a Limit")


def forget_parent_after_fork(owner: Owner, forget: Callable[[Owner], None]) -> None:
    """Call *forget* on *owner* in each forked child, for as long as the owner lives."""
    reference = weakref.ref(owner)

    def in_child() -> None:
        alive = reference()
        if alive is not None:
            forget(alive)

    os.register_at_fork(after_in_child=in_child)
