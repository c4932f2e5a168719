"""Makes a structlog logger that filters and writes as settings say, whatever the program has configured for its own."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

from sluicegate.monitoring.logger import StructlogLogger, line_of

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["structlog_logger"]

FIRST = ("time", "level", "event")  # as the lines of the standard library's logger begin


def structlog_logger(*, level: str, as_json: bool, file: TextIO | None = None) -> StructlogLogger:
    """Return a logger whose events are a line each, from *level* on; structlog's own configuration is left alone.

    What the program has put into structlog's context variables goes with every event.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        as_json: Whether a line is a JSON object; else it is ``time LEVEL event name=value``.
        file: Where to. Default: standard error.

    Raises:
        ImportError: The extra ``structlog`` is not installed.
    """
    import structlog  # noqa: PLC0415 - needs the extra

    render = structlog.processors.JSONRenderer(default=str, sort_keys=False)
    logger = structlog.wrap_logger(
        structlog.PrintLogger(file or sys.stderr),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt=None if as_json else "iso", key="time"),
            _in_order,
            render if as_json else _text,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        context_class=dict,
    )
    return StructlogLogger(logger.bind())


def _in_order(_logger: object, _verb: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in [*FIRST, *(name for name in event if name not in FIRST)]}


def _text(_logger: object, _verb: str, event: MutableMapping[str, Any]) -> str:
    fields = cast("dict[str, object]", event)
    time, level, name = (str(fields.pop(first)) for first in FIRST)
    return f"{time} {level.upper()} {line_of(name, fields)}"
