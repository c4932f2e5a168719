"""Eight operating system processes that begin at once, and end with their test."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESSES = 8
WORKER = Path(__file__).parent / "worker.py"

Process = subprocess.Popen[str]


@contextmanager
def crew(
    url: str,
    job: str,
    limits: list[dict[str, Any]],
    *,
    processes: int = PROCESSES,
    worker: Path = WORKER,
    **options: Any,
) -> Iterator[list[Process]]:
    """Start the processes, wait until each is connected, and let them begin together."""
    task = json.dumps({"url": url, "job": job, "limits": limits, "options": options})
    started = [
        subprocess.Popen([sys.executable, str(worker), task], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


def results(started: list[Process]) -> list[Any]:
    """Return what each process printed when it was done."""
    printed = []
    for process in started:
        assert process.stdout is not None
        printed.append(json.loads(process.stdout.readline()))
        assert process.wait(30) == 0
    return printed
