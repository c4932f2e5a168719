"""What is measured, and how long."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.contest import Contest, Entry, Load
from benchmarks.workload import Wish

__all__ = ["KEY_COUNTS", "OURS", "PROCESSES", "TASKS", "THREADS", "Extent", "contests", "planned_seconds"]

OURS = "sluicegate"
TASKS, THREADS, VISITORS = 128, 64, 64
PROCESSES = (1, 2, 4)
KEY_COUNTS = (1_000, 10_000, 100_000, 1_000_000)
OPEN_PER_SECOND, OPEN_LOW_PER_SECOND = 15_000, 3_000
IN_FLIGHT_MAX = 256
CEILING_CLIENTS = 50  # what redis-benchmark takes by itself
# Longer than a lease lasts: before a round so that its size is what the demand made it, after it so that it is over.
LEASE_WARM_UP_SECONDS, LEASE_SETTLE_SECONDS = 1.5, 1.2
PAUSE_EVERY = 10
START_SECONDS, START_KEYS_PER_SECOND = 0.5, 50_000  # of a process: its imports, and the first decision for each key
OPEN_GRACE_SECONDS = 1.0  # at most, for a contender that does not keep up
LEASED = Wish(per_hour=600_000_000, burst=10_000_000, mode="leased")  # 10,000,000 a minute
DENIED = Wish(per_hour=1, burst=1, denials=True)
ALGORITHMS = (
    "gcra",
    "gcra-fraction",
    "fixed_window",
    "sliding_window_counter",
    "sliding_window_log",
    "calendar_quota",
    "acquire_all",
)
QUICK_KEYS_MAX, QUICK_WARM_UP_SECONDS_MAX = 5_000, 0.3
NOT_QUICK = frozenset({
    *("threads-8", "open-low", "memory-full"),
    *("throttled", "pyrate", "ceiling-1", "ceiling-128", "microbatch-1000", "microbatch-1000000", "bare-1000"),
    *("sluicegate-4", "redispy-2", "redispy-4", "sluicegate-100000", "bare-1000000", "attack"),
    *("gcra-fraction", "sliding_window_counter", "calendar_quota"),
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much time the whole may take.

    Attributes:
        rounds: Rounds of each contest that has a goal.
        rounds_reported: Rounds of the others.
        seconds: Length of one contender's turn.
        open_seconds: The same in the open loop, where the tail needs more of them.
        idle_seconds: How long doing nothing is watched.
        hammer_seconds: How long several processes hammer one key.
        steps: Rates tried for the highest one that is held.
        footprint_keys: Keys put down to see what one takes on the server.
        quick: Whether keys and contenders are fewer, to see that all of this works and no more.
    """

    rounds: int = 7
    rounds_reported: int = 5
    seconds: float = 1.5
    open_seconds: float = 3.0
    idle_seconds: float = 3.0
    hammer_seconds: float = 8.0
    steps: int = 6
    footprint_keys: int = 1_000
    quick: bool = False

    @classmethod
    def short(cls) -> Extent:
        """Return the extent that proves no more than that the harness works."""
        return cls(
            rounds=2,
            rounds_reported=1,
            seconds=0.2,
            open_seconds=0.3,
            idle_seconds=1.0,
            hammer_seconds=1.0,
            steps=2,
            footprint_keys=300,
            quick=True,
        )


def contests(extent: Extent) -> list[Contest]:
    """Return the contests of *extent*."""
    held = [*_awaited(extent), *_threaded(extent), *_in_process(extent), *_others(extent)]
    return [_quickened(contest) for contest in held if contest.name not in NOT_QUICK] if extent.quick else held


def planned_seconds(extent: Extent) -> float:
    """Return how long all of *extent* takes on two cores that have nothing else to do, roughly."""
    seconds = extent.hammer_seconds * 2 + extent.idle_seconds * 2
    seconds += extent.steps * (extent.open_seconds + extent.seconds + OPEN_GRACE_SECONDS)
    for contest in contests(extent):
        for _, _, load in contest.entries:
            around = load.warm_up_seconds + load.settle_seconds + (OPEN_GRACE_SECONDS if load.kind == "open" else 0)
            seconds += START_SECONDS * load.processes + load.keys / START_KEYS_PER_SECOND
            seconds += contest.rounds * (contest.seconds + around)
    return seconds


