"""A running service takes over a file of rules that changes, and says when it does not."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from .command import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow
RULES = "version: 1\nlimits:\n  api: {{rate: {}/hour, algorithm: fixed_window, key: client_address}}\n"
SECONDS_MAX = 10.0
RELOADS = 100
FIRST_RATE = 1_000_000


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait a bounded time."""
    deadline = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def rates_of(service: Serving) -> list[str]:
    """Return the rates by which a service decides."""
    told: Any = httpx.get(f"{service.url}/v1/limits", timeout=10).json()
    return [rate for limit in told["limits"] for rate in limit["rates"]]


def rules_state(service: Serving) -> Any:
    """Return what a service says of its rules."""
    return httpx.get(f"{service.url}/readyz", timeout=10).json()["rules"]


def acquired(service: Serving) -> Any:
    """Acquire once."""
    return httpx.post(f"{service.url}/v1/acquire", json={"limit": "api", "key": "k"}, timeout=10).json()


def test_a_changed_file_comes_into_force_and_what_was_counted_stays(tmp_path: Path) -> None:
    """Without a restart; a broken one does not, and /readyz says why."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.format(5), "utf-8")
    with serving(path, "--drain-delay", "0") as service:
        assert acquired(service)["remaining"] == 4
        path.write_text(RULES.format(9), "utf-8")
        wait_until(lambda: rates_of(service) == ["9/hour"])
        assert acquired(service)["remaining"] == 3  # what was left is kept
        path.write_text(RULES.format("many"), "utf-8")
        wait_until(lambda: rules_state(service)["state"] == "stale")
        state = rules_state(service)
        assert "limits.api.rate" in state["problems"][0]
        assert state["since"] <= time.time()
        assert acquired(service)["remaining"] == 2
        path.write_text(RULES.format(9), "utf-8")
        wait_until(lambda: rules_state(service)["state"] == "current")
        service.terminate()
        assert service.ended() == 0
    assert any("rules.reloaded" in line for line in service.log)
    assert any("rules.refused" in line for line in service.log)


def test_a_hangup_reloads_where_the_file_is_not_watched(tmp_path: Path) -> None:
    """With the watch switched off nothing happens before."""
    path, settings = tmp_path / "rules.yaml", tmp_path / "settings.toml"
    path.write_text(RULES.format(5), "utf-8")
    settings.write_text("[flags]\nreload = false\n", "utf-8")
    with serving(path, "--drain-delay", "0", "--config", str(settings)) as service:
        path.write_text(RULES.format(9), "utf-8")
        time.sleep(0.5)
        assert rates_of(service) == ["5/hour"]
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: rates_of(service) == ["9/hour"])
        service.terminate()
        assert service.ended() == 0


def test_a_hundred_reloads_under_load_drop_and_misjudge_nothing(tmp_path: Path) -> None:
    """Each request is answered, by one rule or the other, and each unit is counted, whatever is in force."""
    path = tmp_path / "rules.yaml"
    rule = "{{rate: {} per 300 days, algorithm: fixed_window, key: user, on_change: additive}}"
    rules = f"version: 1\nlimits:\n  api: {rule}\n"
    path.write_text(rules.format(FIRST_RATE), "utf-8")
    done = threading.Event()
    with serving(path, "--drain-delay", "0") as service, ThreadPoolExecutor() as pool, client_of(service) as client:
        callers = [pool.submit(ask_until, done, service) for _ in range(2)]
        try:
            for rate in range(FIRST_RATE + 1, FIRST_RATE + RELOADS + 1):
                (tmp_path / "next.yaml").write_text(rules.format(rate), "utf-8")
                (tmp_path / "next.yaml").replace(path)
                service.process.send_signal(signal.SIGHUP)
                wait_until(lambda told=f'"{rate} per 300 days"': told in client.get("/v1/limits").text)
        finally:
            done.set()
        asked = [caller.result(timeout=30) for caller in callers]
        left = client.post("/v1/peek", json={"limit": "api", "key": "k"}).json()["remaining"]
        service.terminate()
        assert service.ended() == 0
    assert all(number > RELOADS for number in asked)
    assert left == FIRST_RATE + RELOADS - sum(asked)


def client_of(service: Serving) -> httpx.Client:
    """Return a client that keeps its connection."""
    return httpx.Client(base_url=service.url, timeout=10)


def ask_until(done: threading.Event, service: Serving) -> int:
    """Acquire until told to stop; return how often, each having been allowed under a rule that was in force."""
    number = 0
    with client_of(service) as client:
        while not done.is_set():
            answer = client.post("/v1/acquire", json={"limit": "api", "key": "k"})
            number += 1
            assert answer.status_code == 200
            quota = int(answer.headers["ratelimit-policy"].partition("q=")[2].partition(";")[0])
            assert FIRST_RATE <= quota <= FIRST_RATE + RELOADS
            assert answer.json()["remaining"] <= quota - number
    return number


def test_a_hangup_puts_flags_in_force_and_names_what_needs_a_restart(tmp_path: Path) -> None:
    """Of the settings too, and in each of several workers; broken ones change nothing."""
    path, settings = tmp_path / "rules.yaml", tmp_path / "settings.toml"
    path.write_text(RULES.format(5), "utf-8")
    settings.write_text("[server]\nworkers = 2\n", "utf-8")
    with serving(path, "--drain-delay", "0", "--config", str(settings)) as service:
        assert features_of(service)["leases"] is True
        settings.write_text("[server]\nworkers = 3\n[flags]\nleases = false\nreload = false\n", "utf-8")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: logged(service, "flags.switched") == 2)
        assert not any(features_of(service)["leases"] for _ in range(10))
        assert any("server.workers" in line for line in service.log if "settings.need_restart" in line)
        path.write_text(RULES.format(9), "utf-8")
        time.sleep(0.5)
        assert rates_of(service) == ["5/hour"]
        settings.write_text("[flags]\nleases = 7\n", "utf-8")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: logged(service, "settings.refused") == 2)
        assert rates_of(service) == ["9/hour"]
        assert features_of(service)["leases"] is False
        settings.write_text("[server]\nworkers = 2\n", "utf-8")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: logged(service, "flags.switched") == 4)
        path.write_text(RULES.format(7), "utf-8")
        wait_until(lambda: all(rates_of(service) == ["7/hour"] for _ in range(6)))
        service.terminate()
        assert service.ended() == 0


def features_of(service: Serving) -> Any:
    """Return what a service says of its features."""
    return httpx.get(f"{service.url}/readyz", timeout=10).json()["features"]


def logged(service: Serving, event: str) -> int:
    """Return how often an event stands in the log."""
    return sum(event in line for line in service.log)
