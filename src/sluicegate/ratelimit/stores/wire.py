"""How requests travel to decide.lua and answers come back; the header of that file is the format.

A rule travels once in a batch, and one run serves all requests of one limit and cost, so that in the
common case a request costs no more than its key. Requests that are alike travel once, with their number;
each of them is told what it would have been told in its turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluicegate.ratelimit.algorithms import CALENDAR
from sluicegate.ratelimit.stores.store import ACQUIRE, IN_TURN, REFUND, RESET, Reply
from sluicegate.utils import CorruptStateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sluicegate.database import Argument, Keyspace
    from sluicegate.ratelimit.plan import Plan
    from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
    from sluicegate.ratelimit.stores.store import Request
    from sluicegate.utils import StoreError

    Shape = tuple[Plan, int]  # what requests of one run have in common: the rule and the cost

__all__ = ["Encoder", "OutOfRange"]

WIRE_LAYOUT = "1"
ANSWER_LENGTH = 4  # granted, remaining, retry_after_us, reset_after_us
MARKS = 4  # beside the way in which states are carried over: whether they are marked
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


class _Run(NamedTuple):
    """Entries of one run: for which requests each stands, and how these share its answer.

    Attributes:
        groups: For each entry the places of its requests in the batch.
        shared: Whether an entry is answered once for all its requests; else each of them has answers of its own.
        cost: What one request takes, where the answer is shared.
        step_us: How much sooner the state is no state again for each request less, where the answer is shared.
    """

    groups: Sequence[Sequence[int]]
    shared: bool
    cost: int = 0
    step_us: int = 0


class Encoder:
    """Writes one batch, its rules, its runs and its keys, and reads what is answered to it.

    Args:
        keyspace: Names the keys.
        calendars: Knows the edges of calendar windows.
        now_us: About what time it is; only calendars ask, and the server has the last word.
        coalesces: Whether requests that are alike travel once; else each travels by itself.
        marks: Whether states say which rule they are of where a limit has it so.
    """

    __slots__ = (
        "_calendars",
        "_coalesces",
        "_keyspace",
        "_marks",
        "_now_us",
        "_plans",
        "_rule_args",
        "_run_args",
        "_runs",
        "keys",
    )

    def __init__(
        self,
        keyspace: Keyspace,
        calendars: CalendarRules,
        now_us: int,
        *,
        coalesces: bool = True,
        marks: bool = True,
    ) -> None:
        self._keyspace = keyspace
        self._coalesces = coalesces
        self._marks = marks
        self._calendars = calendars
        self._now_us = now_us
        self._plans: dict[Plan, int] = {}
        self._rule_args: list[Argument] = []
        self._run_args: list[Argument] = []
        self._runs: list[_Run] = []  # none where each request has its answers in its place
        self.keys: list[str] = []

    def encode(self, requests: Sequence[Request]) -> list[Argument]:
        """Return the arguments for *requests*; the keys are in `keys` afterwards."""
        if not self._coalesces:
            for place, request in enumerate(requests):
                self._add_request(place, request)
        elif not self._encode_one_run(requests):
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
        if self._runs or len(raw) != HEADER_LENGTH + ANSWER_LENGTH * len(requests):
            told = self._answers(raw, requests)
        else:
            told = [raw[at : at + ANSWER_LENGTH] for at in range(HEADER_LENGTH, len(raw), ANSWER_LENGTH)]
        if min(raw[HEADER_LENGTH::ANSWER_LENGTH]) >= 0:
            return [_reply_of(Reply, (now_us, place, own, sent_us)) for place, own in enumerate(told)]
        return [
            _failure(own, now_us) if min(own[::ANSWER_LENGTH]) < 0 else Reply(now_us, place, own, sent_us)
            for place, own in enumerate(told)
        ]

    def _answers(self, raw: list[int], requests: Sequence[Request]) -> list[list[int]]:
        """Return the answers to each request, in the order of the requests."""
        told: list[list[int]] = [raw] * len(requests)  # each is replaced
        at = HEADER_LENGTH
        for groups, shared, cost, step_us in self._runs or [_Run([range(len(requests))], shared=False)]:
            for places in groups:
                if not shared:
                    for place in places:
                        end = at + ANSWER_LENGTH * len(requests[place][1])
                        told[place] = raw[at:end]
                        at = end
                    continue
                own = raw[at : at + ANSWER_LENGTH]
                at += ANSWER_LENGTH
                if len(places) == 1 or own[0] < 0:
                    for place in places:
                        told[place] = own
                else:
                    _tell_in_turn(told, own, places, requests, cost, step_us)
        return told

    def _encode_one_run(self, requests: Sequence[Request]) -> bool:
        """Write the commonest of batches, in which all requests are of one limit and cost; say whether it is one."""
        ((limit, _, cost), *_) = requests[0][1]
        plan = limit.plan
        keys = []
        alone = True
        for verb, members, _, times in requests:
            if verb != ACQUIRE or len(members) != 1:
                return False
            limit, key, own_cost = members[0]
            if limit.plan is not plan or own_cost != cost:
                return False
            alone = alone and times == 1
            keys.append(key)
        names = self._keyspace.names(plan.prefix, keys, plan.group)
        if alone and len(set(names)) == len(names):
            self.keys = names
            self._run_args += (ACQUIRE, len(names), 1, 1, self._rule(plan), cost)
            return True
        places_of: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            places = places_of.get(name)
            if places is None:
                places_of[name] = [place]
            else:
                places.append(place)
        self._add_gathered(plan, cost, places_of, requests)
        return True

    def _encode_runs(self, requests: Sequence[Request]) -> None:
        """Gather what is alike; requests of one key keep their order, others need none among callers of one time."""
        name_of = self._keyspace.name
        run_of: dict[str, Shape] = {}  # under which each name was gathered
        gathered: dict[Shape, dict[str, list[int]]] = {}
        for place, request in enumerate(requests):
            names = [name_of(limit.plan.prefix, key, limit.plan.group) for limit, key, _ in request.members]
            shape: Shape | None = None
            if request.verb == ACQUIRE and len(names) == 1:
                limit, _, cost = request.members[0]
                shape = (limit.plan, cost)
            if any(run_of.get(name, shape) != shape for name in names):
                self._end_gathering(gathered, requests)
                run_of.clear()
            if shape is None:
                self._add_request(place, request)
            else:
                run_of[names[0]] = shape
                gathered.setdefault(shape, {}).setdefault(names[0], []).append(place)
        self._end_gathering(gathered, requests)

    def _end_gathering(self, gathered: dict[Shape, dict[str, list[int]]], requests: Sequence[Request]) -> None:
        for (plan, cost), places_of in gathered.items():
            self._add_gathered(plan, cost, places_of, requests)
        gathered.clear()

    def _add_gathered(
        self, plan: Plan, cost: int, places_of: dict[str, list[int]], requests: Sequence[Request]
    ) -> None:
        """Write down what one limit and cost was asked for, each name once."""
        if plan.linear:
            counts = [sum([requests[place][3] for place in places]) for places in places_of.values()]
            self._add_run(ACQUIRE, counts, plan, cost, places_of)
            step_us = plan.plain[0] if plan.plain else 0
            self._runs.append(_Run(list(places_of.values()), shared=True, cost=cost, step_us=cost * step_us))
            return
        # Of other limits only the script knows what each is told in its turn; what is taken ahead keeps its place.
        together = {
            name: places for name, places in places_of.items() if all(requests[place][3] == 1 for place in places)
        }
        if together:
            self._add_run(IN_TURN, [len(places) for places in together.values()], plan, cost, together)
            self._runs.append(_Run(list(together.values()), shared=False))
        for name, places in places_of.items():
            if name not in together:
                for place in places:
                    self._add_run(ACQUIRE, [requests[place][3]], plan, cost, [name])
                    self._runs.append(_Run([[place]], shared=False))

    def _add_run(self, verb: int, counts: list[int], plan: Plan, cost: int, names: Iterable[str]) -> None:
        self.keys += names
        count = counts[0] if len(set(counts)) == 1 else 0  # then each has its own
        self._run_args += (verb, len(counts), count, 1, self._rule(plan), cost)
        if not count:
            self._run_args += counts

    def _add_request(self, place: int, request: Request) -> None:
        """Write down a request of any other shape, a run for itself."""
        verb, members, detail, times = request
        self._runs.append(_Run([(place,)], shared=False))
        runs = self._run_args
        runs += (verb, 1, times, len(members))
        for limit, key, cost in members:
            runs += (self._rule(limit.plan), cost)
            self.keys.append(self._keyspace.name(limit.plan.prefix, key, limit.plan.group))
        if verb in (RESET, REFUND):
            ((limit, key, _),) = members
            self.keys.append(self._keyspace.companion(limit.plan.prefix, key, "reset", limit.plan.group))
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
            marks = plan.marks and self._marks
            self._rule_args += (kind, int(plan.shadow), plan.tag, len(rules), plan.carry + MARKS * marks)
            for rule in rules:
                self._rule_args += rule
            if marks:
                tag, before, until_us = plan.was or (0, (), 0)
                before = before if self._now_us < until_us else ()
                self._rule_args += (tag, len(before), *(number for rule in before for number in rule))
        return number

    def _add_refund(self, request: Request, detail: tuple[int, int, int]) -> None:
        ((limit, key, _),) = request.members
        decided_at_us, reset_at_us, serial = detail
        identity = f"{decided_at_us:x}-{serial:x}"
        self.keys.append(self._keyspace.companion(limit.plan.prefix, key, identity, limit.plan.group))
        self._run_args += (decided_at_us, reset_at_us)


def _tell_in_turn(
    told: list[list[int]],
    answers: list[int],
    places: Sequence[int],
    requests: Sequence[Request],
    cost: int,
    step_us: int,
) -> None:
    """Tell each of those who asked alike what it would have been told after those before it."""
    granted, remaining, retry_after_us, reset_after_us = answers
    after = granted
    for place in places:
        count = requests[place][3]
        after -= count  # as many come behind it and are granted
        if after >= 0:
            told[place] = [count, remaining + after * cost, 0, reset_after_us - after * step_us]
        else:
            told[place] = [max(0, count + after), remaining, retry_after_us, reset_after_us]


def _failure(answers: list[int], now_us: int) -> CorruptStateError | OutOfRange:
    """Return why there is no decision."""
    statuses = [granted for granted in answers[::ANSWER_LENGTH] if granted < 0]
    status = next((status for status in statuses if status != UNDECIDED), UNDECIDED)
    return OutOfRange(now_us) if status == OUT_OF_RANGE else CorruptStateError("decide", _STATUSES[status])
