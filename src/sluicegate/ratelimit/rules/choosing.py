"""Finds the rules that cover a request, holding it only against those that can.

Most rules of a long file name a path whose first segment is plain text. Those are found by that segment; the
others are tried each time. And where rules that follow one another count for the same key, it is made once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sluicegate.ratelimit.rules.scheduling import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.rules.model import KeyTemplate, Rule
    from sluicegate.ratelimit.rules.rolling import Rollout
    from sluicegate.utils import Clock

    Asked = tuple[Limit, str] | tuple[Limit, str, int]
    Step = tuple[Limit, Callable[[Mapping[str, str]], bool] | None, KeyTemplate, int, Schedule | Rollout | None]

__all__ = ["Choice"]

INDEXED_FROM = 8  # rules; of fewer each is tried in less time than it takes to part a path


class Choice:
    """The rules of one list, arranged to be found.

    Args:
        rules: The rules, in their order.
    """

    __slots__ = ("_anywhere", "_by_segment")

    def __init__(self, rules: Sequence[Rule]) -> None:
        templates: dict[KeyTemplate, KeyTemplate] = {}
        steps = [_step(rule, templates.setdefault(rule.key, rule.key)) for rule in rules]
        segments = [_segments(rule) for rule in rules]
        self._anywhere: tuple[Step, ...] = tuple(steps)
        self._by_segment: dict[str, tuple[Step, ...]] | None = None
        named: dict[str, list[int]] = {}
        for at, some in enumerate(segments):
            for segment in some or ():
                named.setdefault(segment, []).append(at)
        if len(rules) >= INDEXED_FROM and named:
            anywhere = [at for at, some in enumerate(segments) if some is None]
            self._anywhere = tuple(steps[at] for at in anywhere)
            self._by_segment = {
                segment: tuple(steps[at] for at in sorted(anywhere + there)) for segment, there in named.items()
            }

    def matching(self, descriptors: Mapping[str, str], clock: Clock) -> list[Asked]:
        """Return the limits that cover a request in their order, each with its key and a cost that is not 1."""
        steps = self._anywhere
        if self._by_segment is not None:
            steps = self._by_segment.get(descriptors.get("path", "")[1:].partition("/")[0], steps)
        found: list[Asked] = []
        known = key = None
        for limit, covers, template, cost, varying in steps:
            if covers is None or covers(descriptors):
                if template is not known:
                    known = template
                    key = template.key(descriptors)
                if key is not None:
                    if varying is None:
                        found.append((limit, key) if cost == 1 else (limit, key, cost))
                    elif type(varying) is Schedule:
                        chosen = varying.limit_at(clock.now_us()) or limit
                        found.append((chosen, key) if cost == 1 else (chosen, key, cost))
                    else:
                        limits = cast("Rollout", varying).limits_for(key)
                        found += [(each, key) if cost == 1 else (each, key, cost) for each in limits]
        return found


def _step(rule: Rule, template: KeyTemplate) -> Step:
    covers = None if rule.match.is_empty else rule.match.covers
    return rule.limit, covers, template, rule.cost, rule.schedule or rule.rollout


def _segments(rule: Rule) -> set[str] | None:
    """Return the first segments that a path must have to be covered; ``None`` where that is not known."""
    patterns = rule.match.patterns("path")
    segments = [pattern.text[1:].partition("/")[0] for pattern in patterns if pattern.text[:1] == "/"]
    if not patterns or len(segments) < len(patterns) or any("*" in segment for segment in segments):
        return None
    return set(segments)
