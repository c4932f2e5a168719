"""The names, titles and remarks of docs/performance.md and of the plots."""

from __future__ import annotations

__all__ = ["HEADER", "NAMES", "NOTES", "REMARKS", "TITLES", "name_of"]

NAMES = {
    "sluicegate": "Sluicegate",
    "sluicegate-verdict": "Sluicegate, read as yes or no",
    "sluicegate-uniform": "Sluicegate, uniform keys",
    "sluicegate-uncached": "Sluicegate, without the deny cache",
    "sluicegate-flood": "Sluicegate, 1,000,000 keys, 100,000 remembered",
    "limits": "limits, fixed window",
    "throttled": "throttled-py, GCRA",
    "pyrate": "pyrate-limiter, GCRA",
    "redispy": "redis-py by hand, GCRA script",
    "microbatch": "bare micro-batches, one in flight",
    "microbatch-32": "bare micro-batches of 32",
    "ceiling-16": "redis-benchmark -P 16",
    "ceiling-1": "redis-benchmark -P 1",
    "ceiling-128": "redis-benchmark, 128 keys a call",
    "attack": "deny path, one key, default cache",
    "deny": "deny path",
    "bare": "bare application",
    "gcra-fraction": "gcra, fraction in the interval",
    "acquire_all": "acquire_all of three gcra",
}
TITLES = {
    "tasks": "Strict on Redis: 128 callers of one asyncio loop",
    "tasks-uvloop": "The same on uvloop",
    "zipf": "Zipf(1.1): a few keys get most requests",
    "open": "Open loop of 15,000 requests a second",
    "open-low": "Open loop of 3,000 requests a second",
    "threads": "Strict on Redis: 64 threads",
    "threads-8": "Strict on Redis: 8 threads",
    "thread": "Strict on Redis: one thread",
    "processes": "Strict on Redis: one, two and four processes",
    "memory": "State in the process: one thread",
    "memory-full": "The same with 100,000 keys",
    "keys-memory": "State in the process: a thousand keys to a million",
    "local": "Answered in this process: memory, leases, deny cache; one thread",
    "local-tasks": "The same for 128 callers of one asyncio loop",
    "denials": "Denials: 128 callers of one asyncio loop, all of them denied",
    "keys-redis": "Strict on Redis: a thousand keys to a million",
    "algorithms": "What each algorithm costs: 128 callers of one asyncio loop",
    "asgi": "ASGI middleware under uvicorn",
}
REMARKS = {
    "tasks": (
        "The first row reads of an answer what limits gives, whether the request may pass, and is the one that the "
        "floor is for; the second reads all thirteen fields of the decision, as do all other contests here that do "
        "not say otherwise. The bare micro-batch loop is the floor of what batching costs: everything that asks in one "
        "turn of the event loop in one script call, yes or no and what remains, without a deadline, a check or a "
        "counter. redis-benchmark is the ceiling: the same short script with random keys from a client in C, 50 "
        "connections; in the last row with 128 keys a call."
    ),
    "zipf": (
        "The limit is one that nobody reaches, not even on the hottest key (15 % of all requests), so every request is "
        "admitted and none is a cheap denial. Requests that are alike travel once, which spares Redis (its CPU falls) "
        "and costs the client a little: it has to tell them apart again. Where the client is the bottleneck, as it is "
        "here in both rows, that buys no throughput; it leaves more of Redis to others."
    ),
    "open": (
        "Latency counts from the intended start, whether or not the contender was ready for it; a request that was "
        "never sent, or never answered, counts with the least that it waited. Send lag is the median of how late a "
        "request was sent. At most 256 requests are under way at once."
    ),
    "threads": (
        "A thread that has to wait gives way twice for a decision: to sleep until its answer is there, and again until "
        "the interpreter is free for it. redis-py by hand pays for that too. There are two regimes, and the range may "
        "show both: where the kernel keeps the threads on one core a decision takes less than half the CPU that it "
        "takes where it spreads them over two, which then hand the interpreter to each other for every step."
    ),
    "thread": (
        "A lone thread gains nothing from batches and pays for the hop to the background loop. It is "
        "reported so that nobody has to find out."
    ),
    "processes": (
        "All processes share one Redis, and the two cores of the machine with it. Rates are summed, latencies merged."
    ),
    "memory": (
        "The first row reads of an answer what limits gives, whether the request may pass (`if decision:`), and is the "
        "one that is asked for; the second reads all fields of the decision."
    ),
    "memory-full": (
        "As many keys as the memory store remembers by default: where its parts fill unevenly, some keys are "
        "forgotten for others. limits walks over all its keys every hundredth of a second, which tells here."
    ),
    "keys-memory": (
        "The store was given room for all keys, but in the row that says otherwise: there each decision meets a key "
        "that is not remembered and makes room for it by forgetting another. The bare dict is no limiter: a dict of at "
        "most 100,000 keys that forgets the oldest for the newest. How much slower it gets is what memory that is not "
        "in the caches costs, before anything is decided."
    ),
    "local": (
        "A thousand keys. Leased: a limit of 10,000,000 a minute, leases of one second. Deny path: every key is used "
        "up for an hour and the deny cache holds a denial for a minute. The last row is one key, hit as fast as one "
        "thread can, under the default cache of one second."
    ),
    "local-tasks": (
        "What is answered in the process suspends nobody. So that no task keeps the loop to itself, each lets the "
        "others run after every tenth decision, as the rest of a request would; that is in the figures."
    ),
    "denials": (
        "Without the deny cache every denial is decided on Redis. The other rows are as they come. Tasks pause as "
        "before."
    ),
    "algorithms": (
        "Redis CPU is the whole server process, script the time inside EVALSHA. A decision of `acquire_all` takes of "
        "three limits."
    ),
    "asgi": (
        "uvicorn with uvloop and httptools serves an application that answers five bytes, with the middleware before "
        "it in three of the rows, for 1,000 keys; 64 connections are kept open, each asks again when it was answered. "
        "Requests come from a process of their own; CPU is the server's. The middleware itself takes 3 microseconds of "
        "a request in memory, and the server a microsecond and a half more to write two more header fields. Leased, "
        "each key has some 35 requests a second here, so that a parcel is two dozen units: half of what it costs "
        "beyond memory is the look at the lease, the rest asking for parcels, watching them and giving them back, "
        "which more requests for a key would share among more. Strict pays for its part of a batch."
    ),
}
HEADER = """\
# Performance

This page is written by `make bench` from its last run; the figures themselves are in `benchmarks/figures.json`.
What they mean for a fleet is in [capacity](capacity.md).

```
make bench             # a third of an hour: measure, and write this page and its plots
make bench-compare     # what changed since the run that is committed (BEFORE=file for another)
make capacity          # write docs/capacity.md from the figures
python -m benchmarks --only tasks open      # some of the contests
```

"""
NOTES = """\
## How it is measured

- Every contender runs in a process and an environment of its own, from the hashed requirements in
  `benchmarks/requirements/`: limits, throttled-py and pyrate-limiter have an older redis-py than Sluicegate. All of
  them use the hiredis parser. redis-py by hand and the bare micro-batches have the redis-py of Sluicegate.
- All contenders of a contest share one private redis-server on the loopback, without persistence, and take turns:
  A B C, A B C, … A ratio is taken within a round, and the median of these ratios is what counts. Absolute figures
  depend on the machine and on what else it does; the ratios less so. Differences of less than a third mean little.
- Each decision is the public call with its checks, deadline and counters, and every field of the answer is read, where
  it does not say otherwise: all thirteen of a `Decision`; the single one that limits gives. Answers that were denied or
  came from a fallback are counted apart and are not in the rates.
- The same keys for all (20 bytes each; 10,000 where it does not say otherwise, drawn in the same order), and one limit
  that nobody reaches: {per_hour:,} an hour with a burst of {burst:,}; {burst:,} an hour for those who count in windows.
- In a closed loop a caller asks again when it has its answer. So its latencies say how long a caller waits at
  full load, not what it would wait at a given rate of requests; the open loops say that.
- Latencies are noted raw and folded into HDR histograms of three digits when a round is over. A percentile is the
  median over the rounds, the maximum the longest of all of them.
- *Over-admission*: after its rounds each contender gets {hits} hits on one fresh key under a limit of {limit}, in the
  way it was measured before: by its tasks, threads or processes.
- Client and Redis share the cores of the machine, so a client that needs less of them leaves more to Redis.
- limits runs on redis-py, the faster of its asynchronous clients here, not on its default.
- throttled-py's memory store is given room for all keys; by default it forgets beyond 1,024 of them.
- CPU: *client* is the process of the contender, all its threads; *Redis* is the whole server process.
- In memory the rate comes from calls that are not timed one by one, the latencies from calls that are.
"""


def name_of(label: str) -> str:
    """Return what *label* is called on the page."""
    if label in NAMES:
        return NAMES[label]
    contender, _, count = label.rpartition("-")
    if count.isdigit():
        what = f"{int(count):,} {'processes' if int(count) < 1_000 else 'keys'}".replace("1 processes", "1 process")
        return f"{NAMES.get(contender, contender)}, {what}" if contender != "bare" else f"bare dict, {what}"
    return label
