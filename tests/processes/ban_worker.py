"""A process that listens: told by a line which key to watch, it says when that was first banned, and when no more.

It is a program of its own, so that nothing but the server is shared.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from sluicegate import BlockingLimiter, Limit, Limiter, NullLogger

API = Limit("api", "100/minute")
PAUSE_S = 0.0005


async def watch(url: str) -> None:
    """Say of each key that is named when it was banned, and when it was free again, by the machine's clock."""
    async with Limiter.connect(url, changes=True, deadline=10, logger=NullLogger()) as limiter:
        print("ready", flush=True)
        while key := (await asyncio.to_thread(sys.stdin.readline)).strip():
            for banned in (True, False):
                while (await limiter.peek(API, key)).banned != banned:  # noqa: ASYNC110 - another process's doing
                    await asyncio.sleep(PAUSE_S)
                print(time.monotonic(), flush=True)


def fork(url: str) -> None:
    """Ban, fork twice deep, ban in each process, and say what each of them knows in the end."""
    limiter = BlockingLimiter.connect(url, changes=True, deadline=10, logger=NullLogger())
    limiter.bans.add("before")
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        name = "child" if grandchild else "grandchild"
    else:
        name = "parent"
    limiter.bans.add(name)
    wanted = {"before", "child", "grandchild", "parent"}
    deadline = time.monotonic() + 10
    while wanted - set(known := [key for key in wanted if limiter.acquire(API, key).banned]):
        if time.monotonic() > deadline:
            break
        time.sleep(PAUSE_S)
    os.write(1, (json.dumps([name, sorted(known)]) + "\n").encode())
    limiter.close()
    if name == "parent":
        os.waitpid(child, 0)
    elif name == "child":
        os.waitpid(grandchild, 0)
    if name != "parent":
        os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        asyncio.run(watch(sys.argv[2]))
    else:
        fork(sys.argv[2])
