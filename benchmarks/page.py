"""Writes docs/performance.md from the figures of a run, and from nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.workload import LIMIT_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["page_of"]

NAMES = {
    "sluicegate": "Sluicegate",
    "limits": "limits, fixed window",
    "throttled": "throttled-py, GCRA",
    "redispy": "redis-py by hand, GCRA script",
}
TITLES = {
    "tasks": "Strict on Redis: 128 callers of one asyncio loop",
    "tasks-uvloop": "The same on uvloop",
    "threads": "Strict on Redis: 64 threads",
    "thread": "Strict on Redis: one thread",
    "memory": "State in the process: one thread",
    "memory-full": "The same with 100,000 keys",
    "many-keys": "State in the process: a thousand keys and a million",
    "many-keys-bare": "The same with a bare dict in place of a limiter",
}
REMARKS = {
    "threads": (
        "A thread that has to wait gives way twice for a decision: to sleep until its answer is there, and again until "
        "the interpreter is free for it. redis-py by hand pays for that too."
    ),
    "thread": (
        "A lone thread gains nothing from batches and pays for the hop to the background loop. It is "
        "reported so that nobody has to find out."
    ),
    "memory-full": (
        "As many keys as the memory store remembers by default: where its parts fill unevenly, some keys are "
        "forgotten for others. limits walks over all its keys every hundredth of a second, which tells here."
    ),
    "many-keys": (
        "With a million distinct keys each decision meets a key that is not remembered, makes room for it by "
        "forgetting another, and stays within the default of 100,000 keys."
    ),
    "many-keys-bare": (
        "No limiter: a dict of 100,000 keys that forgets the oldest for the newest. How much slower its 99th "
        "percentile is with a million keys is what memory that is not in the caches costs, before anything is decided."
    ),
}

_HEADER = """\
# Performance

This page is written by `make bench` from its last run; the figures themselves are in `benchmarks/figures.json`.

```
make bench
```

"""

_NOTES = """\
## How it is measured

- Every contender runs in a process and an environment of its own, from the hashed requirements in
  `benchmarks/requirements/`: limits and throttled-py want an older redis-py than Sluicegate. All of them use the
  hiredis parser. redis-py by hand has the redis-py of Sluicegate.
- All contenders of a contest share one private redis-server on the loopback, without persistence, and take turns:
  A B C, A B C, … A ratio is taken within a round, and the median of these ratios is what counts. Absolute figures
  depend on the machine and on what else it does; the ratios less so. Differences of less than a third mean little.
- Each decision is the public call with its checks, deadline and counters, and every field of the answer is read: all
  thirteen of a `Decision`; the single one that limits gives. Answers that were denied or came from a fallback are
  counted apart and are not in the rates.
- The same {keys:,} keys for all (20 bytes each, drawn uniformly), one limit of {limit:,} per hour that nobody reaches.
- The loops are closed: a caller asks again when it has its answer. So the latencies say how long a caller waits at
  full load, not what it would wait at a given rate of requests.
