"""Starts the contenders' processes and takes their rounds in turn: A B C, A B C.

What disturbs the machine for a while disturbs every contender of that round, so a round's ratios
hold where its absolute figures do not.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from benchmarks.environments import ROOT, python_for

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Contest", "Load", "Worker", "take_rounds"]

ANSWER_SECONDS_MAX = 120  # a round is a few seconds; a contender that hangs must not hang the rest
_SPINS = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How a contender is put under load.

    Attributes:
        kind: ``tasks`` of one event loop, ``threads``, or ``memory``: one thread, state in the process.
        callers: How many decide at once.
        keys: How many keys there are.
        loop: The event loop of tasks: ``asyncio`` or ``uvloop``.
    """

    kind: str
    callers: int = 1
    keys: int = 10_000
    loop: str = "asyncio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Contenders under loads, measured in turn.

    Attributes:
        name: What it is called in the figures.
        entries: A load for each label, and whose it is: ``(label, contender, load)``.
        reference: The label that the others are compared with.
        rounds: How often each has its turn.
        seconds: How long a turn is.
    """

    name: str
    entries: Sequence[tuple[str, str, Load]]
    reference: str
    rounds: int
    seconds: float


class Worker:
    """One contender's process; a context manager that ends it.

    Args:
        contender: A module of `benchmarks.contenders`.
        load: What it will be put under.
        port: The server's port.
    """

    def __init__(self, contender: str, load: Load, port: int) -> None:
        settings = {
            "contender": contender,
            "load": load.kind,
            "loop": load.loop,
            "callers": load.callers,
            "keys": load.keys,
            "port": port,
        }
        self._name = contender
        self._process = subprocess.Popen(
            [str(python_for(contender)), "-m", "benchmarks.worker", json.dumps(settings)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            self._answer()
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.ask("close")
        finally:
            self._end()

    def ask(self, verb: str, **details: Any) -> dict[str, Any]:
        """Have the process do something, and return what it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": verb, **details}).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
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

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def take_rounds(contest: Contest, port: int) -> dict[str, Any]:
    """Hold *contest* and return each contender's samples, and how fast the machine was in each round."""
    with ExitStack() as stack:
        workers = {
            label: stack.enter_context(Worker(contender, load, port)) for label, contender, load in contest.entries
        }
        for worker in workers.values():
            worker.ask("touch")
        samples: dict[str, list[dict[str, Any]]] = {label: [] for label in workers}
        spins = []
        for number in range(contest.rounds):
            print(f"  {contest.name}: round {number + 1} of {contest.rounds}", file=sys.stderr)
            spins.append(_spins_per_second())
            for label, worker in workers.items():
                samples[label].append(worker.ask("measure", seconds=contest.seconds))
    return {"reference": contest.reference, "samples": samples, "spins_per_second": spins}


def _spins_per_second() -> float:
    """Say how fast this machine counts at the moment, which tells how much else it has to do."""
    start = time.perf_counter()
    for _ in range(_SPINS):
        pass
    return _SPINS / (time.perf_counter() - start)
