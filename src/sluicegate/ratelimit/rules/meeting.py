"""Which rules can cover one request, as far as that can be told without the requests.

A limiter decides a bounded number of limits at once, so who lets rules choose should know at the start
when a request would meet more. What is found can really happen; what is not found still may, where globs
with a ``*`` before their end meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluicegate.ratelimit.checking import MEMBERS_MAX

if TYPE_CHECKING:
    from sluicegate.ratelimit.rules.model import Rule, Rules

__all__ = ["RULES_AT_ONCE_MAX", "Meeting", "largest_meeting"]

RULES_AT_ONCE_MAX = MEMBERS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Rules that one request meets.

    Attributes:
        rules: The rules, in the file's order.
        request: The request, in words.
    """

    rules: tuple[Rule, ...]
    request: str


def largest_meeting(rules: Rules) -> Meeting:
    """Return the most rules that are seen to cover one request: any method or one that is named, on a path that is."""
    best = Meeting(rules=(), request="any method, path /")
    examples = (rule.match.path.example for rule in rules.limits if rule.match.path is not None)
    for path in dict.fromkeys(("/", *(example for example in examples if example is not None))):
        covering = [rule for rule in rules.limits if rule.match.path is None or rule.match.path.matches(path)]
        if len(covering) <= len(best.rules):
            continue
        named = sorted({method for rule in covering for method in rule.match.methods})
        for method in ("any method", *named):
            met = [rule for rule in covering if not rule.match.methods or method in rule.match.methods]
            if len(met) > len(best.rules):
                best = Meeting(
                    rules=tuple(met), request=f"{method}, path {path if path.isprintable() else ascii(path)}"
                )
    return best
