"""Events reach the logging that people have: at their level, with their fields, a line each."""

from __future__ import annotations

import inspect
import io
import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from sluicegate.monitoring import Logger, NullLogger, StandardLogger, StructlogLogger

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = ("debug", "info", "warning", "error")
FIELD_LENGTH_MAX = 256


class Kept(logging.Handler):
    """Keeps what was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)

    @property
    def line(self) -> str:
        """The newest line."""
        return self.records[-1].getMessage()


class Unshowable:
    """Something whose text costs too much to ask for."""

    def __str__(self) -> str:
        raise AssertionError("nobody wants to see it")


@contextmanager
def listening() -> Iterator[Kept]:
    """Keep what reaches the logger named ``target``, and let none of it go further."""
    logger, handler = logging.getLogger("target"), Kept()
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def kept() -> Iterator[Kept]:
    """What reaches the logger named ``target``."""
    with listening() as handler:
        yield handler


@pytest.fixture
def target(kept: Kept) -> logging.Logger:
    """A logger of the standard library that nobody else has."""
    return logging.getLogger("target")


@pytest.mark.parametrize("level", LEVELS)
def test_an_event_is_logged_at_its_level(target: logging.Logger, kept: Kept, level: str) -> None:
    """Each verb of the logger is the standard library's level of that name."""
    getattr(StandardLogger(target), level)("store.away")
    assert [(record.levelname, record.getMessage()) for record in kept.records] == [(level.upper(), "store.away")]


def test_fields_follow_the_event_in_one_line(target: logging.Logger, kept: Kept) -> None:
    """Plain values stand bare; text that would not be read back as one value is quoted."""
    StandardLogger(target).info("limiter.started", source="redis", keys=3, note="two words", empty="", pair="a=b")
    assert kept.line == 'limiter.started source=redis keys=3 note="two words" empty="" pair="a=b"'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nERROR forged", r'"a\nERROR forged"'),
        ("a\r\n\t\x00\x1b[2J\x7f", r'"a\r\n\t\u0000\u001b[2J\u007f"'),
        ("\x85\u2028\u2029", r'"\u0085\u2028\u2029"'),
        ("Zoë", r'"Zo\u00eb"'),
        ("\ud800", r'"\ud800"'),
        ('say "so"', r'"say \"so\""'),
        ("100%s %d", '"100%s %d"'),
        (b"\xff\n", r"b'\xff\n'"),
        (None, "None"),
        (1.5, "1.5"),
        (ValueError("no\nway"), r'"no\nway"'),
    ],
)
def test_what_a_client_sent_writes_no_line_of_its_own(
    target: logging.Logger, kept: Kept, value: object, shown: str
) -> None:
    """Control characters and whatever is not plain ASCII are escaped."""
    StandardLogger(target).warning("event", field=value)
    assert kept.line == f"event field={shown}"


@given(st.text(st.characters(codec=None), max_size=FIELD_LENGTH_MAX))
def test_any_text_is_a_printable_line_that_says_it_whole(text: str) -> None:
    """Whatever a field holds, the line is printable ASCII, and the text can be read back from it."""
    with listening() as handler:
        StandardLogger(logging.getLogger("target")).error("event", field=text)
    assert handler.line.isascii()
    assert handler.line.isprintable()
    shown = handler.line.removeprefix("event field=")
    read = json.loads(shown) if shown.startswith('"') else shown
    assert read.encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")


def test_a_field_is_bounded(target: logging.Logger, kept: Kept) -> None:
    """A megabyte in a field makes no megabyte in the log."""
    StandardLogger(target).error("event", key="k" * 1_000_000, other="\n" * 1_000_000)
    bare, quoted = kept.line.split(" ")[1:]
    assert bare == "key=" + "k" * FIELD_LENGTH_MAX
    assert quoted == 'other="' + r"\n" * FIELD_LENGTH_MAX + '"'


def test_a_record_carries_event_and_fields(target: logging.Logger, kept: Kept) -> None:
    """A formatter that writes fields of its own finds them unchanged on the record."""
    StandardLogger(target).bind(source="redis").info("state.unreadable", values=2)
    record: Any = kept.records[-1]
    assert (record.event, record.fields) == ("state.unreadable", {"source": "redis", "values": 2})


def test_a_level_that_is_off_composes_nothing(target: logging.Logger, kept: Kept) -> None:
    """Below the logger's level no field is even made text."""
    target.setLevel(logging.WARNING)
    StandardLogger(target).info("event", field=Unshowable())
    assert kept.records == []


def test_bound_fields_go_with_every_event(target: logging.Logger, kept: Kept) -> None:
    """What was bound comes first, what the event says itself wins, and the logger bound from is as it was."""
    logger = StandardLogger(target, node="a")
    bound = logger.bind(source="redis").bind(limit="api")
    bound.info("one", source="memory", key="k")
    assert kept.line == "one node=a source=memory limit=api key=k"
    logger.info("two")
    assert kept.line == "two node=a"


def test_any_name_may_be_bound(target: logging.Logger, kept: Kept) -> None:
    """A field may be called as an argument of the adapter is called."""
    StandardLogger(target).bind(logger="other", event="mine").info("one", level=3)
    assert kept.line == "one logger=other event=mine level=3"


def test_events_go_to_the_logger_of_the_package_unless_told(caplog: pytest.LogCaptureFixture) -> None:
    """Without an argument events are found under the package's own name."""
    with caplog.at_level(logging.INFO, "sluicegate"):
        StandardLogger().info("limiter.started")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("sluicegate", "limiter.started")]


@pytest.mark.parametrize("level", LEVELS)
def test_structlog_has_events_at_their_level(level: str) -> None:
    """Each verb is structlog's of that name, and fields arrive as they are."""
    with capture_logs() as told:
        getattr(StructlogLogger(structlog.get_logger()), level)("store.away", source="redis", error=None)
    assert told == [{"event": "store.away", "log_level": level, "source": "redis", "error": None}]


def test_structlog_has_what_was_bound() -> None:
    """Bound fields go with every event, what the event says itself wins, and the first logger is as it was."""
    logger = StructlogLogger(structlog.get_logger())
    with capture_logs() as told:
        logger.bind(source="redis").bind(limit="api").info("one", source="memory")
        logger.info("two")
    assert [{name: entry[name] for name in entry if name != "log_level"} for entry in told] == [
        {"event": "one", "source": "memory", "limit": "api"},
        {"event": "two"},
    ]


def test_structlog_renders_a_line() -> None:
    """Through a logger that writes JSON an event is one object in one line, whatever a client sent."""
    written = io.StringIO()
    target = structlog.wrap_logger(structlog.PrintLogger(written), processors=[structlog.processors.JSONRenderer()])
    StructlogLogger(target).bind(source="redis").warning("store.away", error="no\nway")
    (line,) = written.getvalue().splitlines()
    assert json.loads(line) == {"event": "store.away", "source": "redis", "error": "no\nway"}


def test_a_null_logger_tells_nobody(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Every verb is taken, nothing is made text, and nothing is written anywhere."""
    logger = NullLogger().bind(source=Unshowable())
    for level in LEVELS:
        getattr(logger, level)("event", field=Unshowable())
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


@pytest.mark.parametrize("adapter", [NullLogger, StandardLogger, StructlogLogger])
def test_an_adapter_has_the_verbs_of_the_port(adapter: type) -> None:
    """Each takes what the port takes, by the same names."""
    for verb in (*LEVELS, "bind"):
        wanted = inspect.signature(getattr(Logger, verb)).parameters
        assert str(list(inspect.signature(getattr(adapter, verb)).parameters.values())) == str(list(wanted.values()))
