"""Describes files of rules for editors: a JSON Schema out of the tables by which they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sluicegate.ratelimit.rules.changes import PERCENT, ROLLOUT_FIELDS
from sluicegate.ratelimit.rules.defining import LIMITS_MAX
from sluicegate.ratelimit.rules.descriptors import DECLARED_MAX, DECLARED_PATTERN
from sluicegate.ratelimit.rules.fields import HEADER_PATTERN, OFF, OFF_FIELD, match_field, match_names, rule_fields
from sluicegate.ratelimit.rules.plans import PLAN_FIELDS, PLANS_MAX
from sluicegate.ratelimit.rules.reading import LISTED_MAX, TOP_FIELDS
from sluicegate.ratelimit.rules.timetable import ENTRIES_MAX, SCHEDULE_FIELDS
from sluicegate.utils import NAME_LENGTH_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sluicegate.ratelimit.rules.fields import Field

    Json = dict[str, Any]

__all__ = ["rules_schema"]

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def rules_schema() -> Json:
    """Return the JSON Schema (draft 2020-12) of a file of rules.

    It holds names, types, numbers of entries and fixed words; whatever it refuses the loader refuses, too.
    """
    names = {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX}
    top: Json = {
        "version": {"const": 1},
        "limits": _mapping("Rule", names, LIMITS_MAX),
        "plans": _mapping("Plan", names, PLANS_MAX),
        "allow": _list("Match", LISTED_MAX),
        "deny": _list("Match", LISTED_MAX),
        "descriptors": _declared(),
    }
    return {
        "$schema": _DRAFT,
        "title": "Rules of Sluicegate",
        **_object({name: top[name] for name in TOP_FIELDS}, ("version",)),
        "anyOf": [{"required": ["limits"]}, {"required": ["plans"]}],
        "$defs": _definitions(names),
    }


def _definitions(names: Json) -> Json:
    rule = {
        **_properties(rule_fields()),
        "schedule": {"type": "array", "minItems": 1, "maxItems": ENTRIES_MAX, "items": _reference("Times")},
        "rollout": _reference("Rollout"),
        "match": _reference("Match"),
    }
    plan: Json = {"inherits": names, "limits": _mapping("Change", names, LIMITS_MAX)}
    matched = {name: field for name in match_names() if (field := match_field(name)) is not None}
    glob = matched["tenant"].schema
    return {
        "Rule": _object(rule, ("rate", "key")),
        "Change": _object({**rule, **_properties({OFF: OFF_FIELD})}),
        "Plan": {**_object({name: plan[name] for name in PLAN_FIELDS}), "minProperties": 1},
        "Times": _object(_properties(SCHEDULE_FIELDS), ("from", "to", "rate")),
        "Rollout": _object(_properties(ROLLOUT_FIELDS), (PERCENT,)),
        "Match": {
            **_object(_properties(matched)),
            # What a file declares is not known here, so any name of that form may be one.
            "patternProperties": {DECLARED_PATTERN: {}, HEADER_PATTERN: glob},
        },
    }


def _properties(fields: Mapping[str, Field]) -> Json:
    return {name: {"description": field.accepted, **field.schema} for name, field in fields.items()}


def _object(properties: Json, required: Sequence[str] = ()) -> Json:
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def _mapping(definition: str, names: Json, most: int) -> Json:
    return {
        "type": "object",
        "propertyNames": names,
        "minProperties": 1,
        "maxProperties": most,
        "additionalProperties": _reference(definition),
    }


def _list(definition: str, most: int) -> Json:
    return {"type": "array", "minItems": 1, "maxItems": most, "items": {**_reference(definition), "minProperties": 1}}


def _declared() -> Json:
    name = {"type": "string", "pattern": DECLARED_PATTERN}
    return {"anyOf": [name, {"type": "array", "minItems": 1, "maxItems": DECLARED_MAX, "items": name}]}


def _reference(definition: str) -> Json:
    return {"$ref": f"#/$defs/{definition}"}
