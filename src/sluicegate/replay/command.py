"""What `sluicegate replay` does, ready to be called: read, decide, and present in the form that was asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sluicegate.ratelimit.rules import load_rules
from sluicegate.replay.page import page
from sluicegate.replay.progress import progress_bar
from sluicegate.replay.running import replay
from sluicegate.replay.table import print_report
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluicegate.replay.formats import LogFormat
    from sluicegate.replay.report import Report

__all__ = ["columns_of", "run_replay"]


def run_replay(
    log: str | Path | IO[bytes],
    rules: str | Path,
    *,
    log_format: LogFormat | None = None,
    columns: Iterable[str] = (),
    as_json: bool = False,
    html: str | Path | None = None,
    stdout: IO[str] | None = None,
    stderr: IO[str] | None = None,
) -> Report:
    """Drive a log through a file of rules, and print what they would have done.

    Args:
        log: The log's path, ``-`` for standard input, or a buffered binary file; plain or gzip.
        rules: The file of rules, YAML or TOML.
        log_format: ``combined``, ``common``, ``json`` or ``csv``; default: told by the first lines.
        columns: For JSON and CSV, texts such as ``client_address=ip``: what the log calls a thing.
        as_json: Whether to print one JSON object instead of tables.
        html: Where to write the page, if anywhere; a file that is there is replaced.
        stdout: Where to print. Default: standard output.
        stderr: Where to draw the progress, when it is a terminal. Default: standard error.

    Raises:
        ConfigurationError: The rules cannot be used.
        InvalidInputError: The log cannot be opened, a column is not known or not there, or the page
            cannot be written.
    """
    stdout = stdout or sys.stdout
    loaded = load_rules(rules)
    page_path = None if html is None else _checked_page(html)
    with progress_bar(stderr or sys.stderr) as progress:
        report = replay(log, loaded, log_format=log_format, columns=columns_of(columns), progress=progress)
    if page_path is not None:
        _write(page_path, page(report))
    if as_json:
        json.dump(report.as_json(), stdout, indent=2)
        stdout.write("\n")
    else:
        from rich.console import Console  # noqa: PLC0415 - an optional package, which JSON does without

        print_report(report, Console(file=stdout))
    return report


def columns_of(texts: Iterable[str]) -> dict[str, str]:
    """Read texts such as ``client_address=ip``, one or several to each (``time=ts,path=url``).

    Raises:
        InvalidInputError: A text is not of that form, or a thing is named twice.
    """
    columns: dict[str, str] = {}
    for pair in (pair for text in texts for pair in text.split(",")):
        thing, equals, column = pair.partition("=")
        if not equals or not thing.strip() or not column.strip() or thing.strip() in columns:
            raise InvalidInputError("columns", shape_of(pair), "THING=COLUMN, each thing once, such as time=ts")
        columns[thing.strip()] = column.strip()
    return columns


def _checked_page(html: str | Path) -> Path:
    # Known before the log is read: that may take minutes.
    path = Path(html)
    if path.is_dir() or not path.parent.is_dir():
        raise InvalidInputError("html", ascii(str(path)), "a file in a folder that is there")
    return path


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, "utf-8")
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise InvalidInputError(f"html {str(path)!a}", found, "a file that can be written") from None
