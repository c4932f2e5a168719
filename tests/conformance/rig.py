"""One limiter under test: either face, on either store, on a clock that moves by hand.

The tests of this folder are plain functions that call a rig's verbs; whether the limiter behind it
awaits or blocks, and where its state lives, they cannot tell. On Redis the script reads the time from
a key in place of the server's clock; nothing else about it differs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any

from sluicegate import BlockingLimiter, Limiter
from sluicegate.database import Keyspace, Script, connect
from sluicegate.ratelimit.stores.memory import MemoryStore
from sluicegate.ratelimit.stores.records import expiry_of
from sluicegate.ratelimit.stores.redis import RedisStore, decide_script
from sluicegate.ratelimit.stores.redis_changes import RedisChanges, changes_scripts
from sluicegate.testing import ManualClock
from tests.recording import RecordingLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from concurrent.futures import Future

    import redis

    from sluicegate import Decision, JointDecision, Limit
    from sluicegate.ratelimit.stores.store import Reply, Request

START = 1_700_006_400.0  # a midnight in UTC, so that every window begins with the test
CLOCK_KEY = "test:now_us"
CLOCK_SECONDS = 3600  # longer than any test; not even this stays for ever
DEADLINE_US = 5_000_000  # these tests are about answers, not about speed
CALL_SECONDS_MAX = 30.0
QUIET_TURNS = 30  # of the event loop: more than there are steps from a sleeper's waking to its next sleep

MANUAL_TIME = f"""
local function server_time_now_us()
  return tonumber(redis.call('GET', '{CLOCK_KEY}'))
end
"""


def by_hand(script: Script) -> Script:
    """Return *script* with the hand-moved clock in place of the server's."""
    own = resources.files("sluicegate.ratelimit").joinpath("stores/script/server_time.lua").read_text("utf-8")
    assert own in script.source
    return Script.of(f"{script.name} by hand", script.source.replace(own, MANUAL_TIME))


def manual_script() -> Script:
    """Return the script that decides, with the hand-moved clock in place of the server's."""
    return by_hand(decide_script())


def manual_changes(store: RedisStore, clock: HandClock) -> RedisChanges:
    """Return where changes are kept beside *store*, by the hand-moved clock."""
    write, read = changes_scripts()
    return RedisChanges(store, store.keyspace, clock, scripts=(by_hand(write), by_hand(read)))


def repr_of(kept: Any) -> object:
    """Return what the memory store keeps for a key in a form that can be compared."""
    return kept if isinstance(kept, int) else {slot: repr(getattr(kept, slot)) for slot in kept.__slots__}


class HandClock:
    """A manual clock that the server reads too."""

    def __init__(self, server: redis.Redis | None, start: float = START) -> None:
        self._server = server
        self._clock = ManualClock(start)
        self.now_us = self._clock.now_us
        self.monotonic_us = self._clock.monotonic_us
        self.sleep = self._clock.sleep
        self._tell()

    @property
    def sleepers(self) -> int:
        """How many tasks sleep by this clock."""
        return len(self._clock._sleepers)

    def advance_us(self, microseconds: int) -> None:
        """Move the clock; the server knows before anybody wakes."""
        if self._server is not None:
            self._server.set(CLOCK_KEY, self._clock.now_us() + microseconds, ex=CLOCK_SECONDS)
        self._clock.advance_us(microseconds)

    def _tell(self) -> None:
        if self._server is not None:
            self._server.set(CLOCK_KEY, self._clock.now_us(), ex=CLOCK_SECONDS)


