"""Shows settings to people: the effective values with their sources, a file to begin with, and a schema; no secret."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr

from sluicegate.config.environments import ENVIRONMENTS
from sluicegate.config.problems import accepted_of, field_at
from sluicegate.config.sources import OWN_ENVIRONMENT
from sluicegate.database import address_of
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sluicegate.config.environments import Settings
    from sluicegate.config.loading import Loaded

__all__ = ["Row", "commented_file", "differing", "effective", "schema", "shown_url"]

HIDDEN = "(set, not shown)"
WIDTH = 100
EXAMPLES: Final[Mapping[str, str | int]] = MappingProxyType(
    {
        "rules": "rules.yaml",
        "url": "http://127.0.0.1:8000",
        "redis.url": "rediss://redis.example.com:6379",
        "redis.username": "sluicegate",
        "redis.password": "the password of that user",
        "redis.password_file": "/run/secrets/redis_password",
        "redis.tls_ca_file": "/etc/ssl/redis/ca.pem",
        "redis.tls_cert_file": "/etc/ssl/redis/client.pem",
        "redis.tls_key_file": "/etc/ssl/redis/client.key",
        "redis.key_secret": "16 bytes or more that nobody can guess",
        "redis.hash_tags": 3,
        "batching.in_flight_max": 2,
        "distributed.instance_id": "gate-1",
        "distributed.instances": 3,
        "monitoring.opentelemetry_url": "http://127.0.0.1:4318",
        "monitoring.alerts_url": "https://alerts.example.com/post",
        "server.grpc_port": 8_001,
        "server.secret": "32 bytes or more that nobody can guess",
        "server.tls_cert_file": "/etc/ssl/sluicegate/service.pem",
        "server.tls_key_file": "/etc/ssl/sluicegate/service.key",
        "server.admin_token": "32 characters or more that nobody can guess",
    }
)
"""What a file to begin with shows of settings that are usually not set."""


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
    found = ENVIRONMENTS[environment].model_json_schema()
    meant = {"const": environment, "description": "The environment that the file is for."}
    return {**found, "properties": {OWN_ENVIRONMENT: meant, **found["properties"]}}


def shown_url(url: str) -> str:
    """Return *url* without the password, and without options, which may hold one; of no URL nothing is shown."""
    try:
        return address_of(url).shown
    except InvalidInputError:
        return "a URL that cannot be read"


def commented_file(environment: str) -> str:
    """Return a TOML file for *environment* in which every setting stands, commented out, with what it means."""
    settings_class = ENVIRONMENTS[environment]
    settings = settings_class.model_construct()
    lines = [
        f"# Settings of Sluicegate for {environment}: start the service with --config and this file's name.",
        "# What stands behind a number sign is as usual, or an example where nothing is: take the sign away to change",
        "# it. Secrets are better kept in variables (SLUICEGATE_REDIS__PASSWORD) or in files of their own",
        "# (SLUICEGATE_SECRETS_DIR).",
        "",
        "# What the file is for, and with it what is usual and what is refused. A process that is told another one by",
        "# SLUICEGATE_ENV does not start.",
        f"{OWN_ENVIRONMENT} = {json.dumps(environment)}",
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
    text = f"{meaning} Accepted: {accepted_of(found)}."
    if value is None:
        text += " Usually not set; this is an example:"
        value = EXAMPLES[".".join(path)]
    return [*_wrapped(text), f"# {path[-1]} = {_toml(value)}"]


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > WIDTH:
            lines.append("")
        lines[-1] += f" {word}"
    return [f"#{line}" for line in lines]


def _toml(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value)


def _leaves(model: BaseModel, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _shown(path: tuple[str, ...], value: Any) -> Any:  # noqa: ANN401 - as JSON has it
    if isinstance(value, SecretStr) and path == ("redis", "url"):
        return shown_url(value.get_secret_value())
    if isinstance(value, SecretBytes | SecretStr):
        return HIDDEN
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
