"""Reads the schedule of a rule: at which times it has which rate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sluicegate.ratelimit.rules.fields import RATE_FIELD, ZONE_FIELD, Field
from sluicegate.ratelimit.rules.problems import entries_of, suggestion
from sluicegate.ratelimit.rules.scheduling import DAYS, Schedule, Times
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sluicegate.ratelimit.rules.document import Node, Place
    from sluicegate.ratelimit.rules.fallback import Fallback
    from sluicegate.ratelimit.rules.problems import Problems

__all__ = ["ENTRIES_MAX", "SCHEDULE_FIELDS", "Timetable", "read_timetable", "schedule_of"]

ENTRIES_MAX = 50  # more than seven a day are no schedule any more
_UTC = "UTC"
_TIME_ACCEPTED = "a time such as 22:00"
_DAYS_ACCEPTED = f"days such as sat, or mon-fri, or a list of them: {', '.join(DAYS)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """An entry of a schedule as it was read."""

    times: Times
    rate: str
    time_zone: str
    place: Place
    path: str


Timetable = tuple[Slot, ...]


def read_timetable(node: Node, path: str, problems: Problems) -> Timetable:
    """Return what a list of entries says, and note what is wrong with it.

    Args:
        node: The list.
        path: What it is, for messages.
        problems: Where to note what is wrong.
    """
    if node.items is None or not 0 < len(node.items) <= ENTRIES_MAX:
        found = node.shape if node.items is None else f"{len(node.items)} entries"
        problems.add(node.place, path, found, f"a list of 1 to {ENTRIES_MAX} of {{from, to, rate}}")
        return ()
    slots: list[Slot] = []
    for at, item in enumerate(node.items):
        slot = _slot(item, f"{path}[{at}]", problems)
        if slot is None:
            continue
        earlier = next((other for other in slots if other.times.minutes & slot.times.minutes), None)
        if slots and slot.time_zone != slots[0].time_zone:
            problems.add(slot.place, f"{slot.path}.time_zone", slot.time_zone, f"{slots[0].time_zone}, as before")
        elif earlier is not None:
            found = f"{slot.times}, which overlaps {earlier.times} on line {earlier.place.line}"
            problems.add(slot.place, slot.path, found, "times that do not overlap")
        slots.append(slot)
    return tuple(slots)


def schedule_of(
    timetable: Timetable, name: str, options: Mapping[str, Any], fallback: Fallback, problems: Problems
) -> Schedule | None:
    """Return the schedule of a rule, or ``None`` where a rate does not go with the rest of it.

    Args:
        timetable: What was read.
        name: What the rule's limit is called.
        options: All else that makes a limit of it, but for the rate.
        fallback: What answers in the store's place where the options do not say it.
        problems: Where to note what is wrong.
    """
    entries = []
    for slot in timetable:
        try:
            entries.append((slot.times, fallback.limit(name, rate=slot.rate, **options)))
        except InvalidInputError as error:
            problems.add(slot.place, f"{slot.path}.rate", error.found, error.accepted)
    return Schedule(timetable[0].time_zone, tuple(entries)) if len(entries) == len(timetable) else None


def _slot(node: Node, path: str, problems: Problems) -> Slot | None:
    before = problems.count()
    entries = entries_of(node, path, SCHEDULE_FIELDS, problems)
    values: dict[str, Any] = {"days": frozenset(range(7)), "time_zone": _UTC}
    for name, entry in entries.items():
        try:
            values[name] = SCHEDULE_FIELDS[name].read(entry.node)
        except InvalidInputError as error:
            problems.add(entry.node.place, f"{path}.{name}", error.found, error.accepted)
    for needed in ("from", "to", "rate"):
        if needed not in entries and node.entries is not None:
            problems.add(node.place, f"{path}.{needed}", "nothing", SCHEDULE_FIELDS[needed].accepted)
    if problems.count() > before:
        return None
    try:
        times = Times(start=values["from"], end=values["to"], days=values["days"])
        zone_of_one = Schedule(values["time_zone"], ())
    except InvalidInputError as error:
        place = entries[error.where].node.place if error.where in entries else node.place
        problems.add(place, f"{path}.{error.where}", error.found, error.accepted)
        return None
    return Slot(times=times, rate=values["rate"], time_zone=zone_of_one.time_zone, place=node.place, path=path)


def _minute(node: Node) -> int:
    value = node.value
    if isinstance(value, time):
        value = value.isoformat("minutes") if value.second == value.microsecond == 0 else ""
    hours, separator, minutes = value.partition(":") if isinstance(value, str) else ("", "", "")
    is_time = separator and all(part.isascii() and part.isdigit() and len(part) == 2 for part in (hours, minutes))  # noqa: PLR2004 - 06:00
    if not is_time or not int(hours) * 60 + int(minutes) <= 24 * 60 or int(minutes) >= 60:  # noqa: PLR2004 - hours and minutes
        raise InvalidInputError("", node.shape, _TIME_ACCEPTED)
    return int(hours) * 60 + int(minutes)


def _days(node: Node) -> frozenset[int]:
    items = node.items if node.items is not None else (node,)
    if not 0 < len(items) <= len(DAYS):
        raise InvalidInputError("", f"{len(items)} of them", f"1 to {len(DAYS)} days")
    return frozenset(day for item in items for day in _days_of(item))


def _days_of(node: Node) -> list[int]:
    text = node.value.lower() if isinstance(node.value, str) else ""
    first, _, last = text.partition("-")
    last = last or first
    if first not in DAYS or last not in DAYS or text.endswith("-"):
        raise InvalidInputError("", node.shape, _DAYS_ACCEPTED + suggestion(text, DAYS))
    start = DAYS.index(first)
    return [(start + at) % len(DAYS) for at in range((DAYS.index(last) - start) % len(DAYS) + 1)]


_TIME_FIELD: Final = Field(
    read=_minute, accepted=_TIME_ACCEPTED, schema={"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"}
)
_DAY_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "string",
    "pattern": "^[A-Za-z]{3}(-[A-Za-z]{3})?$",
    "examples": ["sat", "mon-fri"],
}
SCHEDULE_FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "from": _TIME_FIELD,
        "to": _TIME_FIELD,
        "days": Field(
            read=_days,
            accepted=_DAYS_ACCEPTED,
            schema={
                "anyOf": [_DAY_SCHEMA, {"type": "array", "minItems": 1, "maxItems": len(DAYS), "items": _DAY_SCHEMA}]
            },
        ),
        "time_zone": ZONE_FIELD,
        "rate": RATE_FIELD,
    }
)
