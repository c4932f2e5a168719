"""Shows and checks the settings of a process before it starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sluicegate.cli.exits import ALLOWED, REFUSED
from sluicegate.cli.output import printable
from sluicegate.cli.places import ConfigFile, Environment  # noqa: TC001 - typer reads the annotations
from sluicegate.utils import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from sluicegate.config import Loaded

__all__ = ["check", "init", "schema", "show"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def init(
    environment: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="What the file is for.")] = "production",
    output: Annotated[str | None, typer.Option("--output", "-o", help="Where to; default: print it.")] = None,
) -> int:
    """Write a commented file in which every setting stands; a file that is there already is left alone."""
    from sluicegate.config import ENVIRONMENTS, commented_file  # noqa: PLC0415 - as with every command here

    if environment not in ENVIRONMENTS:
        raise InvalidInputError("environment", repr(environment), ", ".join(ENVIRONMENTS))
    text = commented_file(environment)
    if output is None:
        sys.stdout.write(text)
        return ALLOWED
    try:
        with Path(output).open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InvalidInputError(f"--output {output!a}", error.strerror or str(error), "a file that is new") from None
    return ALLOWED


def check(config: ConfigFile = None, environment: Environment = None, *, as_json: Json = False) -> int:
    """Say whether a process could start with these settings, or all that is wrong; exit code 2 when something is."""
    from sluicegate.config import check_start, unused_of  # noqa: PLC0415 - as above

    try:
        loaded = _read(config, environment)
        check_start(loaded.settings)
    except ConfigurationError as error:
        if not as_json:
            raise
        problems = [{"where": each.where, "found": each.found, "accepted": each.accepted} for each in error.problems]
        sys.stdout.write(json.dumps({"valid": False, "problems": problems}) + "\n")
        return REFUSED
    risks = [{"name": risk.name, "where": risk.where, "found": risk.found, "mend": risk.mend} for risk in loaded.risks]
    unused = unused_of(loaded.settings)
    if as_json:
        told = {"valid": True, "environment": loaded.settings.environment, "risks": risks, "unused": unused}
        sys.stdout.write(json.dumps(told) + "\n")
        return ALLOWED
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text.assemble(("valid", "bold green"), f" for {loaded.settings.environment}"))
    for risk in loaded.risks:
        text = f"{risk.where}: {risk.found}; production takes {risk.mend}"
        console.print(Text.assemble(("risk ", "yellow"), (risk.name, "bold"), " ", text))
    for name in unused:
        console.print(
            Text.assemble(("unused ", "yellow"), (name, "bold"), " is set, and this version makes no use of it")
        )
    return ALLOWED


def show(config: ConfigFile = None, environment: Environment = None, *, as_json: Json = False) -> int:
    """Show the effective settings and which source set each; secrets are not shown."""
    from sluicegate.config import effective  # noqa: PLC0415 - as above

    loaded = _read(config, environment)
    rows = effective(loaded)
    if as_json:
        told = {row.path: {"value": row.value, "origin": row.origin} for row in rows}
        sys.stdout.write(json.dumps({"environment": loaded.settings.environment, "settings": told}) + "\n")
        return ALLOWED
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("setting", "value", "set by"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        value = "" if row.value is None else json.dumps(row.value, ensure_ascii=False)
        is_set = row.origin.startswith("set by ")
        table.add_row(
            Text(row.path, "bold" if is_set else ""),
            Text(printable(value)),
            Text(row.origin.removeprefix("set by ") if is_set else "", "cyan"),
        )
    Console().print(table)
    return ALLOWED


def schema(
    environment: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="What the file is for.")] = "production",
) -> int:
    """Print the JSON Schema of a file of settings, for editors."""
    from sluicegate.config import ENVIRONMENTS  # noqa: PLC0415 - as above
    from sluicegate.config import schema as schema_of  # noqa: PLC0415 - as above

    if environment not in ENVIRONMENTS:
        raise InvalidInputError("environment", repr(environment), ", ".join(ENVIRONMENTS))
    sys.stdout.write(json.dumps(schema_of(environment), indent=2) + "\n")
    return ALLOWED


def _read(config: str | None, environment: str | None) -> Loaded:
    from sluicegate.config import read_settings  # noqa: PLC0415 - as above

    return read_settings(environment, file=config)
