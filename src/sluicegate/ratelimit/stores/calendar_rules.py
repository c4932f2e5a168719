"""The moving numbers of calendar quotas: for each limit the edges around now, computed when now leaves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.ratelimit.algorithms import calendar_quota
from sluicegate.ratelimit.calendar import boundaries

if TYPE_CHECKING:
    from sluicegate.ratelimit.plan import Plan

__all__ = ["CalendarRules"]

PLANS_MAX = 1024  # limits are few; a program that makes them without end must not fill the memory


class CalendarRules:
    """Remembers each plan's rules for as long as they are centred on the current window."""

    __slots__ = ("_rules",)

    def __init__(self) -> None:
        self._rules: dict[Plan, tuple[calendar_quota.Rule, ...]] = {}

    def around(self, plan: Plan, now_us: int) -> tuple[calendar_quota.Rule, ...]:
        """Return a rule for each of the plan's rates, with *now_us* in the middle window."""
        rules = self._rules.get(plan)
        if rules is None or not all(rule.edge_1_us <= now_us < rule.edge_2_us for rule in rules):
            rules = tuple(calendar_quota.Rule(limit, *boundaries(period, now_us)) for limit, period in plan.calendar)
            if len(self._rules) >= PLANS_MAX:
                self._rules.clear()
            self._rules[plan] = rules
        return rules
