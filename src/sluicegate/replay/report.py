"""What a replay found, as frozen values, and as the one JSON object that machines read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluicegate.replay.deciding import DeniedKey
    from sluicegate.replay.suggesting import Suggestion
    from sluicegate.replay.timeline import Timeline

__all__ = ["Report", "RuleReport", "moment"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleReport:
    """What one rule did, decided as if it were the only one.

    Attributes:
        name: The limit's name.
        rate: Its rates as text.
        algorithm: Its algorithm.
        key: The descriptors of its key.
        cost: The units that each request takes.
        schedule: The rates that hold at other times, each with its times, as text.
        shadow: Whether it only counts in live service; here its denials are counted all the same.
        requests: Requests that it covers: those that match and carry its key.
        without_key: Requests that match, but of which the log does not tell the key.
        allowed: Requests allowed.
        denied: Requests denied.
        keys: Different keys.
        top_denied: The twenty keys that were denied most.
        suggestions: Which limits would have denied at most 1 % and 0.1 %.
        over_time: Allowed and denied over time; ``None`` when the log holds no request.
        skipped: Why the rule was not replayed; ``None`` when it was.
    """

    name: str
    rate: str
    algorithm: str
    key: tuple[str, ...]
    cost: int = 1
    schedule: tuple[str, ...] = ()
    shadow: bool = False
    requests: int = 0
    without_key: int = 0
    allowed: int = 0
    denied: int = 0
    keys: int = 0
    top_denied: tuple[DeniedKey, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    over_time: Timeline | None = None
    skipped: str | None = None

    @property
    def denied_ratio(self) -> float:
        """The share of its requests that were denied, from 0 to 1."""
        return self.denied / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a replay found.

    Attributes:
        log: The log's name.
        log_format: Its format; empty when none is known that a line of it fits.
        lines: Its lines, without a CSV's line of names.
        malformed: Lines that are no request.
        malformed_lines: The numbers of the first hundred of those.
        first_us: The earliest request, in microseconds since the epoch; ``None`` without any.
        last_us: The latest request.
        ended_early: Why the rest of the log could not be read; ``None`` when it was read whole.
        rules: What each rule did, in the order of the file.
    """

    log: str
    log_format: str
    lines: int
    malformed: int
    malformed_lines: tuple[int, ...]
    first_us: int | None
    last_us: int | None
    ended_early: str | None
    rules: tuple[RuleReport, ...]

    @property
    def requests(self) -> int:
        """Lines that are requests."""
        return self.lines - self.malformed

    def as_json(self) -> dict[str, Any]:
        """Return the report as values that `json` can write; times are ISO 8601 in UTC."""
        return {
            "log": self.log,
            "format": self.log_format or None,
            "lines": self.lines,
            "requests": self.requests,
            "malformed": self.malformed,
            "malformed_lines": list(self.malformed_lines),
            "first": moment(self.first_us),
            "last": moment(self.last_us),
            "ended_early": self.ended_early,
            "rules": [_rule_as_json(rule) for rule in self.rules],
        }


def moment(at_us: int | None) -> str | None:
    """Write a time as ISO 8601 in UTC, with a fraction only where it has one."""
    if at_us is None:
        return None
    return (_EPOCH + timedelta(microseconds=at_us)).replace(tzinfo=None).isoformat() + "Z"


def _rule_as_json(rule: RuleReport) -> dict[str, Any]:
    return {
        "name": rule.name,
        "rate": rule.rate,
        "algorithm": rule.algorithm,
        "key": list(rule.key),
        "cost": rule.cost,
        "schedule": list(rule.schedule),
        "shadow": rule.shadow,
        "skipped": rule.skipped,
        "requests": rule.requests,
        "without_key": rule.without_key,
        "allowed": rule.allowed,
        "denied": rule.denied,
        "denied_ratio": round(rule.denied_ratio, 6),
        "keys": rule.keys,
        "top_denied": [
            {
                "key": found.key,
                "denied": found.denied,
                "allowed": found.allowed,
                "first": moment(found.first_us),
                "last": moment(found.last_us),
            }
            for found in rule.top_denied
        ],
        "suggestions": [
            {
                "target_ratio": found.target_ratio,
                "rate": found.rate,
                "denied": found.denied,
                "denied_ratio": round(found.denied_ratio, 6),
            }
            for found in rule.suggestions
        ],
        "over_time": None if rule.over_time is None else _timeline_as_json(rule.over_time),
    }


def _timeline_as_json(timeline: Timeline) -> dict[str, Any]:
    return {
        "start": moment(timeline.start_us),
        "width_seconds": timeline.width_us // _SECOND_US,
        "allowed": timeline.allowed,
        "denied": timeline.denied,
    }
