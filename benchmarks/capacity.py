"""Says what a fleet needs: ``python -m benchmarks.capacity``, or ``make capacity``, writes docs/capacity.md.

From the measured microseconds per decision, of the client and of Redis, to processes, nodes and money. Each
assumption is an option with a default, and stands on the page.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.capacity_page import capacity_page
from benchmarks.compare import FIGURES
from benchmarks.environments import ROOT

__all__ = ["SCALES", "Assumptions", "Costs", "Need", "Point", "costs_in", "need"]

PAGE = ROOT / "docs" / "capacity.md"
SCALES = (10**4, 10**5, 10**6, 10**7, 10**8)
HOURS_A_MONTH = 730
MODES = ("strict", "leased", "deny")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is assumed beside the figures; the metadata of a field is its help.

    Attributes:
        headroom: The share of a core that is planned to be busy.
        price_core_hour: Money for one core for one hour, client or Redis.
        price_gib_hour: Money for one GiB of Redis memory for one hour.
        replicas: Replicas of each Redis master.
        own_core: Cores of a Redis node beside the one that decides: input, output, the system.
        hot_share: The share of all decisions that the busiest key gets, as in Zipf(1.1) over 10,000 keys.
        decisions_a_process: Decisions per second that one client process is asked for; it has other work.
        leased_keys: Keys that each client process holds leases on at a time.
        lease_seconds: How long a lease lasts.
        bytes_a_key: Bytes of a key on Redis, hash tables and expiry entry included.
        keys: Keys alive on Redis.
        deny_cached: The share of denials that the deny cache answers.
    """

    headroom: float = 0.6
    price_core_hour: float = 0.045
    price_gib_hour: float = 0.006
    replicas: int = 1
    own_core: float = 1.0
    hot_share: float = 0.15
    decisions_a_process: int = 5_000
    leased_keys: int = 1_000
    lease_seconds: float = 1.0
    bytes_a_key: float = 165.0
    keys: int = 10_000_000
    deny_cached: float = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a strict decision costs at one rate, which is what decides how many share a script call.

    Attributes:
        per_second: Decisions a second of one process.
        client_us: CPU of the process for one of them.
        redis_us: CPU of Redis for one of them.
    """

    per_second: float
    client_us: float
    redis_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Measured microseconds of CPU per decision.

    Attributes:
        strict: Of strict decisions at several rates, the lowest first.
        client_us: Of the client process where it answers by itself: ``leased`` and ``deny``.
        denial: What a denial that Redis decides costs it, against an admission.
    """

    strict: tuple[Point, ...]
    client_us: dict[str, float]
    denial: float

    def at(self, per_second: float) -> Point:
        """Return what a strict decision costs at *per_second*: between the measured rates, never beyond them."""
        low = high = self.strict[0]
        for point in self.strict:
            low, high = high, point
            if point.per_second >= per_second:
                break
        if not low.per_second < per_second < high.per_second:
            return low if per_second <= low.per_second else high
        share = math.log(per_second / low.per_second) / math.log(high.per_second / low.per_second)
        return Point(
            per_second=per_second,
            client_us=low.client_us + share * (high.client_us - low.client_us),
            redis_us=low.redis_us + share * (high.redis_us - low.redis_us),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one mode needs at one scale.

    Attributes:
        per_second: Decisions per second.
        mode: ``strict``, ``leased`` or ``deny``.
        processes: Client processes that ask.
        client_cores: Cores that they spend on deciding.
        redis_per_second: Entries of batches that Redis decides in a second.
        entry_us: What one of them costs there.
        masters: Redis masters.
        nodes: Redis nodes, replicas included.
        memory_gib: Redis memory, replicas included.
        money_a_month: For all cores and the memory.
        hot_key_fits: Whether the busiest key fits on one master, for no key can be on two.
    """

    per_second: int
    mode: str
    processes: int
    client_cores: float
    redis_per_second: float
    entry_us: float
    masters: int
    nodes: int
    memory_gib: float
    money_a_month: float
    hot_key_fits: bool

    @property
    def money_per_billion(self) -> float:
        """Money for a billion decisions."""
        return self.money_a_month / (self.per_second * HOURS_A_MONTH * 3_600) * 1e9


def need(per_second: int, mode: str, costs: Costs, assumed: Assumptions) -> Need:
    """Return what *per_second* decisions of *mode* need."""
    processes = math.ceil(per_second / assumed.decisions_a_process)
    entries, hot = _asked_of_redis(per_second, mode, processes, assumed)
    scale = costs.denial if mode == "deny" else 1.0
    masters, entry_us = _masters(entries, entries / processes, scale, costs, assumed)
    nodes = masters * (1 + assumed.replicas)
    client_us = costs.at(per_second / processes / masters).client_us if mode == "strict" else costs.client_us[mode]
    client_cores = per_second * client_us / 1e6 / assumed.headroom
    memory_gib = assumed.keys * assumed.bytes_a_key * (1 + assumed.replicas) / 2**30
    cores = client_cores + nodes * (1 + assumed.own_core)
    hourly = cores * assumed.price_core_hour + memory_gib * assumed.price_gib_hour
    return Need(
        per_second=per_second,
        mode=mode,
        processes=processes,
        client_cores=client_cores,
        redis_per_second=entries,
        entry_us=entry_us,
        masters=masters,
        nodes=nodes,
        memory_gib=memory_gib,
        money_a_month=hourly * HOURS_A_MONTH,
        hot_key_fits=hot * entry_us / 1e6 <= assumed.headroom,
    )


def _asked_of_redis(per_second: int, mode: str, processes: int, assumed: Assumptions) -> tuple[float, float]:
    """Return the entries a second that reach Redis, and how many of them are for the busiest key."""
    if mode == "leased":
        # A lease is renewed once in its time by each process for each key it holds, however many it answers.
        renewals = processes * assumed.leased_keys / assumed.lease_seconds
        return min(float(per_second), renewals), processes / assumed.lease_seconds
    asked = per_second * (1 - assumed.deny_cached) if mode == "deny" else float(per_second)
    return asked, asked * assumed.hot_share


def _masters(
    entries: float, of_a_process: float, scale: float, costs: Costs, assumed: Assumptions
) -> tuple[int, float]:
    """Return how many masters decide *entries* a second, and what one of these costs there.

    Each process talks to each master, so with more masters fewer entries share a call, and each costs more.
    """
    masters = 1
    while True:
        entry_us = scale * costs.at(of_a_process / masters).redis_us
        needed = max(1, math.ceil(entries * entry_us / 1e6 / assumed.headroom))
        if needed <= masters:
            return masters, entry_us
        masters = needed


def costs_in(outcome: dict[str, Any]) -> Costs:
    """Return the costs that a run measured, or raise `KeyError` where it did not."""
    contests = outcome["contests"]
    summaries = {name: contest["summary"] for name, contest in contests.items()}
    strict = [
        _point(summaries[name], summaries["tasks"]) for name in ("open-low", "open", "tasks") if name in summaries
    ]
    return Costs(
        strict=tuple(strict),
        client_us={mode: float(summaries["local-tasks"][mode]["client_us"]) for mode in ("leased", "deny")},
        denial=summaries["denials"]["sluicegate-uncached"]["redis_us"] / summaries["tasks"]["sluicegate"]["redis_us"],
    )


def _point(summary: dict[str, Any], busy: dict[str, Any]) -> Point:
    """Return what a decision costs at one rate, on a server that is as busy as at full load.

    A server that is often idle wakes for each call and finds its caches cold. One that is planned to be busy does
    not, so what that adds is taken off: redis-py by hand sends a call for each decision at every rate, and tells it.
    """
    idleness = summary["redispy"]["redis_us"] / busy["redispy"]["redis_us"]
    ours = summary["sluicegate"]
    return Point(
        per_second=ours["per_second"]["median"],
        client_us=ours["client_us"],
        redis_us=ours["redis_us"] / max(1.0, idleness),
    )


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__.partition("\n")[0])
    parser.add_argument("--figures", type=Path, default=FIGURES, help="figures of a run")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page goes")
    for field in fields(Assumptions):
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=type(field.default), default=field.default, help="default %(default)s")
    wanted = parser.parse_args()
    assumed = Assumptions(**{field.name: getattr(wanted, field.name) for field in fields(Assumptions)})
    outcome = json.loads(wanted.figures.read_text("utf-8"))
    try:
        costs = costs_in(outcome)
    except KeyError as missing:
        print(f"{wanted.figures} has no figure {missing}: measure first, with make bench")
        return 1
    needs = [need(per_second, mode, costs, assumed) for mode in MODES for per_second in SCALES]
    wanted.page.write_text(capacity_page(outcome, costs, assumed, needs), "utf-8")
    for each in needs:
        print(
            f"{each.mode:7} {each.per_second:>12,}/s  {each.client_cores:>9,.1f} client cores  {each.nodes:>5,} Redis "
            f"nodes  {each.money_a_month:>12,.0f} a month  {each.money_per_billion:>8,.3f} for a billion"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
