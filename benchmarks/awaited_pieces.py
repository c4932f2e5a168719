"""Takes an awaited decision apart: what is left of its cost when the server, or the batch, or the batcher is left out.

128 tasks of one uvloop ask stores that answer by themselves, each store doing one part more than the one before; CPU
time of this process, the least of some runs. What a decision on Redis costs beyond the last of them is what batches
cost: the kernel, the connection, packing and parsing, and the loop of the load itself.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import uvloop
from benchmarks.contenders.sluicegate import limit_of
from benchmarks.workload import Wish, keys_named

from sluicegate import Limiter, NullLogger
from sluicegate.database import Batcher, Keyspace
from sluicegate.ratelimit.stores.calendar_rules import CalendarRules
from sluicegate.ratelimit.stores.store import Reply
from sluicegate.ratelimit.stores.wire import Encoder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["awaited_pieces"]

TASKS = 128
CALLS = 500
RUNS = 7
DEADLINE_US = 5_000_000
ANSWER = [1, 5, 0, 7]


def awaited_pieces() -> dict[str, float]:
    """Return the CPU microseconds of a decision, by how much of the way it goes."""
    pieces: dict[str, float] = uvloop.run(_pieces())
    return pieces


async def _pieces() -> dict[str, float]:
    found = {"waiting for a future, and nothing else": await _least_us(_Promises().waited)}
    for text, store in (
        ("acquire on a store that answers each at the end of the turn", _Answering()),
        ("the same through the batcher", _Batching()),
        ("the same with the batch written and its answer read", _Encoding()),
    ):
        limiter, limit = Limiter(store=store, logger=NullLogger()), limit_of(Wish())
        found[text] = await _least_us(lambda key, asked=limiter, own=limit: asked.acquire(own, key))
        await limiter.aclose()
    return found


async def _least_us(ask: Callable[[str], Awaitable[Any]]) -> float:
    keys = keys_named(10_000)

    async def call(number: int) -> None:
        for key in keys[number * 50 : number * 50 + CALLS]:
            await ask(key)

    least = float("inf")
    for _ in range(RUNS):
        start_ns = time.process_time_ns()
        await asyncio.gather(*[call(number) for number in range(TASKS)])
        least = min(least, time.process_time_ns() - start_ns)
    return least / (TASKS * CALLS) / 1e3


class _Promises:
    """Promises that are all kept at the end of the turn."""

    def __init__(self) -> None:
        self._waiting: list[Any] = []

    def wait(self, promise: Any, loop: asyncio.AbstractEventLoop) -> None:
        if not self._waiting:
            loop.call_soon(self._keep)
        self._waiting.append(promise)

    async def waited(self, _key: str) -> None:
        loop = asyncio.get_running_loop()
        promise = loop.create_future()
        self.wait(promise, loop)
        await promise

    def _keep(self) -> None:
        waiting, self._waiting = self._waiting, []
        for serial, promise in enumerate(waiting):
            promise.set_result(Reply(1, serial, ANSWER, 1))


class _Answering:
    """A store that knows the answer."""

    source = "redis"
    at_once = False

    def __init__(self) -> None:
        self._promises = _Promises()

    def ask(self, _request: Any, promise: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._promises.wait(promise, loop)

    async def start(self) -> None:
        """Nothing has to be got ready."""

    async def aclose(self) -> None:
        """Nothing is open."""

    def after_fork(self) -> None:
        """Nothing is shared."""


class _Batching(_Answering):
    """A store that knows the answers of a batch."""

    def __init__(self) -> None:
        self._batcher: Any = Batcher(self._send, deadline_us=DEADLINE_US)

    def ask(self, request: Any, promise: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._batcher.submit(request, promise, loop)

    async def aclose(self) -> None:
        await self._batcher.aclose()

    async def _send(self, requests: Sequence[Any], _left_us: int) -> list[Any]:
        return [Reply(1, serial, ANSWER, 1) for serial in range(len(requests))]


class _Encoding(_Batching):
    """A store that writes what it would send, and reads what it would be answered."""

    async def _send(self, requests: Sequence[Any], _left_us: int) -> list[Any]:
        encoder = Encoder(Keyspace("sg"), CalendarRules(), 0)
        encoder.encode(requests)
        return encoder.replies([1, 0] + ANSWER * len(requests), requests, 1)
