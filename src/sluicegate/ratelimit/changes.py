"""The one channel by which a fleet is told what changes while it runs: bans and overrides, and whatever comes to be.

Who listens waits at the server for the next change, so it hears of one within milliseconds and costs next to nothing
meanwhile; who does not listen sends nothing. What is known stays as it is while the server is away, until it ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

from sluicegate.ratelimit.stores.memory_changes import MemoryChanges
from sluicegate.utils import LimiterClosedError, SluicegateError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.stores.change_log import ChangeLog, Edit, Entry

    Listener = Callable[[Sequence[Entry], Collection[str] | None], None]

__all__ = ["Changes"]

POSTED_MAX = 1_000  # changes that nobody waits for, on their way: more come only when the server is away
GATHER_S = 0.05  # between two reads, and two writes that nobody waits for: thousands of bans must not be as many calls
UNSENT_S = (
    1.0  # after writing that failed: a server that is full or away is not to be asked as often, nor the log filled
)
TOLD_AT_ONCE = 250  # a millisecond or two of the event loop, on which decisions wait
PAUSES_S = (0.05, 0.25, 1.0)  # after a failure: a dropped connection costs nothing, an absent server a try a second
AWAY_AFTER = 2  # failures in a row, of which the log is told
POLLED_AFTER = 10  # waits in a row that ended too soon: then it asks once a second, and the log says why


class Changes:
    """What one limiter tells its fleet and is told by it.

    Args:
        log: Where changes are kept.
        logger: Told when the fleet cannot be heard any more, and when it is heard again.
    """

    def __init__(self, log: ChangeLog, logger: Logger) -> None:
        self._log = log
        self._logger = logger
        self._listeners: dict[str, Listener] = {}
        self._on = False
        self._used = False
        self._closed = False
        self._failures = 0
        self._interrupted = 0  # waits in a row that ended with the connection, or are not allowed
        self.after_fork()

    def after_fork(self) -> None:
        """Share no task, loop or lock with the parent; what it knew is known here, too."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # what is read and written is told in its order
        self._told_in_order = Lock()  # in this process alone, where no loop is needed
        self._posted: deque[Edit] = deque()
        self._log.after_fork()

    def listen(self, kind: str, listener: Listener) -> None:
        """Have *listener* told of entries of one *kind*, and of the names of all where others are no more."""
        self._listeners[kind] = listener

    @property
    def is_shared(self) -> bool:
        """Whether there is a fleet, and not this process alone."""
        return not isinstance(self._log, MemoryChanges)

    @property
    def is_listening(self) -> bool:
        """Whether this process hears of what others change, or is to from its next request on."""
        return self.is_shared and (self._on or self._used) and not self._closed

    @property
    def is_away(self) -> bool:
        """Whether what others change cannot be heard of now."""
        return self.is_listening and self._failures >= AWAY_AFTER

    def switch(self, *, on: bool) -> None:
        """Listen from now on, or no more unless something was changed here; any thread may call it."""
        self._on = on
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended; the next one begins with this
                self._loop.call_soon_threadsafe(self._begin_or_end)

    def bound(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to *loop*, which runs, and listen there if that is wanted."""
        if loop is not self._loop:
            self._loop, self._task, self._sending, self._turn = loop, None, None, asyncio.Lock()
        self._begin_or_end()

    async def write(self, edits: Sequence[Edit]) -> list[tuple[bool, Entry]]:
        """Make changes, all or none: in force here when it comes back, and elsewhere within a second.

        Returns:
            For each whether it was one, and what there is now.

        Raises:
            StoreOverloadedError: There is no room for so many.
            StoreError: Nobody knows whether they were made.
            LimiterClosedError: The limiter is closed.
        """
        self._check_open()
        if isinstance(self._log, MemoryChanges):
            return self._written_now(self._log, edits)
        async with self._turn:
            written = await self._log.write(edits)
            await self._tell([entry for _, entry in written])
        if not self._used:
            self._used = True
            self._begin_or_end()
        return written

    def post(self, edit: Edit) -> None:
        """Make a change that nobody waits for; any thread may call it, and it may be lost with the server."""
        if isinstance(self._log, MemoryChanges):
            with suppress(StoreError):  # there is no room: it is no change then
                self._written_now(self._log, (edit,))
            return
        loop = self._loop
        if loop is None or self._closed or len(self._posted) >= POSTED_MAX:
            return
        self._posted.append(edit)
        with suppress(RuntimeError):  # it has ended
            loop.call_soon_threadsafe(self._send)

    async def refresh(self, *, whole: bool = False) -> None:
        """Read what others have changed, or all anew.

        Raises:
            StoreError: There is no answer.
            LimiterClosedError: The limiter is closed.
        """
        self._check_open()
        async with self._turn:
            news = await self._log.read(whole=whole)
            if news is not None:
                await self._tell(news.entries, is_whole=news.is_whole)
                self._log.heard(news)

    async def start(self) -> None:
        """Know what there is before the first request, where that is wanted; who listens tells if that fails."""
        if self.is_listening:
            with suppress(StoreError):
                await self.refresh()

    async def aclose(self) -> None:
        """Listen no more, and send what is on its way no further."""
        self._closed = True
        loop = asyncio.get_running_loop()
        tasks = [task for task in (self._task, self._sending) if task is not None and task.get_loop() is loop]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._task = self._sending = None

    def _check_open(self) -> None:
        if self._closed:
            raise LimiterClosedError("the limiter is closed")

    def _written_now(self, log: MemoryChanges, edits: Sequence[Edit]) -> list[tuple[bool, Entry]]:
        with self._told_in_order:  # what one thread writes is told before what another writes next
            written = log.write_now(edits)
            for _, entry in written:
                self._listeners[_kind_of(entry.name)]((entry,), None)
            return written

    async def _tell(self, entries: Sequence[Entry], *, is_whole: bool = False) -> None:
        """Tell who listens, in parts, so that decisions get their turn between them."""
        for kind, listener in self._listeners.items():
            own = [entry for entry in entries if _kind_of(entry.name) == kind]
            if is_whole:
                listener((), {entry.name for entry in own})
            for first in range(0, len(own), TOLD_AT_ONCE):
                listener(own[first : first + TOLD_AT_ONCE], None)
                await asyncio.sleep(0)

    def _begin_or_end(self) -> None:
        """Have the task running if it is to; called on the loop."""
        loop, task = self._loop, self._task
        is_running = task is not None and not task.done()
        if self.is_listening and not is_running and loop is not None:
            self._task = loop.create_task(self._listen())
        elif is_running and task is not None and not self.is_listening:
            task.cancel()
            self._task = None  # so that another can begin before it has ended

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asked_s = loop.time()
            try:
                await self.refresh()
                self._note_heard()
            except LimiterClosedError:
                return
            except StoreError as error:
                self._note_unheard(error)
                await asyncio.sleep(PAUSES_S[min(self._failures, len(PAUSES_S)) - 1])
                continue
            try:
                await self._log.wait()
                await asyncio.sleep(max(0.0, asked_s + GATHER_S - loop.time()))
                self._interrupted = 0
            except LimiterClosedError:
                return
            except StoreError as error:
                self._interrupted += 1
                if self._interrupted == POLLED_AFTER:
                    self._logger.warning("changes.polled", error=str(error))
                await asyncio.sleep(PAUSES_S[min(self._interrupted, len(PAUSES_S)) - 1])

    def _note_heard(self) -> None:
        if self._failures >= AWAY_AFTER:
            self._logger.info("changes.back")
        self._failures = 0

    def _note_unheard(self, error: StoreError) -> None:
        self._failures += 1
        if self._failures == AWAY_AFTER:
            self._logger.warning("changes.away", error=str(error), known="stays in force until it ends")

    def _send(self) -> None:
        """See that what was posted is written, together what comes together; called on the loop."""
        if self._sending is None and self._posted and not self._closed and self._loop is not None:
            self._sending = self._loop.create_task(self._send_posted())

    async def _send_posted(self) -> None:
        try:
            while self._posted:
                edits = [self._posted.popleft() for _ in range(len(self._posted))]
                pause_s = GATHER_S
                try:
                    await self.write(edits)
                except SluicegateError as error:  # it is in force here, and nowhere else
                    self._logger.warning("changes.unsent", changes=len(edits), error=str(error))
                    pause_s = UNSENT_S
                await asyncio.sleep(pause_s)
        finally:
            self._sending = None


def _kind_of(name: str) -> str:
    return name.partition(":")[0]
