"""How requests travel to decide.lua and answers come back; the header of that file is the format.

A rule travels once in a batch, and one run serves all requests of one limit and cost, so that in the
common case a request costs no more than its key. Requests that are alike travel once, with their number;
each of them is told what it would have been told in its turn.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from sluicegate.ratelimit.algorithms import CALENDAR
from sluicegate.ratelimit.stores.store import ACQUIRE, IN_TURN, REFUND, RESET, Reply
from sluicegate.utils import CorruptStateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.database import Argument, Keyspace
    from sluicegate.ratelimit.limit import Plan
    from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
    from sluicegate.ratelimit.stores.store import Request
    from sluicegate.utils import StoreError

    Shape = tuple[Plan, int]  # what requests of one run have in common: the rule and the cost

__all__ = ["Encoder", "OutOfRange"]

WIRE_LAYOUT = "1"
ANSWER_LENGTH = 4  # granted, remaining, retry_after_us, reset_after_us
HEADER_LENGTH = 2  # now_us, unreadable values

WRONG_TYPE, UNKNOWN_LAYOUT, OUT_OF_RANGE, UNDECIDED = -1, -2, -3, -4
_reply_of = tuple.__new__  # a third of the cost of the generated constructor
_STATUSES = {
    WRONG_TYPE: "its key holds a value of another type",
    UNKNOWN_LAYOUT: "its key was written by a newer version",
    UNDECIDED: "another limit of the request could not be decided",
}


class OutOfRange(NamedTuple):
    """The windows that were sent do not cover the server's clock, which says *now_us*; nothing was decided."""

    now_us: int


if TYPE_CHECKING:
    Outcome = Reply | StoreError | OutOfRange


class _Entry(NamedTuple):
    """What the server answers at once: whose answers they are, and how they are shared.

    Attributes:
        places: The requests' places in the batch.
        counts: How many times each of them asks; empty where each has answers of its own.
        cost: What one asking takes.
        step_us: How much sooner the state is no state again for each unit less.
    """

    places: Sequence[int]
    counts: Sequence[int] = ()
    cost: int = 0
    step_us: int = 0


