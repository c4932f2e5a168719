"""The main job on real input: what rules would have done to requests that were really made."""

from __future__ import annotations

from typing import Annotated

import typer

from sluicegate.cli.defaults import rules_named, settings_of
from sluicegate.cli.exits import ALLOWED
from sluicegate.cli.places import ConfigFile, Environment, Where
from sluicegate.replay import LOG_FORMATS, run_replay
from sluicegate.utils import InvalidInputError, shape_of

__all__ = ["replay"]


def replay(
    log: Annotated[str, typer.Argument(metavar="LOG", help="The log, plain or gzip; - for standard input.")],
    rules: Annotated[str | None, typer.Option(help="The file of rules, YAML or TOML; default: the settings'.")] = None,
    log_format: Annotated[
        str | None, typer.Option("--format", help=f"{', '.join(LOG_FORMATS)}; default: told by the first lines.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", help="For JSON and CSV: what the log calls a thing, time=ts,path=url."),
    ] = None,
    config: ConfigFile = None,
    environment: Environment = None,
    html: Annotated[str | None, typer.Option(help="Write one page with a picture over time to this file.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Drive a web server's access log through rules, and say whom they would have denied."""
    if log_format is not None and log_format not in LOG_FORMATS:
        raise InvalidInputError("--format", shape_of(log_format), ", ".join(LOG_FORMATS))
    if rules is None:
        rules = rules_named(None, settings_of(Where(config=config, environment=environment)))
    run_replay(log, rules, log_format=log_format, columns=columns or (), as_json=as_json, html=html)
    return ALLOWED
