"""Units of one limit and key that were taken ahead: how many to take, to keep and to give back, without any I/O.

Units are taken by the store's own decision, so however many processes take ahead, together they never
take more than the limit. Each parcel of them may be spent for the limit's `lease_seconds`, counted
from before its request left, and by windows only inside the window in which it was taken. So what is
spent in an interval was taken in one that is longer by that time, and no more than that is promised.

Sources: the lease sizes follow observed demand, as in Google's Doorman; giving a process at most an
eighth of what is left is our own, so that several find something.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from sluicegate.ratelimit.algorithms import CALENDAR
from sluicegate.ratelimit.algorithms.exact import time_of
from sluicegate.ratelimit.calendar import boundaries

if TYPE_CHECKING:
    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.plan import Plan
    from sluicegate.ratelimit.stores.store import Reply, Request

__all__ = ["Lease", "Parcel", "returnable", "wish_of"]

WISH_MIN = 2  # of one unit a lease would save nothing: it is asked for when it is wanted
WORTHWHILE = 4  # units that a parcel has to last for by the demand: for fewer the taking costs more than they save
WISH_MAX = 1_000_000  # enough for what one process can spend in a lease's life
SHARE = 8  # one parcel is at most this part of what is left, so that it shrinks to nothing near the limit
GROWTH = 4  # times what was asked for since the last parcel: a demand seen for a moment is no demand yet
COVERED, COVERED_OF = 2, 3  # a parcel is to last this part of its life: the rest is for the wait until it is its turn
RENEWED_AT = 3  # the part of a parcel at which the next is asked for
KEPT = 4  # a parcel is looked at when this part of its life is left
ELAPSED_MIN_US = 1_000  # what is asked within less is taken as asked within this
STORE_SERIALS = 4_096  # more than the requests that the store decides at one microsecond
DRIFT = 1_000  # two clocks part by less than a thousandth


class Parcel:
    """Units that were taken at once.

    Args:
        reply: How the store granted them.
        plan: The limit's.
    """

    __slots__ = (
        "carried",
        "carrier",
        "decided_at_us",
        "expires_us",
        "look_at_us",
        "older",
        "renewed_at",
        "reset_after_us",
        "serial",
        "step_us",
        "units",
    )

    def __init__(self, reply: Reply, plan: Plan) -> None:
        self.units, _, _, self.reset_after_us = reply.answers
        self.decided_at_us = reply.now_us
        self.serial = reply.serial  # of the last use; it grows by more than the store numbers at one microsecond
        self.older: Parcel | None = None  # which was spent before it
        self.carried = 0  # the last units of that which its own first use took along
        self.carrier = -1  # the serial of that use
        self.renewed_at = self.units // RENEWED_AT
        self.step_us = 0
        if plan.algorithm.takes_burst:  # each unit has the reset that it would have had, had it been taken alone
            self.step_us = min(_slowest_us(plan, 1) + 1, self.reset_after_us // self.units)
            if plan.plain is not None:
                self.step_us = plan.plain[0]
        life_us = plan.lease_us
        if plan.algorithm.windowed:
            # By the store's clock the answer is no older than the question, so the window ends no sooner than that.
            left_us = _window_end_us(plan, reply.now_us) - reply.now_us
            life_us = min(life_us, left_us - left_us // DRIFT)
        self.expires_us = reply.sent_us + life_us
        self.look_at_us = self.expires_us - life_us // KEPT

    def next_serial(self) -> int:
        """Return a serial that tells one more use of it from all others, and from what the store numbers."""
        self.serial += STORE_SERIALS
        return self.serial


class Lease:
    """What one process knows and holds of a limit and key; its lock is held for the arithmetic only.

    Attributes:
        limit: The rule.
        key: Whose.
        lock: Held while any of the following is read or changed.
        current: What is spent from.
        following: What will be spent from next.
        asked: Units that were asked for since *since_us*, granted or not.
        since_us: Since when they are counted, by the monotonic clock; while one is filling, since it was asked for.
        asked_before: Units that were asked for from *before_us* until then.
        before_us: When the parcel before the last was asked for.
        asked_at_us: When the last were asked for.
        left: What was left at the store when it was last heard of.
        filling: Whether a parcel is on its way.
        renewal: What will ask for that parcel, while it waits for others to go along with.
        void_us: The store's time of the last reset; parcels of before are worth nothing.
        dropped: Whether it was given up; a parcel that still comes is only given back.
    """

    __slots__ = (
        "asked",
        "asked_at_us",
        "asked_before",
        "before_us",
        "current",
        "dropped",
        "filling",
        "following",
        "key",
        "left",
        "limit",
        "lock",
        "renewal",
        "since_us",
        "void_us",
    )

    def __init__(self, limit: Limit, key: str, now_us: int) -> None:
        self.limit = limit
        self.key = key
        self.lock = Lock()
        self.current: Parcel | None = None
        self.following: Parcel | None = None
        self.asked = self.asked_before = 0
        self.since_us = self.before_us = self.asked_at_us = now_us
        self.left = 0
        self.filling = False
        self.renewal: Request | None = None
        self.void_us = -1
        self.dropped = False

    def in_hand(self, now_us: int) -> int:
        """Return how many units could be spent now."""
        return sum(
            parcel.units
            for parcel in (self.current, self.following)
            if parcel is not None and now_us < parcel.expires_us
        )

    def spend(self, now_us: int, cost: int) -> Parcel | None:
        """Take *cost* units out; return the parcel that they are named by, or ``None`` when there are not as many."""
        current, following = self.current, self.following
        rest = 0
        if current is not None and now_us < current.expires_us:
            if current.units >= cost:
                current.units -= cost
                return current
            rest = current.units
        if following is None:
            return None
        if now_us >= following.expires_us:
            self.following = None
            return None
        if rest + following.units < cost:
            return None
        if rest and current is not None:
            current.units = 0
            following.carried, following.carrier = rest, following.serial + STORE_SERIALS
        following.units -= cost - rest
        self._go_on_with(following)
        self.following = None
        return following

    def accept(self, parcel: Parcel, now_us: int) -> None:
        """Take a parcel in."""
        current = self.current
        if current is None or not current.units or now_us >= current.expires_us:
            self._go_on_with(parcel)
        else:
            self.following = parcel

    def _go_on_with(self, parcel: Parcel) -> None:
        parcel.older, self.current = self.current, parcel
        if parcel.older is not None:
            parcel.older.older = None

    def wish(self, now_us: int) -> int:
        """Return how many units to take ahead now, and begin to count anew what is asked for."""
        elapsed_us = now_us - self.since_us
        wish = wish_of(asked=self.asked, elapsed_us=elapsed_us, left=self.left, lease_us=self.limit.plan.lease_us)
        if wish:
            self.asked_before, self.before_us = self.asked, self.since_us
            self.asked, self.since_us = 0, now_us
        elif elapsed_us > self.limit.plan.lease_us:  # what was long ago says little
            self.asked //= 2
            self.since_us = now_us - elapsed_us // 2
        return wish

    def lasts_us(self, now_us: int) -> int:
        """Return how long what is in hand will last, at the pace of what was asked for before the last wish."""
        current = self.current
        if current is None or not current.units:
            return 0
        elapsed_us = max(ELAPSED_MIN_US, now_us - self.before_us)
        return min(current.units * elapsed_us // max(1, self.asked_before), current.expires_us - now_us)

    def put_back(self, decided_at_us: int, serial: int, cost: int) -> None:
        """Put units back into the parcels that they were taken from, if those are still there.

        What came out of an older one would outlive it in the younger: it goes back into its own, or is lost.
        """
        for parcel in (self.current, self.following):
            if parcel is not None and parcel.decided_at_us == decided_at_us:
                carried = parcel.carried if serial == parcel.carrier else 0
                parcel.units += cost - carried
                if carried and parcel is self.current:
                    self._take_up_again(carried)
                return
        older = self.current.older if self.current is not None else None
        if older is not None and older.decided_at_us == decided_at_us:
            self._take_up_again(cost - older.carried if serial == older.carrier else cost)

    def _take_up_again(self, units: int) -> None:
        """Spend of the parcel before the current one again, where there is a place for both."""
        current = self.current
        if current is not None and current.older is not None and self.following is None:
            current.older.units += units
            self.current, self.following = current.older, current

    def idle(self, now_us: int) -> bool:
        """Say whether nobody has asked for a while."""
        return self.asked_at_us <= now_us - self.limit.plan.lease_us // KEPT

    def given_up(self, parcel: Parcel, now_us: int) -> int:
        """Take out of a parcel that has little of its life left what will not be needed; return how much."""
        units = parcel.units
        if (
            (parcel is self.current or parcel is self.following)
            and now_us < parcel.expires_us
            and not self.idle(now_us)
        ):
            elapsed_us = max(ELAPSED_MIN_US, now_us - self.before_us)
            units -= min(units, -(-(self.asked + self.asked_before) * (parcel.expires_us - now_us) // elapsed_us))
        parcel.units -= units
        parcel.reset_after_us -= units * parcel.step_us  # they were the last of it
        return units


def wish_of(*, asked: int, elapsed_us: int, left: int, lease_us: int) -> int:
    """Return how many units to take ahead: what lasts a while at the pace of the demand, if there is plenty.

    Args:
        asked: Units asked for lately.
        elapsed_us: In how much time.
        left: Units that were left at the store when it was last heard of.
        lease_us: How long they may be spent.

    Returns:
        0, or a number from 2: at most an eighth of what is left, and fourfold of what was asked. 0 where the demand
        is too little to gain by it.
    """
    lasting = asked * lease_us * COVERED // (COVERED_OF * max(ELAPSED_MIN_US, elapsed_us))
    if lasting < WORTHWHILE:
        return 0
    wish = min(lasting, GROWTH * asked, left // SHARE, WISH_MAX)
    return wish if wish >= WISH_MIN else 0


def returnable(plan: Plan, parcel: Parcel, units: int) -> tuple[int, int, int]:
    """Return what a refund of *units* of *parcel* says of their decision: its time, its reset, its serial.

    For a paced limit the time that passed since is taken to have paid for these very units, so that however many
    parcels come back, and in whatever order, none of them gives back what an idle moment gave back already.
    """
    reset_after_us = parcel.reset_after_us
    if plan.algorithm.takes_burst:
        reset_after_us = min(reset_after_us + units * parcel.step_us, _slowest_us(plan, units))
    return parcel.decided_at_us, parcel.decided_at_us + reset_after_us, parcel.next_serial()


def _slowest_us(plan: Plan, units: int) -> int:
    """Return how long *units* take to come back under the slowest of the limit's rates, in whole microseconds."""
    return max(time_of(units, *rule[1:4])[0] for rule in plan.rules)


def _window_end_us(plan: Plan, now_us: int) -> int:
    """Return when the first of the limit's windows ends."""
    if plan.algorithm.kind == CALENDAR:
        return min(next(edge for edge in boundaries(period, now_us) if edge > now_us) for _, period in plan.calendar)
    return min(now_us - now_us % period_us + period_us for _, period_us in plan.rules)
