"""Where a command asks, and which settings stand in for what no option says: the same options for each command."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ConfigFile", "Environment", "RulesFile", "Where", "placed"]

ConfigFile = Annotated[
    str | None, typer.Option("--config", help="The file of settings, TOML or YAML; default: SLUICEGATE_CONFIG.")
]
Environment = Annotated[
    str | None,
    typer.Option(
        "--env",
        help="development, test, staging or production; default: SLUICEGATE_ENV, or what the file is for, "
        "or development.",
    ),
]
RulesFile = Annotated[str | None, typer.Option(help="With Redis: the file of rules; default: the settings'.")]
Url = Annotated[
    str | None, typer.Option(help="Where the service is; default: the settings' url, or this machine's port 8000.")
]
Redis = Annotated[
    str | None,
    typer.Option(help="Ask this Redis in place of a service; default without a url: the settings' redis."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What the options say of where to ask.

    Attributes:
        url: A running service.
        redis: A Redis that is asked in its place.
        rules: The file of rules, with Redis.
        config: The file of settings.
        environment: The environment of the settings.
    """

    url: str | None = None
    redis: str | None = None
    rules: str | None = None
    config: str | None = None
    environment: str | None = None


OPTIONS = {"url": Url, "redis": Redis, "rules": RulesFile, "config": ConfigFile, "environment": Environment}


def placed(*, rules: bool = True) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command options in place of its parameter ``where``, which takes what they say.

    Args:
        rules: Whether one of them names a file of rules.
    """
    names = [field.name for field in fields(Where) if rules or field.name != "rules"]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=OPTIONS[name])
        for name in names
    ]

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        own = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def run(**given: Any) -> int:  # noqa: ANN401 - what typer has parsed
            where = Where(**{name: given.pop(name) for name in names})
            return command(where=where, **given)

        spread = [each for old in own.parameters.values() for each in (options if old.name == "where" else [old])]
        run.__signature__ = own.replace(parameters=spread)  # type: ignore[attr-defined] # what typer reads
        return run

    return decorate
