"""Lines of CSV, by the names in the first line or by the columns' numbers.

Each line is one record: a quote that is never closed spoils its own line and no other.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from sluicegate.replay.fields import TIME, described, plan_of
from sluicegate.replay.request import LoggedRequest
from sluicegate.replay.timestamps import remembering, time_us
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DELIMITERS", "csv_parser", "delimiter_of", "has_header"]

DELIMITERS = (",", ";", "\t", "|")


def delimiter_of(header: str) -> str:
    """Return the delimiter that parts *header* into the most fields."""
    return max(DELIMITERS, key=header.count)


def has_header(columns: Mapping[str, str]) -> bool:
    """Say whether the first line names the columns: it does unless the user gave the time's by number."""
    return not columns.get(TIME, "").isdigit()


def csv_parser(
    address_of: Callable[[str], str], columns: Mapping[str, str], *, header: str, delimiter: str
) -> Callable[[str, int], LoggedRequest | None]:
    """Return what reads a record; it returns ``None`` for a line that is none.

    Args:
        address_of: Gives the address that limits count for.
        columns: What each thing's column is called, or its number from 1.
        header: The log's first line.
        delimiter: What parts the fields.

    Raises:
        InvalidInputError: A column is named that the header lacks, or none holds the time.
    """
    plan = _plan_of(_fields_of(header, delimiter) or [], columns)
    at_us_of = remembering(time_us)

    def parse(line: str, number: int) -> LoggedRequest | None:
        values = _fields_of(line, delimiter)
        if values is None:
            return None
        try:
            fields = {thing: values[at] for thing, at in plan if values[at] not in ("", "-")}
        except IndexError:
            return None
        request = described(fields, at_us_of, address_of)
        return None if request is None else LoggedRequest(request[0], number, request[1])

    return parse


def _plan_of(names: list[str], columns: Mapping[str, str]) -> list[tuple[str, int]]:
    positions: dict[str, int] = {}
    for at, name in enumerate(names):
        positions.setdefault(name.strip(), at)
    plan = plan_of(positions, columns) if has_header(columns) else dict(columns)
    if TIME not in plan:
        raise InvalidInputError("columns", f"the columns {shape_of(', '.join(names))}", f"a column for {TIME}")
    numbered = []
    for thing, name in plan.items():
        if name in positions and has_header(columns):
            numbered.append((thing, positions[name]))
        elif name.isascii() and name.isdigit() and 0 < int(name[:6]) <= len(names):
            numbered.append((thing, int(name[:6]) - 1))
        else:
            accepted = (
                f"one of {', '.join(ascii(name) for name in positions)[:400]}, or a number from 1 to {len(names)}"
            )
            raise InvalidInputError(f"columns {thing}", shape_of(name), accepted)
    return numbered


def _fields_of(line: str, delimiter: str) -> list[str] | None:
    if '"' not in line:
        return line.split(delimiter) if line else None
    try:
        return next(csv.reader((line,), delimiter=delimiter, strict=True), None)
    except csv.Error:
        return None
