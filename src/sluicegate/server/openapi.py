"""Describes the HTTP interface for machines, with the names of the limits that are really there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sluicegate.server.bodies import ALL_MAX, MANY_MAX
from sluicegate.utils import COST_MAX, KEY_LENGTH_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.ratelimit import Limit

__all__ = ["openapi_document"]

Json = dict[str, Any]

_INTRODUCTION: Final = (
    "Decides whether one more request may pass. Every refusal of a request itself is one line in a problem body "
    "(RFC 9457) that names the place, what was found and what is accepted."
)
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"
# No control characters and no line separators: what the service refuses, said as a pattern.
_KEY_PATTERN: Final = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029]+$"


def openapi_document(limits: Mapping[str, Limit], version: str) -> Json:
    """Return the OpenAPI document of a service that decides by *limits*."""
    with_rate = [name for name, limit in limits.items() if limit.algorithm != "concurrency"]
    held = [name for name, limit in limits.items() if limit.algorithm == "concurrency"]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sluicegate", "version": version, "description": _INTRODUCTION},
        "paths": {**_taking_paths(), **_keeping_paths(), **_hold_paths(), **_other_paths()},
        "components": {"schemas": {**_asked_schemas(list(limits), with_rate, held), **_answer_schemas()}},
    }


def _taking_paths() -> Json:
    return {
        "/v1/acquire": {
            "post": _posting(
                "Take units of one limit for a key, or say when they can be had",
                "A denial consumes nothing. Cost 0 looks: it is allowed unless the key is in debt.",
                "Acquire",
                {"200": ("Allowed", "Decision"), "429": ("Denied: come back after Retry-After", "Decision")},
            )
        },
        "/v1/acquire-all": {
            "post": _posting(
                "Take units of several limits at once: all of them grant, or none is charged",
                "A pair of limit and key that is named twice is taken once, with the greater cost.",
                "AcquireAll",
                {"200": ("All allow", "JointDecision"), "429": ("One denies, and none was charged", "JointDecision")},
            )
        },
        "/v1/acquire-many": {
            "post": _posting(
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
            "post": _posting(
                "Say what an acquire would be answered",
                "Nothing is taken; what remains is told as it is now.",
                "Peek",
                {"200": ("What an acquire would be answered", "Decision")},
            )
        },
        "/v1/reset": {
            "post": _posting(
                "Forget the state of a key",
                "As if the key had never come.",
                "Reset",
                {"200": ("Whether there was a state", "ResetDone")},
                needs_store=True,
            )
        },
        "/v1/refund": {
            "post": _posting(
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
            "post": _posting(
                "Take a unit of a concurrency limit",
                "It expires by itself unless it is renewed in time.",
                "HoldTaken",
                {"200": ("Held", "Hold"), "429": ("All units are held", "Hold")},
            )
        },
        "/v1/holds/{hold_id}": {
            "parameters": [hold_id],
            "put": _operation(
                "Keep a hold for another term",
                "The term is counted from now.",
                {
                    "200": ("Still held", "HoldRenewed"),
                    "409": ("The limit was changed", None),
                    "410": ("Expired", None),
                },
                needs_store=True,
            ),
            "delete": _operation(
                "Give a hold back",
                "It does no harm twice.",
                {"200": ("Whether it was held", "HoldReleased"), "409": ("The limit was changed", None)},
                needs_store=True,
            ),
        },
    }


def _other_paths() -> Json:
    limits = _operation("List the limits", "What the file of rules says.", {"200": ("The limits", "Limits")})
    live = _operation("Say whether the process lives", "", {"200": ("It does", "Status")})
    ready = _operation(
        "Say whether requests should be sent here",
        "",
        {"200": ("The store answers", "Ready"), "503": ("The store is away, or the process is draining", None)},
    )
    for operation in (limits, live, ready):
        del operation["responses"]["400"]
    return {"/v1/limits": {"get": limits}, "/livez": {"get": live}, "/readyz": {"get": ready}}


def _posting(
    summary: str,
    description: str,
    body: str,
    answers: Mapping[str, tuple[str, str | None]],
    *,
    needs_store: bool = False,
) -> Json:
    more: dict[str, tuple[str, str | None]] = {
        "408": ("The body did not arrive in time", None),
        "413": ("The body is too large", None),
        "415": ("The body is not declared as JSON", None),
    }
    operation = _operation(summary, description, {**answers, **more}, needs_store=needs_store)
    operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": _reference(body)}}}
    return operation


def _operation(
    summary: str, description: str, answers: Mapping[str, tuple[str, str | None]], *, needs_store: bool = False
) -> Json:
    told: dict[str, tuple[str, str | None]] = {**answers, "400": ("Refused: the line says what is accepted", None)}
    if needs_store:
        told["503"] = ("The store did not answer", None)
    return {
        "summary": summary,
        "description": description,
        "responses": {status: _response(*told[status]) for status in sorted(told)},
    }


def _response(description: str, schema: str | None) -> Json:
    if schema is None:
        return {"description": description, "content": {_PROBLEM: {"schema": _reference("Problem")}}}
    response: Json = {"description": description, "content": {_JSON: {"schema": _reference(schema)}}}
    if schema in ("Decision", "JointDecision", "Hold"):
        names = ("Retry-After", "RateLimit", "RateLimit-Policy")
        response["headers"] = {name: {"schema": {"type": "string"}} for name in names}
    return response


def _asked_schemas(names: list[str], with_rate: list[str], held: list[str]) -> Json:
    key = {
        "type": "string",
        "minLength": 1,
        "maxLength": KEY_LENGTH_MAX,
        "pattern": _KEY_PATTERN,
        "description": "Who is limited",
        "examples": ["user:42"],
    }
    cost = {
        "type": "integer",
        "minimum": 0,
        "maximum": COST_MAX,
        "description": "Units to take; by default what the rule says that a request takes",
    }
    plan = {"type": "string", "description": "In which plan; one that is not known has the limits of none"}
    rated = {"limit": _one_of(with_rate), "key": key, "cost": cost, "plan": plan}
    any_limit = {"limit": _one_of(names), "key": key, "plan": plan}
    return {
        "Acquire": _object(rated, required=("limit", "key")),
        "AcquireAll": _listed("Acquire", ALL_MAX),
        "AcquireMany": _listed("Acquire", MANY_MAX),
        "Peek": _object({**any_limit, "cost": cost}, required=("limit", "key")),
        "Reset": _object(any_limit, required=("limit", "key")),
        "Refund": _object({"id": {"type": "string", "description": "A decision's id"}}, required=("id",)),
        "HoldTaken": _object({"limit": _one_of(held), "key": key, "plan": plan}, required=("limit", "key")),
    }


def _decision_members() -> Json:
    seconds: Json = {"type": "number", "minimum": 0, "description": "Seconds"}
    return {
        "allowed": {"type": "boolean", "description": "Whether the request may pass"},
        "limit": {"type": "string"},
        "key": {"type": "string"},
        "cost": {"type": "integer"},
        "remaining": _or_null({"type": "integer"}, "Units that could still be taken now; null when unknown"),
        "retry_after": _or_null({"type": "number"}, "Seconds; 0 when allowed, null when unknown or never"),
        "never": {"type": "boolean", "description": "Whether the cost is more than could ever be granted"},
        "reset_after": {**seconds, "description": "Seconds until nothing is left of the past"},
        "reset_at": {**seconds, "description": "When nothing is left of the past, in seconds since the epoch"},
        "delay": {**seconds, "description": "For leaky_bucket: seconds after which to run the request"},
        "source": {"type": "string", "enum": ["memory", "redis", "lease", "deny_cache", "fallback"]},
        "degraded": {"type": "boolean", "description": "Whether it was decided without the store"},
        "shadow_denied": {"type": "boolean", "description": "Whether a limit on trial would have denied it"},
        "id": _or_null(
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
    }
    return {"type": "object", "properties": properties, "required": [*properties]}


def _answer_schemas() -> Json:
    decision = _decision_members()
    expires = _or_null({"type": "number"}, "Seconds after which the hold ends unless it is renewed")
    joint = {
        "allowed": {"type": "boolean"},
        "binding": _object({"limit": {"type": "string"}, "key": {"type": "string"}}),
        "retry_after": decision["retry_after"],
        "never": {"type": "boolean"},
        "decisions": {"type": "array", "items": _reference("Decision")},
    }
    return {
        "Decision": _object(decision),
        "JointDecision": _object(joint),
        "Decisions": _object({"decisions": joint["decisions"]}),
        "Hold": _object({**decision, "expires_after": expires}),
        "HoldRenewed": _object({"id": {"type": "string"}, "expires_after": {"type": "number"}}),
        "HoldReleased": _object({"released": {"type": "boolean"}}),
        "ResetDone": _object({"reset": {"type": "boolean"}}),
        "RefundDone": _object({"refunded": {"type": "integer", "minimum": 0}}),
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


def _object(properties: Json, *, required: tuple[str, ...] | None = None) -> Json:
    names = list(properties if required is None else required)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def _listed(schema: str, most: int) -> Json:
    items = {"type": "array", "minItems": 1, "maxItems": most, "items": _reference(schema)}
    return _object({"requests": items})


def _limits_schema() -> Json:
    rules: Json = {"type": "array", "items": {"type": "object"}}
    plans = {"type": "object", "description": "For each plan all limits that hold", "additionalProperties": rules}
    return _object({"limits": rules, "plans": plans}, required=("limits",))


def _one_of(names: list[str]) -> Json:
    # A list of no names would be no schema; a service without such limits accepts none.
    return {"type": "string", "enum": names} if names else {"type": "string", "maxLength": 0, "minLength": 1}


def _or_null(schema: Json, description: str) -> Json:
    return {"anyOf": [schema, {"type": "null"}], "description": description}


def _reference(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
