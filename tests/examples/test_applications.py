"""The sample applications run as their first lines say, and limit what they say."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # each starts a process
ROOT = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 30.0


@contextmanager
def running(application: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """Run `uvicorn APPLICATION` on a port that it chooses itself, and yield a client of it."""
    command = [sys.executable, "-m", "uvicorn", application, "--port", "0", "--no-access-log", "--no-use-colors"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    environment.pop("REDIS_URL", None)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        with httpx.Client(base_url=url_in(log, process), timeout=10) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGTERM)


def url_in(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Return where the server says that it listens; a port that was free a moment ago might be another's by now."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while (said := re.search(r"running on (http://127\.0\.0\.1:\d+)", log.read_text())) is None:
        assert time.monotonic() < deadline, log.read_text()
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    return said[1]


def test_the_fastapi_application_limits_each_caller(tmp_path: Path) -> None:
    """The dear route runs out first, and what is left stands in every answer."""
    with running("examples.fastapi_app:app", tmp_path) as client:
        assert client.get("/").headers["ratelimit-policy"] == '"per-caller";q=100;w=60;sluicegate-burst=20'
        searches = [client.get("/search", params={"q": "x"}) for _ in range(5)]
        assert [answer.status_code for answer in searches] == [200, 200, 200, 429, 429]
        assert searches[-1].json()["violated-policies"] == ["per-caller"]
        assert int(searches[-1].headers["retry-after"]) >= 1
        assert "ratelimit" not in client.get("/health").headers
        assert '"exports"' in client.get("/export").headers["ratelimit-policy"]


def test_the_starlette_application_limits_by_rules(tmp_path: Path) -> None:
    """Its streams and websockets share the limit of their paths; other paths have more."""
    with running("examples.starlette_app:app", tmp_path) as client:
        assert client.get("/api/ticks").text == "tick 0\ntick 1\ntick 2\n"
        with connect(f"ws://{client.base_url.netloc.decode()}/api/echo") as websocket:
            websocket.send("hello")
            assert websocket.recv() == "hello"
        statuses = [client.get("/api/ticks").status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        with pytest.raises(InvalidStatus, match="429"), connect(f"ws://{client.base_url.netloc.decode()}/api/echo"):
            pass
        assert client.get("/").status_code == 200


def test_the_application_of_dishka_limits_each_caller(tmp_path: Path) -> None:
    """Each request has a view of the one limiter, and tells what was decided for it."""
    with running("examples.fastapi_dishka:app", tmp_path) as client:
        answers = [client.get("/search") for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert answers[0].headers["ratelimit"].startswith('"searches";r=4')
        assert "retry-after" in answers[5].headers


def test_the_application_of_svcs_limits_each_caller(tmp_path: Path) -> None:
    """Another container holds the same parts."""
    with running("examples.svcs_app:app", tmp_path) as client:
        assert [client.get("/").status_code for _ in range(6)] == [200] * 5 + [429]
