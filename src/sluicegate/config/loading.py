"""Reads the settings of a process once, whole, and refuses them whole, with everything that is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from sluicegate.config.environments import ENVIRONMENTS, USUAL, Origins, Settings
from sluicegate.config.files import found_in
from sluicegate.config.problems import origin_of, problems_of, unknown_names
from sluicegate.config.refusing import place_of, refused_of, unwaived
from sluicegate.config.risks import Risk
from sluicegate.config.sources import PREFIX, Reading, environment_in, environment_named
from sluicegate.utils import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from sluicegate.config.risks import Contradiction
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
    settings_class = _class_of(environment, reading)
    wrong: dict[tuple[str, ...], InvalidInputError] = {}
    settings = None
    try:
        settings = settings_class(_secrets_dir=reading, **values)  # type: ignore[call-arg] # the one way in
    except ValidationError as error:
        wrong = problems_of(error, settings_class, reading.said)
    problems = [*unknown_names(settings_class, reading.said), *wrong.values()]
    sound = settings or _sound_part(settings_class, reading, wrong)
    risks: list[Risk] = []
    if sound is not None:
        risks = unwaived(sound)
        told = lambda name: origin_of(name.split("."), reading.said)  # noqa: E731 - as those of the sources
        problems += [
            each.problem(place_of(each, told)) for each in refused_of(sound) if not _depends_on(each, wrong.keys())
        ]
    if problems or settings is None:
        raise ConfigurationError(problems)
    return Loaded(settings.noting(_origins_of(settings, reading.said)), tuple(reading.said), tuple(risks))


def _sound_part(settings_class: type[Settings], reading: Reading, wrong: Iterable[tuple[str, ...]]) -> Settings | None:
    """Return the settings without what is wrong with them, so that the rest can be told at once."""
    try:
        return settings_class(_secrets_dir=reading.apart_from(wrong))  # type: ignore[call-arg] # as above
    except ValidationError:
        return None


def _depends_on(each: Contradiction | Risk, wrong: Iterable[tuple[str, ...]]) -> bool:
    """Say whether it may be gone when what is wrong is mended."""
    waivers = ("waivers",) if isinstance(each, Risk) else ()
    concerned = [tuple(name.split(".")) for name in (*each.concerns, *waivers)]
    return any(path[: len(each)] == each for path in concerned for each in wrong)


def _origins_of(settings: Settings, said: Sequence[Said]) -> Origins:
    told = {}
    for name in type(settings).model_fields:
        group = getattr(settings, name)
        inner = type(group).model_fields if isinstance(group, BaseModel) else ()
        paths: list[tuple[str, ...]] = [(name, each) for each in inner]
        for path in paths or [(name,)]:
            origin = origin_of(path, said)
            if origin != USUAL:
                told[".".join(path)] = origin
    return Origins(told)


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
            raise ConfigurationError([InvalidInputError(where, found_in(name), ", ".join(ENVIRONMENTS))])
    names = [str(name) for _, name in said] or [DEFAULT_ENVIRONMENT]
    if environment is None and names[0] != names[-1]:
        accepted = f"{names[-1]}, which {reading.file} is for; or --env, which overrules both"
        raise ConfigurationError([InvalidInputError(first[0], found_in(names[0]), accepted)])
    return ENVIRONMENTS[names[0]]
