"""A structlog logger of our own making filters by level and writes a line an event, in text or JSON."""

from __future__ import annotations

import io
import json
import re

import pytest
import structlog

from sluicegate.monitoring import structlog_logger

LEVELS = ("debug", "info", "warning", "error")


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("level", LEVELS)
def test_events_below_the_level_are_not_written(level: str, *, as_json: bool) -> None:
    """From the level on each verb writes one line, and what was bound filters alike."""
    written = io.StringIO()
    logger = structlog_logger(level=level, as_json=as_json, file=written)
    for verb in LEVELS:
        getattr(logger, verb)(f"a.{verb}")
        getattr(logger.bind(source="redis"), verb)(f"b.{verb}")
    told = re.findall(r"[ab]\.[a-z]+", written.getvalue())
    assert told == [f"{each}.{verb}" for verb in LEVELS[LEVELS.index(level) :] for each in "ab"]
    assert len(written.getvalue().splitlines()) == len(told)


def test_json_is_an_object_a_line() -> None:
    """With time, level and event first, and fields as they are, whatever a client sent."""
    written = io.StringIO()
    structlog_logger(level="info", as_json=True, file=written).bind(source="redis").warning(
        "store.away", error="no\nway", keys=3, odd={1, 2} - {2}
    )
    (line,) = written.getvalue().splitlines()
    told = json.loads(line)
    assert list(told)[:3] == ["time", "level", "event"]
    assert isinstance(told.pop("time"), float)
    assert told == {
        "level": "warning", "event": "store.away", "source": "redis", "error": "no\nway", "keys": 3, "odd": "{1}",
    }  # fmt: skip


def test_text_is_the_line_that_the_standard_logger_writes() -> None:
    """Behind time and level; nobody writes lines of their own into it."""
    written = io.StringIO()
    structlog_logger(level="info", as_json=False, file=written).info("limiter.started", source="redis", note="a\nb")
    (line,) = written.getvalue().splitlines()
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT[0-9:.]+Z INFO limiter\.started source=redis note="a\\nb"', line)


def test_structlogs_own_configuration_neither_counts_nor_changes() -> None:
    """The program's loggers are its own; what it has put into context variables is told all the same."""
    written = io.StringIO()
    try:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), processors=[])
        during = structlog.get_config()
        logger = structlog_logger(level="info", as_json=True, file=written)
        with structlog.contextvars.bound_contextvars(request="r1"):
            logger.info("one")
        assert structlog.get_config() == during
    finally:
        structlog.reset_defaults()
    assert json.loads(written.getvalue())["request"] == "r1"
