"""The formats of logs that are known, and what reads each."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, get_args

from sluicegate.integrations import UNKNOWN_CLIENT, ClientAddress
from sluicegate.replay.combined import combined_parser, common_parser
from sluicegate.replay.csv_columns import csv_parser, delimiter_of, has_header
from sluicegate.replay.json_lines import json_parser
from sluicegate.replay.request import LoggedRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LOG_FORMATS", "LogFormat", "Parser", "parser_for"]

LogFormat = Literal["combined", "common", "json", "csv"]
LOG_FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)
Parser = Callable[[str, int], LoggedRequest | None]

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


def _limited_address(text: str) -> str:
    """Return an address as live requests are counted under it: of IPv6 the network, of what is no address the text."""
    if ":" not in text:
        return text
    resolved = ClientAddress().resolve(text, ())
    return text if resolved == UNKNOWN_CLIENT else resolved
