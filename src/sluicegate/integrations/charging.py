"""Charges a request by its response: it is looked at before, and counted when the status is one that counts.

The charge is taken before the response's first message goes out, so a client that hangs up is charged as one that
listens, and whoever was refused finds it counted when they come again.
"""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from sluicegate.ratelimit import Decision, Limiter
    from sluicegate.ratelimit.rules import Charge

    Message = MutableMapping[str, Any]
    Send = Callable[[Message], Awaitable[None]]

__all__ = ["FAILED", "Charging"]

FAILED = 500  # what a server answers for an application that raises, or returns without a response
_STATUSES: Final = MappingProxyType({"websocket.accept": 101, "websocket.close": 403})  # these have none of their own


class Charging:
    """The charges that one request may come to.

    Args:
        limiter: What decides.
        charges: What may be charged.
        taken: Where the decisions of charges are noted.
    """

    __slots__ = ("_charges", "_is_settled", "_limiter", "_taken")

    def __init__(self, limiter: Limiter, charges: Sequence[Charge], taken: list[Decision]) -> None:
        self._limiter = limiter
        self._charges = charges
        self._taken = taken
        self._is_settled = False

    async def denials(self) -> list[Decision]:
        """Return the decisions that are against serving the request, of which nothing is taken.

        They are counted like those of any other request: who goes on after so many failures is to be banned, too.
        """
        peeks = (self._limiter.peek(charge.limit, charge.key, charge.cost) for charge in self._charges)
        denials = tuple(decision for decision in await asyncio.gather(*peeks) if not decision.allowed)
        return list(self._limiter.engine.counted(denials))

    async def settle(self, status: int) -> None:
        """Charge what a response of *status* comes to, once; what cannot be had any more is not charged."""
        if self._is_settled:
            return
        self._is_settled = True
        for charge in self._charges:
            if status in charge.statuses:
                self._taken.append(await self._limiter.acquire(charge.limit, charge.key, charge.cost))

    def charging(self, send: Send) -> Send:
        """Return a *send* that settles before the response begins."""

        async def send_charged(message: Message) -> None:
            kind = message["type"]
            if not self._is_settled and (kind.endswith(".response.start") or kind in _STATUSES):
                await self.settle(message.get("status") or _STATUSES[kind])
            await send(message)

        return send_charged
