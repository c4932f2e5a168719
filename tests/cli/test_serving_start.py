"""The first seconds of the service: what it says, and how it ends when it is told to before it has begun."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import ROOT, environment, serving
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # processes that start, wait and end
SECONDS_MAX = 20.0


@contextmanager
def silent_server() -> Iterator[int]:
    """Yield the port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def nobody() -> Iterator[int]:
    """Yield a port on which nobody listens."""
    yield free_port()


def wait_for_door(port: int) -> None:
    """Wait until something listens at *port*."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("redis", [nobody, silent_server])
def test_a_signal_while_it_waits_for_redis_ends_it_well(rules_file: Path, redis: object, number: int) -> None:
    """Told to end before it serves, the service ends with 0, at once and without a traceback."""
    port = free_port()
    with redis() as redis_port:  # type: ignore[operator]
        options = ["--rules", str(rules_file), "--port", str(port), "--redis", f"redis://127.0.0.1:{redis_port}"]
        with subprocess.Popen(
            [sys.executable, "-m", "sluicegate.cli", "serve", *options, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        ) as process:
            wait_for_door(port)
            time.sleep(0.2)  # past the door, and well within the two seconds of waiting
            began = time.monotonic()
            process.send_signal(number)
            out, err = process.communicate(timeout=SECONDS_MAX)
            took_s = time.monotonic() - began
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err
    assert took_s < 1.5


def test_what_happens_without_the_store_is_said_at_the_start(tmp_path: Path) -> None:
    """One line tells which limits let requests pass when the store cannot answer, and which deny them."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "version: 1\nlimits:\n"
        "  api: {rate: 10/s, key: user}\n"
        "  mails: {rate: 10/s, key: user, critical: true}\n"
        "  logins: {rate: 10/s, key: user, on_failure: closed}\n"
        "  trial: {rate: 10/s, key: user, on_failure: closed, shadow: true}\n"
        "  new: {rate: 10/s, key: user, on_failure: closed, shadow: true, rollout: {percent: 5}}\n"
        "  done: {rate: 10/s, key: user, rollout: {critical: true, percent: 100}}\n"
    )
    with serving(rules, "--drain-delay", "0") as service:
        service.terminate()
        assert service.ended() == 0
    told = [event for event in map(json.loads, service.log) if event["event"] == "limits.without_store"]
    (event,) = told
    assert (event["level"], event["allow"], event["deny"]) == ("info", "api, trial, new", "mails, logins, new, done")


def test_a_thousand_limits_are_still_one_line(tmp_path: Path) -> None:
    """Of many limits the first are named, and the rest counted."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("version: 1\nlimits:\n" + "".join(f"  r{at}: {{rate: 1/s, key: user}}\n" for at in range(60)))
    with serving(rules, "--drain-delay", "0") as service:
        service.terminate()
        assert service.ended() == 0
    (event,) = [event for event in map(json.loads, service.log) if event["event"] == "limits.without_store"]
    assert event["allow"].endswith("r19 and 40 more")
    assert event["deny"] == "none"


@pytest.mark.parametrize("heard", [False, True])
def test_bans_that_other_processes_would_not_hear_of_are_a_warning(
    tmp_path: Path, redis_url: str, *, heard: bool
) -> None:
    """Who bans by rule on a Redis, and does not listen, is told of the flag; who listens is not."""
    rules, settings = tmp_path / "rules.yaml", tmp_path / "settings.toml"
    rules.write_text(
        "version: 1\nlimits:\n  api: {rate: 1/s, key: user, ban: {after: 9, within: 60, for: 600}}\n"
        "  plain: {rate: 1/s, key: user}\n"
    )
    settings.write_text(f"[flags]\nchanges = {str(heard).lower()}\n")
    with serving(rules, "--drain-delay", "0", "--redis", redis_url, "--config", str(settings)) as service:
        service.terminate()
        assert service.ended() == 0
    told = [event for event in map(json.loads, service.log) if event["event"] == "bans.unheard"]
    assert [(event["level"], event["limits"], event["mend"]) for event in told] == (
        [] if heard else [("warning", "api", "flags.changes = true")]
    )
