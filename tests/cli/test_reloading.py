"""A running service takes over a file of rules that changes, and says when it does not."""

from __future__ import annotations

import signal
import time
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
        assert acquired(service)["remaining"] == 7
        path.write_text(RULES.format("many"), "utf-8")
        wait_until(lambda: rules_state(service)["state"] == "stale")
        state = rules_state(service)
        assert "limits.api.rate" in state["problems"][0]
        assert state["since"] <= time.time()
        assert acquired(service)["remaining"] == 6
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
