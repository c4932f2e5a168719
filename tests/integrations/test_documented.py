"""The first example of the page on HTTP is a program, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx

from tests.integrations.serving import served

PAGE = Path(__file__).resolve().parents[2] / "docs" / "http.md"


def test_the_first_example_runs() -> None:
    """The application of the page limits its clients as the page's rate says."""
    example = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {}
    exec(compile(example[1], str(PAGE), "exec"), names)
    with served(names["app"]) as address, httpx.Client(base_url=f"http://{address}") as client:
        answers = [client.get("/", headers={"X-Forwarded-For": "192.0.2.1"}) for _ in range(21)]
        other = client.get("/", headers={"X-Forwarded-For": "192.0.2.1, 192.0.2.2"})
    assert [answer.status_code for answer in answers] == [404] * 20 + [429]
    assert answers[-1].headers["ratelimit-policy"] == '"api";q=100;w=60;sluicegate-burst=20'
    assert answers[-1].headers["ratelimit"].startswith('"api";r=0;t=')
    assert other.headers["ratelimit"].startswith('"api";r=19')
