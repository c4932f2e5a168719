"""The leases of one limiter: spent here and now, filled and given back behind the caller's back.

A decision that finds units in hand needs no network. At half of a parcel the next one is asked for, so
in steady state nobody waits; who finds nothing asks the store for itself, as under a strict limit.
When the store is away, what is in hand is spent to its end and nothing is taken ahead.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from contextlib import suppress
from itertools import count, islice
from threading import Lock
from typing import TYPE_CHECKING

from sluicegate.ratelimit.decision import NOTHING_TAKEN, Decision
from sluicegate.ratelimit.stages.lease import STORE_SERIALS, Lease, Parcel, returnable
from sluicegate.ratelimit.stages.lease_renewal import GATHER_US, Renewals
from sluicegate.ratelimit.stores.store import ACQUIRE, REFUND, Reply, Request
from sluicegate.utils import CorruptStateError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.stages.lease_renewal import Ask
    from sluicegate.utils import Clock

    AskAll = Callable[[Sequence[Request]], Awaitable[list[Reply | StoreError]]]

__all__ = ["LEASES_MAX", "SOURCE", "LeaseBook"]

SOURCE = "lease"
LEASES_MAX = 10_000  # keys with a lease, some ten megabytes; others are decided as under a strict limit
EVICTION_LOOKS_MAX = 8  # old leases that are looked at to make room for a new one
PAUSE_US = 100_000  # between two tries to take ahead from a store that does not answer
FILLING_US_MAX = 12_000_000  # longer than any deadline: then its event loop has ended, and no answer comes
CLOSING_S_MAX = 1.0  # to wait for parcels that are on their way when it is closed
AT_ONCE_MAX = 128  # parcels given back together
PATIENCE = 4  # it waits only where what is in hand lasts so many times longer
HURRIED_AT = 2  # and while more than this part of what was left is in hand

_decision_of = tuple.__new__  # a third of the cost of the generated constructor


class LeaseBook:
    """The leases of one limiter; any thread may spend, and one event loop fills and gives back.

    Args:
        clock: Measures how long units may be spent; only its monotonic time is read.
        sleep: Waits by that clock.
        ask: Asks the store without waiting, on the loop.
        ask_all: Asks the store and waits, on the loop.
        leases_max: How many keys may have one.

    Attributes:
        renewals: Ask for what comes next.
    """

    def __init__(
        self,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        ask: Ask,
        ask_all: AskAll,
        *,
        leases_max: int = LEASES_MAX,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self.renewals = Renewals(sleep, ask, filled=self.filled, failed=self.failed)
        self._ask_all = ask_all
        self._leases_max = leases_max
        self._on = True
        self.clear()

    def clear(self) -> None:
        """Forget all leases, as a forked child must: they are its parent's."""
        self._lock = Lock()
        self._leases: OrderedDict[str, Lease] = OrderedDict()
        self._ends: list[tuple[int, int, Lease, Parcel]] = []  # a heap of the times to look at parcels
        self._numbers = count()
        self._keeper: asyncio.Task[None] | None = None
        self._giving = False  # whether the keeper is in the midst of giving back
        self._pause_until_us = 0
        self.renewals.clear()
        self._closed = False
        self._landed: asyncio.Event | None = None  # tells who closes that a parcel has come

    def switch(self, *, on: bool) -> None:
        """Take units ahead from now on, or spend none any more that were; those are given back in their time."""
        self._on = on
        if not on:
            with self._lock:
                leases = list(self._leases.values())
                self._leases.clear()
            for lease in leases:
                with lease.lock:
                    lease.dropped = True
                    lease.current = lease.following = None

    @property
    def keys(self) -> int:
        """The number of keys that have a lease, or might get one."""
        return len(self._leases)

    def spend(self, limit: Limit, key: str, cost: int) -> Decision | None:
        """Spend *cost* units that are in hand; ``None`` where the store must be asked."""
        lease = self._leases.get(limit.plan.prefix + key)
        if lease is None or lease.limit is not limit:
            lease = self._lease_under(lease, limit, key, cost)
            if lease is None:
                return None
        now_us = self._clock.monotonic_us()
        with lease.lock:
            lease.asked += cost
            lease.asked_at_us = now_us
            parcel = lease.current
            if parcel is not None and parcel.units >= cost and now_us < parcel.expires_us:  # the common case in place
                parcel.units -= cost
            else:
                parcel = lease.spend(now_us, cost)
            if parcel is not None:
                units = parcel.units
                serial = parcel.serial = parcel.serial + STORE_SERIALS
                reset_after_us = parcel.reset_after_us - units * parcel.step_us
                remaining = units + lease.left
                if lease.following is not None:
                    remaining += lease.following.units
            elif lease.filling and now_us - lease.since_us > FILLING_US_MAX:
                lease.filling = False
        if lease.following is None and (parcel is None or parcel.units <= parcel.renewed_at):
            self._renew(lease, parcel, now_us, cost)
        if parcel is None:
            return None
        return _decision_of(Decision, (
            True, limit, key, cost, remaining, 0, reset_after_us,
            parcel.decided_at_us, SOURCE, False, False, serial,
        ))  # fmt: skip

    def put_back(self, decision: Decision) -> None:
        """Put the units of *decision* back, which came from here and turned out not to be needed."""
        lease = self._leases.get(decision.limit.plan.prefix + decision.key)
        if lease is not None:
            with lease.lock:
                lease.put_back(decision.decided_at_us, decision.serial, decision.cost)

    def learn(self, decision: Decision) -> None:
        """Note what the store said of a key that may have a lease."""
        lease = self._leases.get(decision.limit.plan.prefix + decision.key)
        if lease is not None and decision.remaining is not None:
            lease.left = decision.remaining

    def look(self, limit: Limit, key: str, cost: int) -> Decision | None:
        """Say what `spend` would, and take nothing; ``None`` where the store must be asked."""
        lease = self._leases.get(limit.plan.prefix + key)
        if lease is None or not (lease.limit is limit or lease.limit.decides_like(limit)):
            return None
        with lease.lock:
            units = lease.in_hand(self._clock.monotonic_us())
            parcel = lease.current or lease.following
            if parcel is None or units < max(1, cost):
                return None
            return _decision_of(Decision, (
                True, limit, key, cost, units + lease.left, 0, parcel.reset_after_us,
                parcel.decided_at_us, SOURCE, False, False, NOTHING_TAKEN,
            ))  # fmt: skip

    def drop(self, limit: Limit, key: str, at_us: int | None = None) -> None:
        """Spend no more of the units of a key whose state was reset: they were taken out of what is forgotten.

        Args:
            limit: The rule.
            key: Whose.
            at_us: The store's time of the reset; ``None`` where nobody knows of one, and all is to be forgotten.
        """
        name = limit.plan.prefix + key
        with self._lock:
            lease = self._leases.get(name)
            if lease is None:
                return
            if at_us is None:
                del self._leases[name]
        with lease.lock:
            if at_us is None:
                lease.dropped = True  # what there is is given back in its time, if it still counts
            else:
                lease.void_us = at_us
                for parcel in (lease.current, lease.following):
                    if parcel is not None:
                        parcel.units = 0
            lease.current = lease.following = None

    async def aclose(self) -> None:
        """Give back all that is in hand or on its way, and spend nothing any more."""
        self._closed = True
        leases, self._leases = self._leases, OrderedDict()
        for lease in leases.values():
            with lease.lock:
                lease.dropped = True  # who is about to ask for more does not
                lease.current = lease.following = None
        self.renewals.close()
        await self._all_landed(leases.values())
        await self._end_keeper()
        ends, self._ends = self._ends, []
        back = [request for _, _, lease, parcel in ends for request in self._given_up(lease, parcel)]
        for first in range(0, len(back), AT_ONCE_MAX):
            answers = await self._ask_all(back[first : first + AT_ONCE_MAX])
            if all(isinstance(answer, StoreError) for answer in answers):
                break  # the store is away: what was taken is lost

    def filled(self, lease: Lease, reply: Reply) -> None:
        """Take in what the store granted ahead; runs on the loop."""
        granted, lease.left, _, _ = reply.answers
        with lease.lock:
            lease.filling = False
            if granted > 0 and reply.now_us > lease.void_us:
                parcel = Parcel(reply, lease.limit.plan)
                if not (self._closed or lease.dropped):  # else it only has to be given back
                    lease.accept(parcel, self._clock.monotonic_us())
                self._look_later(lease, parcel, parcel.look_at_us)
        if self._landed is not None:
            self._landed.set()

    def failed(self, lease: Lease, error: BaseException) -> None:
        """Note that nothing could be taken ahead."""
        lease.renewal = None
        lease.filling = False
        if isinstance(error, CorruptStateError):
            lease.left = 0  # it is this key's own: nothing is taken ahead before the store has told of it again
        else:
            self._pause_until_us = self._clock.monotonic_us() + PAUSE_US
        if self._landed is not None:
            self._landed.set()

    def _lease_under(self, lease: Lease | None, limit: Limit, key: str, cost: int) -> Lease | None:
        """Return *lease* where *limit* decides as the one that it is of; else begin anew with the next request."""
        if lease is None:
            if self._on:
                self._begin(limit, key, cost)
            return None
        if not lease.limit.decides_like(limit):
            self.drop(limit, key)  # another rule of the name has come
            return None
        lease.limit = limit
        return lease

    def _renew(self, lease: Lease, parcel: Parcel | None, now_us: int, cost: int) -> None:
        """See that the next parcel comes in time."""
        if not lease.filling:
            self._fill(lease, now_us, cost)
        elif lease.renewal is not None and (parcel is None or parcel.units <= parcel.renewed_at // HURRIED_AT):
            self.renewals.ask(lease)  # it is spent faster than was foreseen

    def _fill(self, lease: Lease, now_us: int, cost: int) -> None:
        """Ask for the next parcel, once."""
        if now_us < self._pause_until_us:
            return
        with lease.lock:
            if lease.filling or lease.dropped or lease.following is not None:
                return
            wish = lease.wish(now_us)
            if wish < cost or not wish:
                return
            lease.filling = True
            patience_us = lease.lasts_us(now_us) // PATIENCE
            lease.renewal = Request(ACQUIRE, ((lease.limit, lease.key, 1),), None, wish)
        if patience_us < GATHER_US:
            self.renewals.ask(lease)
        else:
            self.renewals.ask_soon(lease, now_us)

    def _begin(self, limit: Limit, key: str, cost: int) -> None:
        """Begin to watch a key; where there is no room for one more, it goes without a lease."""
        name = limit.plan.prefix + key
        lease = Lease(limit, key, self._clock.monotonic_us())
        lease.asked = cost
        with self._lock:
            if self._closed or not self._on:
                return
            if len(self._leases) >= self._leases_max and not self._made_room(lease.since_us):
                return
            self._leases.setdefault(name, lease)

    def _made_room(self, now_us: int) -> bool:
        """Give up one of the oldest leases of which nothing is in hand; the others become the youngest."""
        for name, lease in list(islice(self._leases.items(), EVICTION_LOOKS_MAX)):
            if not lease.filling and not lease.in_hand(now_us):
                del self._leases[name]
                return True
            self._leases.move_to_end(name)
        return False

    def _look_later(self, lease: Lease, parcel: Parcel, at_us: int) -> None:
        """Have *parcel* looked at in time; runs on the loop."""
        entry = (at_us, next(self._numbers), lease, parcel)
        heapq.heappush(self._ends, entry)
        if self._closed:
            return
        keeper, loop = self._keeper, asyncio.get_running_loop()
        if keeper is not None and not keeper.done() and keeper.get_loop() is loop:
            if self._giving or self._ends[0] is not entry:
                return
            keeper.cancel()  # it sleeps too long
        self._giving = False
        self._keeper = loop.create_task(self._keep())

    async def _keep(self) -> None:
        """Give back in time what will not be needed, for as long as there is anything."""
        while self._ends and not self._closed:
            wait_us = self._ends[0][0] - self._clock.monotonic_us()
            if wait_us > 0:
                await self._sleep(max(wait_us, GATHER_US) / 1_000_000)
                continue
            self._giving = True
            try:
                await self._give_back()
            finally:
                self._giving = False
            await asyncio.sleep(0)

    async def _end_keeper(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is None or keeper.done() or keeper.get_loop() is not asyncio.get_running_loop():
            return
        if not self._giving:  # else it ends by itself
            keeper.cancel()
        await asyncio.wait({keeper})

    async def _give_back(self) -> None:
        """Give back what is due, the most that goes together."""
        back: list[Request] = []
        now_us = self._clock.monotonic_us()
        while self._ends and len(back) < AT_ONCE_MAX and self._ends[0][0] <= now_us:
            _, number, lease, parcel = heapq.heappop(self._ends)
            back += self._given_up(lease, parcel)
            if parcel.units:  # what may still be needed is looked at once more, when it no longer can be spent
                heapq.heappush(self._ends, (parcel.expires_us, number, lease, parcel))
        if back:
            await self._ask_all(back)

    def _given_up(self, lease: Lease, parcel: Parcel) -> list[Request]:
        now_us = self._clock.monotonic_us()
        with lease.lock:
            units = lease.given_up(parcel, now_us)
            done = lease.idle(now_us) and not lease.filling and not lease.in_hand(now_us)
        if done:
            with self._lock:
                name = lease.limit.plan.prefix + lease.key
                if self._leases.get(name) is lease:
                    del self._leases[name]
        return [_refund(lease, parcel, units)] if units else []

    async def _all_landed(self, leases: Iterable[Lease]) -> None:
        """Wait a little for the parcels that are on their way."""
        landed = self._landed = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S_MAX):
                while any(lease.filling for lease in leases):
                    landed.clear()
                    await landed.wait()


def _refund(lease: Lease, parcel: Parcel, units: int) -> Request:
    plan = lease.limit.plan
    return Request(REFUND, ((lease.limit, lease.key, units),), returnable(plan, parcel, units))
