"""The forms that an OpenAPI document is written in: operations, answers and schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Json", "listing", "object_of", "one_of", "operation_of", "or_null", "posting", "reference"]

Json = dict[str, Any]

_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"


def posting(
    summary: str,
    description: str,
    body: str,
    answers: Mapping[str, tuple[str, str | None]],
    *,
    needs_store: bool = False,
) -> Json:
    """Return an operation with a *body*, a schema's name; *answers* are descriptions and schemas by status."""
    more: dict[str, tuple[str, str | None]] = {
        "408": ("The body did not arrive in time", None),
        "413": ("The body is too large", None),
        "415": ("The body is not declared as JSON", None),
    }
    operation = operation_of(summary, description, {**answers, **more}, needs_store=needs_store)
    operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": reference(body)}}}
    return operation


def listing(summary: str, schema: str, answers: Mapping[str, tuple[str, str | None]]) -> Json:
    """Return an operation that takes nothing and lists what the store has."""
    told = {"200": ("In the order of their ends", schema), **answers}
    operation = operation_of(summary, "", told, needs_store=True)
    del operation["responses"]["400"]
    return operation


def operation_of(
    summary: str, description: str, answers: Mapping[str, tuple[str, str | None]], *, needs_store: bool = False
) -> Json:
    """Return an operation without a body; *needs_store* where nothing can answer in the store's place."""
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
        return {"description": description, "content": {_PROBLEM: {"schema": reference("Problem")}}}
    response: Json = {"description": description, "content": {_JSON: {"schema": reference(schema)}}}
    if schema in ("Decision", "JointDecision", "Hold"):
        names = ("Retry-After", "RateLimit", "RateLimit-Policy")
        response["headers"] = {name: {"schema": {"type": "string"}} for name in names}
    return response


def object_of(properties: Json, *, required: tuple[str, ...] | None = None) -> Json:
    """Return the schema of an object that has no other members; all of them are required where nobody says which."""
    names = list(properties if required is None else required)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def one_of(names: list[str]) -> Json:
    """Return the schema of a text that is one of *names*."""
    # A list of no names would be no schema; a service without such limits accepts none.
    return {"type": "string", "enum": names} if names else {"type": "string", "maxLength": 0, "minLength": 1}


def or_null(schema: Json, description: str) -> Json:
    """Return the schema of what may be ``null``."""
    return {"anyOf": [schema, {"type": "null"}], "description": description}


def reference(schema: str) -> Json:
    """Return what stands for a schema that has a name."""
    return {"$ref": f"#/components/schemas/{schema}"}
