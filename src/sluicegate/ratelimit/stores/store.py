"""The port between the limiter and where state lives, and the words that pass through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Sequence

    from sluicegate.ratelimit.decision import Decision
    from sluicegate.ratelimit.limit import Limit

__all__ = [
    "ACQUIRE",
    "APART_ACCEPTED",
    "IN_TURN",
    "PEEK",
    "REFUND",
    "RELEASE",
    "RENEW",
    "RESET",
    "TAKE",
    "DistantStore",
    "InstantStore",
    "Member",
    "Promise",
    "Reply",
    "Request",
    "Store",
]

# What is asked, as decide.lua numbers it.
ACQUIRE: Final = 0
PEEK: Final = 1
RESET: Final = 2
REFUND: Final = 3
TAKE: Final = 4
RENEW: Final = 5
RELEASE: Final = 6
IN_TURN: Final = 7  # an acquire that is answered once for each that asks alike

APART_ACCEPTED: Final = (
    "limits of one group, such as group=1 where the keys of users begin with their tenant's, "
    "or a leased limit for what all tenants share"
)

Member = tuple["Limit", str, int]  # limit, key, cost


class Request(NamedTuple):
    """What is asked of a store at once: all or nothing where there are several members.

    Attributes:
        verb: What is to be done.
        members: Limit, key and cost of each.
        detail: For a refund (decided_at_us, reset_at_us, serial); for a hold its holder.
        times: For an acquire of one limit: as many times it is asked at once, for one reply whose first answer says
            how many were granted.
    """

    verb: int
    members: tuple[Member, ...]
    detail: tuple[int, int, int] | str | None = None
    times: int = 1


class Reply(NamedTuple):
    """A store's answer.

    Attributes:
        now_us: The store's time of the decision.
        serial: Tells it from others at the same microsecond.
        answers: For each member granted, remaining, retry_after_us, reset_after_us, one after the other.
        sent_us: This process's monotonic time from before the request left; 0 where it never left.
    """

    now_us: int
    serial: int
    answers: Sequence[int]
    sent_us: int = 0


class Promise(Protocol):
    """Where a reply is delivered: an asyncio future, or what a thread waits on."""

    def done(self) -> bool:
        """Say whether nobody waits any more, or it was delivered already."""
        ...

    def set_result(self, result: Reply, /) -> None:
        """Deliver the reply."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Deliver the failure."""
        ...


class _Kept(Protocol):
    """What every store has.

    Attributes:
        source: What decisions call it.
    """

    source: str

    async def start(self) -> None:
        """Get ready, within the connect time-out; a store that is away raises `StoreError`."""
        ...

    async def aclose(self) -> None:
        """Give up what is held; afterwards the store answers nothing."""
        ...

    def after_fork(self) -> None:
        """Become usable in a forked child, sharing nothing with its parent."""
        ...


class InstantStore(_Kept, Protocol):
    """A store that decides in the caller's thread, at once; anyone may implement it."""

    at_once: Literal[True]

    def acquire_one(self, limit: Limit, key: str, cost: int) -> Decision | None:
        """Decide for one limit, the common case without the wrapping of a request.

        Args:
            limit: A limit that is no concurrency.
            key: A text, which is checked unless it is remembered, for then it was.
            cost: A checked cost.

        Returns:
            The decision; ``None`` when it is not the common case: then `ask_now`.

        Raises:
            InvalidInputError: The key is refused.
        """
        ...

    def ask_now(self, request: Request) -> Reply:
        """Decide."""
        ...


class DistantStore(_Kept, Protocol):
    """A store whose answers have to be awaited; anyone may implement it.

    One that belongs to an event loop may have a `check_loop`, which raises `LimiterClosedError` on another: it is
    called before anything is given up for its closing. One that cannot decide everything together may have a `place`,
    which returns for a limit and a key a whole number: together go those of one place.
    """

    at_once: Literal[False]

    def ask(self, request: Request, promise: Promise, loop: AbstractEventLoop) -> None:
        """Decide, and deliver the reply or a `StoreError` to *promise* within the deadline.

        Called on *loop*, the running event loop, which the caller has at hand: asking for it costs a system call.
        """
        ...


Store = InstantStore | DistantStore
