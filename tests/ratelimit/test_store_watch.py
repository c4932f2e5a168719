"""What the log is told of a store that goes and comes: no outage is kept from it, and no line is written twice."""

from __future__ import annotations

import pytest

from sluicegate import CorruptStateError, Limit, StoreUnavailableError
from sluicegate.ratelimit.store_watch import NAMES_MAX, StoreWatch
from sluicegate.testing import ManualClock
from tests.recording import RecordingLogger

AWAY = StoreUnavailableError("decide", "nobody answers")
CORRUPT = CorruptStateError("decide", "a list")


class Watched:
    """A watch on a clock moved by hand, and what it told."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_000.0)
        self.logger = RecordingLogger()
        self.watch = StoreWatch(self.logger, self.clock, "redis")

    @property
    def told(self) -> list[str]:
        """The events so far."""
        return [event for _, event, _ in self.logger.events]


@pytest.fixture
def watched() -> Watched:
    """A watch that has told nothing."""
    return Watched()


def test_an_outage_is_one_line_and_its_end_another(watched: Watched) -> None:
    """However many requests meet it."""
    for _ in range(100):
        watched.watch.failed(AWAY)
        watched.clock.advance(1)
    watched.watch.answered()
    assert watched.told == ["store.lost", "store.back"]


def test_a_store_that_flutters_fills_no_log(watched: Watched) -> None:
    """Of a hundred losses in a second one is told."""
    for _ in range(100):
        watched.watch.failed(AWAY)
        watched.clock.advance(0.005)
        watched.watch.answered()
        watched.clock.advance(0.005)
    assert watched.told == ["store.lost", "store.back"]


def test_a_long_outage_after_a_short_one_is_told(watched: Watched) -> None:
    """What was kept quiet at first is told as soon as a line may be written: the log never ends with a false return."""
    watched.watch.failed(AWAY)
    watched.clock.advance(0.3)
    watched.watch.answered()
    watched.clock.advance(0.2)
    for _ in range(3_600):
        watched.watch.failed(AWAY)
        watched.clock.advance(1)
    assert watched.told == ["store.lost", "store.back", "store.lost"]
    watched.watch.answered()
    assert watched.told[-1] == "store.back"


def test_an_outage_right_after_a_corrupt_key_is_told(watched: Watched) -> None:
    """A key that cannot be read keeps no outage quiet, and is no outage itself."""
    watched.watch.failed(CORRUPT)
    assert not watched.watch.lost
    watched.watch.failed(AWAY)
    watched.watch.failed(CORRUPT)
    watched.watch.answered()
    assert watched.told == ["state.corrupt", "store.lost", "store.back"]


def test_a_store_that_is_away_at_the_start_is_told_once_until_it_is_there(watched: Watched) -> None:
    """However often a start is tried; the next absence is told again, whether a start or a request found it back."""
    for back in (watched.watch.there, watched.watch.answered):
        for _ in range(5):
            watched.watch.away(AWAY)
            watched.clock.advance(4)
        back()
    watched.watch.away(AWAY)
    assert watched.told == ["store.away", "limiter.started", "store.away", "store.away"]


def test_what_answers_in_the_stores_place_is_told_once_for_each_limit(watched: Watched) -> None:
    """The choice of each limit stands in the log, and a flood of names does not fill it."""
    closed = Limit("login", "1/s", critical=True)
    for _ in range(3):
        watched.watch.fell_back(closed)
    for number in range(NAMES_MAX + 50):
        watched.watch.fell_back(Limit(f"name{number}", "1/s"))
    lines = watched.logger.named("limit.fallback")
    assert len(lines) == NAMES_MAX
    assert lines[0] == {"limit": "login", "on_failure": "closed"}
    assert lines[1] == {"limit": "name0", "on_failure": "open"}
