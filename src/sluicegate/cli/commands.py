"""Puts the commands together, and says in one line what went wrong in any of them."""

from __future__ import annotations

import sys
import traceback
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from sluicegate.cli import asking, doctor, output, overruling, replaying, rules, serving, settings
from sluicegate.cli.exits import ALLOWED, BROKEN_PIPE, FAILED, INTERRUPTED, REFUSED, UNANSWERED, AwayError
from sluicegate.utils import ConfigurationError, SluicegateError, StoreError

__all__ = ["run"]

_EPILOG = (
    "Exit codes: 0 allowed or done, 1 denied, 2 refused as wrong, 3 nobody has counted, "
    "70 failed by itself, 130 interrupted, 141 whoever read the output left."
)


def run() -> int:
    """Run the command line of this process and return its exit code."""
    output.escape_what_cannot_be_written()
    try:
        code = _run()
        output.flush()
    except (OSError, SystemExit) as error:
        if output.is_broken_pipe(error):
            code = BROKEN_PIPE
        elif isinstance(error, OSError):
            code = FAILED
            _tell([f"output: {error.strerror or error}"])
        else:
            raise
        output.silence()
    return code


def _run() -> int:
    try:
        code = _application()(standalone_mode=False, prog_name="sluicegate")
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, OSError):  # the output's: all others are told as errors of ours
            raise
        code, lines = _outcome_of(error)
        _tell(lines)
    return code if isinstance(code, int) else ALLOWED


def _tell(lines: list[str]) -> None:
    console = Console(stderr=True, soft_wrap=True)
    for line in lines:
        console.print(Text.assemble(("error: ", "bold red"), line))


def _outcome_of(error: BaseException) -> tuple[int, list[str]]:
    """Return the exit code that *error* leads to, and what to say."""
    lines = [str(error)]
    if isinstance(error, KeyboardInterrupt):
        code, lines = INTERRUPTED, []
    elif isinstance(error, StoreError | AwayError):
        code = UNANSWERED
    elif isinstance(error, ConfigurationError):
        code, lines = REFUSED, [str(problem) for problem in error.problems]
    elif isinstance(error, SluicegateError):
        code = REFUSED
    elif hasattr(error, "format_message"):
        # A wrong option: typer brings its parser along, or takes click's, by version.
        message = error.format_message()
        code, lines = REFUSED, [message] if message else []  # without a command the help was shown
    else:
        # Python's own exit code for it would be that of a denial.
        traceback.print_exception(error)
        code, lines = FAILED, []
    return code, lines


def _application() -> typer.Typer:
    application = typer.Typer(
        name="sluicegate",
        help="Decide whether one more request may pass.",
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    application.callback()(_options)
    application.command(epilog=_EPILOG)(serving.serve)
    application.command(epilog=_EPILOG)(asking.acquire)
    application.command(epilog=_EPILOG)(asking.peek)
    application.command(epilog=_EPILOG)(asking.reset)
    application.command(epilog=_EPILOG)(overruling.ban)
    application.command(epilog=_EPILOG)(overruling.unban)
    application.command(epilog=_EPILOG)(overruling.bans)
    application.command(epilog=_EPILOG)(overruling.override)
    application.command("drop-override", epilog=_EPILOG)(overruling.drop_override)
    application.command(epilog=_EPILOG)(overruling.overrides)
    application.command(epilog=_EPILOG)(replaying.replay)
    application.command(epilog=_EPILOG)(doctor.doctor)
    group = typer.Typer(help="Look at files of rules.", no_args_is_help=True)
    group.command(epilog=_EPILOG)(rules.check)
    group.command(epilog=_EPILOG)(rules.schema)
    application.add_typer(group, name="rules")
    group = typer.Typer(help="Look at the settings of a process.", no_args_is_help=True)
    for command in (settings.init, settings.check, settings.show, settings.schema):
        group.command(epilog=_EPILOG)(command)
    group.command("redis-acl", epilog=_EPILOG)(doctor.redis_acl)
    group.command("new-generation", epilog=_EPILOG)(doctor.new_generation)
    application.add_typer(group, name="config")
    return application


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - how typer calls it
    if wanted:
        sys.stdout.write(f"sluicegate {version('sluicegate')}\n")
        raise typer.Exit


def _options(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which version.")
    ] = False,
) -> None:
    pass
