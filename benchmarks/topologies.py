"""What a decision costs on a Cluster and with TLS, beside one server, and what the number of hash tags does to it.

    python -m benchmarks.topologies [CALLERS]

128 callers of one uvloop, or as many as are named, 10,000 keys, in turns; CPU of this process and of the masters
together, per decision. Each figure is the median of the rounds, its ratio is taken to one server without TLS in the
same round.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import uvloop
from tests.fleets import ClusterFleet, Fleet, OneServer

from sluicegate import Limit, Limiter, NullLogger, SystemClock
from sluicegate.database import Keyspace
from sluicegate.ratelimit import RedisStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.servers import RedisServer

KEYS, SECONDS, ROUNDS = 10_000, 1.5, 5
TAGS = (1, 3, 6, 12, 24, 96)
LIMIT = Limit("api", "100/hour burst 1000000")
TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


def server_cpu_us(servers: Sequence[RedisServer]) -> int:
    """Return what CPU time the servers have used."""
    total = 0
    for server in servers:
        with open(f"/proc/{server.pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - of the kernel's
            fields = file.read().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) * TICK_US
    return total


async def measured(fleet: Fleet, tags: int, callers: int) -> dict[str, float]:
    """Return the rate and the CPU of a decision."""
    store = RedisStore(fleet.connected(), SystemClock(), NullLogger(), keyspace=Keyspace(f"t{tags}", tags=tags))
    keys = [f"{number:020d}" for number in range(KEYS)]
    masters = fleet.masters()
    async with Limiter(store=store, logger=NullLogger()) as limiter:
        over = False
        decided = 0

        async def ask(at: int) -> None:
            nonlocal decided
            while not over:
                decision = await limiter.acquire(LIMIT, keys[at % KEYS])
                decided += not decision.degraded
                at += 77

        asking = [asyncio.create_task(ask(number * 79)) for number in range(callers)]
        await asyncio.sleep(0.3)
        before, cpu_before, servers_before, start = (
            decided,
            time.process_time(),
            server_cpu_us(masters),
            time.perf_counter(),
        )
        await asyncio.sleep(SECONDS)
        passed = time.perf_counter() - start
        cpu_us, servers_us = (time.process_time() - cpu_before) * 1e6, server_cpu_us(masters) - servers_before
        count = max(1, decided - before)
        over = True
        await asyncio.gather(*asking)
    return {"per_second": count / passed, "client_us": cpu_us / count, "servers_us": servers_us / count}


def main(callers: int = 128) -> None:
    """Measure, and print a table."""
    with OneServer() as plain, OneServer(tls=True) as secured, ClusterFleet() as cluster:
        contestants: list[tuple[str, Fleet, int]] = [("one server", plain, 0), ("one server, TLS", secured, 0)]
        contestants += [(f"Cluster of three, {tags} tags", cluster, tags) for tags in TAGS]
        samples: dict[str, list[dict[str, float]]] = {name: [] for name, *_ in contestants}
        for _ in range(ROUNDS):
            for name, fleet, tags in contestants:
                samples[name].append(uvloop.run(measured(fleet, tags, callers)))
    print("| | decisions/s | client CPU µs | CPU of the masters µs | both, against one server | spread over masters |")
    print("|---|---:|---:|---:|---:|---:|")
    reference = samples["one server"]
    for name, _, tags in contestants:
        own = samples[name]
        middle = {field: median(sample[field] for sample in own) for field in own[0]}
        ratio = median(both(sample) / both(other) for sample, other in zip(own, reference, strict=True))
        print(
            f"| {name} | {middle['per_second']:,.0f} | {middle['client_us']:.1f} | {middle['servers_us']:.1f} "
            f"| {ratio:.2f} | {spread_of(tags)} |"
        )


def both(sample: dict[str, float]) -> float:
    """Return the CPU of client and masters together."""
    return sample["client_us"] + sample["servers_us"]


def spread_of(tags: int) -> str:
    """Return which share of all keys lies on the busiest of three masters, where tags are what spreads them."""
    if not tags:
        return "-"
    from redis.crc import key_slot  # noqa: PLC0415 - only here

    keyspace = Keyspace(tags=tags)
    numbers = {keyspace.tag(str(key)) for key in range(200 * tags)}
    owners: list[Any] = [key_slot(b"{%d}" % tag) * 3 // 16_384 for tag in numbers]
    return f"{max(owners.count(owner) for owner in range(3)) / tags:.0%}"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
