"""One setting said by each kind of source, and the samples that each field takes and refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

from sluicegate.config import ENVIRONMENTS, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from pydantic.fields import FieldInfo

SOURCES = ("argument", "variable", "secret", "dotenv", "toml", "yaml")
TEXTS = ("variable", "secret", "dotenv")
CANARY = "canary-zq7v-0123456789"


@dataclass(frozen=True)
class Setting:
    """A field of the settings.

    Attributes:
        path: Its names.
        found: What it is.
    """

    path: tuple[str, ...]
    found: FieldInfo

    @property
    def kind(self) -> Any:
        """Its type, where ``None`` is left out; of lists and choices only what they are."""
        origin = get_origin(self.found.annotation)
        if origin in (Literal, tuple):
            return origin
        kinds = [kind for kind in get_args(self.found.annotation) if kind is not type(None)]
        return kinds[0] if kinds else self.found.annotation

    @property
    def is_secret(self) -> bool:
        """Whether it is not to be shown."""
        return self.kind in (SecretBytes, SecretStr)

    def bound(self, name: str) -> Any:
        """Return one of its bounds."""
        return next(
            (getattr(each, name) for each in self.found.metadata if getattr(each, name, None) is not None), None
        )

    def good(self) -> Any:
        """Return a value that is not the usual one and that it takes."""
        special = {
            "url": "https://gate.example.com/api",
            "redis.url": f"rediss://user:{CANARY}@127.0.0.1:6379/3",
            "waivers": ["redis_without_tls"],
            "rules": "rules.yaml",
            "redis.key_prefix": "other",
            "distributed.instance_id": "a-1",
            "batching.in_flight_max": 7,
            "monitoring.slo_availability_ratio": 0.75,
            "monitoring.prometheus_path": "/own/metrics",
            "monitoring.opentelemetry_url": "http://127.0.0.1:4318",
        }
        by_kind: dict[Any, Any] = {
            Literal: lambda: get_args(self.found.annotation)[1],
            bool: lambda: not self.found.default,
            int: lambda: self.bound("le") - 1,
            float: lambda: self.bound("le") - 1,
            SecretBytes: lambda: CANARY,
            SecretStr: lambda: CANARY,
            Path: lambda: "some/file",
            str: lambda: "some",
        }
        name = ".".join(self.path)
        return special[name] if name in special else by_kind.get(self.kind, lambda: ["one", "two"])()

    def wrong_by(self, source: str) -> list[Any]:
        """Return what *source* can say and it refuses; a text can say no other type but a number, and no NUL."""
        if source not in TEXTS or self.kind in (int, float, bool, Literal):
            return self.wrong()
        kinds = (str, list) if self.kind is tuple else (str,)
        return [value for value in self.wrong() if isinstance(value, kinds) and "\0" not in value]

    def wrong(self) -> list[Any]:
        """Return values that it refuses: of another type, and beyond each bound."""
        if self.kind in (int, float):
            return ["many", True, self.bound("ge") - 1, self.bound("le") + 1, "1.5" if self.kind is int else "nan"]
        if self.kind is bool:
            return ["perhaps", 7, 1.0]
        if self.kind is Literal:
            return ["neither", 7]
        if self.kind is Path:
            return ["", "x" * 4_097, "x\0y", f"https://u:{CANARY}@h/x", 7, True, ["x"]]
        if self.kind is tuple:
            return [["x"] * 65, ["x" * 65], ["no good!"], '["json"]', 7]
        values: list[Any] = [["x"], 7]
        if self.bound("max_length"):
            values.append("x" * (self.bound("max_length") + 1))
        if self.bound("min_length"):
            values.append("x" * (self.bound("min_length") - 1))
        if self.bound("pattern"):
            values += ["no good!", "x" * 65, ""]
        if self.path[-1] == "url":
            values += ["", "//h", f"nowhere://{CANARY}@h", f"someone:{CANARY}@h", f"http://u:{CANARY}@[::1"]
        return values


def settings_fields() -> Iterator[Setting]:
    """Return every field, those of groups included."""
    for name, found in Settings.model_fields.items():
        if isinstance(found.annotation, type) and issubclass(found.annotation, BaseModel):
            for inner, own in found.annotation.model_fields.items():
                yield Setting((name, inner), own)
        else:
            yield Setting((name,), found)


FIELDS = list(settings_fields())
ENVIRONMENT_NAMES = tuple(ENVIRONMENTS)


def say(source: str, path: tuple[str, ...], value: Any, where: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Have *source* say *value*; return the arguments that `read_settings` needs to hear it."""
    text = value if isinstance(value, str) else ",".join(value) if isinstance(value, list) else json.dumps(value)
    tree: Any = value
    for name in reversed(path):
        tree = {name: tree}
    match source:
        case "argument":
            return dict(tree)
        case "variable":
            monkeypatch.setenv("SLUICEGATE_" + "__".join(path).upper(), text)
            return {}
        case "secret":
            folder = where / "secrets"
            folder.mkdir(exist_ok=True)
            (folder / "__".join(path)).write_text(text, "utf-8")
            return {"secrets_dir": folder}
        case "dotenv":
            with (where / ".env").open("a", encoding="utf-8") as file:
                file.write(f"SLUICEGATE_{'__'.join(path).upper()}='{text}'\n")
            return {}
        case "toml":
            lines = [f"[{path[0]}]"] if len(path) > 1 else []
            (where / "settings.toml").write_text("\n".join([*lines, f"{path[-1]} = {json.dumps(value)}"]), "utf-8")
            return {"file": where / "settings.toml"}
        case _:
            (where / "settings.yaml").write_text(json.dumps(tree), "utf-8")
            return {"file": where / "settings.yaml"}


def say_all(
    source: str, said: dict[tuple[str, ...], Any], where: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Have *source* say several values; return the arguments that `read_settings` needs to hear them."""
    tree: dict[str, Any] = {}
    for path, value in said.items():
        level = tree
        for name in path[:-1]:
            level = level.setdefault(name, {})
        level[path[-1]] = value
    match source:
        case "argument":
            return tree
        case "toml":
            plain = [f"{name} = {json.dumps(value)}" for name, value in tree.items() if not isinstance(value, dict)]
            for name, group in tree.items():
                if isinstance(group, dict):
                    plain += [f"[{name}]", *(f"{inner} = {json.dumps(value)}" for inner, value in group.items())]
            (where / "settings.toml").write_text("\n".join(plain), "utf-8")
            return {"file": where / "settings.toml"}
        case "yaml":
            (where / "settings.yaml").write_text(json.dumps(tree), "utf-8")
            return {"file": where / "settings.yaml"}
    arguments: dict[str, Any] = {}
    for path, value in said.items():
        arguments |= say(source, path, value, where, monkeypatch)
    return arguments


def names_of(source: str, path: tuple[str, ...]) -> str:
    """Return by what a message names the value at *path* as *source* said it."""
    own = "__".join(path)
    return {
        "argument": "an argument",
        "variable": f"the variable SLUICEGATE_{own.upper()}",
        "secret": f"the secret file {own}",
        "dotenv": f"SLUICEGATE_{own.upper()} in ",
        "toml": "settings.toml",
        "yaml": "settings.yaml",
    }[source]
