"""Requests out of a log of any known format, with the lines that are none counted and shown by number."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from sluicegate.replay.fields import checked_columns
from sluicegate.replay.formats import LOG_FORMATS
from sluicegate.replay.telling import FormatTeller
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sluicegate.replay.formats import LogFormat, Parser
    from sluicegate.replay.lines import LogSource
    from sluicegate.replay.request import LoggedRequest

__all__ = ["MALFORMED_SHOWN_MAX", "LogReader"]

MALFORMED_SHOWN_MAX = 100  # who has more has the wrong format, and needs no list to see it


@dataclass(slots=True, kw_only=True)
class LogReader:
    """Reads one log once, and knows afterwards what it held.

    Args:
        source: The opened log.
        log_format: Its format; ``None`` to tell by the first lines that can be read.
        columns: For JSON and CSV, what each thing that rules know is called there.

    Attributes:
        lines: Lines read, without a CSV's first line of names.
        malformed: Lines that are no request.
        malformed_lines: The numbers of the first hundred of those.
        bytes_read: How much of the file was read so far.

    Raises:
        InvalidInputError: The format or a column's thing is not known.
    """

    source: LogSource
    log_format: LogFormat | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    lines: int = 0
    malformed: int = 0
    malformed_lines: list[int] = field(default_factory=list)
    bytes_read: int = 0

    def __post_init__(self) -> None:
        self.columns = checked_columns(self.columns)
        if self.log_format is not None and self.log_format not in LOG_FORMATS:
            raise InvalidInputError("log format", shape_of(self.log_format), ", ".join(LOG_FORMATS))

    def requests(self) -> Iterator[LoggedRequest]:
        """Yield the log's requests in its own order.

        Raises:
            InvalidInputError: The log lacks a column that was named, or a CSV one for the time.
        """
        teller = FormatTeller(self.log_format, self.columns)
        parse = teller.parse
        for block in self.source.blocks():
            self.lines += len(block.lines)
            self.bytes_read = block.bytes_read
            lines: Iterable[tuple[int, str]] = enumerate(block.lines, block.first_number)
            if parse is None:
                self._count(teller.look(lines))
                parse = teller.parse
                lines = chain(teller.waiting, lines)
            if parse is not None:
                yield from self._parsed(parse, lines)
        if parse is None:
            self._count(teller.end())
            yield from self._parsed(teller.parse or _none, teller.waiting)
        self.lines -= teller.header is not None and teller.log_format == "csv"
        self.log_format = teller.log_format

    def _parsed(self, parse: Parser, lines: Iterable[tuple[int, str]]) -> Iterator[LoggedRequest]:
        malformed = []
        for number, line in lines:
            request = parse(line, number)
            if request is None:
                malformed.append(number)
            else:
                yield request
        self._count(malformed)

    def _count(self, malformed: list[int]) -> None:
        self.malformed += len(malformed)
        if malformed:
            # In order already, but for a line that looked like a CSV's names.
            self.malformed_lines = sorted(self.malformed_lines + malformed)[:MALFORMED_SHOWN_MAX]


def _none(_line: str, _number: int) -> None:
    """Read nothing: what reads the lines of a log of no known format."""
