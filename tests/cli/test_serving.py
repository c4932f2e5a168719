"""The service as a process: how it starts, what it says, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.cli.command import ROOT, environment, run, serving
from tests.servers import RedisServer, free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # processes that start, wait and end
SECONDS_MAX = 20.0


def wait_for_status(url: str, status: int) -> None:
    """Wait until *url* is answered with *status*."""
    deadline = time.monotonic() + SECONDS_MAX
    while httpx.get(url).status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("redis", "kept"),
    [
        ((), "in the memory of this process"),
        (("--redis", "embedded://"), "in a server of this machine's own and gone"),
        (("--redis", "EMBEDDED://"), "in a server of this machine's own and gone"),
    ],
)
def test_a_newcomer_is_told_what_to_try(rules_file: Path, redis: tuple[str, ...], kept: str) -> None:
    """The lines that it prints are the ones that work: a request that passes, and a loop that meets a 429."""
    command = [sys.executable, "-m", "sluicegate.cli", "serve", "--rules", str(rules_file), "--port", "0", *redis]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=environment()
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if "/docs" in line:
                break
        shown = {line.strip().partition(" ")[0]: line.strip() for line in lines if line.startswith("  ")}
        allowed = subprocess.run(shown["curl"], shell=True, capture_output=True, text=True, check=True)
        loop = subprocess.run(shown["for"], shell=True, capture_output=True, text=True, check=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS_MAX) == 0
    assert f"state is kept {kept}" in lines[0]
    assert allowed.stdout.startswith("HTTP/1.1 200")
    statuses = loop.stdout.split()
    assert statuses[0] == "200"
    assert statuses[-1] == "429"


def test_requests_in_flight_are_finished(rules_file: Path) -> None:
    """After SIGTERM it says that it is not ready, still answers, and lets a slow request come to its end."""
    with serving(rules_file, "--drain-delay", "1") as service:
        body = b'{"limit": "api", "key": "slow"}'
        started, answers = threading.Event(), []

        def slowly() -> bytes:
            started.set()
            time.sleep(2)
            return body

        def ask() -> None:
            parts = (part() for part in (lambda: b" ", slowly))
            answers.append(
                httpx.post(f"{service.url}/v1/acquire", content=parts, headers={"content-type": "application/json"})
            )

        thread = threading.Thread(target=ask)
        thread.start()
        assert started.wait(SECONDS_MAX)
        service.terminate()
        wait_for_status(f"{service.url}/readyz", 503)
        assert httpx.get(f"{service.url}/livez").status_code == 200
        assert httpx.post(f"{service.url}/v1/peek", json={"limit": "api", "key": "a"}).status_code == 200
        thread.join(SECONDS_MAX)
        assert service.ended() == 0
    assert [(answer.status_code, answer.json()["key"]) for answer in answers] == [(200, "slow")]


def test_a_request_that_never_ends_does_not_keep_it(rules_file: Path) -> None:
    """A body that does not come is not waited for beyond the grace, and a second signal ends it at once."""
    for signals, grace, at_most in ((1, "1", 6.0), (2, "60", 6.0)):
        with serving(rules_file, "--drain-delay", "0", "--grace", grace) as service:
            host, port = service.url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as stuck:
                stuck.sendall(
                    b"POST /v1/acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 100\r\n\r\n{"
                )
                time.sleep(0.2)
                began = time.monotonic()
                for _ in range(signals):
                    service.terminate()
                    time.sleep(0.3)
                assert service.ended() == 0
                assert time.monotonic() - began < at_most


def test_it_starts_without_redis_and_goes_on_with_it(rules_file: Path) -> None:
    """A Redis that is away is told once in the log, however often it is tried; when it comes it is used."""
    port = free_port()
    with serving(
        rules_file, "--redis", f"redis://somebody:canary-secret@127.0.0.1:{port}/0", "--drain-delay", "0"
    ) as service:
        assert service.greeting["store"] == "redis"
        wait_for_status(f"{service.url}/readyz", 503)
        ask = {"limit": "api", "key": "a"}
        assert httpx.post(f"{service.url}/v1/acquire", json=ask).json()["source"] == "fallback"
        assert httpx.post(f"{service.url}/v1/reset", json=ask).status_code == 503
        time.sleep(3.5)  # it is tried after one second more, and after two
        with RedisServer(port=port, options=("--user", "somebody", "on", ">canary-secret", "~*", "&*", "+@all")):
            wait_for_status(f"{service.url}/readyz", 200)
            assert httpx.post(f"{service.url}/v1/acquire", json=ask).json()["source"] == "redis"
        service.terminate()
        assert service.ended() == 0
    log = "".join(service.log)
    assert log.count("store.away") == 1
    assert "canary-secret" not in log


def test_two_services_share_redis_and_ids(redis_url: str, rules_file: Path, tmp_path: Path) -> None:
    """Services with one Redis and one secret decide together, and take back each other's ids."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"sixteen bytes or more")
    options = ("--redis", redis_url, "--secret-file", str(secret), "--drain-delay", "0")
    ask = {"limit": "api", "key": "a", "cost": 6}
    with serving(rules_file, *options) as one, serving(rules_file, *options) as two:
        first = httpx.post(f"{one.url}/v1/acquire", json=ask)
        assert httpx.post(f"{two.url}/v1/acquire", json=ask).status_code == 429
        assert httpx.post(f"{two.url}/v1/refund", json={"id": first.json()["id"]}).json() == {"refunded": 6}
        assert httpx.post(f"{two.url}/v1/acquire", json=ask).status_code == 200


def test_a_taken_port_is_said(rules_file: Path) -> None:
    """A second service on one port ends with 2 and one line."""
    with serving(rules_file) as service:
        port = re.search(r":(\d+)$", service.url)
        assert port is not None
        ended = run("serve", "--rules", str(rules_file), "--port", port[1])
    assert ended.code == 2
    assert "accepted: an address of this machine and a port that is free" in ended.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--port", "70000"], "server.port (set by an argument): found 70000"),
        (["--host", "192.0.2.1"], "host and port: found '192.0.2.1'"),
        (["--grace", "-1"], "--grace: found -1.0; accepted: a number of seconds from 0 to 600"),
        (["--grace", "nan"], "--grace: found nan; accepted: a number of seconds from 0 to 600"),
        (["--drain-delay", "nan"], "--drain-delay: found nan"),
        (["--drain-delay", "inf"], "--drain-delay: found inf"),
        (["--drain-delay", "601"], "--drain-delay: found 601.0"),
        (["--secret-file", "none"], "--secret-file 'none': found No such file"),
    ],
)
def test_a_wrong_setting_is_said_in_one_line(rules_file: Path, arguments: list[str], line: str) -> None:
    """A service that cannot be started as asked ends with 2, and one line on standard error says why."""
    ended = run("serve", "--rules", str(rules_file), *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert line in ended.err


def test_a_pipe_is_no_secret_file(rules_file: Path, tmp_path: Path) -> None:
    """It is refused at once, and not waited for."""
    os.mkfifo(tmp_path / "secret")
    ended = run("serve", "--rules", str(rules_file), "--secret-file", str(tmp_path / "secret"))
    assert (ended.code, "found what is no regular file" in ended.err) == (2, True)
