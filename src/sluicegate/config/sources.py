"""Where settings come from, in which order, and which of the sources said what.

pydantic-settings reads the sources. What each of them said is noted on the way, so that an error, and
``sluicegate config show``, can name the source of every value. This is the only place that reads the environment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    TomlConfigSettingsSource,
    YamlConfigSettingsSource,
)

from sluicegate.utils import ConfigurationError, InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_settings import PydanticBaseSettingsSource

__all__ = ["OWN_ENVIRONMENT", "PREFIX", "Reading", "Said", "environment_in", "environment_named", "sources_of"]

PREFIX: Final = "SLUICEGATE_"
ENVIRONMENT: Final = "ENV"
CONFIG_FILE: Final = "CONFIG"
SECRETS_DIR: Final = "SECRETS_DIR"
RESERVED: Final = frozenset({ENVIRONMENT, CONFIG_FILE, SECRETS_DIR})
"""Variables that say how settings are read, and are none themselves."""

DELIMITER: Final = "__"
DOTENV: Final = ".env"
OWN_ENVIRONMENT: Final = "environment"  # what a file of settings calls the environment that it is for
FILE_BYTES_MAX: Final = 1_000_000  # a file of settings has a hundred lines

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """What one source said.

    Attributes:
        values: Its values, group by group.
        origin: Names the source of the value at a path, for people.
        names: The variables or files of ours that it has, as they are spelled there.
    """

    values: Mapping[str, Any] = field(repr=False)  # with secrets in the open
    origin: Callable[[Path_], str]
    names: tuple[str, ...] = ()


@dataclass(slots=True)
class Reading:
    """One reading of all sources.

    Args:
        file: The file of settings, TOML or YAML by its name.
        env_file: The file of environment variables. Default: ``.env`` in the working directory, if there is one.
        secrets_dir: A directory with one file for each secret, such as ``redis__password``.

    Attributes:
        said: What the sources said, the first of them first.
    """

    file: Path | None = None
    env_file: Path | None = None
    secrets_dir: Path | None = None
    said: list[Said] = field(default_factory=list, repr=False)

    @classmethod
    def of(
        cls,
        *,
        file: str | os.PathLike[str] | None = None,
        env_file: str | os.PathLike[str] | None = None,
        secrets_dir: str | os.PathLike[str] | None = None,
    ) -> Reading:
        """Begin a reading; what is not given is looked for in the environment.

        Raises:
            ConfigurationError: A file or directory that is named is not there, or the file is of another kind.
        """
        named = [
            ("file", file, CONFIG_FILE, Path.is_file),
            ("env_file", env_file, None, Path.is_file),
            ("secrets_dir", secrets_dir, SECRETS_DIR, Path.is_dir),
        ]
        found: dict[str, Path | None] = {}
        for name, given, variable, is_there in named:
            where = name if given is not None else f"{PREFIX}{variable}"
            wanted = given if given is not None or variable is None else os.environ.get(f"{PREFIX}{variable}")
            found[name] = Path(wanted) if wanted else None
            path = found[name]
            if path is not None and not is_there(path):
                kind = "directory" if is_there is Path.is_dir else "file"
                raise _refusal(where, f"{shape_of(str(path))}, which is no {kind}", f"a {kind} that can be read")
        settings_file = found["file"]
        if settings_file is not None:
            _check_file(settings_file)
        return cls(file=found["file"], env_file=found["env_file"], secrets_dir=found["secrets_dir"])


def environment_named() -> str | None:
    """Return which environment the variable ``SLUICEGATE_ENV`` names, if it is set."""
    return os.environ.get(f"{PREFIX}{ENVIRONMENT}") or None


def environment_in(reading: Reading) -> object:
    """Return which environment the file of settings says that it is for, or ``None``."""
    if reading.file is None:
        return None
    return _file_source(BaseSettings, reading.file)().get(OWN_ENVIRONMENT)


def sources_of(
    settings_class: type[BaseSettings], arguments: PydanticBaseSettingsSource, carried: object
) -> tuple[PydanticBaseSettingsSource, ...]:
    """Return the sources of *settings_class*: arguments, variables, secret files, ``.env``, and a file.

    Args:
        settings_class: What is read.
        arguments: The source of what the caller says.
        carried: The `Reading`; else a directory of secrets, or ``None``.
    """
    reading = carried if isinstance(carried, Reading) else Reading.of(secrets_dir=cast("Path | None", carried))
    dotenv = reading.env_file or Path(DOTENV)
    sources: list[PydanticBaseSettingsSource] = [
        _noting(reading, arguments, lambda _path: "an argument"),
        _noting(
            reading, EnvSettingsSource(settings_class), lambda path: f"the variable {_variable(path, os.environ)}",
            names=_ours(os.environ),
        ),
    ]  # fmt: skip
    if reading.secrets_dir is not None:
        secrets = NestedSecretsSettingsSource(settings_class, secrets_dir=reading.secrets_dir, secrets_prefix="")  # type: ignore[arg-type] # it takes the class as well
        files = [each.name for each in reading.secrets_dir.iterdir() if each.is_file() and each.name[:1] != "."]
        sources.append(
            _noting(reading, secrets, lambda path: f"the secret file {DELIMITER.join(path)}", names=tuple(files))
        )
    if dotenv.is_file():
        source = DotEnvSettingsSource(settings_class, env_file=dotenv, dotenv_filtering="only_existing")
        own = _ours(source.env_vars)
        sources.append(_noting(reading, source, lambda path: f"{_variable(path, {})} in {dotenv}", names=own))
    if reading.file is not None:
        from_file = _file_source(settings_class, reading.file)
        sources.append(_noting(reading, from_file, lambda _path: f"{reading.file}", without=(OWN_ENVIRONMENT,)))
    return tuple(sources)


def _noting(
    reading: Reading,
    source: PydanticBaseSettingsSource,
    origin: Callable[[Path_], str],
    *,
    names: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> PydanticBaseSettingsSource:
    def read() -> dict[str, Any]:
        values = source()
        values = {name: value for name, value in values.items() if name not in without}
        reading.said.append(Said(values, origin, names))
        return values

    read.__name__ = f"source_{len(reading.said)}_{id(source)}"  # they are told apart by their names
    return cast("PydanticBaseSettingsSource", read)  # any callable is taken


def _file_source(settings_class: type[BaseSettings], path: Path) -> PydanticBaseSettingsSource:
    if path.suffix == ".toml":
        return TomlConfigSettingsSource(settings_class, toml_file=path)
    return YamlConfigSettingsSource(settings_class, yaml_file=path)


def _check_file(path: Path) -> None:
    if path.suffix not in {".toml", ".yaml", ".yml"}:
        raise _refusal("file", f"a name that ends in {shape_of(path.suffix)}", ".toml, .yaml or .yml")
    if path.stat().st_size > FILE_BYTES_MAX:
        raise _refusal(str(path), "a longer file", f"at most {FILE_BYTES_MAX:,} bytes")


def _ours(variables: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in variables if name.upper().startswith(PREFIX))


def _variable(path: Path_, variables: Mapping[str, str]) -> str:
    """Return the variable that set *path*: its own, or that of its group, which is JSON."""
    own = PREFIX + DELIMITER.join(path).upper()
    known = {name.upper() for name in variables}
    return own if own in known or not variables else PREFIX + path[0].upper()


def _refusal(where: str, found: str, accepted: str) -> ConfigurationError:
    return ConfigurationError([InvalidInputError(where, found, accepted)])