class Rig:
    """Both faces of a limiter as plain calls."""

    def __init__(self, store: str, face: str, url: str | None, server: redis.Redis | None) -> None:
        self.store_name = store
        self.face = face
        self.server = server
        self.clock = HandClock(server if store == "redis" else None)
        self.logger = RecordingLogger()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._threads = ThreadPoolExecutor(32)
        self.store: MemoryStore | RedisStore
        if store == "memory":
            self.store = MemoryStore(self.clock)
        else:
            assert url is not None
            self.store = RedisStore(
                connect(url),
                self.clock,
                self.logger,
                keyspace=Keyspace("sg"),
                deadline_us=DEADLINE_US,
                script=manual_script(),
            )
        limiter_of: type[Limiter | BlockingLimiter] = Limiter if face == "async" else BlockingLimiter
        # What is to be held here is what the store says, each time.
        self.limiter: Any = limiter_of(clock=self.clock, store=self.store, logger=self.logger, deny_cache_s=0)
        engine = self.limiter.engine if face == "async" else self.limiter._engine
        self._changes = engine.ruling.changes
        if isinstance(self.store, RedisStore):
            self._changes._log = manual_changes(self.store, self.clock)
            # What is heard while the clock is moved would seem to have been long on its way.
            self._changes._begin_or_end = lambda: None

    def close(self) -> None:
        """Close the limiter and what runs for it."""
        self._do(self.limiter.aclose if self.face == "async" else self.limiter.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._threads.shutdown()

    # The verbs.

    def acquire(self, limit: Limit, key: Any = "key", cost: Any = 1) -> Decision:
        """Acquire."""
        return self._do(self.limiter.acquire, limit, key, cost)

    def acquire_all(self, limits: Any) -> JointDecision:
        """Acquire of several, all or nothing."""
        return self._do(self.limiter.acquire_all, limits)

    def acquire_many(self, limits: Any) -> tuple[Decision, ...]:
        """Acquire of several, each for itself."""
        return self._do(self.limiter.acquire_many, limits)

    def wait(self, limit: Limit, key: Any = "key", cost: Any = 1, *, timeout: Any) -> Decision:
        """Wait."""
        return self._do(self.limiter.wait, limit, key, cost, timeout=timeout)

    def peek(self, limit: Limit, key: Any = "key", cost: Any = 1) -> Decision:
        """Peek."""
        return self._do(self.limiter.peek, limit, key, cost)

    def reset(self, limit: Limit, key: Any = "key") -> bool:
        """Reset."""
        return self._do(self.limiter.reset, limit, key)

    def refund(self, decision: Any) -> int:
        """Refund."""
        return self._do(self.limiter.refund, decision)

    def ban(self, keys: Any = "key", **how: Any) -> Any:
        """Ban."""
        return self._do(self.limiter.bans.add, keys, **how)

    def lift(self, keys: Any = "key", **how: Any) -> Any:
        """Lift bans."""
        return self._do(self.limiter.bans.lift, keys, **how)

    def bans(self, **how: Any) -> Any:
        """List bans."""
        return self._do(self.limiter.bans.in_force, **how)

    def override(self, limit: Limit, rate: Any, key: Any = "key", **how: Any) -> Any:
        """Give another rate."""
        return self._do(self.limiter.overrides.set, limit, key, rate, **how)

    def drop(self, limit: Limit, key: Any = "key") -> Any:
        """Take another rate away."""
        return self._do(self.limiter.overrides.drop, limit, key)

    def overrides(self, **how: Any) -> Any:
        """List overrides."""
        return self._do(self.limiter.overrides.in_force, **how)

    @contextmanager
    def hold(self, limit: Limit, key: Any = "key") -> Iterator[Any]:
        """Hold while the context lasts."""
        hold = self.limiter.hold(limit, key)
        if self.face == "sync":
            with hold as held:
                yield held
            return
        self._run(hold.__aenter__())
        try:
            yield hold
        finally:
            self._run(hold.__aexit__(None, None, None))

    def decorated(self, limit: Limit, key: Any = "key", cost: Any = 1) -> Callable[..., Any]:
        """Decorate a function that returns its arguments, as this face can."""
        decorate = self.limiter.limit(limit, key=key, cost=cost)
        if self.face == "sync":

            @decorate
            def plain(*args: Any) -> Any:
                return args

            return plain  # type: ignore[no-any-return] # a decorator keeps its function's type

        @decorate
        async def awaited(*args: Any) -> Any:
            return args

        return lambda *args: self._run(awaited(*args))

    def ask(self, request: Request) -> Reply:
        """Ask the store itself, as a holder that is never renewed would."""
        return self._run(self.limiter.engine.ask(request)) if self.face == "async" else self.limiter._asked(request)  # type: ignore[no-any-return] # both return it

    # What goes on beside the verbs.

    def contents(self) -> dict[str, object]:
        """Return all that the store keeps, in a form that can be compared."""
        if self.server is not None:
            return {key.decode(): self.server.dump(key) for key in sorted(self._keys())}
        records = [item for shard in self.store.shards for item in shard.records.items()]  # type: ignore[union-attr] # the memory store's
        return {name: repr_of(record) for name, record in records}

    def expiries_us(self) -> dict[str, int]:
        """Return how long the store will keep each key; -1 stands for ever."""
        if self.server is not None:
            left_ms = {key.decode(): self.server.pttl(key) for key in self._keys()}
            return {key: left * 1000 if left >= 0 else -1 for key, left in left_ms.items()}
        records = [item for shard in self.store.shards for item in shard.records.items()]  # type: ignore[union-attr] # the memory store's
        return {name: expiry_of(record) - self.clock.now_us() for name, record in records}

    def script_runs(self) -> tuple[int, int]:
        """Return how often the server ran the script, and how often it only read."""
        assert self.server is not None
        stats: Any = self.server.info("commandstats")
        return tuple(stats.get(name, {}).get("calls", 0) for name in ("cmdstat_evalsha", "cmdstat_evalsha_ro"))  # type: ignore[return-value] # two of them

    def begin_wait(self, limit: Limit, key: str = "key", cost: int = 1, *, timeout: float) -> Future[Decision]:
        """Begin to wait, and come back when the waiter stands in line."""
        before = self.clock.sleepers
        waiter = self._begin(self.limiter.wait, limit, key, cost, timeout=timeout)
        self.until(lambda: waiter.done() or self.clock.sleepers > before)
        self.settle()
        return waiter

    def advance(self, seconds: float) -> None:
        """Move the clock, and come back when everybody who woke has done what there was to do."""
        self.advance_us(round(seconds * 1_000_000))

    def advance_us(self, microseconds: int) -> None:
        """Move the clock by whole microseconds; see `advance`."""
        self.settle()  # who is about to sleep must not count the step into its sleep
        self.clock.advance_us(microseconds)
        self.settle()

    def settle(self) -> None:
        """Come back when nobody on the limiter's loop has anything to do but sleep."""
        loop = self._loop if self.face == "async" else self.limiter._background.loop()
        asyncio.run_coroutine_threadsafe(self._settled(), loop).result(CALL_SECONDS_MAX)

    async def _settled(self) -> None:
        batcher = getattr(self.store, "_batcher", None)
        quiet = 0
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            busy = batcher is not None and (batcher._queue or batcher._workers or batcher._starting)
            busy = busy or self._changes._posted or self._changes._sending
            quiet = 0 if busy else quiet + 1

    def until(self, what: Callable[[], bool]) -> None:
        """Wait for something that other threads bring about."""
        deadline = time.monotonic() + CALL_SECONDS_MAX
        while not what():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.0005)

    def _keys(self) -> list[bytes]:
        assert self.server is not None
        return [key for key in self.server.scan_iter(count=1000) if key != CLOCK_KEY.encode()]

    def _do(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._begin(verb, *args, **kwargs).result(CALL_SECONDS_MAX)

    def _begin(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        if self.face == "sync":
            return self._threads.submit(verb, *args, **kwargs)
        return asyncio.run_coroutine_threadsafe(verb(*args, **kwargs), self._loop)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_SECONDS_MAX)