class Encoder:
    """Writes one batch, its rules, its runs and its keys, and reads what is answered to it.

    Args:
        keyspace: Names the keys.
        calendars: Knows the edges of calendar windows.
        now_us: About what time it is; only calendars ask, and the server has the last word.
    """

    __slots__ = ("_calendars", "_entries", "_keyspace", "_now_us", "_plans", "_rule_args", "_run_args", "_runs", "keys")

    def __init__(self, keyspace: Keyspace, calendars: CalendarRules, now_us: int) -> None:
        self._keyspace = keyspace
        self._calendars = calendars
        self._now_us = now_us
        self._plans: dict[Plan, int] = {}
        self._rule_args: list[Argument] = []
        self._run_args: list[Argument] = []
        self._runs: dict[Shape, dict[str, list[int]]] = {}  # what is gathered, by name
        self._entries: list[_Entry] = []  # none where each request has its answers in its place
        self.keys: list[str] = []

    def encode(self, requests: Sequence[Request]) -> list[Argument]:
        """Return the arguments for *requests*; the keys are in `keys` afterwards."""
        if not self._encode_one_run(requests):
            self._encode_runs(requests)
        return [WIRE_LAYOUT, len(self._plans), *self._rule_args, *self._run_args]

    def replies(self, raw: list[int], requests: Sequence[Request], sent_us: int = 0) -> list[Outcome]:
        """Cut the server's flat answer into a reply, or why there is none, for each of *requests*.

        Args:
            raw: What the server answered.
            requests: Those that were encoded.
            sent_us: The monotonic time from before they left.
        """
        now_us = raw[0]
        if not self._entries and len(raw) == HEADER_LENGTH + ANSWER_LENGTH * len(requests) and min(raw[2::4]) >= 0:
            places = range(HEADER_LENGTH, len(raw), ANSWER_LENGTH)
            return [
                _reply_of(Reply, (now_us, serial, raw[at : at + ANSWER_LENGTH], sent_us))
                for serial, at in enumerate(places)
            ]
        outcomes: dict[int, Outcome] = {}
        at = HEADER_LENGTH
        for entry in self._entries or [_Entry((place,)) for place in range(len(requests))]:
            if entry.counts:
                told = _in_turn(raw[at : at + ANSWER_LENGTH], entry)
                at += ANSWER_LENGTH
            else:
                told = []
                for place in entry.places:
                    end = at + ANSWER_LENGTH * len(requests[place].members)
                    told.append(raw[at:end])
                    at = end
            for place, own in zip(entry.places, told, strict=True):
                if min(own[::ANSWER_LENGTH]) < 0:
                    outcomes[place] = _failure(own, now_us)
                else:
                    outcomes[place] = _reply_of(Reply, (now_us, place, own, sent_us))
        return [outcomes[place] for place in range(len(requests))]

    def _encode_one_run(self, requests: Sequence[Request]) -> bool:
        """Write the commonest of batches, in which all keys differ and all else is alike; say whether it is one."""
        ((limit, _, cost), *_) = requests[0].members
        plan = limit.plan
        keys = []
        for verb, members, _, times in requests:
            if verb != ACQUIRE or times != 1 or len(members) != 1:
                return False
            limit, key, own_cost = members[0]
            if limit.plan is not plan or own_cost != cost:
                return False
            keys.append(key)
        names = self._keyspace.names(plan.prefix, keys)
        if len(set(names)) < len(names):
            return False
        self.keys = names
        self._run_args += (ACQUIRE, len(names), 1, 1, self._rule(plan), cost)
        return True

    def _encode_runs(self, requests: Sequence[Request]) -> None:
        """Gather what is alike; requests of one key keep their order, others need none among callers of one time."""
        name_of = self._keyspace.name
        run_of: dict[str, Shape] = {}  # under which each name was gathered
        for place, request in enumerate(requests):
            names = [name_of(limit.plan.prefix, key) for limit, key, _ in request.members]
            shape: Shape | None = None
            if request.verb == ACQUIRE and len(names) == 1:
                limit, _, cost = request.members[0]
                shape = (limit.plan, cost)
            if any(run_of.get(name, shape) != shape for name in names):
                self._end_runs(requests)
                run_of.clear()
            if shape is None:
                self._add_request(place, request)
            else:
                run_of[names[0]] = shape
                self._runs.setdefault(shape, {}).setdefault(names[0], []).append(place)
        self._end_runs(requests)

    def _end_runs(self, requests: Sequence[Request]) -> None:
        """Write down what was gathered."""
        for (plan, cost), places_of in self._runs.items():
            alone = {name: places[0] for name, places in places_of.items() if len(places) == 1}
            once = {name: place for name, place in alone.items() if requests[place].times == 1}
            if once:
                self._add_run(ACQUIRE, 1, plan, cost, list(once))
                self._entries += [_Entry((place,)) for place in once.values()]
            for name, places in places_of.items():
                if name not in once:
                    self._add_alike(name, plan, cost, places, [requests[place].times for place in places])
        self._runs.clear()

    def _add_alike(self, name: str, plan: Plan, cost: int, places: list[int], counts: list[int]) -> None:
        """Write down requests that are alike, under one name."""
        if plan.linear or len(places) == 1:
            self._add_run(ACQUIRE, sum(counts), plan, cost, [name])
            self._entries.append(_Entry(places, counts, cost, plan.plain[0] if plan.plain else 0))
            return
        # Of other limits only the script knows what each is told in its turn.
        for together, own in groupby(zip(places, counts, strict=True), key=lambda asked: asked[1] == 1):
            if together:
                single = [place for place, _ in own]
                self._add_run(IN_TURN, len(single), plan, cost, [name])
                self._entries.append(_Entry(single))
                continue
            for place, count in own:
                self._add_run(ACQUIRE, count, plan, cost, [name])
                self._entries.append(_Entry((place,), (count,), cost))

    def _add_run(self, verb: int, count: int, plan: Plan, cost: int, names: list[str]) -> None:
        self.keys += names
        self._run_args += (verb, len(names), count, 1, self._rule(plan), cost)

    def _add_request(self, place: int, request: Request) -> None:
        """Write down a request of any other shape, a run for itself."""
        verb, members, detail, times = request
        self._entries.append(_Entry((place,)))
        runs = self._run_args
        runs += (verb, 1, times, len(members))
        for limit, key, cost in members:
            runs += (self._rule(limit.plan), cost)
            self.keys.append(self._keyspace.name(limit.plan.prefix, key))
        if verb in (RESET, REFUND):
            ((limit, key, _),) = members
            self.keys.append(self._keyspace.companion(limit.plan.prefix, key, "reset"))
        if isinstance(detail, tuple):
            self._add_refund(request, detail)
        elif detail is not None:
            runs.append(detail)

    def _rule(self, plan: Plan) -> int:
        number = self._plans.get(plan)
        if number is None:
            number = self._plans[plan] = len(self._plans) + 1
            kind = plan.algorithm.kind
            rules = self._calendars.around(plan, self._now_us) if kind == CALENDAR else plan.rules
            self._rule_args += (kind, int(plan.shadow), plan.tag, len(rules))
            for rule in rules:
                self._rule_args += rule
        return number

    def _add_refund(self, request: Request, detail: tuple[int, int, int]) -> None:
        ((limit, key, _),) = request.members
        decided_at_us, reset_at_us, serial = detail
        identity = f"{decided_at_us:x}-{serial:x}"
        self.keys.append(self._keyspace.companion(limit.plan.prefix, key, identity))
        self._run_args += (decided_at_us, reset_at_us)


def _in_turn(answers: list[int], entry: _Entry) -> list[list[int]]:
    """Tell each of those who asked alike what it would have been told after those before it."""
    granted, remaining, retry_after_us, reset_after_us = answers
    if granted < 0:
        return [answers] * len(entry.places)
    told = []
    before = 0
    for count in entry.counts:
        own = max(0, min(granted - before, count))
        before += count
        after = max(0, granted - before)  # as many come behind it and are granted
        left = remaining + after * entry.cost
        wait_us = retry_after_us if own < count else 0
        told.append([own, left, wait_us, reset_after_us - after * entry.cost * entry.step_us])
    return told


def _failure(answers: list[int], now_us: int) -> CorruptStateError | OutOfRange:
    """Return why there is no decision."""
    statuses = [granted for granted in answers[::ANSWER_LENGTH] if granted < 0]
    status = next((status for status in statuses if status != UNDECIDED), UNDECIDED)
    return OutOfRange(now_us) if status == OUT_OF_RANGE else CorruptStateError("decide", _STATUSES[status])
