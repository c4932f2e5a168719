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

__all__ = ["SCALES", "Assumptions", "Costs", "Need", "costs_in", "need"]

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
class Costs:
    """Measured microseconds of CPU per decision.

    Attributes:
        client_us: Of the client process, by mode.
        redis_us: Of Redis, by mode.
        entry_us: Of Redis for one entry of a batch: a strict decision, or the renewal of a lease.
        denied_us: Of Redis for a denial that it decides itself.
    """

    client_us: dict[str, float]
    redis_us: dict[str, float]
    entry_us: float
    denied_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one mode needs at one scale.

    Attributes:
        per_second: Decisions per second.
        mode: ``strict``, ``leased`` or ``deny``.
        processes: Client processes that ask.
        client_cores: Cores that they spend on deciding.
        redis_per_second: Entries of batches that Redis decides in a second.
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
    redis_per_second, entry_us, hot = _asked_of_redis(per_second, mode, processes, costs, assumed)
    busy = redis_per_second * entry_us / 1e6 / assumed.headroom
    masters = max(1, math.ceil(busy))
    nodes = masters * (1 + assumed.replicas)
    client_cores = per_second * costs.client_us[mode] / 1e6 / assumed.headroom
    memory_gib = assumed.keys * assumed.bytes_a_key * (1 + assumed.replicas) / 2**30
    cores = client_cores + nodes * (1 + assumed.own_core)
    hourly = cores * assumed.price_core_hour + memory_gib * assumed.price_gib_hour
    return Need(
        per_second=per_second,
        mode=mode,
        processes=processes,
        client_cores=client_cores,
        redis_per_second=redis_per_second,
        masters=masters,
        nodes=nodes,
        memory_gib=memory_gib,
        money_a_month=hourly * HOURS_A_MONTH,
        hot_key_fits=hot * entry_us / 1e6 <= assumed.headroom,
    )


def _asked_of_redis(
    per_second: int, mode: str, processes: int, costs: Costs, assumed: Assumptions
) -> tuple[float, float, float]:
    """Return the entries a second that reach Redis, what one costs there, and how many are for the busiest key."""
    if mode == "leased":
        # A lease is renewed once in its time by each process for each key it holds, however many it answers.
        renewals = processes * assumed.leased_keys / assumed.lease_seconds
        return min(float(per_second), renewals), costs.entry_us, processes / assumed.lease_seconds
    if mode == "deny":
        asked = per_second * (1 - assumed.deny_cached)
        return asked, costs.denied_us, asked * assumed.hot_share
    return float(per_second), costs.entry_us, per_second * assumed.hot_share


def costs_in(outcome: dict[str, Any]) -> Costs:
    """Return the costs that a run measured, or raise `KeyError` where it did not."""
    local, denials = outcome["contests"]["local-tasks"]["summary"], outcome["contests"]["denials"]["summary"]
    return Costs(
        client_us={mode: float(local[mode]["client_us"]) for mode in MODES},
        redis_us={mode: float(local[mode]["redis_us"]) for mode in MODES},
        entry_us=float(outcome["contests"]["tasks"]["summary"]["sluicegate"]["redis_us"]),
        denied_us=float(denials["sluicegate-uncached"]["redis_us"]),
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
    costs = costs_in(outcome)
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
