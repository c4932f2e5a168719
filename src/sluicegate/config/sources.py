"""Where settings come from, in which order, and which of the sources said what.

pydantic-settings reads the sources. What each of them said is noted on the way, so that an error, and
``sluicegate config show``, can name the source of every value. This is the only place that reads the environment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel
from pydantic_settings import EnvSettingsSource, SettingsError

from sluicegate.config.entrusting import entrusted
from sluicegate.config.files import found_in, read_file, refusal
from sluicegate.config.variables import is_of_a_service, one_variable, read_dotenv, read_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

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

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """What one source said.

    Attributes:
        values: Its values, group by group.
        origin: Names the source of the value at a path, for people.
        names: The variables or files of ours that it has, as they are spelled there.
        prefix: What those names begin with.
    """

    values: Mapping[str, Any] = field(repr=False)  # with secrets in the open
    origin: Callable[[Path_], str]
    names: tuple[str, ...] = ()
    prefix: str = PREFIX


@dataclass(slots=True)
class Reading:
    """One reading of all sources.

    Args:
        file: The file of settings, TOML or YAML by its name.
        env_file: The file of environment variables. Default: ``.env`` in the working directory, if there is one.
        secrets_dir: A directory with one file for each secret, such as ``redis__password``.

        given: What is said in place of all sources.

    Attributes:
        written: What the file of settings says.
        said: What the sources said, the first of them first.
    """

    file: Path | None = None
    env_file: Path | None = None
    secrets_dir: Path | None = None
    given: dict[str, Any] | None = field(default=None, repr=False)
    written: dict[str, Any] = field(default_factory=dict, repr=False)
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
            ConfigurationError: A file or directory that is named is not there, or the file is none of settings.
        """
        found = cls(
            file=_named("file (on the command line --config)", file, CONFIG_FILE, Path.is_file),
            env_file=_named("env_file", env_file, None, Path.is_file),
            secrets_dir=_named("secrets_dir", secrets_dir, SECRETS_DIR, Path.is_dir),
        )
        if found.file is not None:
            found.written = read_file(found.file)
        return found

    def apart_from(self, wrong: Iterable[Path_]) -> Reading:
        """Return a reading of what was said, but for what stands at some paths."""
        given: dict[str, Any] = {}
        for each in reversed(self.said):
            given = _over(given, each.values)
        for path in wrong:
            level: Any = given
            for name in path[:-1]:
                level = level.get(name) if isinstance(level, dict) else None
            if path and isinstance(level, dict):
                level.pop(path[-1], None)
        return Reading(given=given)


def environment_named() -> str | None:
    """Return which environment the variable ``SLUICEGATE_ENV`` names, if it is set."""
    return one_variable(f"{PREFIX}{ENVIRONMENT}", os.environ)


def environment_in(reading: Reading) -> object:
    """Return which environment the file of settings says that it is for, or ``None``."""
    return reading.written.get(OWN_ENVIRONMENT)


def sources_of(
    settings_class: type[BaseSettings], arguments: PydanticBaseSettingsSource, carried: object
) -> tuple[PydanticBaseSettingsSource, ...]:
    """Return the sources of *settings_class*: arguments, variables, secret files, ``.env``, a file, and what is usual.

    Args:
        settings_class: What is read.
        arguments: The source of what the caller says.
        carried: The `Reading`; else a directory of secrets, or ``None``.
    """
    reading = carried if isinstance(carried, Reading) else Reading.of(secrets_dir=cast("Path | None", carried))
    usual = _source(lambda: _usual_in(settings_class))
    if reading.given is not None:
        given = reading.given
        return (_source(lambda: given), usual)
    sources = [
        _noting(reading, arguments, lambda _path: "an argument"),
        _variables(reading, settings_class, _environ(), lambda name: f"the variable {name}"),
    ]
    if reading.secrets_dir is not None:
        secrets, nearly = read_secrets(reading.secrets_dir, settings_class.model_fields, DELIMITER)
        told = lambda name: f"the secret file {name.lower()}"  # noqa: E731 - as those beside it
        sources.append(_variables(reading, settings_class, secrets, told, prefix="", names=nearly))
    dotenv = reading.env_file or Path(DOTENV)
    if _is_there(dotenv, Path.is_file):
        lines = read_dotenv(dotenv, PREFIX)
        _check_reserved(lines, dotenv)
        sources.append(_variables(reading, settings_class, lines, lambda name: f"{name} in {dotenv}"))
    if reading.file is not None:
        written = {name: value for name, value in reading.written.items() if name != OWN_ENVIRONMENT}
        sources.append(_noting(reading, lambda: written, lambda _path: f"{reading.file}"))
    for read in sources:
        read()
    arguments_said, *rest = reading.said
    others = entrusted(arguments_said.values, [each.values for each in rest])
    reading.said[1:] = [replace(each, values=values) for each, values in zip(rest, others, strict=True)]
    return (*(_telling(each) for each in reading.said), usual)


