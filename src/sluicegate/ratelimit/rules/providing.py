"""Limits that the application looks up for each customer, remembered so that requests seldom wait for it.

What was answered is good for a while. Then it is still used while it is asked for anew, and used on when that fails.
Many requests that wait for one answer ask once; an answer of nothing is an answer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sluicegate.monitoring import StandardLogger
from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.rules.model import shares_state
from sluicegate.utils import InvalidInputError, SystemClock, checked_seconds, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sluicegate.monitoring import Logger
    from sluicegate.utils import Clock

__all__ = ["LimitProvider", "ProvidedLimits"]

KEYS_MAX = 10_000  # answers remembered, about 3 MB
KEYS_MOST = 1_000_000
ASKING_MAX = 1_000  # questions under way; beyond, the provider is what has to be spared
RETRY_S = 1.0  # after a failure, until the same is asked again
SECONDS_MAX = 86_400.0
_QUIET_US = 10_000_000  # between lines about a provider that fails: there may be thousands of customers


class LimitProvider(Protocol):
    """Knows the limits of each customer; anyone may implement it."""

    async def limit(self, name: str, descriptors: Mapping[str, str]) -> Limit | None:
        """Return the limit that takes the place of the one in the file, or ``None`` where that one holds.

        Args:
            name: The limit's name, which the one that is returned must have, too.
            descriptors: What the rule says that it depends on, such as ``{"tenant": "acme"}``.
        """
        ...


class _Known(NamedTuple):
    answer: Limit | None
    fresh_until_us: int
    usable_until_us: int


class ProvidedLimits:
    """The answers of a provider, remembered.

    Args:
        provider: Who knows the limits.
        keys_max: The most answers to remember, 1 to 1,000,000; those that were used least recently are forgotten.
            Default 10,000.
        fresh_s: Seconds for which an answer is good, 0.1 to 86,400. Default 60.
        stale_s: Seconds for which an older one is used while there is no newer, 0 to 86,400. Default 3,600.
        timeout_s: Seconds for which an answer is waited for, 0.01 to 86,400. Default 1.
        clock: Tells how old answers are. Default: the machine's.
        logger: Told when the provider fails. Default: the standard library's logger ``sluicegate``.

    Raises:
        InvalidInputError: A value is refused.
    """

    def __init__(
        self,
        provider: LimitProvider,
        *,
        keys_max: int = KEYS_MAX,
        fresh_s: float = 60.0,
        stale_s: float = 3_600.0,
        timeout_s: float = 1.0,
        clock: Clock | None = None,
        logger: Logger | None = None,
    ) -> None:
        if type(keys_max) is not int or not 1 <= keys_max <= KEYS_MOST:
            raise InvalidInputError("keys_max", shape_of(keys_max), f"a whole number from 1 to {KEYS_MOST:,}")
        self._fresh_us = round(checked_seconds(fresh_s, "fresh_s", at_least=0.1, at_most=SECONDS_MAX) * 1_000_000)
        self._stale_us = round(checked_seconds(stale_s, "stale_s", at_least=0, at_most=SECONDS_MAX) * 1_000_000)
        self._timeout_s = checked_seconds(timeout_s, "timeout_s", at_least=0.01, at_most=SECONDS_MAX)
        self._provider = provider
        self._keys_max = keys_max
        self._clock = clock or SystemClock()
        self._logger = logger or StandardLogger()
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._quiet_until_us = 0

    def known(self, limit: Limit, key: str, descriptors: Mapping[str, str]) -> tuple[Limit, bool]:
        """Return what holds in the place of *limit* as far as it is known, and whether that has to be asked first.

        Args:
            limit: The limit of the file.
            key: Tells apart what the descriptors can be.
            descriptors: What the provider is asked with, where it is time to ask anew.
        """
        known = self._known.get((limit.name, key))
        now_us = self._clock.monotonic_us()
        if known is None or now_us >= known.usable_until_us:
            return limit, True
        self._known.move_to_end((limit.name, key))
        if now_us >= known.fresh_until_us:
            self._ask(limit, key, descriptors)
        answer = known.answer
        return (answer if answer is not None and shares_state(answer, limit) else limit), False

    async def learn(self, limit: Limit, key: str, descriptors: Mapping[str, str]) -> None:
        """Wait until it is known, or known that nobody can tell: as long as the time-out, and no exception.

        Cancelling it leaves the question under way, for others may wait for it.
        """
        task = self._ask(limit, key, descriptors)
        if task is not None:
            await asyncio.shield(task)

    def _ask(self, limit: Limit, key: str, descriptors: Mapping[str, str]) -> asyncio.Task[None] | None:
        at = limit.name, key
        task = self._asking.get(at)
        if task is None and len(self._asking) < ASKING_MAX:
            task = self._asking[at] = asyncio.get_running_loop().create_task(self._asked(limit, key, descriptors))
            task.add_done_callback(lambda _: self._asking.pop(at, None))
        return task

    async def _asked(self, limit: Limit, key: str, descriptors: Mapping[str, str]) -> None:
        at = limit.name, key
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = _checked(await self._provider.limit(limit.name, descriptors), limit)
        except Exception as error:  # noqa: BLE001 - whatever fails there, requests are decided here
            self._tell(limit, error)
            before = self._known.get(at)
            now_us = self._clock.monotonic_us()
            retry_us = now_us + round(RETRY_S * 1_000_000)
            if before is not None and now_us < before.usable_until_us:
                known = before._replace(fresh_until_us=retry_us)
            else:
                known = _Known(None, retry_us, retry_us)
        else:
            fresh_until_us = self._clock.monotonic_us() + self._fresh_us
            known = _Known(answer, fresh_until_us, fresh_until_us + self._stale_us)
        self._known[at] = known
        self._known.move_to_end(at)
        if len(self._known) > self._keys_max:
            self._known.popitem(last=False)

    def _tell(self, limit: Limit, error: Exception) -> None:
        now_us = self._clock.monotonic_us()
        if now_us >= self._quiet_until_us:
            self._quiet_until_us = now_us + _QUIET_US
            reason = f"no answer within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else str(error)
            fallback: Final = "what was last known, or the limit of the file"
            self._logger.warning("limits.unprovided", limit=limit.name, error=reason or repr(error), instead=fallback)


def _checked(answer: object, limit: Limit) -> Limit | None:
    if answer is None:
        return None
    if not isinstance(answer, Limit) or answer.name != limit.name or not shares_state(answer, limit):
        accepted = f"None, or a limit named {limit.name!r} that shares the state of {limit}"
        raise InvalidInputError("provided limit", str(answer)[:200], accepted)
    return answer
