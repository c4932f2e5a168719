"""Tells a log's format by the first lines that can be read, however many odd ones stand before them.

Lines that no format fits are malformed whatever the log is, so they are let go at once; from the first
that one fits, a bounded number of lines is kept until most of them have decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluicegate.replay.csv_columns import DELIMITERS, has_header
from sluicegate.replay.formats import LOG_FORMATS, parser_for
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sluicegate.replay.formats import LogFormat, Parser

__all__ = ["FormatTeller"]

_LINES_LOOKED_AT = 200  # from the first that can be read; one odd line among them decides nothing
_Numbered = tuple[int, str]


class FormatTeller:
    """Looks at lines until it knows what reads them.

    Args:
        log_format: The format, where it was given.
        columns: For JSON and CSV, what each thing is called there.

    Attributes:
        log_format: The format; ``None`` while it is not known.
        parse: What reads a line; ``None`` while the format is not known.
        header: The number of the line that names a CSV's columns, where one does.
        waiting: The lines that were looked at and are still to be read, with their numbers.
    """

    def __init__(self, log_format: LogFormat | None, columns: Mapping[str, str]) -> None:
        self.log_format = log_format
        self.parse: Parser | None = None
        self.header: int | None = None
        self.waiting: list[_Numbered] = []
        self._columns = columns
        self._csv_only = log_format == "csv"
        self._named = has_header(columns)
        self._csv: Parser | None = None
        self._tried: dict[LogFormat, Parser] = {}
        self._fits: dict[LogFormat, int] = dict.fromkeys(LOG_FORMATS, 0)
        self._first: _Numbered | None = None  # that is not blank
        self._seen = 0
        if log_format is not None and not self._csv_only:
            self.parse, _ = parser_for(log_format, "", columns)
        elif log_format is None:
            self._tried = {name: parser_for(name, "", columns)[0] for name in LOG_FORMATS if name != "csv"}

    def look(self, lines: Iterable[_Numbered]) -> list[int]:
        """Take lines until the format is known; return the numbers of those that are malformed in any.

        Raises:
            InvalidInputError: The log lacks a column that was named, or a CSV one for the time.
        """
        malformed: list[int] = []
        for number, line in lines:
            if self._fit_any(number, line, malformed) or self.waiting:
                self.waiting.append((number, line))
                if len(self.waiting) == _LINES_LOOKED_AT:
                    malformed += self._decided()
                    break
            elif number != self.header:
                malformed.append(number)
                if self._seen == _LINES_LOOKED_AT:
                    self._check_columns()
        return malformed

    def end(self) -> list[int]:
        """Decide by what there was; return the numbers of further lines that are malformed.

        Raises:
            InvalidInputError: As `look`.
        """
        if self.waiting:
            return self._decided()
        if self._csv is not None and self._first is not None and self.header == self._first[0]:
            self.log_format, self.parse = "csv", self._csv  # names, and nothing below them
            return []
        self._check_columns()
        return [] if self.header is None else [self.header]

    def _fit_any(self, number: int, line: str, malformed: list[int]) -> bool:
        if line:
            self._seen += 1
            self._first = self._first or (number, line)
        fits = self._fits
        before = sum(fits.values())
        for name, parse in self._tried.items():
            fits[name] += parse(line, number) is not None
        if self._csv is not None:
            fits["csv"] += self._csv(line, number) is not None
        if fits["csv"] == 0 and line:  # what looked like names was none if no record has followed
            self._try_as_header(number, line, malformed)
        return sum(fits.values()) > before

    def _try_as_header(self, number: int, line: str, malformed: list[int]) -> None:
        try:
            parse, _ = parser_for("csv", line, self._columns)
        except InvalidInputError:
            return
        self._csv = parse
        if not self._named:
            self._fits["csv"] += parse(line, number) is not None
            return
        if self.header is not None and all(number != self.header for number, _ in self.waiting):
            malformed.append(self.header)
        self.header = number

    def _decided(self) -> list[int]:
        best = max(LOG_FORMATS, key=lambda name: self._fits[name])
        self.log_format, self.parse = best, self._csv if best == "csv" else self._tried[best]
        header = self.header
        kept = [numbered for numbered in self.waiting if numbered[0] != header]
        if best == "csv":
            self.waiting = kept
            return []
        self.header = None
        return [header] if header is not None and len(kept) == len(self.waiting) else []

    def _check_columns(self) -> None:
        """Refuse a mapping, or a format, that the log cannot have; other logs are just malformed."""
        if self._csv is None and self._first is not None:
            line = self._first[1]
            is_table = not line.startswith("{") and any(delimiter in line for delimiter in DELIMITERS)
            if self._csv_only or (self._columns and is_table):
                parser_for("csv", line, self._columns)
