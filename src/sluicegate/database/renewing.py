"""Looks something up for many who want it at once: one look at a time, and not one after the other without a pause."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from sluicegate.database.connections import awaited

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Renewing"]

URGENT_PAUSE_S = 0.02  # between looks that a call waits for, while a failover is under way


class Renewing:
    """One look-up, shared by all who want it.

    Args:
        look: Looks, and keeps what it finds; what it raises reaches those who wait.
        pause_s: Seconds between looks that nobody waits for.
    """

    def __init__(self, look: Callable[[], Awaitable[None]], *, pause_s: float) -> None:
        self._look = look
        self._pause_s = pause_s
        self._task: asyncio.Task[None] | None = None
        self._looked_at_s = float("-inf")

    async def now(self) -> None:
        """Come back when a look has ended that began after the last one that is too long ago to count."""
        await awaited(self._started(URGENT_PAUSE_S))

    def soon(self) -> None:
        """Look, unless that was done just now; nobody waits for it."""
        loop = asyncio.get_running_loop()
        pause_s = self._pause_s * random.uniform(0.75, 1.25)  # noqa: S311 - so that a fleet does not look at once; no secret
        if loop.time() - self._looked_at_s >= pause_s:
            self._started(0.0)

    def cancel(self) -> None:
        """End a look that is under way."""
        if self._task is not None:
            self._task.cancel()

    def after_fork(self) -> None:
        """Forget the parent's."""
        self._task = None
        self._looked_at_s = float("-inf")

    def _started(self, pause_s: float) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        task = self._task
        if task is None or task.done() or task.get_loop() is not loop:
            wait_s = max(0.0, self._looked_at_s + pause_s - loop.time())
            task = self._task = loop.create_task(self._run(wait_s))
            task.add_done_callback(_hear)
        return task

    async def _run(self, wait_s: float) -> None:
        if wait_s:
            await asyncio.sleep(wait_s)
        self._looked_at_s = asyncio.get_running_loop().time()
        await self._look()


def _hear(task: asyncio.Task[None]) -> None:
    """Hear how it ended, for nobody may wait for it any more."""
    if not task.cancelled():
        task.exception()
