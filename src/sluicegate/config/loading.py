"""Reads the settings of a process once, whole, and refuses them whole, with everything that is wrong."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from sluicegate.config.environments import ENVIRONMENTS, Settings
from sluicegate.config.problems import origin_of, problems_of, unknown_names
from sluicegate.config.risks import Risk, contradictions, risks_of
from sluicegate.config.sources import PREFIX, Reading, environment_in, environment_named
from sluicegate.utils import ConfigurationError, InvalidInputError, shape_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sluicegate.config.sources import Said

__all__ = ["DEFAULT_ENVIRONMENT", "Loaded", "load_settings", "read_settings"]

DEFAULT_ENVIRONMENT = "development"

PathLike = "str | os.PathLike[str] | None"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where they come from.

    Attributes:
        settings: The settings.
        said: What each source said.
        risks: What would be refused in production, and is not waived.
    """

    settings: Settings
    said: tuple[Said, ...]
    risks: tuple[Risk, ...]

    def origin(self, path: tuple[str, ...]) -> str:
        """Return which source set the value at *path*."""
        return origin_of(path, self.said)


def load_settings(
    environment: str | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    env_file: str | os.PathLike[str] | None = None,
    secrets_dir: str | os.PathLike[str] | None = None,
    **values: Any,  # noqa: ANN401 - the fields of the settings
) -> Settings:
    """Return the settings of this process.

    Args:
        environment: ``development``, ``test``, ``staging`` or ``production``. Default: what the variable
            ``SLUICEGATE_ENV`` says, or the file as ``environment``; where neither does, ``development``. Where they
            contradict each other they are refused.
        file: A file of settings, TOML or YAML. Default: the one that ``SLUICEGATE_CONFIG`` names, if it is set.
        env_file: A file of variables. Default: ``.env`` in the working directory, if there is one.
        secrets_dir: A directory with one file for each secret, such as ``redis__password``. Default: the one
            that ``SLUICEGATE_SECRETS_DIR`` names, if it is set.
        values: Settings that go before all others, such as ``redis={"url": "redis://127.0.0.1"}``.

    Raises:
        ConfigurationError: With one problem for everything that is wrong: where it stands, which source set it, what
            was found, never a secret, and what is accepted.
    """
    return read_settings(environment, file=file, env_file=env_file, secrets_dir=secrets_dir, **values).settings


def read_settings(
    environment: str | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    env_file: str | os.PathLike[str] | None = None,
    secrets_dir: str | os.PathLike[str] | None = None,
    **values: Any,  # noqa: ANN401 - the fields of the settings
) -> Loaded:
    """Return the settings of this process with their sources; see `load_settings`."""
    reading = Reading.of(file=file, env_file=env_file, secrets_dir=secrets_dir)
    settings = None
    problems: list[InvalidInputError] = []
    with _unreadable_told(reading):
        settings_class = _class_of(environment, reading)
        try:
            settings = settings_class(_secrets_dir=reading, **values)  # type: ignore[call-arg] # the one way in
        except ValidationError as error:
            problems = problems_of(error, settings_class, reading.said)
    problems = unknown_names(settings_class, reading.said) + problems
    risks: list[Risk] = []
    if settings is not None:
        problems += contradictions(settings)
        risks = [risk for risk in risks_of(settings) if risk.name not in settings.waivers]
        if settings.strict:
            problems += [risk.as_problem() for risk in risks]
    if problems or settings is None:
        raise ConfigurationError(problems)
    return Loaded(settings, tuple(reading.said), tuple(risks))


def _class_of(environment: str | None, reading: Reading) -> type[Settings]:
    """Return the settings of the environment that was named: by the caller, the variable, or the file.

    Raises:
        ConfigurationError: It is not known; or variable and file name different ones, of which one may be laxer.
    """
    own = (f"environment ({reading.file})", environment_in(reading))
    first = ("environment", environment) if environment is not None else (f"{PREFIX}ENV", environment_named())
    said = [(where, name) for where, name in (first, own) if name is not None]
    for where, name in said:
        if not isinstance(name, str) or name not in ENVIRONMENTS:
            raise ConfigurationError([InvalidInputError(where, shape_of(name), ", ".join(ENVIRONMENTS))])
    names = [str(name) for _, name in said] or [DEFAULT_ENVIRONMENT]
    if environment is None and names[0] != names[-1]:
        accepted = f"{names[-1]}, which {reading.file} is for; or --env, which overrules both"
        raise ConfigurationError([InvalidInputError(first[0], shape_of(names[0]), accepted)])
    return ENVIRONMENTS[names[0]]


@contextmanager
def _unreadable_told(reading: Reading) -> Iterator[None]:
    """Tell of a source that cannot be read at all, and nothing of what stands in it."""
    try:
        yield
    except ConfigurationError:
        raise
    except SettingsError as error:
        where = str(error).partition('"')[2].partition('"')[0] or "settings"
        problem = InvalidInputError(where, "a value that is not JSON", "JSON, for a whole group in one variable")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "bytes that are no UTF-8"
        problem = InvalidInputError(
            str(getattr(error, "filename", None) or reading.file), reason, "a file that can be read"
        )
    except Exception as error:
        # TOML's and YAML's own errors: the text beside the place may be a secret, so only the place is told.
        mark = getattr(error, "problem_mark", None)
        if not isinstance(error, ValueError) and mark is None:
            raise
        line = getattr(error, "lineno", None) or (mark.line + 1 if mark is not None else _line_told(str(error)))
        where = f"{reading.file}:{line}" if line else str(reading.file)
        problem = InvalidInputError(where, "what cannot be read", "a TOML or YAML document whose top is a mapping")
    else:
        return
    raise ConfigurationError([problem]) from None


def _line_told(message: str) -> int | None:
    _, found, rest = message.rpartition("(at line ")
    number = rest.split(",")[0]
    return int(number) if found and number.isdigit() else None
