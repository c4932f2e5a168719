"""A request under several limits: what is known here already, what is left to ask, and how both end together.

A ban or a known denial ends it at once. Units in hand are spent first, and put back when the store denies the rest;
not when the caller is cancelled meanwhile, for then nobody knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.ratelimit.decision import BANNED, NOTHING_TAKEN, Decision
from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.stages import deny_cache
from sluicegate.ratelimit.stores.store import ACQUIRE, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.ratelimit.engine import Engine
    from sluicegate.utils import StoreError

__all__ = ["Joint"]


class Joint:
    """One acquire of several limits, on its way.

    Args:
        engine: What asks and answers.
        request: The checked request.

    Attributes:
        left: What the store has to be asked, or ``None`` when all is decided.
        decisions: One for each member, when all is decided.
    """

    def __init__(self, engine: Engine, request: Request) -> None:
        self._engine = engine
        self._members = request.members
        self._spent: dict[int, Decision] = {}
        self.left: Request | None = request
        self.decisions: tuple[Decision, ...] = ()
        if engine.ruling.by_key:
            self._rule()
        if engine.store.at_once or self.left is None:
            return
        engine.check_open()
        if engine.denials.denials:
            self._deny()
        if self.left is not None and any(limit.plan.lease_us for limit, _, _ in self._members):
            self._spend()

    def settle(self, outcome: Reply | StoreError) -> None:
        """End it with what the store answered to what was left, or its failure."""
        assert self.left is not None
        engine, asked = self._engine, self.left
        self.left = None
        answers = engine.answered(asked, outcome) if isinstance(outcome, Reply) else engine.fallen_back(asked, outcome)
        if not all(answers):
            self.put_back()
        rest = iter(answers)
        places = range(len(self._members))
        self.decisions = engine.counted(tuple(self._spent[at] if at in self._spent else next(rest) for at in places))

    def _rule(self) -> None:
        """Have overrides in place of the limits, and end it where a key is banned; a ban on trial ends nothing."""
        self._engine.check_open()
        ruled = [self._engine.ruling.ruled(*member) for member in self._members]
        bans = [each if isinstance(each, Decision) else None for each in ruled]
        if any(ban is not None and not ban.allowed for ban in bans):
            self._end(bans, BANNED)
            return
        self._spent = {at: ban for at, ban in enumerate(bans) if ban is not None}
        self._members = tuple(
            (each if isinstance(each, Limit) else member[0], *member[1:])
            for each, member in zip(ruled, self._members, strict=True)
        )
        self._leave_the_rest()

    def _deny(self) -> None:
        """End it when one of the limits is known to deny; what remains of the others is then not known."""
        found = [None if at in self._spent else self._denial_of(*member) for at, member in enumerate(self._members)]
        if any(denial is not None for denial in found):
            self._end([self._spent.get(at, denial) for at, denial in enumerate(found)], deny_cache.SOURCE)

    def _end(self, found: Sequence[Decision | None], source: str) -> None:
        """End it with what was found, of which at least one denies."""
        at_us = next(each.decided_at_us for each in found if each is not None and not each.allowed)
        self.left = None
        self.decisions = self._engine.counted(
            tuple(
                _untold(*member, at_us, source) if each is None else each
                for each, member in zip(found, self._members, strict=True)
            )
        )

    def _denial_of(self, limit: Limit, key: str, cost: int) -> Decision | None:
        """Return a known denial, unless units that came after it are in hand."""
        denial = self._engine.denials.find(limit, key, cost)
        in_hand = denial is not None and limit.plan.lease_us > 0
        return None if in_hand and self._engine.leases.look(limit, key, cost) is not None else denial

    def _spend(self) -> None:
        """Spend units in hand; what has none is left to ask."""
        for at, (limit, key, cost) in enumerate(self._members):
            if at in self._spent or not limit.plan.lease_us:
                continue
            decision = self._engine.leases.spend(limit, key, cost)
            if decision is not None:
                self._spent[at] = decision
        self._leave_the_rest()

    def _leave_the_rest(self) -> None:
        """Leave to be asked what is not decided yet."""
        rest = tuple(member for at, member in enumerate(self._members) if at not in self._spent)
        if rest:
            self.left = Request(ACQUIRE, rest)
        else:
            self.left = None
            self.decisions = self._engine.counted(tuple(self._spent[at] for at in range(len(self._members))))

    def put_back(self) -> None:
        """Put back what was spent, because the rest was denied, or was refused as it stands."""
        for at, decision in self._spent.items():
            if decision.serial == NOTHING_TAKEN:
                continue
            self._engine.leases.put_back(decision)
            remaining = None if decision.remaining is None else decision.remaining + decision.cost
            self._spent[at] = decision._replace(
                allowed=decision.limit.shadow, remaining=remaining, serial=NOTHING_TAKEN
            )


def _untold(limit: Limit, key: str, cost: int, at_us: int, source: str) -> Decision:
    """Return what is said of a limit that was not asked, beside one that denies."""
    allowed = limit.shadow
    return Decision(allowed, limit, key, cost, None, 0, 0, at_us, source, False, False, NOTHING_TAKEN)  # noqa: FBT003 - a tuple's places
