"""The page, seen by a real browser: on a desk and in a hand, in light and in dark."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate.ratelimit.rules import parse_rules
from sluicegate.replay import page, replay
from tests.replay.counting import SAMPLE_LOG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

CHROMIUM = Path("/usr/bin/chromium")
needs_browser = pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no chromium here")
pytestmark = [pytest.mark.slow, needs_browser]
RULES = parse_rules("""
version: 1
limits:
  per-client: {rate: 20/minute, algorithm: fixed_window, key: client_address}
  tenants: {rate: 1/day, key: tenant}
  uploads: {rate: 5, algorithm: concurrency, key: client_address}
  agents-under-a-name-of-as-many-characters-as-a-limit-may-have: {rate: 1/day, key: [user_agent, path], shadow: true}
  unbroken_names_need_a_place_to_be_broken_and_have_none_of_their_: {rate: 9/s; 99/h, key: client_address}
""")
LONG = json.dumps({"ts": 1, "ip": "x" * 500, "user_agent": "<b>" * 90, "path": "/" + "y" * 300}) + "\n"
PAGES = {
    "the sample log": lambda: page(replay(SAMPLE_LOG, RULES)),
    "long texts": lambda: page(replay(io.BufferedReader(io.BytesIO((LONG * 12).encode())), RULES)),
    "no request": lambda: page(replay(io.BufferedReader(io.BytesIO(b"nonsense\n")), RULES)),
}
TEXT_RATIO, LARGE_TEXT_RATIO, MARK_RATIO = 4.5, 3.0, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11
FONT_PIXELS_MIN = 10.5
SEEN = Path(__file__).with_name("seen.js").read_text("utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all pages."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")], ids=str)
def opened(request: pytest.FixtureRequest, browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A function that opens a page; what it asked for and complained of must be nothing but the file."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    file = tmp_path / "page.html"

    def open_page(name: str) -> Page:
        file.write_text(PAGES[name](), "utf-8")
        tab.goto(file.as_uri())
        return tab

    yield open_page
    context.close()
    assert complaints == []
    assert asked == [file.as_uri()]


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_screen(opened: Any, name: str) -> None:
    """Only tables and pictures scroll sideways, each in its own frame; the page itself never does."""
    tab = opened(name)
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    sticking_out = tab.evaluate(f"({SEEN}).stickingOut()")
    assert sticking_out == []


@pytest.mark.parametrize("name", PAGES)
def test_every_text_can_be_read(opened: Any, name: str) -> None:
    """Each text, with all that can be unfolded, stands out from its ground, and is not small."""
    tab = opened(name)
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    texts = tab.evaluate(f"({SEEN}).texts()")
    assert len(texts) > 20
    faint = [text for text in texts if text["ratio"] < (LARGE_TEXT_RATIO if text["pixels"] >= 24 else TEXT_RATIO)]
    assert faint == []
    assert [text for text in texts if text["pixels"] < FONT_PIXELS_MIN] == []


def test_the_picture_has_marks_that_can_be_seen(opened: Any) -> None:
    """Each column that the report counts is drawn, as high as an eye needs, in colours that stand out."""
    tab = opened("the sample log")
    marks = tab.evaluate(f"({SEEN}).marks('#rule-1')")
    report = replay(SAMPLE_LOG, RULES).rules[0].over_time
    assert report is not None
    for kind, counts in (("allowed", report.allowed), ("denied", report.denied)):
        drawn = [mark for mark in marks if mark["kind"] == kind]
        assert len(drawn) == sum(count > 0 for count in counts)
        assert min(mark["height"] for mark in drawn) >= 1
        assert min(mark["ratio"] for mark in drawn) >= MARK_RATIO


def test_a_column_that_is_pointed_at_says_its_numbers(opened: Any) -> None:
    """What stands behind a column is shown while the pointer is on it, and nothing before."""
    tab = opened("the sample log")
    column = tab.locator("#rule-1 .column").first
    assert column.locator(".tip").is_hidden()
    column.locator(".hit").hover()
    assert column.locator(".tip").is_visible()
    assert " allowed" in column.locator(".tip").text_content()


def test_what_is_denied_is_seen_at_once(opened: Any) -> None:
    """Rules and keys stand in their tables with what was denied of them, without scrolling."""
    tab = opened("the sample log")
    width = tab.viewport_size["width"]
    for table in tab.locator("table").all()[:2]:
        box = table.get_by_role("columnheader", name="Denied", exact=True).bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width
