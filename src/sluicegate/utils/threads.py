"""Has a thread work beside an event loop that never rests."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_thread"]

CEDING_EVERY_S = 0.01  # while a thread works, and the event loop is busy
CEDED_S = 0.0002  # several times what a thread takes to wake up; then it runs for a switch interval, five milliseconds

Result = TypeVar("Result")


async def in_thread(function: Callable[..., Result], *args: object) -> Result:
    """Call *function* in a thread, which gets on also where the event loop never rests.

    A loop that always has something to do gives up the interpreter only for the microsecond in which it asks for
    events. A thread that waits for the interpreter is woken by that, comes too late, and begins to wait anew, so that
    it may get nothing for minutes. So the loop rests now and then.
    """
    running = asyncio.get_running_loop().run_in_executor(None, function, *args)
    while not (await asyncio.wait({running}, timeout=CEDING_EVERY_S))[0]:
        time.sleep(CEDED_S)  # noqa: ASYNC251 - the loop is to stand still
    return running.result()