- Client and Redis share the cores of the machine, so a client that needs less of them leaves more to Redis.
- limits runs on redis-py, the faster of its asynchronous clients here, not on its default.
- throttled-py's memory store is given room for all keys; by default it forgets beyond 1,024 of them.
- CPU: *client* is the process of the contender, all its threads; *Redis* is the whole server process.
- In memory the rate comes from calls that are not timed one by one, the latencies from calls that are.
"""


def page_of(outcome: dict[str, Any]) -> str:
    """Return the page for *outcome*."""
    facts = outcome["facts"]
    parts = [_HEADER, _machine(facts, outcome), _goals(outcome["goals"])]
    for name, contest in outcome["contests"].items():
        parts.append(_contest(name, contest))
    keys = 10_000
    parts += [
        _pieces(outcome["pieces_ns"]),
        _footprint(outcome["footprint"]),
        _idle(outcome["idle"]),
        _NOTES.format(keys=keys, limit=LIMIT_PER_HOUR),
    ]
    return "\n".join(parts)


def _machine(facts: dict[str, Any], outcome: dict[str, Any]) -> str:
    packages = facts["packages"]
    versions = ", ".join(
        f"{package} {packages[contender][package]}" + (f" with redis-py {packages[contender]['redis']}")
        for contender, package in (("limits", "limits"), ("throttled", "throttled-py"))
        if contender in packages
    )
    ours = packages["sluicegate"]
    spins = [each for contest in outcome["contests"].values() for each in contest["spins_per_second"]]
    return (
        f"Machine: {facts['cores']} cores, {facts['system']}, {facts['python']}, Redis {facts['redis']}, "
        f"Sluicegate {facts['sluicegate']} with redis-py {ours['redis']} and hiredis {ours['hiredis']}, {versions}; "
        f"uvloop {ours['uvloop']}. {outcome['extent']['rounds']} rounds of {outcome['extent']['seconds']:g} s ("
        f"{outcome['extent']['rounds_reported']} where nothing is asked). "
        f"How steady the machine was: an empty loop ran {min(spins) / 1e6:.0f} to {max(spins) / 1e6:.0f} million "
        "times a second over the rounds.\n"
    )


def _goals(goals: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            goal["text"],
            f"{'≥' if goal['at_least'] else '≤'} {goal['bound']:,g} {goal['unit']}",
            f"{_short(goal['figure'])} {goal['unit']}",
            "yes" if goal["met"] else "**no**",
        )
        for goal in goals
    ]
    return "## What is asked of it\n\n" + _table(("figure", "asked", "measured", "met"), rows)


def _contest(name: str, contest: dict[str, Any]) -> str:
    reference = NAMES.get(contest["reference"], contest["reference"])
    in_memory = name.startswith(("memory", "many-keys"))
    unit, scale = ("µs", 1.0) if in_memory else ("ms", 1e3)
    head = ["", "decisions/s", "range", "ratio", "range", f"p50 {unit}", f"p95 {unit}", f"p99 {unit}", f"max {unit}"]
    head.append("client CPU µs")
    if not in_memory:
        head += ["of it kernel µs", "switches", "Redis CPU µs", "script calls", "wire bytes"]
    head.append("refused")
    rows = []
    for label, figures in contest["summary"].items():
        rate, ratio = figures["per_second"], figures["ratio"]
        row = [NAMES.get(label, label), f"{rate['median']:,.0f}", f"{rate['min']:,.0f} to {rate['max']:,.0f}"]
        row += [f"{ratio['median']:.2f}", f"{ratio['min']:.2f} to {ratio['max']:.2f}"]
        row += [_short(figures[field] / scale) for field in ("p50_us", "p95_us", "p99_us", "max_us")]
        row.append(f"{figures['client_us']:.1f}")
        if not in_memory:
            row += [f"{figures['system_us']:.1f}", f"{figures['switches']:.2f}", f"{figures['redis_us']:.1f}"]
            row += [f"{figures['script_calls']:.3f}", f"{figures['wire_bytes']:.0f}"]
        row.append(f"{figures['refused']:,}")
        rows.append(row)
    text = f"## {TITLES[name]}\n\n" + _table(head, rows) + f"\nRatio: decisions/s against {reference}, round by round. "
    text += "CPU, script calls and wire bytes are per decision.\n" if not in_memory else "CPU is per decision.\n"
    return text + (f"\n{REMARKS[name]}\n" if name in REMARKS else "")


def _pieces(pieces_ns: dict[str, float]) -> str:
    rows = [(text, f"{ns:.0f}") for text, ns in pieces_ns.items()]
    text = "## Where a decision in memory spends its time\n\n" + _table(("", "ns"), rows)
    return text + (
        "\nEach piece was timed in a loop of its own; the rest of the whole is calls, checks and cold caches. A "
        "limiter that only gives yes or no is spared two of them: the making and the reading of an answer.\n"
    )


def _footprint(footprint: dict[str, Any]) -> str:
    rows = [
        (
            NAMES[label],
            f"{figures['bytes_a_key']:.0f}",
            f"{figures['name_bytes']}",
            f"{figures['grown_bytes_a_key']:.0f}",
            f"{figures['redis_keys_a_key']:.2f}",
        )
        for label, figures in footprint.items()
    ]
    head = ("", "bytes a key (MEMORY USAGE)", "of these the name", "growth of Redis a key", "Redis keys a key")
    note = "\nThe growth counts the hash tables and the expiry entry too, MEMORY USAGE does not.\n"
    return "## What a key takes on Redis\n\n" + _table(head, rows) + note


def _idle(idle: dict[str, Any]) -> str:
    names = {"tasks": "Limiter, 128 callers before", "threads": "BlockingLimiter, 64 threads before"}
    rows = [
        (names[label], f"{figures['seconds']:g}", f"{figures['cpu_us'] / 1e3:.2f}", f"{figures['commands']}")
        for label, figures in idle.items()
    ]
    return "## Idle\n\n" + _table(("", "seconds", "client CPU ms", "commands at Redis"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 or figure == int(figure) else f"{figure:.2f}"
