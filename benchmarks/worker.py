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
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.checks import admissions_of, hits_of, sources_of
from benchmarks.latencies import curve, figures_of, merged
from benchmarks.loads import Sample, run_calls, run_tasks, run_threads
from benchmarks.open_loop import run_open
from benchmarks.probe import Probe
from benchmarks.workload import Wish, keys_named, next_key_of

if TYPE_CHECKING:
    from benchmarks.contenders.target import Target

WARM_UP_SECONDS = 0.1
HITS_A_KEY = 3  # the first finds nothing, further ones find what was written
SETTLE_SECONDS = 0.3  # what is still under way after the last decision is no idling
ASYNC_LOADS = ("tasks", "open")
TOUCHING_CALLERS = 128


class Held:
    """One contender under one kind of load.

    Args:
        settings: ``contender``, ``port``, and the fields of a `Load`.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._load, self._callers, self._keys = settings["kind"], settings["callers"], settings["keys"]
        self._wish = Wish(**settings["wish"])
        self._runner = asyncio.Runner(loop_factory=_loop_factory(settings["loop"]))
        self._probe = Probe(settings["port"])
        self._target = self._opened(self._wish)
        self._next_key = next_key_of(self._keys, settings["spread"])

    def touch(self) -> dict[str, Any]:
        """Decide once for each key, so that no round has the first of anything."""
        keys = keys_named(self._keys)
        if self._load in ASYNC_LOADS:
            self._runner.run(_touch(self._target, keys))
        else:
            for key in keys:
                self._target.read(self._target.decide(key))
        return {"keys": self._target.keys()}

    def measure(self, seconds: float, start_ns: int = 0, per_second: float = 0.0) -> dict[str, Any]:
        """Put the contender under load and return its sample, with the server's share.

        Args:
            seconds: How long.
            start_ns: When to start by the monotonic clock, together with others; 0 for at once.
            per_second: The rate of an open loop, where it is not the load's own.
        """
        rate = per_second or self._settings["per_second"]
        if self._wish.denials:
            self.touch()  # what was denied is known before the clock runs
        self._run(self._settings["warm_up_seconds"], rate)
        gc.collect()
        time.sleep(max(0, start_ns - time.monotonic_ns()) / 1e9 if start_ns else 0)
        before = self._probe.figures()
        sample = self._run(seconds, rate)
        after = self._probe.figures()
        self._sleep(self._settings["settle_seconds"])
        return sample.as_facts() | after.since(before) | {"keys_remembered": self._target.keys()}

    def merge(self, histograms: list[str]) -> dict[str, Any]:
        """Return the percentiles and the curve of several histograms together."""
        total = merged(histograms)
        return figures_of(total) | {"curve": curve(total)}

    def admission(self, key: str, hits: int, limit: int) -> dict[str, Any]:
        """Hit one fresh key under a limit of its own, and return how often that was admitted."""
        target = self._opened(replace(self._wish, per_hour=limit, burst=limit, denials=False))
        try:
            if self._load in ASYNC_LOADS:
                admitted = self._runner.run(_hits(target, key, hits))
            else:
                admitted = hits_of(target, key, hits, threads=min(self._callers, hits))
        finally:
            self._close(target)
        return {"admitted": admitted, "hits": hits, "limit": limit}

    def sources(self, asked: int) -> dict[str, Any]:
        """Return who answers, by how often of *asked* times."""
        keys = [self._next_key() for _ in range(asked)]
        if self._load in ASYNC_LOADS:
            return {"sources": self._runner.run(_sources(self._target, keys))}
        return {"sources": sources_of([self._target.source(self._target.decide(key)) for key in keys])}

    def hammer(self, key: str, per_second: float, seconds: float, start_ns: int) -> dict[str, Any]:
        """Ask for one key at a steady rate, and return when it was admitted, by the monotonic clock."""
        return {"admitted_ns": admissions_of(self._target, key, per_second, seconds, start_ns)}

    def idle(self, seconds: float) -> dict[str, Any]:
        """Let the contender do nothing, and return what that cost."""
        self._run(SETTLE_SECONDS, self._settings["per_second"])
        self._sleep(SETTLE_SECONDS)
        before, cpu_ns = self._probe.figures(), time.process_time_ns()
        self._sleep(seconds)
        used_ns, after = time.process_time_ns() - cpu_ns, self._probe.figures()
        return {"cpu_us": used_ns / 1e3, "commands": after.commands - before.commands - 1, "seconds": seconds}

    def footprint(self, sampled: int) -> dict[str, Any]:
        """Empty the server, decide some times for each key, and return what a key takes there."""
        self._probe.command("FLUSHALL")
        self._run(WARM_UP_SECONDS, 0.0)
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

    def awaited_pieces(self) -> dict[str, Any]:
        """Take an awaited decision apart."""
        module = importlib.import_module("benchmarks.awaited_pieces")
        return {"pieces": module.awaited_pieces()}

    def pieces(self) -> dict[str, Any]:
        """Time the pieces of a decision in memory."""
        module = importlib.import_module("benchmarks.pieces")  # only where Sluicegate is what is held
        return {"pieces": module.pieces()}

    def close(self) -> dict[str, Any]:
        """End the contender."""
        self._close(self._target)
        self._runner.close()
        self._probe.close()
        return {}

    def _close(self, target: Target) -> None:
        closing = target.close()
        if inspect.isawaitable(closing):
            self._runner.run(_awaited(closing))

    def _opened(self, wish: Wish) -> Target:
        url = f"redis://127.0.0.1:{self._settings['port']}/0"
        module = importlib.import_module(f"benchmarks.contenders.{self._settings['contender']}")
        if self._load in ASYNC_LOADS:
            return self._runner.run(module.open_async(url, wish))
        return module.open_memory(wish) if self._load == "memory" else module.open_blocking(url, wish)

    def _run(self, seconds: float, per_second: float) -> Sample:
        target, next_key, callers = self._target, self._next_key, self._callers
        match self._load:
            case "open" if per_second:
                return self._runner.run(
                    run_open(target, next_key, per_second=per_second, seconds=seconds, in_flight_max=callers)
                )
            case "tasks" | "open":
                return self._runner.run(
                    run_tasks(
                        target, next_key, callers=callers, seconds=seconds, pause_every=self._settings["pause_every"]
                    )
                )
            case "threads":
                return run_threads(target, next_key, callers=callers, seconds=seconds)
        return run_calls(target, next_key, seconds=seconds)

    def _sleep(self, seconds: float) -> None:
        if self._load in ASYNC_LOADS:
            self._runner.run(asyncio.sleep(seconds))
        else:
            time.sleep(seconds)


async def _touch(target: Target, keys: list[str]) -> None:
    rest = iter(keys)

    async def call() -> None:
        for key in rest:
            target.read(await target.decide(key))

    await asyncio.gather(*(call() for _ in range(TOUCHING_CALLERS)))


async def _hits(target: Target, key: str, hits: int) -> int:
    async def hit() -> bool:
        return bool(target.read(await target.decide(key)))

    return sum(await asyncio.gather(*(hit() for _ in range(hits))))


async def _sources(target: Target, keys: list[str]) -> dict[str, int]:
    return sources_of([target.source(await target.decide(key)) for key in keys])


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
        try:
            print(json.dumps(getattr(held, verb)(**order)), flush=True)
        except BaseExceptionGroup as group:  # a hundred callers tell the same
            raise group.exceptions[0] from None
        if verb == "close":
            return


if __name__ == "__main__":
    main()
