"""The page at /docs, seen by a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.server.service import service

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

CHROMIUM = Path("/usr/bin/chromium")
needs_browser = pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no chromium here")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of one service."""
    with service() as client:
        yield client


def test_the_page_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    """The page is one file under a policy that lets it talk to its own service only."""
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text


@needs_browser
@pytest.mark.slow
def test_the_page_shows_every_call_and_sends_one(client: httpx.Client) -> None:
    """A reader finds all calls and limits, sends an example as it stands, and sees what is left."""
    from playwright.sync_api import sync_playwright

    asked, complaints = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.on("request", lambda request: asked.append(urlsplit(request.url).netloc))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{client.base_url}/docs")
        page.wait_for_selector("#limits td")
        calls = page.locator("#calls details")
        paths = client.get("/openapi.json").json()["paths"]
        assert calls.count() == sum(len(path.keys() & {"get", "post", "put", "delete"}) for path in paths.values())
        assert page.locator("#limits tr").count() == 6
        assert "undefined" not in page.locator("#calls").text_content()
        calls.first.locator("summary").click()
        calls.first.get_by_role("button", name="Send").click()
        answer = calls.first.locator("pre")
        answer.filter(has_text="200 OK").wait_for()
        assert 'ratelimit-policy: "api";q=10;w=3600' in answer.inner_text()
        browser.close()
    assert complaints == []
    assert set(asked) == {client.base_url.netloc.decode()}
