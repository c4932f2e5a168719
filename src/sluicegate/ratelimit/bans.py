"""Bans and overrides as values, and as the entries by which a fleet is told of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from sluicegate.ratelimit.stores.change_log import ENDLESS, Edit, Escalation

if TYPE_CHECKING:
    from sluicegate.ratelimit.ban_rule import BanRule
    from sluicegate.ratelimit.stores.change_log import Entry

__all__ = [
    "BAN",
    "BY_RULE",
    "OVERRIDE",
    "Ban",
    "Override",
    "ban_edit",
    "ban_name",
    "ban_of",
    "override_edit",
    "override_name",
    "override_of",
    "rule_edit",
    "target_of",
]

BAN: Final = "ban"
OVERRIDE: Final = "override"
BY_RULE: Final = "too many denials"
_NAME_SAFE: Final = "!$&'()*+,/;=?@ "  # not the colon, which parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """A key that is denied whatever its rate.

    Attributes:
        key: Whose requests are denied.
        limit: The name of the limit under which it is banned; ``None``: under all of them.
        reason: Why, as whoever banned it says.
        until: When it ends, in seconds since the epoch by the store's clock; ``None``: when it is lifted.
        times: How often in a row it was banned by a rule; 0: somebody banned it.
    """

    key: str
    limit: str | None
    reason: str
    until: float | None
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Another rate of a limit for one key.

    Attributes:
        limit: The limit's name.
        key: Whose rate it is.
        rate: The rate, as text; for ``concurrency`` a number of holders.
        until: When it ends, in seconds since the epoch by the store's clock; ``None``: when it is dropped.
    """

    limit: str
    key: str
    rate: str
    until: float | None


def ban_name(key: str, limit: str | None) -> str:
    """Return the name of the entry of a ban."""
    return f"{BAN}:{quote(limit or '', safe=_NAME_SAFE)}:{key}"


def override_name(key: str, limit: str) -> str:
    """Return the name of the entry of an override."""
    return f"{OVERRIDE}:{quote(limit, safe=_NAME_SAFE)}:{key}"


def ban_edit(key: str, limit: str | None, *, life_us: int, reason: str) -> Edit:
    """Return what bans a key."""
    return Edit(ban_name(key, limit), _payload(limit=limit or "", key=key, reason=reason), life_us)


def rule_edit(key: str, limit: str, rule: BanRule) -> Edit:
    """Return what bans a key that was denied too often."""
    assert rule.at_most is not None
    assert rule.forget_after is not None
    escalation = Escalation(float(rule.escalate), _us(rule.at_most), _us(rule.forget_after))
    payload = _payload(limit=limit, key=key, reason=BY_RULE)
    return Edit(ban_name(key, limit), payload, _us(rule.duration), escalation)


def override_edit(key: str, limit: str, *, life_us: int, rate: str) -> Edit:
    """Return what gives a key another rate."""
    return Edit(override_name(key, limit), _payload(limit=limit, key=key, rate=rate), life_us)


def target_of(entry: Entry) -> tuple[str, str]:
    """Return the limit's name, empty for all limits, and the key that an entry is about."""
    _, limit, key = entry.name.split(":", 2)
    return unquote(limit), key


def ban_of(entry: Entry) -> Ban:
    """Return the ban that an entry tells of."""
    told = json.loads(entry.payload)
    return Ban(
        key=told["key"], limit=told["limit"] or None, reason=told["reason"], until=_until(entry), times=entry.times
    )


def override_of(entry: Entry) -> Override:
    """Return the override that an entry tells of."""
    told = json.loads(entry.payload)
    return Override(limit=told["limit"], key=told["key"], rate=told["rate"], until=_until(entry))


def _until(entry: Entry) -> float | None:
    return None if entry.until_us == ENDLESS else entry.until_us / 1_000_000


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _payload(**members: str) -> str:
    return json.dumps(members, separators=(",", ":"))
