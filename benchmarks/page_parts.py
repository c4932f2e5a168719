"""The parts of docs/performance.md that are not contests."""

from __future__ import annotations

from typing import Any

from benchmarks.goals import WINDOWS
from benchmarks.tables import short, table
from benchmarks.wording import TITLES, name_of

__all__ = ["admitted", "awaited_pieces", "batch_sizes", "footprint", "hammered", "held_rate", "idle", "pieces"]


def held_rate(found: dict[str, Any]) -> str:
    """Return what the search for the highest rate found."""
    rows = [
        (
            f"{each['per_second']:,.0f}",
            "yes" if each["held"] else "no",
            f"{each['lost']:,}",
            *(short(each[name] / 1e3) for name in ("p50_us", "p95_us", "p99_us", "p999_us", "max_us")),
            f"{each['lag_p50_us']:,.0f}",
        )
        for each in sorted(found["tried"], key=lambda each: float(each["per_second"]))
    ]
    head = ("requests/s", "held", "lost", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms", "send lag µs")
    return (
        "## The highest rate of an open loop that is held\n\n"
        f"{table(head, rows)}\n"
        "Held: nothing lost and a 95th percentile below 10 ms. Searched by halving, in turns with our own closed loop "
        f"of 128 callers ({found['closed_per_second']:,.0f} decisions/s at the time). Found: "
        f"{found['per_second']:,.0f} a second, {found['ratio']:.2f} of the closed loop. Each request is a task of its "
        "own, which the closed loop is spared; the driver and its timer take of the same core.\n"
    )


def admitted(contests: dict[str, Any]) -> str:
    """Return how often one fresh key was admitted, for every contender in every way that it was measured."""
    rows = [
        (TITLES[name], name_of(label), f"{answer['hits']}", f"{answer['limit']}", f"{answer['admitted']}")
        for name, contest in contests.items()
        for label, answer in contest.get("admitted", {}).items()
        if answer and answer["admitted"] != answer["limit"]
    ]
    exact = sum(
        answer["admitted"] == answer["limit"]
        for contest in contests.values()
        for answer in contest.get("admitted", {}).values()
        if answer
    )
    text = (
        "## What is admitted\n\nThe column *admitted* says how many of 150 hits on one fresh key a limit of 100 let "
        f"pass. It was 100 in {exact} cases"
    )
    if not rows:
        return text + ", which is all of them.\n"
    return text + ", and not so in these:\n\n" + table(("way", "contender", "hits", "limit", "admitted"), rows)


def hammered(found: dict[str, Any]) -> str:
    """Return what several processes on one key were admitted."""
    head = ("any interval of s", *(word for mode in found for word in (f"{mode}: most admitted", "may be")))
    lengths = [row["seconds"] for row in next(iter(found.values()))["intervals"]]
    rows = [
        (
            f"{length:g}",
            *(f"{mode['intervals'][place][name]:,}" for mode in found.values() for name in ("most", "bound")),
        )
        for place, length in enumerate(lengths)
    ]
    told = "; ".join(
        f"{name}: {mode['admitted']:,} admitted of {mode['could_be']:,.0f} that the limit had, "
        f"fairness {mode['fairness']:.3f}, most above the bound {mode['excess']}"
        for name, mode in found.items()
    )
    first = next(iter(found.values()))
    return (
        "## Several processes on one key\n\n"
        f"{first['processes']} processes ask for one key under a limit of {first['per_second']:,} a second and a burst "
        f"of {first['burst']:,}, together at {first['demand']} times that rate, for {first['seconds']:g} s. What lies "
        "in any interval, by a ledger of all admissions on one clock, against `limit.most_in`:\n\n"
        f"{table(head, rows)}\n{told[0].upper() + told[1:]}. An admission counts as within an interval when it was "
        "both asked for and answered in it.\n"
    )


def awaited_pieces(pieces_us: dict[str, float]) -> str:
    """Return where an awaited decision spends its time."""
    rows = [(text, f"{us:.2f}") for text, us in pieces_us.items()]
    return (
        "## Where an awaited decision spends its time\n\n" + table(("client CPU, on uvloop", "µs"), rows) + "\n"
        "Each row goes one part further than the one before. What a decision on Redis costs its client beyond the last "
        "of them, by the contests above, is its part of a batch: the kernel, the connection, packing and parsing; and "
        "the loop of the load, which reads every field. With two batches under way the client is never idle, and "
        "Redis is. The next step would be fewer lines of Python for a decision, or more processes.\n"
    )


def batch_sizes(costs_us: dict[str, float]) -> str:
    """Return what a decision costs the server in batches of each size."""
    rows = [(size, f"{us:.2f}", f"{us * int(size):,.0f}") for size, us in costs_us.items()]
    return (
        "## How many requests a script call carries\n\n"
        + table(("requests in a call", "script µs a decision", "µs that a call keeps the server's core"), rows)
        + "\nPlain `gcra`, distinct keys that have a state. A batch carries at most 64: more would save the server "
        "little, and everybody else would wait for it longer.\n"
    )


def pieces(pieces_ns: dict[str, float]) -> str:
    """Return where a decision in memory spends its time."""
    rows = [(text, f"{ns:.0f}") for text, ns in pieces_ns.items()]
    return (
        "## Where a decision in memory spends its time\n\n" + table(("", "ns"), rows) + "\n"
        "Each piece was timed in a loop of its own; the rest of the whole is calls, checks and cold caches. A "
        "limiter that only gives yes or no is spared two of them: the making and the reading of an answer.\n"
    )


def footprint(figures: dict[str, Any]) -> str:
    """Return what a key takes on the server."""
    base = figures["limits"]["bytes_a_key"]
    rows = [
        (
            f"Sluicegate, {label}" if label in WINDOWS else name_of(label),
            f"{each['bytes_a_key']:.0f}",
            f"{each['bytes_a_key'] / base:.2f}",
            f"{each['name_bytes']}",
            f"{each['grown_bytes_a_key']:.0f}",
            f"{each['redis_keys_a_key']:.2f}",
        )
        for label, each in figures.items()
    ]
    head = (
        "",
        "bytes a key (MEMORY USAGE)",
        "against limits",
        "of these the name",
        "growth of Redis a key",
        "Redis keys a key",
    )
    return (
        "## What a key takes on Redis\n\n" + table(head, rows) + "\nThe same keys of 20 bytes for all; each library "
        "makes its own name of them. The growth counts the hash tables and the expiry entry too, MEMORY USAGE does "
        "not.\n"
    )


def idle(figures: dict[str, Any]) -> str:
    """Return what doing nothing costs."""
    names = {"tasks": "Limiter, 128 callers before", "threads": "BlockingLimiter, 64 threads before"}
    rows = [
        (names[label], f"{each['seconds']:g}", f"{each['cpu_us'] / 1e3:.2f}", f"{each['commands']}")
        for label, each in figures.items()
    ]
    return "## Idle\n\n" + table(("", "seconds", "client CPU ms", "commands at Redis"), rows)
