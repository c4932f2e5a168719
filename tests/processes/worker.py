"""One of the processes that hammer a key: started by the tests, told what to do, and printing a ledger.

It is a program of its own, so that nothing but the server is shared. It reads one JSON object from its
arguments, says that it is ready, and waits for a line before it begins.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from sluicegate import Features, Hold, Limit, Limiter, LimitExceededError, NullLogger, SystemClock
from sluicegate.database import Keyspace, Script, connect, tags_for
from sluicegate.ratelimit.stores.redis import RedisStore, decide_script

KEY = "key"
DEADLINE_S = 10.0  # a ledger with a gap proves nothing: here a slow answer is waited for


async def drain(limiter: Limiter, limits: list[Limit], *, requests: int, callers: int, **_: Any) -> None:
    """Make so many requests of each limit; print how many of each were allowed."""
    allowed = dict.fromkeys((limit.name for limit in limits), 0)

    async def call(limit: Limit) -> None:
        for _ in range(requests // callers):
            decision = await limiter.acquire(limit, KEY)
            assert not decision.degraded
            allowed[limit.name] += decision.allowed

    for limit in limits:
        await asyncio.gather(*[call(limit) for _ in range(callers)])
    print(json.dumps(allowed), flush=True)


async def hammer(limiter: Limiter, limits: list[Limit], *, seconds: float, callers: int, **_: Any) -> None:
    """Make requests of each limit for so long; print each decision: time, serial, cost and answer."""
    ledgers: dict[str, list[tuple[int, ...]]] = {limit.name: [] for limit in limits}
    end = time.monotonic() + seconds

    async def call(limit: Limit, cost: int) -> None:
        while time.monotonic() < end:
            decision = await limiter.acquire(limit, KEY, cost)
            assert not decision.degraded
            _, _, _, _, remaining, retry_after_us, reset_after_us, decided_at_us, _, _, _, serial = decision
            answer = (decision.allowed, remaining or 0, retry_after_us, reset_after_us)
            ledgers[limit.name].append((decided_at_us, serial, cost, *answer))
            await asyncio.sleep(0.004)  # eight processes on few cores: let each come to its turn

    await asyncio.gather(*[call(limit, 1 + number) for limit in limits for number in range(callers)])
    print(json.dumps(ledgers), flush=True)


async def grab(limiter: Limiter, limits: list[Limit], *, seconds: float, callers: int, ledger: str, **_: Any) -> None:
    """Hold and release for so long; write down each hold when it begins and when it ends, at once."""
    (limit,) = limits
    end = time.monotonic() + seconds
    book = os.open(f"{ledger}.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def call(number: int) -> None:
        while time.monotonic() < end:
            hold = limiter.hold(limit, KEY)
            try:
                async with hold:
                    assert hold.decision is not None
                    noted(book, "held", hold, hold.decision.decided_at_us)
                    await asyncio.sleep(0.002 * (1 + number % 5))
                    if hold.lost:  # others may hold it by now: ended when it was lost, which nobody saw
                        continue
                    noted(book, "free", hold, time.time_ns() // 1000)
            except LimitExceededError:
                await asyncio.sleep(0.003)

    await asyncio.gather(*[call(number) for number in range(callers)])


async def keep(limiter: Limiter, limits: list[Limit], *, callers: int, **_: Any) -> None:
    """Take so many units, say so, and keep them until somebody ends this process."""
    for _ in range(callers):
        await limiter.hold(limits[0], KEY).__aenter__()
    print("holding", flush=True)
    await asyncio.sleep(600)


def noted(book: int, event: str, hold: Hold, at_us: int) -> None:
    """Write one line of a ledger in one call, so that it is whole however this process ends."""
    os.write(book, f"{event} {hold.holder} {at_us}\n".encode())


JOBS = {"drain": drain, "hammer": hammer, "grab": grab, "keep": keep}


def limit_of(was: str = "", **fields: Any) -> Limit:
    """Return a limit, in the place of one that had another rate where there was such a one."""
    limit = Limit(**fields)
    return limit.changed_from(Limit(**{**fields, "rate": was})) if was else limit


def older_script() -> Script:
    """Return the script of a version that knows no states that say which rule they are of."""
    source = decide_script().source
    for now, before in (
        ("(version == LAYOUT or version == MARKED)", "version == LAYOUT"),
        ("version > MARKED", "version > LAYOUT"),
    ):
        assert source.count(now) == 1
        source = source.replace(now, before)
    return Script.of("decide as before", source)


async def main(task: dict[str, Any]) -> None:
    """Do one job."""
    limits = [limit_of(**fields) for fields in task["limits"]]
    script = older_script() if task["options"].pop("is_older", False) else None
    store = RedisStore(
        connect(task["url"]),
        SystemClock(),
        NullLogger(),
        keyspace=Keyspace(tags=tags_for(task["url"])),
        deadline_us=round(DEADLINE_S * 1_000_000),
        script=script,
    )
    async with Limiter(store=store, logger=NullLogger(), deny_cache_s=0) as limiter:
        limiter.switch(Features(carrying=task["options"].pop("carrying", True)))
        await limiter.acquire(Limit("warm", "1/day"), str(os.getpid()))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await JOBS[task["job"]](limiter, limits, **task["options"])


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
