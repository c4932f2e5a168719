"""What commands take from the settings where an option does not say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from sluicegate.config import Settings

__all__ = ["rules_named", "settings_here"]


def settings_here() -> Settings:
    """Return the settings that variables and files say."""
    from sluicegate.config import load_settings  # noqa: PLC0415 - not every command needs them

    return load_settings()


def rules_named(option: str | None, settings: Settings | None = None) -> str:
    """Return the file of rules: the one that the option names, or else the settings.

    Raises:
        InvalidInputError: Neither names one.
    """
    if option is not None:
        return option
    named = (settings or settings_here()).rules
    if named is None:
        raise InvalidInputError("--rules", "nothing", "the file that defines the limits, here or as SLUICEGATE_RULES")
    return str(named)
