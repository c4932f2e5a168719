"""One event loop in a thread of its own, where what any number of threads ask meets in the same batches."""

from __future__ import annotations

import asyncio
import concurrent.futures
import selectors
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sluicegate.utils import LimiterClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sluicegate.ratelimit.stores.store import Promise, Reply, Request

    Ask = Callable[[Request, Promise, asyncio.AbstractEventLoop], None]

__all__ = ["Background"]

Result = TypeVar("Result")


class Background:
    """The loop and its thread, started when first needed.

    Whoever asks while it is being stopped is answered too: with `LimiterClosedError`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._inbox: deque[tuple[Ask, Request, Promise]] = deque()
        self._woken = False
        self._stopped = False

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs.

        Raises:
            LimiterClosedError: It was stopped.
        """
        loop = self._loop
        if loop is None or self._stopped:
            with self._lock:
                return self._started()
        return loop

    def ask(self, ask: Ask, request: Request) -> Reply:
        """Hand *request* to a store's *ask* on the loop, and wait for the reply.

        Raises:
            StoreError: The store gave none.
            LimiterClosedError: The loop was stopped.
        """
        waiter = _Waiter()
        self.post(ask, request, waiter)
        return waiter.wait()

    def post(self, ask: Ask, request: Request, promise: Promise) -> None:
        """Hand *request* to a store's *ask* on the loop, and do not wait.

        Raises:
            LimiterClosedError: The loop was stopped.
        """
        loop = self.loop()
        self._inbox.append((ask, request, promise))
        if self._stopped:
            self._send_away()  # the box may have been emptied for the last time just before
        elif not self._woken:
            # One wake-up serves everything that is in the box when the loop comes to it.
            self._woken = True
            with suppress(RuntimeError):  # closed just now: who stops it empties the box
                loop.call_soon_threadsafe(self._drain, loop)

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run *coroutine* on the loop and wait for it; when the wait is interrupted it is cancelled.

        Raises:
            LimiterClosedError: The loop was stopped.
        """
        try:
            with self._lock:  # so that nothing is handed in after the last that is cancelled
                future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        except LimiterClosedError:
            coroutine.close()
            raise
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise LimiterClosedError("the limiter was closed") from None
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancel what runs, answer everybody who waits, and end the thread."""
        with self._lock:
            self._stopped = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        with suppress(RuntimeError):  # stopped already
            loop.call_soon_threadsafe(loop.stop)
        thread.join()
        self._send_away()

    def after_fork(self) -> None:
        """Close what a forked child has of its parent's loop: the sockets that wake it, and its selector.

        What uvloop has cannot be reached; it is never touched again.
        """
        for name in ("_ssock", "_csock", "_selector"):
            inherited = getattr(self._loop, name, None)  # asyncio has no public way to let go of a running loop
            if inherited is not None:
                inherited.close()
        if self._loop is not None:  # transports that are collected later ask for one, and a closed one raises
            setattr(self._loop, "_selector", selectors.SelectSelector())  # noqa: B010 - as above

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._stopped:
            raise LimiterClosedError("the limiter is closed")
        if self._loop is None:
            self._loop = _new_loop()
            self._thread = threading.Thread(target=_serve, args=[self._loop], name="sluicegate", daemon=True)
            self._thread.start()
        return self._loop

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        self._woken = False  # before looking, so that nobody is left in the box unseen
        inbox = self._inbox
        while inbox:
            ask, request, promise = inbox.popleft()
            try:
                ask(request, promise, loop)
            except Exception as error:  # noqa: BLE001 - it is the caller's
                promise.set_exception(error)

    def _send_away(self) -> None:
        with suppress(IndexError):  # several threads may empty it
            while True:
                self._inbox.popleft()[2].set_exception(LimiterClosedError("the limiter was closed"))


class _Waiter:
    """What one thread waits on: a lock that is released when the reply is there."""

    __slots__ = ("_lock", "_outcome")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._outcome: Reply | BaseException | None = None

    def done(self) -> bool:
        return self._outcome is not None

    def set_result(self, result: Reply, /) -> None:
        self._outcome = result
        self._lock.release()

    def set_exception(self, exception: BaseException, /) -> None:
        self._outcome = exception
        self._lock.release()

    def wait(self) -> Reply:
        self._lock.acquire()
        outcome = self._outcome
        if isinstance(outcome, BaseException):
            # A batch that fails has one error for all: without this it would collect their tracebacks.
            raise outcome.with_traceback(None)
        assert outcome is not None
        return outcome


def _new_loop() -> asyncio.AbstractEventLoop:
    """Make the loop; uvloop's where it is installed, for it takes a third off what a lone thread pays."""
    try:
        import uvloop  # noqa: PLC0415 - asked for when the first loop is needed
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run *loop* until it is stopped, then end what still runs on it."""
    try:
        loop.run_forever()
        loop.run_until_complete(_cancel_the_rest())
    finally:
        loop.close()


async def _cancel_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest)
