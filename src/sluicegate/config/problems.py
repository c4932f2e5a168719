"""Says of settings that were refused where each stands, who set it, what was found and what is accepted."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import PydanticUndefined

from sluicegate.config.sources import DELIMITER, PREFIX, RESERVED
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo

    from sluicegate.config.sources import Said

__all__ = ["accepted_of", "field_at", "is_secret", "origin_of", "problems_of", "unknown_names"]

SECRET_KINDS = frozenset({SecretBytes, SecretStr})
USUAL = "what is usual in the environment"


def problems_of(
    error: ValidationError, settings_class: type[BaseModel], said: Sequence[Said]
) -> list[InvalidInputError]:
    """Return the problems that pydantic found, in the order of the fields."""
    problems: dict[tuple[str, ...], InvalidInputError] = {}
    for each in error.errors(include_url=False, include_context=False):
        path = _path_of(each["loc"], settings_class)
        where = f"{'.'.join(path) or 'settings'} ({origin_of(path, said)})"
        if each["type"] == "extra_forbidden":
            known = _names_beside(path, settings_class)
            problem = InvalidInputError(
                where, "a name that is not known", f"{_listed(known)}{_nearest(path[-1], known)}"
            )
        elif each["type"] == "value_error" and len(path) <= 1 and field_at(path, settings_class) is None:
            problem = InvalidInputError(where, each["msg"].removeprefix("Value error, "), "settings that agree")
        else:
            found = field_at(path, settings_class)
            shown = "a value that is not shown" if is_secret(found) else shape_of(each["input"])
            problem = InvalidInputError(where, shown, accepted_of(found) if found else each["msg"])
        problems.setdefault(path, problem)
    return list(problems.values())


def unknown_names(settings_class: type[BaseModel], said: Sequence[Said]) -> list[InvalidInputError]:
    """Return the variables and secret files that look like settings and name no field or group that there is."""
    problems = []
    fields = settings_class.model_fields
    for each in said:
        for name in each.names:
            plain = name.upper().removeprefix(PREFIX)
            first = plain.split(DELIMITER)[0]
            if first in RESERVED or first.lower() in fields:
                continue
            known = [*map(str.upper, fields), *RESERVED]
            accepted = f"{PREFIX}{{{', '.join(sorted(known))}}}"
            problems.append(InvalidInputError(name, "a name that is not known", accepted + _nearest(first, known)))
    return problems


def origin_of(path: Sequence[str], said: Sequence[Said]) -> str:
    """Return which source set the value at *path*: the first that has it."""
    for each in said:
        values: Any = each.values
        for name in path:
            values = values.get(name, PydanticUndefined) if isinstance(values, dict) else PydanticUndefined
        if values is not PydanticUndefined:
            return f"set by {each.origin(tuple(path))}"
        if path and isinstance(each.values.get(path[0]), str | int | float | list):  # a value where a group belongs
            return f"set by {each.origin(tuple(path[:1]))}"
    return USUAL


def field_at(path: Sequence[str], settings_class: type[BaseModel]) -> FieldInfo | None:
    """Return the field at *path*, if there is one."""
    model: Any = settings_class
    found = None
    for name in path:
        fields = getattr(model, "model_fields", {})
        if name not in fields:
            return None
        found = fields[name]
        model = found.annotation
    return found


def is_secret(found: FieldInfo | None) -> bool:
    """Say whether the value of a field is never to be shown."""
    return found is not None and not SECRET_KINDS.isdisjoint((found.annotation, *get_args(found.annotation)))


def accepted_of(found: FieldInfo) -> str:
    """Say what a field takes: its type, its bounds, and the unit that its name ends in."""
    kinds = [kind for kind in get_args(found.annotation) or (found.annotation,) if kind is not type(None)]
    kind = kinds[0] if kinds else str
    if get_origin(found.annotation) is Literal:
        return " or ".join(str(each) for each in get_args(found.annotation))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"a group with {_listed(kind.model_fields)}"
    bounds: dict[str, Any] = {}
    for constraint in found.metadata:
        for name in ("ge", "le", "min_length", "max_length", "pattern"):
            value = getattr(constraint, name, None)
            if value is not None:
                bounds[name] = value
    texts = {int: "a whole number", float: "a number", bool: "true or false"}
    text = texts.get(
        kind, "a list of names" if kind is not SecretStr and get_origin(found.annotation) is tuple else "a text"
    )
    if "ge" in bounds:
        text += f" from {bounds['ge']:,} to {bounds['le']:,}"
    if "min_length" in bounds:
        text += f" of {bounds['min_length']:,} to {bounds['max_length']:,} characters"
    elif "max_length" in bounds:
        text += f" of at most {bounds['max_length']:,} characters"
    if "pattern" in bounds:
        text += f" that matches {bounds['pattern']}"
    return text


def _path_of(location: Sequence[int | str], settings_class: type[BaseModel]) -> tuple[str, ...]:
    """Return the names of the location; what pydantic adds for items and kinds of a union is left out."""
    path: list[str] = []
    model: Any = settings_class
    for name in location:
        fields = getattr(model, "model_fields", None)
        if fields is None or not isinstance(name, str):
            break
        path.append(name)
        model = fields[name].annotation if name in fields else None
    return tuple(path)


def _names_beside(path: Sequence[str], settings_class: type[BaseModel]) -> list[str]:
    model: Any = settings_class
    for name in path[:-1]:
        model = model.model_fields[name].annotation
    return list(model.model_fields)


def _nearest(name: str, known: Iterable[str]) -> str:
    nearest = get_close_matches(name[:64], list(known), n=1, cutoff=0.6)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
