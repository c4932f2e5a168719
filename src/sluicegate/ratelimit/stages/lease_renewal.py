"""How units are asked for ahead: who has time waits a moment for others, for most of the cost is the call itself."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from sluicegate.ratelimit.stores.store import ACQUIRE, Request
from sluicegate.utils import LimiterClosedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sluicegate.ratelimit.stages.lease import Lease
    from sluicegate.ratelimit.stores.store import Promise, Reply

    Ask = Callable[[Request, Promise, asyncio.AbstractEventLoop], None]
    Post = Callable[[Ask, Request, Promise], None]

__all__ = ["GATHERING_US_MAX", "GATHER_US", "Renewals"]

GATHER_US = 10_000  # for so long one waits for others
GATHERING_US_MAX = 1_000_000  # a gathering that is older has lost its event loop
NEVER_US = -(10**18)

_NO_REQUEST = Request(ACQUIRE, (), None, 1)


class Renewals:
    """Asks for parcels; any thread may want them, and one event loop asks.

    Args:
        sleep: Waits by the limiter's clock.
        ask: Asks the store without waiting, on the loop.
        filled: Told what a lease was granted.
        failed: Told why it was granted nothing.

    Attributes:
        post: Has a request asked on the loop, from any thread; set by who knows the loop.
    """

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]],
        ask: Ask,
        *,
        filled: Callable[[Lease, Reply], None],
        failed: Callable[[Lease, BaseException], None],
    ) -> None:
        self._sleep = sleep
        self._ask = ask
        self.filled = filled
        self.failed = failed
        self.post: Post
        self.clear()

    def clear(self) -> None:
        """Forget what is gathered."""
        self._gathered: deque[Lease] = deque()
        self._since_us = NEVER_US
        self._gatherer: asyncio.Task[None] | None = None
        self._closed = False

    def ask(self, lease: Lease) -> None:
        """Ask now for what *lease* wants, if that was not done already."""
        with lease.lock:
            request, lease.renewal = lease.renewal, None
        if request is not None:
            try:
                self.post(self._ask, request, _Renewal(self, lease))
            except (StoreError, LimiterClosedError) as error:
                self.failed(lease, error)

    def ask_soon(self, lease: Lease, now_us: int) -> None:
        """Ask for what *lease* wants together with what others want within a few milliseconds."""
        self._gathered.append(lease)
        if now_us - self._since_us > GATHERING_US_MAX:
            self._since_us = now_us
            try:
                self.post(self._gather, _NO_REQUEST, _Renewal(self, lease))
            except LimiterClosedError as error:
                self.failed(lease, error)

    def close(self) -> None:
        """Ask for nothing any more; runs on the loop."""
        self._closed = True
        gatherer = self._gatherer
        if gatherer is not None and gatherer.get_loop() is asyncio.get_running_loop():
            gatherer.cancel()
        while self._gathered:
            lease = self._gathered.popleft()
            if lease.renewal is not None:
                self.failed(lease, LimiterClosedError("the limiter was closed"))

    def _gather(self, _request: Request, _promise: Promise, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to wait for others; runs on the loop."""
        if self._closed:
            self.close()
        else:
            self._gatherer = loop.create_task(self._ask_gathered())

    async def _ask_gathered(self) -> None:
        await self._sleep(GATHER_US / 1_000_000)
        self._since_us = NEVER_US  # before looking, so that nobody is left behind unseen
        while self._gathered:
            self.ask(self._gathered.popleft())


class _Renewal:
    """Where the reply to a wish is delivered."""

    __slots__ = ("_lease", "_renewals")

    def __init__(self, renewals: Renewals, lease: Lease) -> None:
        self._renewals = renewals
        self._lease = lease

    def done(self) -> bool:
        return False

    def set_result(self, result: Reply, /) -> None:
        self._renewals.filled(self._lease, result)

    def set_exception(self, exception: BaseException, /) -> None:
        self._renewals.failed(self._lease, exception)
