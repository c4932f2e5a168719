"""Refuses settings that cannot be meant, and in production what is risky, whoever made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.config.environments import USUAL
from sluicegate.config.risks import Contradiction, Risk, contradictions, risks_of
from sluicegate.utils import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sluicegate.config.environments import Settings

__all__ = ["check_meant", "place_of", "refused_of", "unwaived"]


def check_meant(settings: Settings) -> None:
    """Refuse settings as loading them does: those that were made by hand are no laxer.

    Raises:
        ConfigurationError: They contradict each other, or are strict and have a risk that is not waived.
    """
    refused = refused_of(settings)
    if refused:
        raise ConfigurationError([each.problem(place_of(each, settings.origin)) for each in refused])


def refused_of(settings: Settings) -> list[Contradiction | Risk]:
    """Return what is refused of *settings*."""
    return [*contradictions(settings), *(unwaived(settings) if settings.strict else ())]


def unwaived(settings: Settings) -> list[Risk]:
    """Return the risks that nobody has waived, whether or not they are refused."""
    return [risk for risk in risks_of(settings) if risk.name not in settings.waivers]


def place_of(each: Contradiction | Risk, origin: Callable[[str], str]) -> str:
    """Return where it stands, and who set it or what it depends on.

    Args:
        each: What is refused.
        origin: Tells which source set a setting.
    """
    where = each.concerns[0]
    origins = {name: origin(name) for name in each.concerns}
    if origins[where] == USUAL:
        told = next((f"{name} is {said}" for name, said in origins.items() if said != USUAL), USUAL)
        return f"{where} ({told})"
    return f"{where} ({origins[where]})"
