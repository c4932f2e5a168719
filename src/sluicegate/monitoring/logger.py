"""Where events go: the `Logger` that everything is told to use, and adapters to what people have.

An event is a short dotted name and fields; no text is composed on the way, so a null logger costs a call.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Logger", "NullLogger", "StandardLogger", "StructlogLogger", "line_of"]

FIELD_LENGTH_MAX = 256  # a field may carry what a client sent


class Logger(Protocol):
    """Takes events with fields; anyone may implement it."""

    def debug(self, event: str, /, **fields: object) -> None:
        """Tell of something that only a search for a fault wants to know."""
        ...

    def info(self, event: str, /, **fields: object) -> None:
        """Tell of something that is as it should be."""
        ...

    def warning(self, event: str, /, **fields: object) -> None:
        """Tell of something that somebody should look at, not at once."""
        ...

    def error(self, event: str, /, **fields: object) -> None:
        """Tell of something that is broken."""
        ...

    def bind(self, **fields: object) -> Logger:
        """Return a logger that adds *fields* to every event."""
        ...


class NullLogger:
    """Takes every event and tells nobody."""

    __slots__ = ()

    def debug(self, event: str, /, **fields: object) -> None:
        """Tell nobody."""

    def info(self, event: str, /, **fields: object) -> None:
        """Tell nobody."""

    def warning(self, event: str, /, **fields: object) -> None:
        """Tell nobody."""

    def error(self, event: str, /, **fields: object) -> None:
        """Tell nobody."""

    def bind(self, **fields: object) -> NullLogger:  # noqa: ARG002 - the port's signature
        """Return this logger."""
        return self


class StandardLogger:
    """Hands events to the standard library's `logging`, as one line ``event name=value``.

    Control characters in fields are escaped, so that nobody writes lines of their own into a log.

    Args:
        logger: Where to; default the logger named ``sluicegate``.
    """

    __slots__ = ("_fields", "_logger")

    def __init__(self, logger: logging.Logger | None = None, **fields: object) -> None:
        self._logger = logger or logging.getLogger("sluicegate")
        self._fields = fields

    def debug(self, event: str, /, **fields: object) -> None:
        """Log at level DEBUG."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Log at level INFO."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Log at level WARNING."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Log at level ERROR."""
        self._log(logging.ERROR, event, fields)

    def bind(self, **fields: object) -> StandardLogger:
        """Return a logger that adds *fields* to every event."""
        bound = StandardLogger(self._logger)
        bound._fields = {**self._fields, **fields}  # set here, for a field may be named as an argument is
        return bound

    def _log(self, level: int, event: str, fields: dict[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            all_fields = {**self._fields, **fields}
            self._logger.log(level, "%s", line_of(event, all_fields), extra={"event": event, "fields": all_fields})


class StructlogLogger:
    """Hands events to a structlog logger, fields and all.

    Args:
        logger: A bound structlog logger, such as ``structlog.get_logger()``.
    """

    __slots__ = ("_logger",)

    def __init__(self, logger: Any) -> None:  # noqa: ANN401 - structlog's own type is a lazy proxy
        self._logger = logger

    def debug(self, event: str, /, **fields: object) -> None:
        """Log at level debug."""
        self._logger.debug(event, **fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Log at level info."""
        self._logger.info(event, **fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Log at level warning."""
        self._logger.warning(event, **fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Log at level error."""
        self._logger.error(event, **fields)

    def bind(self, **fields: object) -> StructlogLogger:
        """Return a logger that adds *fields* to every event."""
        return StructlogLogger(self._logger.bind(**fields))


def line_of(event: str, fields: Mapping[str, object]) -> str:
    """Return an event as one line of text, in which nothing that a client sent can look like another line."""
    return " ".join([event, *(f"{name}={_shown(value)}" for name, value in fields.items())])


def _shown(value: object) -> str:
    """Return *value* for a line of text: bare where it is plain, else quoted and escaped."""
    text = str(value)[:FIELD_LENGTH_MAX]
    if text and text.isascii() and text.isprintable() and not any(mark in text for mark in ' "='):
        return text
    return json.dumps(text)
