"""Writes docs/capacity.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.tables import short, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.capacity import Assumptions, Costs, Need

__all__ = ["capacity_page"]

_MODES = {
    "strict": (
        "Strict: every decision on Redis",
        (
            "Every decision is one entry of a batch, so Redis grows with the decisions. Masters are shards of a "
            "cluster: keys are spread over them, but one key is on one master."
        ),
    ),
    "leased": (
        "Leased: units taken ahead",
        (
            "A process takes units ahead and spends them in memory, so Redis grows with processes and with the keys "
            "they hold leases on, not with decisions. Where a process would renew more often than it decides, Redis is "
            "asked as often as strictly and no more."
        ),
    ),
    "deny": (
        "Denied: answered by the deny cache",
        (
            "What is denied again before its `retry_after` is over is answered in the process, for as long as the "
            "cache keeps it; the rest is decided on Redis."
        ),
    ),
}


def capacity_page(outcome: dict[str, Any], costs: Costs, assumed: Assumptions, needs: Sequence[Need]) -> str:
    """Return the page for the figures of *outcome*."""
    facts = outcome["facts"]
    head = (
        "# Capacity\n\n"
        "From the measured microseconds per decision to processes, nodes and money. This page is written by "
        "`make capacity` from `benchmarks/figures.json`; every assumption below is an option of "
        "`python -m benchmarks.capacity` (`--help`).\n\n"
        "It is arithmetic, not a measurement: nobody ran 100,000,000 decisions a second. What was measured is one "
        f"machine ({facts['cores']} cores, {facts['python']}, Redis {facts['redis']}); see "
        "[performance](performance.md).\n"
    )
    parts = [head, _measured(costs), _assumed(assumed)]
    for mode, (title, remark) in _MODES.items():
        parts.append(f"## {title}\n\n{remark}\n\n" + _needs([each for each in needs if each.mode == mode], mode))
    parts.append(_formulas())
    return "\n".join(parts)


def _measured(costs: Costs) -> str:
    strict = [
        (
            f"strict, {point.per_second:,.0f} decisions/s of one process",
            f"{point.client_us:.2f}",
            f"{point.redis_us:.2f}",
        )
        for point in costs.strict
    ]
    here = [(f"{mode}, answered in the process", f"{us:.2f}", "-") for mode, us in costs.client_us.items()]
    return (
        "## Measured\n\n"
        + table(("per decision", "client CPU µs", "Redis CPU µs"), strict + here)
        + "\nThe more a process decides in a second, the more decisions share a script call, and the less each costs: "
        "the last of the strict rows is a closed loop at full load, the others are open loops, in which the CPU "
        "of the client has a task for each request and the timer that starts it. Between these rates the model goes "
        "along the logarithm of the rate; beyond them it takes the nearest.\n\n"
        "A server that is often idle wakes for each call and finds its caches cold. Of the open loops that is taken "
        "off, since these masters are busy: by as much as redis-py by hand, which sends a call for each decision at "
        "every rate, costs Redis more there than at full load. A denial that Redis decides costs it "
        f"{costs.denial:.2f} times an admission.\n"
    )


def _assumed(assumed: Assumptions) -> str:
    rows = [
        ("`--headroom`", f"{assumed.headroom:g}", "share of a core that is planned to be busy"),
        ("`--price-core-hour`", f"{assumed.price_core_hour:g}", "money for one core for one hour"),
        ("`--price-gib-hour`", f"{assumed.price_gib_hour:g}", "money for one GiB of memory of Redis for one hour"),
        ("`--replicas`", f"{assumed.replicas}", "replicas of each Redis master, as large as the master"),
        ("`--own-core`", f"{assumed.own_core:g}", "cores of a Redis node beside the one that decides"),
        ("`--hot-share`", f"{assumed.hot_share:g}", "share of the busiest key, as in Zipf(1.1) over 10,000 keys"),
        ("`--decisions-a-process`", f"{assumed.decisions_a_process:,}", "decisions a second of one client process"),
        ("`--leased-keys`", f"{assumed.leased_keys:,}", "keys that a process holds leases on at a time"),
        ("`--lease-seconds`", f"{assumed.lease_seconds:g}", "how long a lease lasts"),
        ("`--keys`", f"{assumed.keys:,}", "keys alive on Redis"),
        ("`--bytes-a-key`", f"{assumed.bytes_a_key:g}", "bytes of a key there, hash tables and expiry included"),
        ("`--deny-cached`", f"{assumed.deny_cached:g}", "share of denials that the deny cache answers"),
    ]
    head = "| option | here | what |\n|---|---:|---|\n"
    return (
        "## Assumed\n\n"
        + head
        + "".join(f"| {' | '.join(row)} |\n" for row in rows)
        + (
            "\nThe network between client and Redis is assumed to be fast enough to keep batches coming, and its price "
            "is not in the money. The machine's cores are assumed to be like the measured ones.\n"
        )
    )


def _needs(needs: Sequence[Need], mode: str) -> str:
    rows = [
        (
            f"{each.per_second:,}",
            f"{each.processes:,}",
            short(each.client_cores),
            short(each.redis_per_second),
            f"{each.entry_us:.1f}",
            f"{each.masters:,}",
            f"{each.nodes:,}",
            f"{each.memory_gib:.1f}",
            f"{each.money_a_month:,.0f}",
            f"{each.money_per_billion:.3f}",
            "yes" if each.hot_key_fits else "**no**",
        )
        for each in needs
    ]
    head = (
        "decisions/s",
        "processes",
        "client cores for deciding",
        "entries/s at Redis",
        "µs each",
        "masters",
        "nodes",
        "GiB",
        "money a month",
        "for 10^9 decisions",
        "busiest key fits",
    )
    text = table(head, rows)
    if mode == "strict" and not all(each.hot_key_fits for each in needs):
        text += (
            "\nWhere the busiest key does not fit on one master, no number of masters helps: that key's limit has to "
            "be leased. Requests of one batch for the same key travel once, with a count: that helps as far as they "
            "meet in one process, and is not in this model.\n"
        )
    return text


def _formulas() -> str:
    return (
        "## How it is computed\n\n"
        "- processes = decisions/s ÷ decisions of a process\n"
        "- entries/s at Redis: strict, all; denied, those that the cache does not answer; leased, processes · leased "
        "keys ÷ lease seconds, at most all\n"
        "- µs of an entry: the measured costs at (entries/s ÷ processes ÷ masters), since every process talks to every "
        "master, and with more masters fewer entries share a call\n"
        "- masters = entries/s · µs of an entry ÷ 10^6 ÷ headroom, rounded up, until that agrees with the µs; "
        "nodes = masters · (1 + replicas)\n"
        "- client cores = decisions/s · client µs ÷ 10^6 ÷ headroom, strict at the same rate as the entries\n"
        "- money = (client cores + nodes · (1 + own cores)) · price of a core hour + GiB · price of a GiB hour, "
        "for 730 hours\n"
        "- the busiest key fits when the entries/s for it · µs ÷ 10^6 ≤ headroom; leased, it is renewed once a lease "
        "by each process\n"
    )