def _awaited(extent: Extent) -> list[Contest]:
    tasks = Load(kind="tasks", callers=TASKS)
    on_uvloop = replace(tasks, loop="uvloop")
    zipf = replace(tasks, spread="zipf")
    opened = Load(kind="open", callers=IN_FLIGHT_MAX, per_second=OPEN_PER_SECOND)
    low = replace(opened, per_second=OPEN_LOW_PER_SECOND)
    peers = ("limits", "throttled", "pyrate", "redispy")
    return [
        _contest(extent, "tasks", [*_ours(tasks), *_same(tasks, *peers), *_floors(tasks), *_ceilings()], "limits"),
        _contest(extent, "tasks-uvloop", [*_ours(on_uvloop), *_same(on_uvloop, *peers), *_floors(on_uvloop)], "limits"),
        _contest(
            extent,
            "zipf",
            [("sluicegate-uniform", OURS, tasks), *_same(zipf, OURS, "limits"), *_floors(zipf)],
            "sluicegate-uniform",
        ),
        _opened(extent, "open", [*_same(opened, OURS, "limits", "redispy"), *_floors(opened)]),
        _opened(_reported(extent), "open-low", [*_same(low, OURS, "redispy"), *_floors(low)[:1]]),
    ]


def _threaded(extent: Extent) -> list[Contest]:
    entries = {
        callers: _same(Load(kind="threads", callers=callers), OURS, "redispy", "limits") for callers in (64, 8, 1)
    }
    tasks = Load(kind="tasks", callers=TASKS)
    fleets = [
        (f"{contender}-{count}", contender, replace(tasks, processes=count))
        for contender in (OURS, "redispy")
        for count in PROCESSES
    ]
    return [
        _contest(extent, "threads", entries[THREADS], "redispy"),
        _contest(_reported(extent), "threads-8", entries[8], "redispy"),
        _contest(extent, "thread", entries[1], "redispy"),
        _contest(_reported(extent), "processes", fleets, f"{OURS}-1"),
    ]


def _in_process(extent: Extent) -> list[Contest]:
    memory, full = Load(kind="memory"), Load(kind="memory", keys=100_000)
    roomy = Wish(keys_max=4 * max(KEY_COUNTS))  # parts of the store fill unevenly
    many: list[Entry] = [(f"{OURS}-{keys}", OURS, Load(kind="memory", keys=keys, wish=roomy)) for keys in KEY_COUNTS]
    flood = ("sluicegate-flood", OURS, Load(kind="memory", keys=KEY_COUNTS[-1]))
    bare: list[Entry] = [
        (f"bare-{keys}", "bare", Load(kind="memory", keys=keys)) for keys in (KEY_COUNTS[0], KEY_COUNTS[-1])
    ]
    here = Load(kind="memory", keys=1_000)
    calls = replace(here, kind="calls")
    local: list[Entry] = [
        ("memory", OURS, here),
        (
            "leased",
            OURS,
            replace(calls, wish=LEASED, warm_up_seconds=LEASE_WARM_UP_SECONDS, settle_seconds=LEASE_SETTLE_SECONDS),
        ),
        ("deny", OURS, replace(calls, wish=replace(DENIED, mode="cached"))),
        ("attack", OURS, replace(calls, keys=1, wish=DENIED)),
    ]
    return [
        _contest(
            extent,
            "memory",
            [*_ours(memory), *_same(memory, "limits", "throttled", "pyrate")],
            "limits",
        ),
        _contest(_reported(extent), "memory-full", _same(full, OURS, "limits", "throttled"), "limits"),
        _contest(_reported(extent), "keys-memory", [*many, flood, *bare], f"{OURS}-{KEY_COUNTS[0]}", admission=False),
        _contest(extent, "local", local, "memory"),
    ]


