"""An open loop: requests come by a schedule, each a task of its own, as in a server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from benchmarks.arrivals import Account, Schedule
from benchmarks.latencies import figures_of, folded
from benchmarks.loads import Sample, Used
from benchmarks.ticker import ticking

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders.target import Target

__all__ = ["run_open"]

TICK_NS_MIN = 100_000  # arrivals closer than this come together; each waking costs the loop some 25 µs
GRACE_SECONDS = 1.0  # after the schedule's end for what is still to be sent or answered


async def run_open(
    target: Target, next_key: Callable[[], str], *, per_second: float, seconds: float, in_flight_max: int
) -> Sample:
    """Send *per_second* requests for *seconds*, and wait a little for the last answers."""
    loop = asyncio.get_running_loop()
    used, start_ns = Used.now(), perf_counter_ns()
    schedule = Schedule(start_ns=start_ns, per_second=per_second, count=round(per_second * seconds))
    account = Account(schedule=schedule, in_flight_max=in_flight_max)
    under_way: dict[asyncio.Task[None], int] = {}
    finished = asyncio.Event()
    decide, read = target.decide, target.read
    failures: list[BaseException] = []

    async def ask(intended_ns: int) -> None:
        admitted = bool(read(await decide(next_key())))
        account.note(intended_ns, perf_counter_ns(), admitted=admitted)

    def ended(task: asyncio.Task[None]) -> None:
        del under_way[task]
        if not task.cancelled() and (failure := task.exception()) is not None:
            failures.append(failure)
        if account.done or failures:
            finished.set()

    def send() -> None:
        for intended_ns in account.to_send(perf_counter_ns()):
            task = loop.create_task(ask(intended_ns))
            under_way[task] = intended_ns
            task.add_done_callback(ended)

    with ticking(loop, max(TICK_NS_MIN, round(1e9 / per_second)), send), suppress(TimeoutError):
        await asyncio.wait_for(finished.wait(), seconds + GRACE_SECONDS)
    end_ns, used = perf_counter_ns(), used.since()
    unanswered = list(under_way.values())
    unsent = account.close(end_ns, unanswered)
    await _ended(list(under_way))
    if failures:
        raise failures[0]
    return _sample(account, unsent=unsent, unanswered=len(unanswered), seconds=(end_ns - start_ns) / 1e9, used=used)


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _sample(account: Account, *, unsent: int, unanswered: int, seconds: float, used: Used) -> Sample:
    extra: dict[str, Any] = {"unsent": unsent, "unanswered": unanswered, "lag_p50_us": account.lag_p50_us}
    return Sample(
        decisions=len(account.latencies_ns) - unsent - unanswered - account.refused,
        refused=account.refused,
        seconds=seconds,
        **asdict(used),
        latencies=figures_of(folded(account.latencies_ns)),
        extra=extra,
    )
