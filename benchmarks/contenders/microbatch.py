"""The bare micro-batch loop: the floor of what batching costs, without a deadline, a check or a counter.

All that asks within one turn of the event loop goes into one script call. Without a cap one call is in
flight at most; with one, several of that size are, so that client and server work at the same time.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio
from benchmarks.contenders.target import Target

if TYPE_CHECKING:
    from benchmarks.workload import Wish

SCRIPT = Path(__file__).with_name("gcra_many.lua").read_text("ascii")
KEYS_A_CALL_MAX = 4_000  # more than Lua unpacks is no use
IN_FLIGHT_MAX = 8


def read(answer: tuple[int, int]) -> bool:
    """Read both fields."""
    allowed, _remaining = answer
    return allowed == 1


class MicroBatches:
    """Gathers keys and sends them.

    Args:
        client: Where they go.
        sha1: The script there.
        wish: The limit, and the cap.
    """

    def __init__(self, client: redis.asyncio.Redis, sha1: str, wish: Wish) -> None:
        self._client, self._sha1 = client, sha1
        self._limit = (wish.burst, wish.interval_us)
        self._cap = wish.cap or KEYS_A_CALL_MAX
        self._in_flight_max = IN_FLIGHT_MAX if wish.cap else 1
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[str, asyncio.Future[tuple[int, int]]]] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._turn: asyncio.Handle | None = None

    def decide(self, key: str) -> asyncio.Future[tuple[int, int]]:
        """Put *key* in line and return what its answer will come in."""
        future: asyncio.Future[tuple[int, int]] = self._loop.create_future()
        self._waiting.append((f"gcra:api:{key}", future))
        self._soon()
        return future

    def _soon(self) -> None:
        if self._turn is None and len(self._calls) < self._in_flight_max:
            self._turn = self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._turn = None
        while self._waiting and len(self._calls) < self._in_flight_max:
            batch, self._waiting = self._waiting[: self._cap], self._waiting[self._cap :]
            call = self._loop.create_task(self._ask(batch))
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._waiting:
            self._soon()

    async def _ask(self, batch: list[tuple[str, asyncio.Future[tuple[int, int]]]]) -> None:
        keys = [key for key, _ in batch]
        try:
            flat: list[int] = await self._client.evalsha(self._sha1, len(keys), *keys, *self._limit)
        except Exception as error:  # noqa: BLE001 - each caller is to see it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        answers = iter(flat)
        for (_, future), answer in zip(batch, zip(answers, answers, strict=True), strict=True):
            if not future.done():
                future.set_result(answer)


async def open_async(url: str, wish: Wish) -> Target:
    """Return the loop on a client of its own."""
    client: Any = redis.asyncio.Redis.from_url(url, max_connections=IN_FLIGHT_MAX)
    batches = MicroBatches(client, await client.script_load(SCRIPT), wish)
    return Target(decide=batches.decide, read=read, close=client.aclose)
