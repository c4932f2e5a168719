"""A request under several limits: what is known here already, what is left to ask, and how both end together.

A ban or a known denial ends it at once. Units in hand are spent first, and put back when the store denies the rest;
not when the caller is cancelled meanwhile, for then nobody knows. What a store cannot decide together with the rest is
a leased limit: where nothing of it is in hand it is asked first, and given back like what was in hand.

A limit that is asked beside another (`comparing`) decides as if that one were not there: its denial neither ends
the request here, unless both are known to deny, nor puts back what was spent of the one beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.ratelimit.checking import checked_refund
from sluicegate.ratelimit.comparing import compare, itself_denies, without_those_beside
from sluicegate.ratelimit.decision import BANNED, NOTHING_TAKEN, Decision
from sluicegate.ratelimit.engine import ANSWER_LENGTH
from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.stages import deny_cache, lease_book
from sluicegate.ratelimit.stores.store import ACQUIRE, APART_ACCEPTED, Reply, Request
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sluicegate.ratelimit.engine import Engine
    from sluicegate.utils import StoreError

__all__ = ["Joint"]


class Joint:
    """One acquire of several limits, on its way.

    Args:
        engine: What asks and answers.
        request: The checked request.

    Attributes:
        left: What the store has to be asked next, all at once; nothing when all is decided.
        decisions: One for each member, when all is decided.
        owed: What has to be given back to the store in the end.

    Raises:
        InvalidInputError: Strict limits lie apart.
    """

    def __init__(self, engine: Engine, request: Request) -> None:
        self._engine = engine
        self._members = request.members
        self._spent: dict[int, Decision] = {}
        self._ahead: list[int] = []  # the places of what is asked before the rest
        self._beside = {at for at, (limit, _, _) in enumerate(request.members) if limit.beside and at}
        self._places: Sequence[int] = range(len(request.members))  # of those that are left, in the order asked
        self.left: Sequence[Request] = (request,)
        self.decisions: tuple[Decision, ...] = ()
        self.owed: list[Request] = []
        if engine.ruling.by_key:
            self._rule()
        if engine.store.at_once or not self.left:
            return
        engine.check_open()
        if engine.denials.denials and self._deny():
            return
        home = None if engine.place is None else self._home(engine.place)
        if any(limit.plan.lease_us for limit, _, _ in self._members):
            self._spend(home)

    def settle(self, outcomes: Sequence[Reply | StoreError]) -> None:
        """Go on with what the store answered to each that was left, or its failure."""
        asked, self.left = self.left, ()
        answered = [self._answers(*each) for each in zip(asked, outcomes, strict=True)]
        if self._ahead:
            self._settle_ahead([answers[0] for answers in answered])
            return
        (answers,), (outcome,) = answered, outcomes
        if self._beside and isinstance(outcome, Reply):
            self._remember_those_beside(answers, outcome)
        if not self._spent:
            self._end(answers)
            return
        told = dict(zip(self._places, answers, strict=True))
        if not all(answers):
            self._put_back({at for at, answer in told.items() if itself_denies(answer)})
        told.update(self._spent)
        self._end(tuple(told[at] for at in range(len(self._members))))

    def _rule(self) -> None:
        """Have overrides in place of the limits, and end it where a key is banned; a ban on trial ends nothing."""
        self._engine.check_open()
        ruled = [self._engine.ruling.ruled(*member) for member in self._members]
        bans = [each if isinstance(each, Decision) else None for each in ruled]
        if any(ban is not None and not ban.allowed for ban in bans):
            self._end_with(bans, BANNED)
            return
        self._spent = {at: ban for at, ban in enumerate(bans) if ban is not None}
        self._members = tuple(
            (each if isinstance(each, Limit) else member[0], *member[1:])
            for each, member in zip(ruled, self._members, strict=True)
        )
        self._ask_next()

    def _deny(self) -> bool:
        """End it when one of the limits is known to deny; what remains of the others is then not known."""
        known = [None if at in self._spent else self._denial_of(*member) for at, member in enumerate(self._members)]
        for at in self._beside:
            known[at - 1 : at + 1] = _of_both(*known[at - 1 : at + 1])
        if all(denial is None for denial in known):
            return False
        found = [self._spent.get(at, denial) for at, denial in enumerate(known)]
        compared = [denial for denial in known if denial is not None]
        self._end_with(found, deny_cache.SOURCE, compared=compared)
        return True

    def _end_with(self, found: Sequence[Decision | None], source: str, *, compared: Sequence[Decision] = ()) -> None:
        """End it with what was found, of which at least one denies; the others were not asked."""
        at_us = next(each.decided_at_us for each in found if each is not None and not each.allowed)
        self.left = ()
        decisions = tuple(
            _untold(*member, at_us, source) if each is None else each
            for each, member in zip(found, self._members, strict=True)
        )
        self._end(decisions, compared=compared)

    def _remember_those_beside(self, answers: Sequence[Decision], reply: Reply) -> None:
        """Remember what a shadow would have denied, so that whom both deny costs the store nothing."""
        for number, decision in enumerate(answers):
            if decision.shadow_denied and decision.limit.beside and reply.sent_us:
                wait_us = reply.answers[ANSWER_LENGTH * number + 2]
                denial = decision._replace(allowed=False, retry_after_us=wait_us, shadow_denied=False)
                self._engine.denials.remember(denial, reply.sent_us)

    def _answers(self, asked: Request, outcome: Reply | StoreError) -> tuple[Decision, ...]:
        engine = self._engine
        return engine.answered(asked, outcome) if isinstance(outcome, Reply) else engine.fallen_back(asked, outcome)

    def _denial_of(self, limit: Limit, key: str, cost: int) -> Decision | None:
        """Return a known denial, unless units that came after it are in hand."""
        denial = self._engine.denials.find(limit, key, cost)
        in_hand = denial is not None and limit.plan.lease_us > 0
        return None if in_hand and self._engine.leases.look(limit, key, cost) is not None else denial

    def _home(self, place: Callable[[Limit, str], int]) -> int | None:
        """Return the place where all strict limits lie; ``None`` where none is strict."""
        homes = {place(limit, key) for limit, key, _ in self._members if not limit.plan.lease_us}
        if len(homes) > 1:
            raise InvalidInputError("limits", f"strict limits in {len(homes)} places", APART_ACCEPTED)
        return next(iter(homes), None)

    def _spend(self, home: int | None) -> None:
        """Spend units in hand; what has none is left to ask, and before the rest what lies elsewhere."""
        place = self._engine.place
        for at, (limit, key, cost) in enumerate(self._members):
            if at in self._spent or not limit.plan.lease_us:
                continue
            decision = self._engine.leases.spend(limit, key, cost)
            if decision is not None:
                self._spent[at] = decision
            elif place is not None:
                home = place(limit, key) if home is None else home
                if place(limit, key) != home:
                    self._ahead.append(at)
        self._ask_next()

    def _ask_next(self) -> None:
        """Leave to ask what comes before the rest, or else the rest, or nothing."""
        if self._ahead:
            self.left = [Request(ACQUIRE, (self._members[at],)) for at in self._ahead]
            return
        left = [at for at in range(len(self._members)) if at not in self._spent]
        # One that is asked without the one that it stands beside comes first, for no other may be left out for it.
        self._places = sorted(left, key=lambda at: at not in self._beside or at - 1 in left)
        if left:
            self.left = (Request(ACQUIRE, tuple(self._members[at] for at in self._places)),)
        else:
            self.left = ()
            self._end(tuple(self._spent[at] for at in range(len(self._members))))

    def _settle_ahead(self, answers: Sequence[Decision]) -> None:
        """Go on after those that were asked before the rest, or end it."""
        told, self._ahead = dict(zip(self._ahead, answers, strict=True)), []
        self._spent.update(told)
        if all(answers):
            self._ask_next()
            return
        self._put_back({at for at, answer in told.items() if not answer.allowed})
        source = next(answer.source for answer in answers if not answer.allowed)
        self._end_with([self._spent.get(place) for place in range(len(self._members))], source)

    def put_back(self) -> None:
        """Put back what was taken, because the rest was refused as it stands."""
        self._put_back(range(len(self._members)))

    def _put_back(self, denying: Collection[int]) -> None:
        """Put back what was taken, but for what stands beside the only one that denies."""
        for at, decision in self._spent.items():
            if not decision.allowed or decision.serial == NOTHING_TAKEN:
                continue
            if at in self._beside and all(place == at - 1 for place in denying):
                continue
            refund = None
            if decision.source == lease_book.SOURCE:
                self._engine.leases.put_back(decision)
            elif (refund := checked_refund(decision)) is not None:
                self.owed.append(refund)
            remaining = decision.remaining
            if remaining is not None and (refund is not None or decision.source == lease_book.SOURCE):
                remaining += decision.cost
            self._spent[at] = decision._replace(
                allowed=decision.limit.shadow, remaining=remaining, serial=NOTHING_TAKEN
            )

    def _end(self, decisions: tuple[Decision, ...], *, compared: Sequence[Decision] | None = None) -> None:
        """Count how it ended; of limits beside others what *compared* says, by default all."""
        self.decisions = decisions
        if not self._beside:
            self._engine.counted(decisions)
            return
        self._engine.counted(without_those_beside(decisions))
        compare(decisions if compared is None else compared, self._engine.counters.row)


def _of_both(own: Decision | None, beside: Decision | None) -> tuple[Decision | None, Decision | None]:
    """Return what is known of a limit and of the one beside it: only where both deny need the store not be asked."""
    if own is None or beside is None:
        return None, None
    return own, beside._replace(allowed=True, retry_after_us=0, shadow_denied=True)


def _untold(limit: Limit, key: str, cost: int, at_us: int, source: str) -> Decision:
    """Return what is said of a limit that was not asked, beside one that denies."""
    allowed = limit.shadow
    return Decision(allowed, limit, key, cost, None, 0, 0, at_us, source, False, False, NOTHING_TAKEN)  # noqa: FBT003 - a tuple's places
