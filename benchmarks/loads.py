"""Puts a contender under load and says what came of it; runs in the contender's own process.

Closed loops: each caller asks again as soon as it has read its answer. The clock is read once a
decision, so a latency spans drawing the key, the call, and reading every field of the answer.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import asdict, dataclass, field
from itertools import islice
from resource import RUSAGE_SELF, getrusage
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from benchmarks.latencies import figures_of, folded

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders.target import Target

__all__ = ["Sample", "Used", "run_calls", "run_tasks", "run_threads"]

CALLS_BETWEEN_LOOKS = 500  # decisions between two looks at the clock where a look would weigh
LATENCY_SHARE = 0.3  # of a round in which each call is timed, where timing would weigh


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one round of one contender gave.

    Attributes:
        decisions: True admissions.
        refused: Answers that were none: denied, or given by a fallback.
        seconds: How long it took.
        cpu_us: CPU of this process, all threads.
        system_us: As much of it as the kernel had.
        switches: How often a thread of this process gave way to another, or had to wait.
        latencies: Percentiles in microseconds, the longest, and the histogram; see `benchmarks.latencies`.
        extra: What only some loads have to tell.
    """

    decisions: int
    refused: int
    seconds: float
    cpu_us: float
    system_us: float
    switches: int
    latencies: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)

    def as_facts(self) -> dict[str, Any]:
        """Return the fields by name, all at one height."""
        facts = asdict(self)
        return facts | facts.pop("latencies") | facts.pop("extra")


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What this process has used; the fields are those of `Sample`."""

    cpu_us: float
    system_us: float
    switches: int

    @classmethod
    def now(cls) -> Used:
        """Return what it has used so far."""
        usage = getrusage(RUSAGE_SELF)
        system_us, switches = usage.ru_stime * 1e6, usage.ru_nvcsw + usage.ru_nivcsw
        return cls(cpu_us=usage.ru_utime * 1e6 + system_us, system_us=system_us, switches=switches)

    def since(self) -> Used:
        """Return what it has used since then."""
        now = Used.now()
        return Used(
            cpu_us=now.cpu_us - self.cpu_us,
            system_us=now.system_us - self.system_us,
            switches=now.switches - self.switches,
        )


async def run_tasks(
    target: Target, next_key: Callable[[], str], *, callers: int, seconds: float, pause_every: int = 0
) -> Sample:
    """Let *callers* tasks of one event loop decide.

    What is answered in the process suspends nobody, so a task would keep the loop to itself; with *pause_every*
    it lets the others run after so many decisions, as the rest of a request would.
    """
    latencies_ns: list[int] = []
    refused: list[int] = []
    used, start_ns = Used.now(), perf_counter_ns()
    end_ns = start_ns + round(seconds * 1e9)

    async def call() -> None:
        decide, read, record = target.decide, target.read, latencies_ns.append
        now_ns, wrong, left = perf_counter_ns(), 0, pause_every
        while now_ns < end_ns:
            if not read(await decide(next_key())):
                wrong += 1
            then_ns = perf_counter_ns()
            record(then_ns - now_ns)
            now_ns = then_ns
            if pause_every and not (left := left - 1):
                left = pause_every
                await asyncio.sleep(0)
                now_ns = perf_counter_ns()
        refused.append(wrong)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())
    return _sample(latencies_ns, sum(refused), start_ns, used)


def run_threads(target: Target, next_key: Callable[[], str], *, callers: int, seconds: float) -> Sample:
    """Let *callers* threads decide."""
    latencies_ns: list[int] = []
    refused: list[int] = []
    failures: list[BaseException] = []
    ready = threading.Barrier(callers + 1)
    started_ns = [0]

    def call() -> None:
        ready.wait()
        try:
            decide_until_the_end()
        except Exception as failure:  # noqa: BLE001 - raised below, where somebody sees it
            failures.append(failure)

    def decide_until_the_end() -> None:
        decide, read, record = target.decide, target.read, latencies_ns.append
        now_ns, wrong = perf_counter_ns(), 0
        end_ns = started_ns[0] + round(seconds * 1e9)
        while now_ns < end_ns:
            if not read(decide(next_key())):
                wrong += 1
            then_ns = perf_counter_ns()
            record(then_ns - now_ns)
            now_ns = then_ns
        refused.append(wrong)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    used, start_ns = Used.now(), perf_counter_ns()
    started_ns[0] = start_ns
    ready.wait()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return _sample(latencies_ns, sum(refused), start_ns, used)


def run_calls(target: Target, next_key: Callable[[], str], *, seconds: float) -> Sample:
    """Let one thread decide what needs no waiting: first untimed for the rate, then timed for the latencies."""
    decide, read = target.decide, target.read
    keys = iter(next_key, None)
    decisions = wrong = 0
    used, start_ns = Used.now(), perf_counter_ns()
    end_ns = start_ns + round(seconds * (1 - LATENCY_SHARE) * 1e9)
    while perf_counter_ns() < end_ns:
        for key in islice(keys, CALLS_BETWEEN_LOOKS):
            if not read(decide(key)):
                wrong += 1
        decisions += CALLS_BETWEEN_LOOKS
    spent_ns, used = perf_counter_ns() - start_ns, used.since()

    latencies_ns: list[int] = []
    record = latencies_ns.append
    now_ns = perf_counter_ns()
    end_ns = now_ns + round(seconds * LATENCY_SHARE * 1e9)
    while now_ns < end_ns:
        if not read(decide(next_key())):
            wrong += 1
        then_ns = perf_counter_ns()
        record(then_ns - now_ns)
        now_ns = then_ns
    return Sample(
        decisions=decisions,
        refused=wrong,
        seconds=spent_ns / 1e9,
        **asdict(used),
        latencies=figures_of(folded(latencies_ns)),
    )


def _sample(latencies_ns: list[int], refused: int, start_ns: int, before: Used) -> Sample:
    seconds, used = (perf_counter_ns() - start_ns) / 1e9, before.since()
    return Sample(
        decisions=len(latencies_ns) - refused,
        refused=refused,
        seconds=seconds,
        **asdict(used),
        latencies=figures_of(folded(latencies_ns)),
    )
