"""The settings of a process that runs: read again when it is told to, after which its flags are as they say now."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from sluicegate.config.telling import differing
from sluicegate.ratelimit import Features
from sluicegate.utils import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluicegate.config.environments import Settings
    from sluicegate.monitoring import Logger

__all__ = ["LiveSettings", "features_of", "flags_told"]

FLAGS = "flags."


class LiveSettings:
    """What a process runs by, and what of it has changed since.

    Args:
        settings: What it was started with.
        read: Returns what the sources say now.
        logger: Told of flags that were switched, of what needs a restart, and of settings that are refused.

    Attributes:
        current: The settings that are in force.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings], logger: Logger) -> None:
        self.current = settings
        self._read = read
        self._logger = logger

    def reread(self) -> bool:
        """Read the settings again, and take over their flags; say whether any of those has changed.

        Whatever else has changed stays as it was until a restart, and is named. Settings that are refused change
        nothing. Reads files, so it belongs in a thread.
        """
        try:
            found = self._read()
        except ConfigurationError as error:
            self._refuse(error.problems)
            return False
        except InvalidInputError as error:
            self._refuse((error,))
            return False
        names = differing(self.current, found)
        others = [name for name in names if not name.startswith(FLAGS)]
        if others:
            self._logger.warning("settings.need_restart", settings=", ".join(others))
        if len(others) == len(names):
            return False
        self.current = self.current.model_copy(update={"flags": found.flags})
        self._logger.info("flags.switched", flags=flags_told(found))
        return True

    def _refuse(self, problems: tuple[InvalidInputError, ...]) -> None:
        for problem in problems:
            self._logger.error("settings.refused", problem=str(problem), still="the settings before")


def features_of(settings: Settings) -> Features:
    """Return which features a limiter is to have on."""
    return Features(**{feature.name: getattr(settings.flags, feature.name) for feature in fields(Features)})


def flags_told(settings: Settings) -> str:
    """Return which flags are on and which are off, for people."""
    flags = settings.flags.model_dump()
    told = {
        state: ", ".join(name for name, is_on in flags.items() if is_on is (state == "on")) for state in ("on", "off")
    }
    return "; ".join(f"{names} {state}" for state, names in told.items() if names)
