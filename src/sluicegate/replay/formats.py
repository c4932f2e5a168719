"""The formats of logs that are known, and how to tell them apart by the first lines."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, get_args

from sluicegate.integrations import UNKNOWN_CLIENT, ClientAddress
from sluicegate.replay.combined import combined_parser, common_parser
from sluicegate.replay.csv_columns import csv_parser, delimiter_of, has_header
from sluicegate.replay.json_lines import json_parser
from sluicegate.replay.request import LoggedRequest
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LOG_FORMATS", "LogFormat", "Parser", "format_of", "parser_for"]

LogFormat = Literal["combined", "common", "json", "csv"]
LOG_FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)
Parser = Callable[[str, int], LoggedRequest | None]

_TRIED_LINES_MAX = 200  # the first lines may be cut or odd, not the first two hundred
_ADDRESSES_REMEMBERED_MAX = 16_384  # clients come back; about 3 MB


def parser_for(log_format: LogFormat, first_line: str, columns: Mapping[str, str]) -> tuple[Parser, int]:
    """Return what reads a log's lines, and how many lines of names come first.

    Args:
        log_format: The log's format.
        first_line: Where a CSV names its columns.
        columns: For JSON and CSV, what each thing is called there.

    Raises:
        InvalidInputError: A CSV lacks a column that it must have.
    """
    # What a parser remembers is its own, and gone with it.
    address_of = lru_cache(maxsize=_ADDRESSES_REMEMBERED_MAX)(_limited_address)
    if log_format == "combined":
        return combined_parser(address_of), 0
    if log_format == "common":
        return common_parser(address_of), 0
    if log_format == "json":
        return json_parser(address_of, columns), 0
    parse = csv_parser(address_of, columns, header=first_line, delimiter=delimiter_of(first_line))
    return parse, int(has_header(columns))


def format_of(lines: list[str], columns: Mapping[str, str], *, where: str) -> LogFormat:
    """Return the format that most of a log's first lines fit; CSV when its columns can be told.

    Args:
        lines: The first lines.
        columns: What the user said about columns.
        where: The log's name, for the message.

    Raises:
        InvalidInputError: They fit none.
    """
    tried = list(islice((line for line in lines if line), _TRIED_LINES_MAX))
    fits: dict[LogFormat, int] = {}
    for log_format in ("combined", "common", "json"):
        parse, _ = parser_for(log_format, "", columns)
        fits[log_format] = sum(parse(line, 0) is not None for line in tried)
    best = max(fits, key=lambda name: fits[name])
    if fits[best] > 0:
        return best
    try:
        parser_for("csv", lines[0] if lines else "", columns)
    except InvalidInputError:
        if columns:
            raise
        found = f"a first line of {shape_of(tried[0] if tried else '')}"
        accepted = "lines of the combined or common format, of JSON, or of CSV; name the columns where they are unusual"
        raise InvalidInputError(where, found, accepted) from None
    return "csv"


def _limited_address(text: str) -> str:
    """Return an address as live requests are counted under it: of IPv6 the network, of what is no address the text."""
    if ":" not in text:
        return text
    resolved = ClientAddress().resolve(text, ())
    return text if resolved == UNKNOWN_CLIENT else resolved
