"""The page of a run in which something could not be measured."""

from __future__ import annotations

from typing import Any

from benchmarks.page import page_of
from benchmarks.plots import plots_of

SPREAD = {"median": 10.0, "min": 9.0, "max": 11.0}
COSTS = ("client_us", "system_us", "switches", "redis_us", "script_us", "script_calls", "wire_bytes")
LATENCIES = ("p50_us", "p95_us", "p99_us", "max_us")


def an_outcome(**more: Any) -> dict[str, Any]:
    """Return an outcome of one contest with one contender that told no 99.9th percentile."""
    figures = {"per_second": SPREAD, "ratio": SPREAD, "refused": 0, **dict.fromkeys(COSTS + LATENCIES, 1.5)}
    versions = {"redis": "8", "hiredis": "3", "uvloop": "0", "uvicorn": "0"}
    contest = {
        "reference": "sluicegate",
        "summary": {"sluicegate": figures},
        "spins_per_second": [1e6],
        "owners": {"sluicegate": "sluicegate"},
        "admitted": {"sluicegate": {"admitted": 101, "hits": 150, "limit": 100}},
    }
    facts = {"cores": 2, "system": "Linux", "python": "3", "redis": "7", "sluicegate": "0"}
    return {
        "facts": facts | {"packages": {"sluicegate": versions, "asgi": versions}},
        "extent": {"rounds": 1, "seconds": 1, "rounds_reported": 1, "open_seconds": 1},
        "contests": {"tasks": contest},
        "failed": {},
        "goals": [],
        **more,
    }


def test_what_failed_is_told_and_the_rest_is_there() -> None:
    """A contest that failed is named on the page with its reason."""
    page = page_of(an_outcome(failed={"thread": "it ended with status 1"}))
    assert "- Strict on Redis: one thread: it ended with status 1" in page
    assert "## Strict on Redis: 128 callers of one asyncio loop" in page


def test_nothing_is_said_of_failures_where_there_were_none() -> None:
    """A run that went through does not speak of failing."""
    assert "Not measured" not in page_of(an_outcome())


def test_only_what_was_measured_is_drawn() -> None:
    """A plot whose contest is missing is left out."""
    assert set(plots_of(an_outcome())) == {"throughput"}


def test_admitting_more_than_the_limit_stands_on_the_page() -> None:
    """A contender that let more pass than the limit is listed."""
    assert "| Strict on Redis: 128 callers of one asyncio loop | Sluicegate | 150 | 100 | 101 |" in page_of(
        an_outcome()
    )


def test_a_goal_shows_its_floor_its_goal_and_what_it_reached() -> None:
    """Both bounds stand beside the figure, each with its verdict."""
    goal = {"text": "fast", "figure": 7.0, "unit": "times", "at_least": True, "floor": 6, "goal": 8}
    page = page_of(an_outcome(goals=[goal | {"met": True, "goal_met": False}]))
    assert "| fast | 7 times | ≥ 6 | yes | ≥ 8 | **no** |" in page
