"""What a file of rules may say, as a JSON Schema for editors, made of the very tables of the loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluicegate.ratelimit.rules.fields import FIELDS, MATCH_FIELDS
from sluicegate.ratelimit.rules.loading import LIMITS_MAX
from sluicegate.utils import NAME_LENGTH_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit.rules.fields import Field

__all__ = ["rules_schema"]


def rules_schema() -> dict[str, Any]:
    """Return the schema of a file of rules, draft 2020-12.

    It says what may stand where. What needs more than that, such as whether a rate can be read or fits its algorithm,
    only `load_rules` says.
    """
    match = {"type": "object", "properties": _properties(MATCH_FIELDS), "additionalProperties": False}
    rule = {
        "type": "object",
        "properties": _properties(FIELDS) | {"match": match | {"description": "Which requests are meant."}},
        "required": ["rate", "key"],
        "additionalProperties": False,
    }
    limits = {
        "type": "object",
        "propertyNames": {"minLength": 1, "maxLength": NAME_LENGTH_MAX},
        "additionalProperties": rule,
        "minProperties": 1,
        "maxProperties": LIMITS_MAX,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of Sluicegate",
        "type": "object",
        "properties": {"version": {"const": 1}, "limits": limits},
        "required": ["version", "limits"],
        "additionalProperties": False,
    }


def _properties(fields: Mapping[str, Field]) -> dict[str, Any]:
    return {name: dict(field.shape) | {"description": field.accepted} for name, field in fields.items()}
