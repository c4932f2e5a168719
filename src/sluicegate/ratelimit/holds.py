"""Units of a concurrency limit that are held, renewed while their holder lives, and given back.

The store's clock expires a hold. The holder measures by its own monotonic clock from before the last
acknowledged renewal was sent, so it always gives up before the store does: a hold is not a lock.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from sluicegate.ratelimit.checking import checked_hold
from sluicegate.ratelimit.decision import Decision
from sluicegate.ratelimit.stores.store import RELEASE, RENEW, TAKE, Request
from sluicegate.utils import InvalidInputError, LimiterClosedError, LimitExceededError, SluicegateError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.ratelimit.engine import Engine
    from sluicegate.ratelimit.limit import Limit

__all__ = ["Hold", "HoldKeeper", "HoldVerbs"]

RENEWALS_A_TERM = 3  # two may fail before a hold is lost
DRIFT_MARGIN_RATIO = 0.01  # how much two clocks may run apart in one term
EARLY_A_TERM = 30  # a renewal brings along what is due within a thirtieth of a term
RETRIES_A_TERM = 12  # after a renewal that failed, the next is sooner
AT_ONCE_MAX = 128  # holds renewed or given back together: two batches, so that thousands do not miss one deadline

Unit = tuple["Limit", str, str]  # of which limit, for which key, and its holder


class Hold:
    """One unit of a concurrency limit; a context manager that takes and gives it back.

    It stands for one unit at a time. Once left it can be entered again, and is then a new hold: with a holder of its
    own, not lost, and with another decision. While it is entered it cannot be entered a second time, for nobody could
    say which of the two is left first; that raises `InvalidInputError`, also when it is lost by then.

    Attributes:
        limit: The limit held.
        key: Who holds.
        decision: How it was granted, or why it was not; before that ``None``.
        holder: Who holds it at the store: random, and another one each time that it is entered.
    """

    __slots__ = ("_entered", "_lost", "_valid_until_us", "decision", "due_us", "holder", "keeper", "key", "limit")

    def __init__(self, keeper: HoldKeeper, limit: Limit, key: str) -> None:
        self.keeper = keeper
        self.limit = limit
        self.key = key
        self.decision: Decision | None = None
        self.holder = ""
        self.due_us = 0
        self._valid_until_us = 0
        self._lost = False
        self._entered = False

    @property
    def lost(self) -> bool:
        """Whether the unit may belong to somebody else by now; once true it stays true until it is entered again.

        After a release it says whether the unit was lost before that.
        """
        if not self._lost and self._entered and self.kept and self.keeper.clock.monotonic_us() >= self._valid_until_us:
            self._lost = True
        return self._lost

    @property
    def kept(self) -> bool:
        """Whether the store keeps a unit for it: not when it was granted in its absence, or by a full shadow limit."""
        decision = self.decision
        return decision is not None and decision.allowed and not (decision.degraded or decision.shadow_denied)

    async def __aenter__(self) -> Self:
        if self._entered:
            raise InvalidInputError("hold", "one that is entered already", "a hold of its own for each unit")
        self._entered, self._lost, self.decision = True, False, None
        self.holder = secrets.token_hex(16)  # nobody can release what is not theirs
        try:
            await self.keeper.take(self)
        except BaseException:
            self._entered = False
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    async def release(self) -> None:
        """Give the unit back; it does no harm twice. A store that is away lets it expire."""
        if self.decision is not None:  # else it is being taken
            _ = self.lost  # as it is now, it stays
            self._entered = False
        await self.keeper.release(self)

    def extend(self, sent_us: int) -> None:
        """Count a term from *sent_us*, the monotonic time at which its request left."""
        hold_us = self.limit.plan.rules[0][1]
        self._valid_until_us = sent_us + round(hold_us * (1 - DRIFT_MARGIN_RATIO))
        self.due_us = sent_us + hold_us // RENEWALS_A_TERM

    @property
    def early_us(self) -> int:
        """How much sooner than due it may be renewed."""
        return self.limit.plan.rules[0][1] // EARLY_A_TERM

    def lose(self) -> None:
        """Know that the unit is gone."""
        self._lost = True


class HoldVerbs:
    """What a store does with holds, for whoever keeps their tokens: this process, or a service's clients.

    Args:
        engine: What checks, asks and answers.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def take(self, limit: Limit, key: str, holder: str) -> Decision:
        """Take a unit for *holder*; who asks again keeps the unit and takes no second."""
        key = checked_hold(limit, key)
        if self._engine.ruling.by_key:
            ruled = self._engine.ruling.ruled(limit, key, 1)
            if isinstance(ruled, Decision):
                self._engine.check_open()
                return self._engine.counted((ruled,))[0]
            limit = ruled
        return (await self._engine.decisions(_request(TAKE, (limit, key, holder))))[0]

    async def renew(self, limit: Limit, key: str, holder: str) -> bool:
        """Keep the unit of *holder* for another term; return whether there still was one.

        Raises:
            StoreError: Nobody knows.
        """
        return (await self._engine.ask(_request(RENEW, (limit, key, holder)))).answers[0] > 0

    async def release(self, limit: Limit, key: str, holder: str) -> bool:
        """Give the unit of *holder* back; return whether there still was one.

        Raises:
            StoreError: Nobody knows; the store's clock will.
        """
        return (await self._engine.ask(_request(RELEASE, (limit, key, holder)))).answers[0] > 0


