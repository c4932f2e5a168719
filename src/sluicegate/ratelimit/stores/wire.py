"""How requests travel to decide.lua and answers come back; the header of that file is the format.

A rule travels once in a batch, and one run serves all neighbouring requests of one shape, so that
in the common case a request costs no more than its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.ratelimit.algorithms import CALENDAR
from sluicegate.ratelimit.stores.store import ACQUIRE, REFUND, RESET, Reply
from sluicegate.utils import CorruptStateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.database import Argument, Keyspace
    from sluicegate.ratelimit.limit import Plan
    from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
    from sluicegate.ratelimit.stores.store import Request

__all__ = ["OUT_OF_RANGE", "Encoder", "replies_of"]

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


class Encoder:
    """Writes one batch: its rules, its runs, its keys.

    Args:
        keyspace: Names the keys.
        calendars: Knows the edges of calendar windows.
        now_us: About what time it is; only calendars ask, and the server has the last word.
    """

    __slots__ = ("_calendars", "_keyspace", "_now_us", "_plans", "_rule_args", "_run_args", "keys")

    def __init__(self, keyspace: Keyspace, calendars: CalendarRules, now_us: int) -> None:
        self._keyspace = keyspace
        self._calendars = calendars
        self._now_us = now_us
        self._plans: dict[Plan, int] = {}
        self._rule_args: list[Argument] = []
        self._run_args: list[Argument] = []
        self.keys: list[bytes] = []

    def encode(self, requests: Sequence[Request]) -> list[Argument]:
        """Return the arguments for *requests*; the keys are in `keys` afterwards."""
        add_key = self.keys.append
        name = self._keyspace.name
        plan: Plan | None = None
        cost = entries = 0
        for request in requests:
            verb, members, _ = request
            if verb == ACQUIRE and len(members) == 1:
                own_limit, key, own_cost = members[0]
                own_plan = own_limit.plan
                add_key(name(own_plan.prefix, key))
                if own_plan is plan and own_cost == cost:
                    entries += 1
                    continue
                self._end_run(plan, cost, entries)
                plan, cost, entries = own_plan, own_cost, 1
            else:
                self._end_run(plan, cost, entries)
                plan = None
                self._add_run(request)
        self._end_run(plan, cost, entries)
        return [WIRE_LAYOUT, len(self._plans), *self._rule_args, *self._run_args]

    def _end_run(self, plan: Plan | None, cost: int, entries: int) -> None:
        """Write down neighbouring requests of one limit and cost."""
        if plan is not None:
            self._run_args += (ACQUIRE, entries, 1, 1, self._rule(plan), cost)

    def _add_run(self, request: Request) -> None:
        """Write down a request of any other shape, a run for itself."""
        verb, members, detail = request
        runs = self._run_args
        runs += (verb, 1, 1, len(members))
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


def replies_of(raw: list[int], requests: Sequence[Request]) -> list[Reply | CorruptStateError]:
    """Cut the server's flat answer into a reply, or why there is none, for each of *requests*."""
    now_us = raw[0]
    at = HEADER_LENGTH
    replies: list[Reply | CorruptStateError] = []
    for serial, request in enumerate(requests):
        end = at + ANSWER_LENGTH * len(request[1])
        answers = raw[at:end]
        at = end
        if answers[0] < 0 or (len(answers) > ANSWER_LENGTH and min(answers[::ANSWER_LENGTH]) < 0):
            status = next(granted for granted in answers[::ANSWER_LENGTH] if granted < 0 and granted != UNDECIDED)
            if status != OUT_OF_RANGE:
                replies.append(CorruptStateError("decide", _STATUSES[status]))
                continue
        replies.append(_reply_of(Reply, (now_us, serial, answers)))
    return replies
