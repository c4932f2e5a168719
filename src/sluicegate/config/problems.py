"""Says of settings that were refused where each stands, who set it, what was found and what is accepted."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeGuard, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import PydanticUndefined

from sluicegate.config.environments import USUAL
from sluicegate.config.files import found_in
from sluicegate.config.groups import NAME_LENGTH_MAX, TEXT_LENGTH_MAX
from sluicegate.config.sources import DELIMITER, PREFIX, RESERVED
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo

    from sluicegate.config.sources import Said

__all__ = ["accepted_of", "field_at", "is_secret", "origin_of", "problems_of", "unknown_names"]

SECRET_KINDS = frozenset({SecretBytes, SecretStr})
NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
Names = tuple[str, ...]


def problems_of(
    error: ValidationError, settings_class: type[BaseModel], said: Sequence[Said]
) -> dict[Names, InvalidInputError]:
    """Return the problems that pydantic found, each with the names that lead to it, in the order of the fields."""
    problems: dict[Names, InvalidInputError] = {}
    for each in error.errors(include_url=False):
        path = _path_of(each["loc"], settings_class)
        found = field_at(path, settings_class)
        where = f"{'.'.join(map(_shown_name, path)) or 'settings'} ({origin_of(path, said)})"
        own = each.get("ctx", {}).get("error")
        if each["type"] == "extra_forbidden":
            known = _names_beside(path, settings_class)
            accepted = f"{_listed(known)}{_nearest(path[-1], known)}"
            problem = InvalidInputError(where, "a name that is not known", accepted)
        elif isinstance(own, InvalidInputError):  # it says it better, and shows no secret either
            problem = InvalidInputError(where, own.found, own.accepted)
        else:
            shown = "a value that is not shown" if is_secret(found) else found_in(each["input"])
            problem = InvalidInputError(where, shown, accepted_of(found) if found else each["msg"])
        problems.setdefault(path, problem)
    return problems


def unknown_names(settings_class: type[BaseModel], said: Sequence[Said]) -> list[InvalidInputError]:
    """Return the variables and secret files that look like settings and name no field or group that there is."""
    problems = []
    fields = settings_class.model_fields
    for each in said:
        is_file = not each.prefix
        for name in each.names:
            first = name.upper().removeprefix(each.prefix).split(DELIMITER)[0]
            if first.lower() in fields or (first in RESERVED and not is_file):
                continue
            known = list(fields) if is_file else [*map(str.upper, fields), *RESERVED]
            wanted = first.lower() if is_file else first
            accepted = "a file called as redis__password is, after a setting" if is_file else ""
            accepted = accepted or f"{PREFIX}{{{', '.join(sorted(known))}}}"
            where = f"the secret file {_shown_name(name)}" if is_file else _shown_name(name)
            found = "a name that is not known"
            problems.append(InvalidInputError(where, found, accepted + _nearest(wanted, known)))
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
    """Say whether the value of a field is never to be shown: it is a secret, or a group that has one."""
    if found is None:
        return False
    if _is_group(found.annotation):
        return any(is_secret(each) for each in found.annotation.model_fields.values())
    return not SECRET_KINDS.isdisjoint((found.annotation, *get_args(found.annotation)))


def accepted_of(found: FieldInfo) -> str:
    """Say what a field takes: its type, its bounds, and the unit that its name ends in."""
    kinds = [kind for kind in get_args(found.annotation) or (found.annotation,) if kind is not type(None)]
    kind = kinds[0] if kinds else str
    if get_origin(found.annotation) is Literal:
        return " or ".join(str(each) for each in get_args(found.annotation))
    if _is_group(kind):
        return f"a group with {_listed(kind.model_fields)}"
    bounds = _bounds_of(found)
    if get_origin(found.annotation) is tuple:
        return (
            f"a list of at most {bounds['max_length']:,} names of at most {NAME_LENGTH_MAX} letters, digits, _, . and -"
        )
    if kind is Path:
        return f"the name of a file, of at most {TEXT_LENGTH_MAX:,} characters"
    texts = {int: "a whole number", float: "a number", bool: "true or false"}
    text = texts.get(kind, "a text")
    if "ge" in bounds:
        text += f" from {bounds['ge']:,} to {bounds['le']:,}"
    if "min_length" in bounds:
        text += f" of {bounds['min_length']:,} to {bounds['max_length']:,} characters"
    elif "max_length" in bounds:
        text += f" of at most {bounds['max_length']:,} characters"
    if "pattern" in bounds:
        text += f" that matches {bounds['pattern']}"
    return text


def _bounds_of(found: FieldInfo) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    for constraint in found.metadata:
        for name in ("ge", "le", "min_length", "max_length", "pattern"):
            value = getattr(constraint, name, None)
            if value is not None:
                bounds[name] = value
    return bounds


def _is_group(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _shown_name(name: str) -> str:
    """Return a name that looks like one; another may be a secret that stands where a name belongs."""
    return name if NAME.fullmatch(name) else "(a name that is not shown)"


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