class HoldKeeper:
    """Renews the holds of one limiter: one task, and all that are due in as few round trips as there are batches."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._verbs = HoldVerbs(engine)
        self._sleep = engine.sleep
        self._holds: set[Hold] = set()
        self._returning: set[asyncio.Task[bool]] = set()  # units nobody waits for, on their way back
        self._task: asyncio.Task[None] | None = None
        self._changed: asyncio.Event | None = None
        self._next_us = 0  # when the task will wake by itself
        self._closed = False
        self.clock = engine.clock

    async def take(self, hold: Hold) -> None:
        """Take a unit for *hold*.

        Raises:
            LimitExceededError: All units are held.
            LimiterClosedError: The limiter was closed meanwhile.

        If cancelled, a unit that was taken already is given back behind the caller's back, or else by
        the store's clock.
        """
        sent_us = self.clock.monotonic_us()
        decision = await self._taken(hold)
        if decision.degraded or self._closed:  # the answer may be all that was lost
            self._return_unasked(hold)
        if self._closed:
            raise LimiterClosedError("the limiter was closed")
        hold.extend(sent_us)  # before another thread can see that it was granted
        hold.decision = decision
        if not decision.allowed:
            raise LimitExceededError(decision)
        if hold.kept:
            self._holds.add(hold)
            self._keep_renewing(hold.due_us)

    async def _taken(self, hold: Hold) -> Decision:
        """Take a unit; a caller who is cancelled meanwhile gives it back when it is known whether it was taken."""
        taking = self._verbs.take(*_unit_of(hold))
        if self._engine.store.at_once:
            return await taking
        task = asyncio.get_running_loop().create_task(taking)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._return_unasked(hold, task)
            raise

    async def release(self, hold: Hold) -> None:
        """Give the unit of *hold* back."""
        if hold in self._holds:
            self._holds.discard(hold)
            if not self._holds:
                self._end_renewing()
            await self._return([_unit_of(hold)])

    async def aclose(self) -> None:
        """Give all units back and end; who still holds has lost by then."""
        self._closed = True
        holds, self._holds = list(self._holds), set()
        for hold in holds:
            hold.lose()
        for first in range(0, len(holds), AT_ONCE_MAX):
            if not await self._return([_unit_of(hold) for hold in holds[first : first + AT_ONCE_MAX]]):
                break  # the store is away, and its clock will do it
        await asyncio.gather(*self._returning)
        self._end_renewing()
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task})
        self._task = None

    def after_fork(self) -> None:
        """Know that the parent's holds are not the child's."""
        for hold in self._holds:
            hold.lose()
        self._holds = set()
        self._returning = set()
        self._task = None
        self._changed = None

    async def _return(self, units: Sequence[Unit]) -> bool:
        """Give *units* back; say whether the store knows of any of it."""
        with suppress(LimiterClosedError):
            return any(answer is not None for answer in await self._asked(RELEASE, units))
        return False

    def _return_unasked(self, hold: Hold, taking: asyncio.Task[Decision] | None = None) -> None:
        # By its holder of now: it may be entered again before the task begins.
        task = asyncio.get_running_loop().create_task(self._return_after(taking, _unit_of(hold)))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def _return_after(self, taking: asyncio.Task[Decision] | None, unit: Unit) -> bool:
        """Give a unit back when it is known whether it was taken: a release must not overtake its own taking."""
        if taking is not None:
            await asyncio.wait({taking})
            with suppress(SluicegateError):
                taking.result()
        return await self._return([unit])

    def _keep_renewing(self, due_us: int) -> None:
        """Have the task running, and awake when something is due sooner than it thinks."""
        if self._task is None or self._task.done():
            self._changed = asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._renew_all(self._changed))
        elif self._changed is not None and due_us < self._next_us:
            self._changed.set()

    def _end_renewing(self) -> None:
        """Have the task look, and find that nothing is left."""
        if self._changed is not None:
            self._changed.set()

    async def _renew_all(self, changed: asyncio.Event) -> None:
        while self._holds:
            now_us = self.clock.monotonic_us()
            due = [hold for hold in self._holds if hold.due_us <= now_us]
            if due:
                # Who is due soon comes along, so that many holds of many ages need few round trips.
                due += [hold for hold in self._holds if now_us < hold.due_us <= now_us + hold.early_us]
                for first in range(0, len(due), AT_ONCE_MAX):
                    await self._renew(due[first : first + AT_ONCE_MAX])
                    await asyncio.sleep(0)  # a store in this process answers without letting others have their turn
                continue
            self._next_us = min(hold.due_us for hold in self._holds)
            await self._sleep_until_changed(changed, self._next_us - now_us)

    async def _sleep_until_changed(self, changed: asyncio.Event, wait_us: int) -> None:
        changed.clear()
        sleeping = asyncio.ensure_future(self._sleep(wait_us / 1_000_000))
        waking = asyncio.ensure_future(changed.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()

    async def _renew(self, holds: Sequence[Hold]) -> None:
        sent_us = self.clock.monotonic_us()
        asked = [(hold, _unit_of(hold)) for hold in holds if hold in self._holds]
        answers = await self._asked(RENEW, [unit for _, unit in asked])
        for (hold, unit), renewed in zip(asked, answers, strict=True):
            if hold not in self._holds or _unit_of(hold) != unit:
                continue  # it was left meanwhile, and may have been entered again
            if renewed is None:
                hold.due_us = sent_us + hold.limit.plan.rules[0][1] // RETRIES_A_TERM
            elif renewed and not hold.lost:
                hold.extend(sent_us)
            else:
                hold.lose()
            if hold.lost:
                self._holds.discard(hold)

    async def _asked(self, verb: int, units: Sequence[Unit]) -> list[bool | None]:
        """Renew or release *units*; return of each whether there still was one, and ``None`` where nobody knows."""
        outcomes = await self._engine.outcomes([_request(verb, unit) for unit in units])
        return [None if isinstance(outcome, StoreError) else outcome.answers[0] > 0 for outcome in outcomes]


def _unit_of(hold: Hold) -> Unit:
    return hold.limit, hold.key, hold.holder


def _request(verb: int, unit: Unit) -> Request:
    limit, key, holder = unit
    return Request(verb, ((limit, checked_hold(limit, key), 1),), holder)
