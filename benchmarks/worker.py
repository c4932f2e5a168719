"""The process that holds one contender: it is told on standard input what to do, a line of JSON each.

Started as ``python -m benchmarks.worker`` in the contender's own environment. Between two rounds it
keeps its connections and waits; what it answers goes to standard output, a line of JSON each.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.loads import Sample, run_calls, run_tasks, run_threads
from benchmarks.probe import Probe
from benchmarks.workload import keys_named, next_key_of

if TYPE_CHECKING:
    from benchmarks.contenders.target import Target

WARM_UP_SECONDS = 0.1
HITS_A_KEY = 40  # so that a key lives long enough (a hit is 0.36 s) to be looked at
SETTLE_SECONDS = 0.3  # what is still under way after the last decision is no idling


class Held:
    """One contender under one kind of load.

    Args:
        settings: ``contender``; ``load``, one of ``tasks``, ``threads`` and ``memory``; ``loop``;
            ``callers``; ``keys``; ``port``.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._load = settings["load"]
        self._callers = settings["callers"]
        self._keys = settings["keys"]
        self._runner = asyncio.Runner(loop_factory=_loop_factory(settings["loop"]))
        self._probe = Probe(settings["port"])
        self._target = self._opened(settings["contender"], f"redis://127.0.0.1:{settings['port']}/0")
        self._next_key = next_key_of(self._keys)

    def touch(self) -> dict[str, Any]:
        """Decide once for each key, so that no round has the first of anything."""
        keys = keys_named(self._keys)
        if self._load == "tasks":
            self._runner.run(_touch(self._target, keys, self._callers))
        else:
            for key in keys:
                self._target.read(self._target.decide(key))
        return {"keys": self._target.keys()}

    def measure(self, seconds: float) -> dict[str, Any]:
        """Put the contender under load and return its sample, with the server's share."""
        self._run(WARM_UP_SECONDS)
        gc.collect()
        before = self._probe.figures()
        sample = self._run(seconds)
        after = self._probe.figures()
        return sample.as_facts() | {
            "redis_cpu_us": after.cpu_us - before.cpu_us,
            "redis_script_calls": after.script_calls - before.script_calls,
            "wire_bytes": after.wire_bytes - before.wire_bytes,
            "keys_remembered": self._target.keys(),
        }

    def idle(self, seconds: float) -> dict[str, Any]:
        """Let the contender do nothing, and return what that cost."""
        self._run(SETTLE_SECONDS)
        self._sleep(SETTLE_SECONDS)
        before, cpu_ns = self._probe.figures(), time.process_time_ns()
        self._sleep(seconds)
        used_ns, after = time.process_time_ns() - cpu_ns, self._probe.figures()
        return {"cpu_us": used_ns / 1e3, "commands": after.commands - before.commands - 1, "seconds": seconds}

    def footprint(self, sampled: int) -> dict[str, Any]:
        """Empty the server, decide some times for each key, and return what a key takes there."""
        self._probe.command("FLUSHALL")
        self._run(WARM_UP_SECONDS)
        self._probe.command("FLUSHALL")
        before = self._probe.figures().memory_bytes
        for _ in range(HITS_A_KEY):
            self.touch()
        grown = self._probe.figures().memory_bytes - before
        names = [self._probe.command("RANDOMKEY").decode() for _ in range(sampled)]
        sizes = [self._probe.command("MEMORY", "USAGE", name) for name in names]
        count = self._probe.command("DBSIZE")
        return {
            "bytes_a_key": sum(sizes) / len(sizes),
            "bytes_a_key_max": max(sizes),
            "name_bytes": len(names[0]),
            "grown_bytes_a_key": grown / self._keys,
            "redis_keys_a_key": count / self._keys,
        }

    def pieces(self) -> dict[str, Any]:
        """Time the pieces of a decision in memory."""
        module = importlib.import_module("benchmarks.pieces")  # only where Sluicegate is what is held
        return {"ns": module.pieces()}

    def close(self) -> dict[str, Any]:
        """End the contender."""
        closing = self._target.close()
        if inspect.isawaitable(closing):
            self._runner.run(_awaited(closing))
        self._runner.close()
        self._probe.close()
        return {}

    def _opened(self, contender: str, url: str) -> Target:
        module = importlib.import_module(f"benchmarks.contenders.{contender}")
        if self._load == "tasks":
            return self._runner.run(module.open_async(url))
        return module.open_memory() if self._load == "memory" else module.open_blocking(url)

    def _run(self, seconds: float) -> Sample:
        if self._load == "tasks":
            return self._runner.run(run_tasks(self._target, self._next_key, callers=self._callers, seconds=seconds))
        if self._load == "threads":
            return run_threads(self._target, self._next_key, callers=self._callers, seconds=seconds)
        return run_calls(self._target, self._next_key, seconds=seconds)

    def _sleep(self, seconds: float) -> None:
        if self._load == "tasks":
            self._runner.run(asyncio.sleep(seconds))
        else:
            time.sleep(seconds)


async def _touch(target: Target, keys: list[str], callers: int) -> None:
    rest = iter(keys)

    async def call() -> None:
        for key in rest:
            target.read(await target.decide(key))

    await asyncio.gather(*(call() for _ in range(callers)))


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _loop_factory(name: str) -> Any:
    if name == "uvloop":
        import uvloop  # noqa: PLC0415 - only where it is asked for

        return uvloop.new_event_loop
    return asyncio.new_event_loop


def main() -> None:
    """Do what the lines say until there are no more."""
    held = Held(json.loads(sys.argv[1]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        verb = order.pop("do")
        print(json.dumps(getattr(held, verb)(**order)), flush=True)
        if verb == "close":
            return


if __name__ == "__main__":
    main()
