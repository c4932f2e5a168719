"""Shows settings to people: the effective values with their sources, a file to begin with, and a schema; no secret."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretBytes, SecretStr

from sluicegate.config.environments import ENVIRONMENTS
from sluicegate.config.problems import accepted_of, field_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluicegate.config.environments import Settings
    from sluicegate.config.loading import Loaded

__all__ = ["Row", "commented_file", "differing", "effective", "schema", "shown_url"]

HIDDEN = "(set, not shown)"
WIDTH = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One setting.

    Attributes:
        path: Its names, joined by dots.
        value: Its value as JSON has it; of a secret no more than that it is set.
        origin: Which source set it.
    """

    path: str
    value: Any
    origin: str


def effective(loaded: Loaded) -> list[Row]:
    """Return every setting with its value and its source."""
    return [
        Row(".".join(path), _shown(path, value), loaded.origin(path)) for path, value in _leaves(loaded.settings, ())
    ]


def differing(before: Settings, after: Settings) -> list[str]:
    """Return the names of the settings that differ, joined by dots."""
    own = dict(_leaves(before, ()))
    return [".".join(path) for path, value in _leaves(after, ()) if path not in own or own[path] != value]


def schema(environment: str) -> dict[str, Any]:
    """Return the JSON Schema of the files of settings for *environment*."""
    return ENVIRONMENTS[environment].model_json_schema()


def shown_url(url: str) -> str:
    """Return *url* without the password, and without options, which may hold one; of no URL nothing is shown."""
    parts = urlsplit(url)
    if not parts.scheme or parts.fragment or "://" not in url:
        return "a URL that cannot be read"
    userinfo, at, host = parts.netloc.rpartition("@")
    user = f"{userinfo.partition(':')[0]}:…@" if userinfo.partition(":")[0] else "…@" if at else ""
    return f"{parts.scheme}://{user}{host}{parts.path}" + ("?…" if parts.query else "")


def commented_file(environment: str) -> str:
    """Return a TOML file for *environment* in which every setting stands, commented out, with what it means."""
    settings_class = ENVIRONMENTS[environment]
    settings = settings_class.model_construct()
    lines = [
        f"# Settings of Sluicegate for {environment}: start the service with --config and this file's name.",
        "# What stands behind a number sign is as usual; take the sign away to change it. Secrets are better kept in",
        "# variables (SLUICEGATE_REDIS__PASSWORD) or in files of their own (SLUICEGATE_SECRETS_DIR).",
        "",
    ]
    groups = []
    for name in settings_class.model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            groups.append((name, value))
        else:
            lines += _commented(settings, (name,), value)
    for name, group in groups:
        lines += ["", f"[{name}]"]
        for field in type(group).model_fields:
            lines += _commented(settings, (name, field), getattr(group, field))
    return "\n".join(lines) + "\n"


def _commented(settings: Settings, path: tuple[str, ...], value: object) -> list[str]:
    found = field_at(path, type(settings))
    assert found is not None
    meaning = " ".join((found.description or "").split())
    lines = _wrapped(f"{meaning} Accepted: {accepted_of(found)}.")
    return [*lines, f"# {path[-1]} = {_toml(value)}"]


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > WIDTH:
            lines.append("")
        lines[-1] += f" {word}"
    return [f"#{line}" for line in lines]


def _toml(value: object) -> str:
    if value is None:
        return '""'
    return json.dumps(list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value)


def _leaves(model: BaseModel, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _shown(path: tuple[str, ...], value: Any) -> Any:  # noqa: ANN401 - as JSON has it
    if isinstance(value, SecretStr) and path[-1] == "url":
        return shown_url(value.get_secret_value())
    if isinstance(value, SecretBytes | SecretStr):
        return HIDDEN
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
