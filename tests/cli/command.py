"""Runs the command in a process of its own, as a shell would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sluicegate.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
RULES = """
version: 1
limits:
  api: {rate: 10/hour, algorithm: fixed_window, key: client_address}
  trial: {rate: 1/hour, key: client_address, shadow: true}
  slots: {rate: 2, algorithm: concurrency, key: tenant}
"""


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def environment() -> dict[str, str]:
    """Return this process's environment, without settings of the command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLUICEGATE_")}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100", "TERM": "dumb"}


def run(*arguments: str, stdin: str | None = None, **variables: str) -> Ran:
    """Run ``sluicegate ARGUMENTS``."""
    done = subprocess.run(
        [sys.executable, "-m", "sluicegate.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**environment(), **variables},
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def run_here(captured: pytest.CaptureFixture[str], *arguments: str, **variables: str) -> Ran:
    """Run ``sluicegate ARGUMENTS`` in this process, which is quicker by a start of Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sluicegate", *arguments])
        for name in [name for name in os.environ if name.startswith("SLUICEGATE_")]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    assert isinstance(ended.value.code, int)
    return Ran(ended.value.code, *captured.readouterr())


class Serving:
    """A running ``sluicegate serve``, which chose its own port."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.greeting: dict[str, Any] = json.loads(process.stdout.readline() or "{}")
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """Where it is."""
        url: str = self.greeting["url"]
        return url

    def terminate(self) -> None:
        """Send SIGTERM, and go on."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        code = self.process.wait(30)
        self._reader.join(5)
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)


@contextmanager
def serving(rules: Path, *arguments: str, **variables: str) -> Iterator[Serving]:
    """Run ``sluicegate serve`` on a free port for as long as a test needs."""
    command = [
        sys.executable,
        "-m",
        "sluicegate.cli",
        "serve",
        "--rules",
        str(rules),
        "--port",
        "0",
        "--json",
        *arguments,
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**environment(), **variables}
    ) as process:
        try:
            yield Serving(process)
        finally:
            if process.poll() is None:
                process.kill()