def _telling(said: Said) -> PydanticBaseSettingsSource:
    return _source(lambda: dict(said.values))


def _named(
    where: str, given: str | os.PathLike[str] | None, variable: str | None, is_there: Callable[[Path], bool]
) -> Path | None:
    """Return the file or directory that the caller names, or else a variable."""
    wanted: str | os.PathLike[str] | None = given
    if given is None and variable is not None:
        where = f"{PREFIX}{variable}"
        wanted = one_variable(where, os.environ)
    if not wanted:
        return None
    path = Path(wanted)
    if not _is_there(path, is_there):
        kind = "directory" if is_there is Path.is_dir else "file"
        raise refusal(where, f"{found_in(path)}, which is no {kind}", f"a {kind} that can be read")
    return path


def _is_there(path: Path, is_there: Callable[[Path], bool]) -> bool:
    try:
        return is_there(path)
    except (OSError, ValueError):  # in a directory that is closed to us, or a name that no file can have
        return False


def _environ() -> dict[str, str]:
    """Return the environment, without what Kubernetes puts there on its own account."""
    return {name: value for name, value in os.environ.items() if not is_of_a_service(name, value)}


def _check_reserved(lines: Mapping[str, str], dotenv: Path) -> None:
    """Refuse what says in .env how settings are read: nobody looks there for it, and it would seem to hold."""
    for name, value in lines.items():
        is_reserved = name.upper() in {f"{PREFIX}{each}" for each in RESERVED}
        if is_reserved and one_variable(name.upper(), os.environ) != (value or None):
            raise refusal(f"{name} in {dotenv}", "what is not read from there", "the same as a variable")


def _variables(
    reading: Reading,
    settings_class: type[BaseSettings],
    variables: Mapping[str, str],
    told: Callable[[str], str],
    *,
    prefix: str = PREFIX,
    names: tuple[str, ...] | None = None,
) -> Callable[[], None]:
    """Return what reads variables, or of what is written like them."""
    known = {name.upper() for name in variables}
    source = EnvSettingsSource(settings_class, env_prefix=prefix)
    source.env_vars = {name.lower(): value for name, value in variables.items()}

    def origin(path: Path_) -> str:
        own = prefix + DELIMITER.join(path)
        return told((own if own.upper() in known else prefix + path[0]).upper())

    ours = tuple(name for name in variables if name.upper().startswith(prefix)) if names is None else names
    return _noting(reading, source, origin, names=ours, prefix=prefix)


def _noting(
    reading: Reading,
    source: Callable[[], dict[str, Any]],
    origin: Callable[[Path_], str],
    *,
    names: tuple[str, ...] = (),
    prefix: str = PREFIX,
) -> Callable[[], None]:
    """Return what has *source* read, and notes it."""

    def read() -> None:
        try:
            values = source()
        except (SettingsError, RecursionError) as error:
            group = str(error).partition('"')[2].partition('"')[0]
            where = f"{group} (set by {origin((group,))})" if isinstance(error, SettingsError) else "settings"
            raise refusal(where, "a value that is not JSON", "JSON for a whole group, or one of its settings") from None
        reading.said.append(Said(values, origin, names, prefix))

    return read


def _source(read: Callable[[], dict[str, Any]]) -> PydanticBaseSettingsSource:
    def named() -> dict[str, Any]:
        return read()

    named.__name__ = f"source_{id(read)}"  # they are told apart by their names
    return cast("PydanticBaseSettingsSource", named)  # any callable is taken


def _usual_in(settings_class: type[BaseSettings]) -> dict[str, Any]:
    """Return what is usual in an environment and not elsewhere, so that of a group only what is said is replaced."""
    usual = {name: found.default for name, found in settings_class.model_fields.items()}
    return {
        name: {inner: getattr(group, inner) for inner in group.model_fields_set}
        for name, group in usual.items()
        if isinstance(group, BaseModel) and group.model_fields_set
    }


def _over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two sources say together, group by group."""
    both = dict(lower)
    for name, value in upper.items():
        below = both.get(name)
        is_group = isinstance(value, dict)
        both[name] = {**(below if isinstance(below, dict) else {}), **value} if is_group else value
    return both
