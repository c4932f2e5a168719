"""redis-benchmark as a contestant: what the server gives to a client written in C that does nothing else."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import TYPE_CHECKING, Any, Self

from benchmarks.probe import Probe

if TYPE_CHECKING:
    from benchmarks.contest import Load

__all__ = ["Ceiling", "figures_in"]

COMMANDS_FIRST = 5_000  # before anything is known of how many fill a round
SECONDS_MAX = 60
_SCRIPTS = Path(__file__).with_name("contenders")


class Ceiling:
    """Runs redis-benchmark with the scripts of the contenders by hand; a context manager.

    Args:
        load: ``callers`` connections, each with ``pipeline`` calls of ``keys_a_call`` random keys under way.
        port: The server's port.
    """

    def __init__(self, load: Load, port: int) -> None:
        self._load, self._port = load, port
        self._probe = Probe(port)
        self._per_second = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._probe.close()

    def ask(self, verb: str, **details: Any) -> dict[str, Any]:
        """Do what a worker does, as far as this can."""
        if verb == "touch":
            self._run(max(COMMANDS_FIRST, 3 * self._load.keys // self._load.keys_a_call))
        if verb == "measure":
            return self._measured(max(1_000, round(self._per_second * details["seconds"])))
        return {}  # one program has no answers to read, so nothing can be said of what it admits

    def _measured(self, commands: int) -> dict[str, Any]:
        before, usage = self._probe.figures(), getrusage(RUSAGE_CHILDREN)
        figures = self._run(commands)
        after, used = self._probe.figures(), getrusage(RUSAGE_CHILDREN)
        system_us = (used.ru_stime - usage.ru_stime) * 1e6
        switches = used.ru_nvcsw + used.ru_nivcsw - usage.ru_nvcsw - usage.ru_nivcsw
        return {
            "decisions": commands * self._load.keys_a_call,
            "refused": 0,
            "seconds": commands / figures["per_second"],
            "cpu_us": (used.ru_utime - usage.ru_utime) * 1e6 + system_us,
            "system_us": system_us,
            "switches": switches,
            "keys_remembered": 0,
            **{name: figures[name] for name in ("p50_us", "p95_us", "p99_us", "p999_us", "max_us")},
            **after.since(before),
        }

    def _run(self, commands: int) -> dict[str, Any]:
        load = self._load
        script = (_SCRIPTS / ("gcra.lua" if load.keys_a_call == 1 else "gcra_many.lua")).read_text("ascii")
        sha1 = self._probe.command("SCRIPT", "LOAD", script).decode()
        keys = ["gcra:api:user:000__rand_int__"] * load.keys_a_call  # twelve digits, as the others' names have it
        program = ["redis-benchmark", "-p", str(self._port), "-c", str(load.callers), "-P", str(load.pipeline)]
        program += ["-n", str(commands), "-r", str(load.keys), "--csv", "EVALSHA", sha1, str(len(keys)), *keys]
        program += [str(load.wish.burst), str(load.wish.interval_us)]
        told = subprocess.run(program, check=True, capture_output=True, text=True, timeout=SECONDS_MAX).stdout
        figures = figures_in(told)
        self._per_second = figures["per_second"]
        return figures


def figures_in(told: str) -> dict[str, Any]:
    """Return what the lines that redis-benchmark writes say: commands a second, and latencies."""
    head, row = [row for row in csv.reader(told.splitlines()) if row][-2:]
    named = dict(zip(head, row, strict=True))
    places = {"p50_us": "p50_latency_ms", "p95_us": "p95_latency_ms", "p99_us": "p99_latency_ms"}
    latencies = {name: float(named[column]) * 1e3 for name, column in places.items()}
    return {
        "per_second": float(named["rps"]),
        **latencies,
        "p999_us": None,
        "max_us": float(named["max_latency_ms"]) * 1e3,
    }
