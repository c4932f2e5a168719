"""Describes the HTTP interface for machines, with the names of the limits that are really there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sluicegate.ratelimit import KEYS_AT_ONCE_MAX
from sluicegate.server.bodies import ALL_MAX, MANY_MAX
from sluicegate.server.openapi_forms import Json, listing, object_of, one_of, operation_of, or_null, posting, reference
from sluicegate.utils import COST_MAX, KEY_LENGTH_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit import Limit

__all__ = ["openapi_document"]

_INTRODUCTION: Final = (
    "Decides whether one more request may pass. Every refusal of a request itself is one line in a problem body "
    "(RFC 9457) that names the place, what was found and what is accepted."
)
_STRANGER: Final = ("server.admin_token is set, and Authorization: Bearer does not bring it", None)
_DEAF: Final = ("Other processes would not hear of it: flags.changes is off", None)
# No control characters and no line separators: what the service refuses, said as a pattern.
_KEY_PATTERN: Final = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029]+$"


def openapi_document(limits: Mapping[str, Limit], version: str) -> Json:
    """Return the OpenAPI document of a service that decides by *limits*."""
    with_rate = [name for name, limit in limits.items() if limit.algorithm != "concurrency"]
    held = [name for name, limit in limits.items() if limit.algorithm == "concurrency"]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sluicegate", "version": version, "description": _INTRODUCTION},
        "paths": {
            **_taking_paths(),
            **_keeping_paths(),
            **_hold_paths(),
            **_ban_paths(),
            **_override_paths(),
            **_other_paths(),
        },
        "components": {
            "schemas": {
                **_asked_schemas(list(limits), with_rate, held),
                **_overruling_schemas(list(limits)),
                **_answer_schemas(),
            }
        },
    }


def _taking_paths() -> Json:
    return {
        "/v1/acquire": {
            "post": posting(
                "Take units of one limit for a key, or say when they can be had",
                "A denial consumes nothing. Cost 0 looks: it is allowed unless the key is in debt.",
                "Acquire",
                {"200": ("Allowed", "Decision"), "429": ("Denied: come back after Retry-After", "Decision")},
            )
        },
        "/v1/acquire-all": {
            "post": posting(
                "Take units of several limits at once: all of them grant, or none is charged",
                "A pair of limit and key that is named twice is taken once, with the greater cost.",
                "AcquireAll",
                {"200": ("All allow", "JointDecision"), "429": ("One denies, and none was charged", "JointDecision")},
            )
        },
        "/v1/acquire-many": {
            "post": posting(
                "Decide several independent requests in one call",
                "Each is decided for itself; the answers stand in the order of the requests.",
                "AcquireMany",
                {"200": ("A decision for each request", "Decisions")},
            )
        },
    }


def _keeping_paths() -> Json:
    return {
        "/v1/peek": {
            "post": posting(
                "Say what an acquire would be answered",
                "Nothing is taken; what remains is told as it is now.",
                "Peek",
                {"200": ("What an acquire would be answered", "Decision")},
            )
        },
        "/v1/reset": {
            "post": posting(
                "Forget the state of a key",
                "As if the key had never come.",
                "Reset",
                {"200": ("Whether there was a state", "ResetDone")},
                needs_store=True,
            )
        },
        "/v1/refund": {
            "post": posting(
                "Give back what a decision took",
                "Once for each decision, however often it is called; a repetition gives the same answer.",
                "Refund",
                {"200": ("How many units were given back", "RefundDone"), "409": ("The limit was changed", None)},
                needs_store=True,
            )
        },
    }


def _hold_paths() -> Json:
    hold_id = {"name": "hold_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {
        "/v1/holds": {
            "post": posting(
                "Take a unit of a concurrency limit",
                "It expires by itself unless it is renewed in time.",
                "HoldTaken",
                {"200": ("Held", "Hold"), "429": ("All units are held", "Hold")},
            )
        },
        "/v1/holds/{hold_id}": {
            "parameters": [hold_id],
            "put": operation_of(
                "Keep a hold for another term",
                "The term is counted from now.",
                {
                    "200": ("Still held", "HoldRenewed"),
                    "409": ("The limit was changed", None),
                    "410": ("Expired", None),
                },
                needs_store=True,
            ),
            "delete": operation_of(
                "Give a hold back",
                "It does no harm twice.",
                {"200": ("Whether it was held", "HoldReleased"), "409": ("The limit was changed", None)},
                needs_store=True,
            ),
        },
    }


def _ban_paths() -> Json:
    return {
        "/v1/bans": {
            "get": listing("List the bans that are in force", "Bans", {"401": _STRANGER}),
            "post": posting(
                "Ban keys under a limit, or under all of them",
                "They are denied whatever their rate, in every process within a second.",
                "BanAsked",
                {"200": ("They are banned", "BansMade"), "409": _DEAF, "401": _STRANGER},
                needs_store=True,
            ),
        },
        "/v1/bans/lift": {
            "post": posting(
                "Lift the bans of keys",
                "Without a limit those under all limits and those under single ones.",
                "LiftAsked",
                {"200": ("How many bans there were", "Lifted"), "401": _STRANGER},
                needs_store=True,
            )
        },
    }


def _override_paths() -> Json:
    return {
        "/v1/overrides": {
            "get": listing("List the overrides that are in force", "Overrides", {"401": _STRANGER}),
            "post": posting(
                "Give a key another rate of a limit",
                "It is judged by that rate in every process within a second; what it has used is carried over.",
                "OverrideAsked",
                {"200": ("It has that rate", "Override"), "409": _DEAF, "401": _STRANGER},
                needs_store=True,
            ),
        },
        "/v1/overrides/drop": {
            "post": posting(
                "Have a key judged by the limit's own rate again",
                "It does no harm where there is no override.",
                "Reset",
                {"200": ("Whether there was an override", "Dropped"), "401": _STRANGER},
                needs_store=True,
            )
        },
    }


def _other_paths() -> Json:
    limits = operation_of("List the limits", "What the file of rules says.", {"200": ("The limits", "Limits")})
    live = operation_of("Say whether the process lives", "", {"200": ("It does", "Status")})
    ready = operation_of(
        "Say whether requests should be sent here",
        "",
        {"200": ("The store answers", "Ready"), "503": ("The store is away, or the process is draining", None)},
    )
    for operation in (limits, live, ready):
        del operation["responses"]["400"]
    return {"/v1/limits": {"get": limits}, "/livez": {"get": live}, "/readyz": {"get": ready}}


def _key_schema() -> Json:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": KEY_LENGTH_MAX,
        "pattern": _KEY_PATTERN,
        "description": "Who is limited",
        "examples": ["user:42"],
    }


def _overruling_schemas(names: list[str]) -> Json:
    listed = {"type": "array", "minItems": 1, "maxItems": KEYS_AT_ONCE_MAX, "items": _key_schema()}
    keys = {"anyOf": [_key_schema(), listed]}
    plan = {"type": "string", "description": "In which plan the limit is looked up"}
    seconds = {"type": "number", "minimum": 0.001, "maximum": 31_622_400, "description": "Default: until it is ended"}
    reason = {"type": "string", "maxLength": 200, "pattern": "^[ -~]*$", "description": "Why; shown to operators"}
    rate = {"type": "string", "description": "As in the file of rules", "examples": ["200/minute"]}
    limit = one_of(names)
    banning = {"keys": keys, "seconds": seconds, "reason": reason, "limit": limit, "plan": plan}
    overriding = {"limit": limit, "key": _key_schema(), "rate": rate, "seconds": seconds, "plan": plan}
    return {
        "BanAsked": object_of(banning, required=("keys",)),
        "LiftAsked": object_of({"keys": keys, "limit": limit, "plan": plan}, required=("keys",)),
        "OverrideAsked": object_of(overriding, required=("limit", "key", "rate")),
        **_overruled_schemas(),
    }


def _overruled_schemas() -> Json:
    text = {"type": "string"}
    number = {"type": "integer", "minimum": 0}
    until = or_null({"type": "number"}, "When it ends, in seconds since the epoch; null when it does not")
    limit = or_null(text, "Under which limit; null: under all")
    times = {**number, "description": "How often in a row by a rule; 0: by somebody"}
    bans = {
        "type": "array",
        "items": object_of({"key": text, "limit": limit, "reason": text, "until": until, "times": times}),
    }
    override = object_of({"limit": text, "key": text, "rate": text, "until": until})
    total = {**number, "description": "How many there are; up to 1,000 of them are listed"}
    return {
        "BansMade": object_of({"bans": bans}),
        "Bans": object_of({"bans": bans, "total": total}),
        "Lifted": object_of({"lifted": number}),
        "Override": override,
        "Overrides": object_of({"overrides": {"type": "array", "items": override}, "total": total}),
        "Dropped": object_of({"dropped": {"type": "boolean"}}),
    }


def _asked_schemas(names: list[str], with_rate: list[str], held: list[str]) -> Json:
    key = _key_schema()
    cost = {
        "type": "integer",
        "minimum": 0,
        "maximum": COST_MAX,
        "description": "Units to take; by default what the rule says that a request takes",
    }
    plan = {"type": "string", "description": "In which plan; one that is not known has the limits of none"}
    rated = {"limit": one_of(with_rate), "key": key, "cost": cost, "plan": plan}
    any_limit = {"limit": one_of(names), "key": key, "plan": plan}
    return {
        "Acquire": object_of(rated, required=("limit", "key")),
        "AcquireAll": _listed("Acquire", ALL_MAX),
        "AcquireMany": _listed("Acquire", MANY_MAX),
        "Peek": object_of({**any_limit, "cost": cost}, required=("limit", "key")),
        "Reset": object_of(any_limit, required=("limit", "key")),
        "Refund": object_of({"id": {"type": "string", "description": "A decision's id"}}, required=("id",)),
        "HoldTaken": object_of({"limit": one_of(held), "key": key, "plan": plan}, required=("limit", "key")),
    }


def _decision_members() -> Json:
    seconds: Json = {"type": "number", "minimum": 0, "description": "Seconds"}
    return {
        "allowed": {"type": "boolean", "description": "Whether the request may pass"},
        "limit": {"type": "string"},
        "key": {"type": "string"},
        "cost": {"type": "integer"},
        "remaining": or_null({"type": "integer"}, "Units that could still be taken now; null when unknown"),
        "retry_after": or_null({"type": "number"}, "Seconds; 0 when allowed, null when unknown or never"),
        "never": {"type": "boolean", "description": "Whether the cost is more than could ever be granted"},
        "reset_after": {**seconds, "description": "Seconds until nothing is left of the past"},
        "reset_at": {**seconds, "description": "When nothing is left of the past, in seconds since the epoch"},
        "delay": {**seconds, "description": "For leaky_bucket: seconds after which to run the request"},
        "source": {"type": "string", "enum": ["memory", "redis", "lease", "deny_cache", "ban", "fallback"]},
        "degraded": {"type": "boolean", "description": "Whether it was decided without the store"},
        "shadow_denied": {"type": "boolean", "description": "Whether a limit on trial would have denied it"},
        "banned": {"type": "boolean", "description": "Whether the key is banned"},
        "id": or_null(
            {"type": "string"}, "What a refund is asked with, or a hold renewed; null when nothing was taken"
        ),
    }


def _ready_schema() -> Json:
    properties = {
        "status": {"type": "string"},
        "store": {"type": "string", "enum": ["memory", "redis"]},
        "features": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "rules": {
            "type": "object",
            "properties": {
                "state": {"type": "string", "enum": ["current", "stale"]},
                "rollouts": {
                    "type": "array",
                    "items": {"type": "object"},
                    "description": "What is being rolled out, how far, and with which differences",
                },
            },
        },
        "changes": object_of(
            {"state": {"type": "string", "enum": ["off", "heard", "away"]}, "keys": {"type": "integer", "minimum": 0}}
        ),
    }
    return {"type": "object", "properties": properties, "required": [*properties]}


def _answer_schemas() -> Json:
    decision = _decision_members()
    expires = or_null({"type": "number"}, "Seconds after which the hold ends unless it is renewed")
    joint = {
        "allowed": {"type": "boolean"},
        "binding": object_of({"limit": {"type": "string"}, "key": {"type": "string"}}),
        "retry_after": decision["retry_after"],
        "never": {"type": "boolean"},
        "decisions": {"type": "array", "items": reference("Decision")},
    }
    return {
        "Decision": object_of(decision),
        "JointDecision": object_of(joint),
        "Decisions": object_of({"decisions": joint["decisions"]}),
        "Hold": object_of({**decision, "expires_after": expires}),
        "HoldRenewed": object_of({"id": {"type": "string"}, "expires_after": {"type": "number"}}),
        "HoldReleased": object_of({"released": {"type": "boolean"}}),
        "ResetDone": object_of({"reset": {"type": "boolean"}}),
        "RefundDone": object_of({"refunded": {"type": "integer", "minimum": 0}}),
        "Limits": _limits_schema(),
        "Status": {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]},
        "Ready": _ready_schema(),
        "Problem": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string", "description": "One line: the place, what was found, what is accepted"},
            },
            "required": ["type", "title", "status", "detail"],
        },
    }


def _listed(schema: str, most: int) -> Json:
    items = {"type": "array", "minItems": 1, "maxItems": most, "items": reference(schema)}
    return object_of({"requests": items})


def _limits_schema() -> Json:
    rules: Json = {"type": "array", "items": {"type": "object"}}
    plans = {"type": "object", "description": "For each plan all limits that hold", "additionalProperties": rules}
    return object_of({"limits": rules, "plans": plans}, required=("limits",))
