"""One of the processes that spend leases of one key: started by the tests, told what to do, and printing a ledger.

It reads one JSON object from its arguments, says that it is ready, and waits for a line before it begins.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from sluicegate import Limit, Limiter, NullLogger

KEY = "key"
DEADLINE_S = 10.0  # a ledger with a gap proves nothing: here a slow answer is waited for
TICK_S = 0.004  # eight processes on few cores: let each come to its turn
CALLERS = 4  # who waits for the server does not keep the others from asking


async def offer(limiter: Limiter, limits: list[Limit], *, seconds: float, per_second: float) -> None:
    """Ask for units of each limit at an even pace for so long; print when each was admitted, and how many were asked.

    The times are those of the machine's monotonic clock. A unit in hand is admitted when it is spent, another
    when the server decided, whose clock is this machine's.
    """
    ledgers: dict[str, list[int]] = {limit.name: [] for limit in limits}
    asked = dict.fromkeys(ledgers, 0)
    begin_s = time.monotonic()
    offset_us = (time.time_ns() - time.monotonic_ns()) // 1000

    async def call(limit: Limit) -> None:
        ledger, done = ledgers[limit.name], 0
        while (passed_s := time.monotonic() - begin_s) < seconds:
            due = int(passed_s * per_second / CALLERS)
            asked[limit.name] += due - done
            for _ in range(due - done):
                at_us = time.monotonic_ns() // 1000
                decision = await limiter.acquire(limit, KEY)
                assert not decision.degraded
                if decision.allowed:
                    ledger.append(at_us if decision.source == "lease" else decision.decided_at_us - offset_us)
            done = due
            await asyncio.sleep(TICK_S)

    await asyncio.gather(*[call(limit) for limit in limits for _ in range(CALLERS)])
    print(json.dumps({"ledgers": ledgers, "asked": asked, "offset_us": offset_us}), flush=True)


async def hoard(limiter: Limiter, limits: list[Limit], *, spend: int, period_s: int) -> None:
    """At a period's beginning spend so many units of each limit, say what is in hand then, and wait for the end."""
    told = {}
    await asyncio.sleep(period_s - time.time() % period_s)
    for limit in limits:
        granted = 0
        for _ in range(spend):
            granted += (await limiter.acquire(limit, KEY)).allowed
            await asyncio.sleep(0)
        lease = limiter.engine.leases._leases[limit.plan.prefix + KEY]
        while lease.filling:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.0005)
        told[limit.name] = {"granted": granted, "in_hand": lease.in_hand(time.monotonic_ns() // 1000)}
    print(json.dumps(told), flush=True)
    time.sleep(600)  # noqa: ASYNC251 - so that not even what is idle is given back


JOBS = {"offer": offer, "hoard": hoard}


async def main(task: dict[str, Any]) -> None:
    """Do one job."""
    limits = [Limit(**fields) for fields in task["limits"]]
    async with Limiter.connect(task["url"], deadline=DEADLINE_S, logger=NullLogger()) as limiter:
        await limiter.acquire(Limit("warm", "1/day"), str(os.getpid()))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await JOBS[task["job"]](limiter, limits, **task["options"])


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
