"""Requests out of a log of any known format, with the lines that are none counted and shown by number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sluicegate.replay.fields import checked_columns
from sluicegate.replay.formats import LOG_FORMATS, format_of, parser_for
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        log_format: Its format; ``None`` to tell by its first lines.
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
            InvalidInputError: None of its first lines fits the format, or any format.
        """
        parse: Parser | None = None
        for block in self.source.blocks():
            lines = block.lines
            number = block.first_number
            if parse is None:
                self.log_format = self.log_format or format_of(lines, self.columns, where=ascii(self.source.name))
                parse, headers = parser_for(self.log_format, lines[0], self.columns)
                lines = lines[headers:]
                number += headers
            malformed = []
            for line_number, line in enumerate(lines, number):
                request = parse(line, line_number)
                if request is None:
                    malformed.append(line_number)
                else:
                    yield request
            self._count(len(lines), malformed, block.bytes_read)

    def _count(self, lines: int, malformed: list[int], bytes_read: int) -> None:
        self.lines += lines
        self.malformed += len(malformed)
        self.malformed_lines += malformed[: MALFORMED_SHOWN_MAX - len(self.malformed_lines)]
        self.bytes_read = bytes_read
