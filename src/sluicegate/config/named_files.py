"""Looks whether the files that settings name can be read, before a process is built that could not use them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from sluicegate.database import FilePassword, address_of
from sluicegate.utils import ConfigurationError, InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluicegate.config.environments import Settings

__all__ = ["check_files", "file_problems"]

READABLE = "a file that can be read"


def check_files(settings: Settings) -> None:
    """Refuse settings that name what cannot be read, but for the file of rules, whose reader tells more.

    Raises:
        ConfigurationError: They do.
    """
    problems = file_problems(settings)
    if problems:
        raise ConfigurationError(problems)


def file_problems(settings: Settings) -> list[InvalidInputError]:
    """Return what is wrong with the files that *settings* name, but for the file of rules."""
    return [
        InvalidInputError(f"{name} ({settings.origin(name)})", found, accepted)
        for name, found, accepted in _problems(settings)
    ]


def _problems(settings: Settings) -> Iterator[tuple[str, str, str]]:
    for name, path in _files_named(settings):
        reason = _reason_against(path)
        if reason is not None:
            yield name, f"{shape_of(str(path))}: {reason}", READABLE
        elif name == "redis.password_file":
            try:
                FilePassword(path).current()
            except ValueError:  # also where it is no text
                yield name, "a file that is empty, too long or no text", "a file whose first line is the password"
    if settings.redis.url is not None:
        for file in address_of(settings.redis.url.get_secret_value()).files:
            reason = _reason_against(Path(file))
            if reason is not None:
                yield "redis.url", f"an option with the name of a file: {reason}", READABLE


def _files_named(settings: Settings) -> Iterator[tuple[str, Path]]:
    for name in type(settings).model_fields:
        group = getattr(settings, name)
        if isinstance(group, BaseModel):
            for inner in type(group).model_fields:
                path = getattr(group, inner)
                if isinstance(path, Path):
                    yield f"{name}.{inner}", path


def _reason_against(path: Path) -> str | None:
    """Return why a file cannot be read, or ``None``; what waits for a writer is not opened."""
    try:
        if path.is_dir():
            return "a directory"
        if path.is_file() or not path.exists():
            path.open("rb").close()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "no name that a file can have"
    return None