def _others(extent: Extent) -> list[Contest]:
    tasks = Load(kind="tasks", callers=TASKS)
    paused = replace(tasks, pause_every=PAUSE_EVERY)
    few = replace(paused, keys=1_000)
    local: list[Entry] = [
        ("strict", OURS, few),
        (
            "leased",
            OURS,
            replace(few, wish=LEASED, warm_up_seconds=LEASE_WARM_UP_SECONDS, settle_seconds=LEASE_SETTLE_SECONDS),
        ),
        ("deny", OURS, replace(few, wish=replace(DENIED, mode="cached"))),
    ]
    denied = [
        ("sluicegate-uncached", OURS, replace(paused, wish=replace(DENIED, mode="uncached"))),
        *_same(replace(paused, wish=DENIED), OURS, "limits", "redispy"),
    ]
    keys: list[Entry] = [(f"{OURS}-{count}", OURS, replace(tasks, keys=count)) for count in KEY_COUNTS]
    keys += [
        (f"microbatch-{count}", "microbatch", replace(tasks, keys=count)) for count in (KEY_COUNTS[0], KEY_COUNTS[-1])
    ]
    algorithms: list[Entry] = [(name, OURS, replace(tasks, wish=Wish(algorithm=name))) for name in ALGORITHMS]
    site = Load(kind="site", callers=VISITORS, keys=1_000, loop="uvloop", warm_up_seconds=0.3)
    sites: list[Entry] = [(mode, "site", replace(site, wish=Wish(mode=mode))) for mode in ("bare", "memory", "strict")]
    sites.append(
        (
            "leased",
            "site",
            replace(site, wish=LEASED, warm_up_seconds=LEASE_WARM_UP_SECONDS, settle_seconds=LEASE_SETTLE_SECONDS),
        )
    )
    reported = _reported(extent)
    return [
        _contest(reported, "local-tasks", local, "strict"),
        _contest(reported, "denials", denied, "limits", admission=False),
        _contest(reported, "keys-redis", keys, f"{OURS}-{KEY_COUNTS[0]}", admission=False),
        _contest(reported, "algorithms", algorithms, "gcra"),
        _contest(reported, "asgi", sites, "bare", admission=False),
    ]


def _contest(extent: Extent, name: str, entries: list[Entry], reference: str, *, admission: bool = True) -> Contest:
    return Contest(
        name=name,
        entries=tuple(entries),
        reference=reference,
        rounds=extent.rounds,
        seconds=extent.seconds,
        admission=admission,
    )


def _opened(extent: Extent, name: str, entries: list[Entry]) -> Contest:
    contest = _contest(extent, name, entries, "microbatch")
    return replace(contest, seconds=extent.open_seconds, curves=True)


def _reported(extent: Extent) -> Extent:
    return replace(extent, rounds=extent.rounds_reported)


def _same(load: Load, *contenders: str) -> list[Entry]:
    return [(contender, contender, load) for contender in contenders]


def _ours(load: Load) -> list[Entry]:
    """Return ourselves twice: read as limits can be read, which says yes or no, and read whole."""
    return [(f"{OURS}-verdict", OURS, replace(load, wish=replace(load.wish, verdict=True))), (OURS, OURS, load)]


def _floors(load: Load) -> list[Entry]:
    return [
        ("microbatch", "microbatch", load),
        ("microbatch-32", "microbatch", replace(load, wish=replace(load.wish, cap=32))),
    ]


def _ceilings() -> list[Entry]:
    shapes = {"ceiling-16": (16, 1), "ceiling-1": (1, 1), "ceiling-128": (1, 128)}
    return [
        (label, "ceiling", Load(kind="ceiling", callers=CEILING_CLIENTS, pipeline=pipeline, keys_a_call=keys))
        for label, (pipeline, keys) in shapes.items()
    ]


def _quickened(contest: Contest) -> Contest:
    def quick(load: Load) -> Load:
        keys = QUICK_KEYS_MAX if load.keys >= KEY_COUNTS[-1] else min(load.keys, KEY_COUNTS[0])
        seconds = min(load.warm_up_seconds, QUICK_WARM_UP_SECONDS_MAX)
        return replace(load, keys=keys, warm_up_seconds=seconds, settle_seconds=0.0)

    entries = tuple(
        (label, contender, quick(load)) for label, contender, load in contest.entries if label not in NOT_QUICK
    )
    return replace(contest, entries=entries)
