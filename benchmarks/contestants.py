"""The processes of contenders, as the process that leads the contest sees them."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from benchmarks.ceiling import Ceiling
from benchmarks.environments import ROOT, python_for
from benchmarks.site import Site

if TYPE_CHECKING:
    from benchmarks.contest import Contestant, Load

__all__ = ["Fleet", "LineProcess", "Worker", "opened_at"]

ANSWER_SECONDS_MAX = 120  # a round is a few seconds; a contender that hangs must not hang the rest
START_AHEAD_NS = 400_000_000  # time for every process of a fleet to warm up before they start together
_SUMMED = ("decisions", "refused", "cpu_us", "system_us", "switches", "unsent", "unanswered")
_SEEN_BY_EACH = ("redis_cpu_us", "redis_script_calls", "redis_script_us", "wire_bytes")


class LineProcess:
    """A process that is told what to do by lines of JSON and answers by lines of JSON.

    Args:
        module: What runs in it.
        contender: Whose environment it runs in.
        settings: What it is started with.
    """

    def __init__(self, module: str, contender: str, settings: dict[str, Any]) -> None:
        self._name = f"{module} of {contender}"
        self._process = subprocess.Popen(
            [str(python_for(contender)), "-m", module, json.dumps(settings)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            self.ready = self.hear()
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def tell(self, verb: str, **details: Any) -> None:
        """Say what is to be done."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": verb, **details}).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(ANSWER_SECONDS_MAX):
                raise RuntimeError(f"{self._name} did not answer within {ANSWER_SECONDS_MAX} s")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Worker:
    """One contender's process; a context manager that ends it.

    Args:
        contender: A module of `benchmarks.contenders`.
        load: What it will be put under.
        port: The server's port.
    """

    def __init__(self, contender: str, load: Load, port: int) -> None:
        settings = {"contender": contender, "port": port, **asdict(load)}
        self.process = LineProcess("benchmarks.worker", contender, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.ask("close")
        finally:
            self.process.end()

    def ask(self, verb: str, **details: Any) -> dict[str, Any]:
        """Have the process do something, and return what it answers."""
        self.process.tell(verb, **details)
        return self.process.hear()


class Fleet:
    """Several processes of one contender under one load, which work at the same time.

    Args:
        contender: A module of `benchmarks.contenders`.
        load: What each of them will be put under.
        port: The server's port.
    """

    def __init__(self, contender: str, load: Load, port: int) -> None:
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._workers = [stack.enter_context(Worker(contender, load, port)) for _ in range(load.processes)]
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.__exit__(*raised)  # type: ignore[arg-type]

    def ask(self, verb: str, **details: Any) -> dict[str, Any]:
        """Have the processes do something together, and return what that comes to."""
        if verb == "measure":
            return self._measured(self.ask_all(verb, start_ns=time.monotonic_ns() + START_AHEAD_NS, **details))
        if verb == "admission":
            hits, more = divmod(details.pop("hits"), len(self._workers))
            shares = [hits + (number < more) for number in range(len(self._workers))]
            for worker, share in zip(self._workers, shares, strict=True):
                worker.process.tell(verb, hits=share, **details)
            answers = [worker.process.hear() for worker in self._workers]
            return {name: sum(each[name] for each in answers) for name in ("admitted", "hits")} | {
                "limit": details["limit"]
            }
        return self._workers[0].ask(verb, **details)

    def ask_all(self, verb: str, **details: Any) -> list[dict[str, Any]]:
        """Have each process do the same, and return their answers."""
        for worker in self._workers:
            worker.process.tell(verb, **details)
        return [worker.process.hear() for worker in self._workers]

    def _measured(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        latencies = self._workers[0].ask("merge", histograms=[each["histogram"] for each in samples])
        latencies.pop("curve")
        summed = {name: sum(each[name] for each in samples) for name in _SUMMED if name in samples[0]}
        # The server is one, and each process saw all of it from before its start to after its end.
        seen = {name: max(each[name] for each in samples) for name in _SEEN_BY_EACH}
        per_second = sum(each["decisions"] / each["seconds"] for each in samples)
        seconds = summed["decisions"] / per_second if per_second else 1.0
        return samples[0] | summed | seen | latencies | {"seconds": seconds}


def opened_at(port: int, contender: str, load: Load) -> Contestant:
    """Start *contender* under *load* beside the server at *port*."""
    if load.kind == "ceiling":
        return Ceiling(load, port)
    if load.kind == "site":
        settings = {"port": port, **asdict(load)}
        server = LineProcess("benchmarks.site_server", "asgi", settings)
        try:
            visitors = LineProcess("benchmarks.site_load", "asgi", settings | {"site": server.ready["port"]})
        except BaseException:
            server.end()
            raise
        return Site(server, visitors, port)
    return Fleet(contender, load, port) if load.processes > 1 else Worker(contender, load, port)
