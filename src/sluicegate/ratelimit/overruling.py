"""The verbs of bans and overrides: who is denied whatever their rate, and who has a rate of their own, from now on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from sluicegate.ratelimit.ban_rule import BAN_SECONDS_MAX, BAN_SECONDS_MIN
from sluicegate.ratelimit.bans import (
    BAN,
    OVERRIDE,
    Ban,
    Override,
    ban_edit,
    ban_name,
    ban_of,
    override_edit,
    override_name,
    override_of,
)
from sluicegate.ratelimit.limit import Limit
from sluicegate.ratelimit.stores.change_log import ENDLESS, ENTRIES_MAX, Edit
from sluicegate.utils import InvalidInputError, checked_key, checked_seconds, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sluicegate.ratelimit.rate import Rate
    from sluicegate.ratelimit.ruling import Ruling
    from sluicegate.ratelimit.stores.change_log import Entry

    Keys = str | Sequence[str]
    AnyRate = str | int | Rate | Sequence[Rate]

__all__ = ["KEYS_AT_ONCE_MAX", "Bans", "BlockingBans", "BlockingRateOverrides", "RateOverrides"]

KEYS_AT_ONCE_MAX = 1_000  # in one call: what a server writes within a few milliseconds
REASON_LENGTH_MAX = 200  # a line; every process keeps it
SHOWN = 1_000  # what is listed when nobody says how many
READ_AT_ONCE = 250  # a millisecond or two of the event loop, on which decisions wait

Result = TypeVar("Result")
Ruled = TypeVar("Ruled", Ban, Override)


class Bans:
    """The bans of a limiter and its fleet: `Limiter.bans`."""

    __slots__ = ("_ruling",)

    def __init__(self, ruling: Ruling) -> None:
        self._ruling = ruling

    async def add(
        self, keys: Keys, *, seconds: float | None = None, reason: str = "", limit: Limit | None = None
    ) -> tuple[Ban, ...]:
        """Ban a key, or several at once: in force here when it comes back, and soon in every process that listens.

        Who is banned already is banned anew, with this end and reason. Whoever is banned is denied without a command to
        the store: the decision says `banned`.

        Args:
            keys: Who is banned: a key, or 1 to 1,000 of them, all or none.
            seconds: For how long, from 0.001 to 31,622,400. Default: until it is lifted.
            reason: Why, in up to 200 printable characters; told by `find` and `in_force`, never to who is banned.
            limit: Under which limit. Default: under all of them.

        Returns:
            A ban for each key.

        Raises:
            StoreOverloadedError: There is no room: 10,000 bans and overrides are in force at most.
            StoreError: The store could not do it, or nobody knows whether it did: call again.
            InvalidInputError: An argument is refused.
        """
        named = _checked_keys(keys)
        life_us = _life_us(seconds)
        if not isinstance(reason, str) or len(reason) > REASON_LENGTH_MAX or not reason.isprintable():
            accepted = f"text of up to {REASON_LENGTH_MAX} printable characters"
            raise InvalidInputError("reason", shape_of(reason), accepted)
        name = _name_of(limit)
        edits = [ban_edit(key, name, life_us=life_us, reason=reason) for key in named]
        return tuple(ban_of(entry) for _, entry in await self._ruling.changes.write(edits))

    async def lift(self, keys: Keys, *, limit: Limit | None = None) -> int:
        """Lift the ban of a key, or of several; what was counted against it begins anew.

        Args:
            keys: Whose: a key, or 1 to 1,000 of them.
            limit: Under which limit. Default: the ban under all limits, and those under single ones.

        Returns:
            How many bans there were.

        Raises:
            StoreError: The store could not do it, or nobody knows whether it did: call again.
            InvalidInputError: An argument is refused.
        """
        named = _checked_keys(keys)
        name = _name_of(limit)
        if limit is None:
            await self._ruling.changes.refresh()
        edits = [
            Edit(ban_name(key, each))
            for key in named
            for each in dict.fromkeys((name, *(self._ruling.overrides.banned(key) if limit is None else ())))
        ]
        lifted = 0
        for first in range(0, len(edits), KEYS_AT_ONCE_MAX):
            written = await self._ruling.changes.write(edits[first : first + KEYS_AT_ONCE_MAX])
            lifted += sum(is_changed for is_changed, _ in written)
        return lifted

    def find(self, key: str, *, limit: Limit | None = None) -> Ban | None:
        """Return the ban of *key* that is in force in this process, as far as it knows.

        Args:
            key: Whose.
            limit: Under this limit, be it banned under it or under all. Default: under all.

        Raises:
            InvalidInputError: An argument is refused.
        """
        entry = self._ruling.overrides.ban(checked_key(key), _name_of(limit) or "")
        return next(iter(_readable([entry], ban_of)), None) if entry is not None else None

    async def in_force(self, *, most: int = SHOWN) -> tuple[Ban, ...]:
        """Return the bans that are in force, read anew, those that end first before the others.

        Args:
            most: How many at most, from 1 to 10,000.

        Raises:
            StoreError: The store does not answer.
            InvalidInputError: An argument is refused.
        """
        return await _in_force(self._ruling, BAN, ban_of, most)


class RateOverrides:
    """The overrides of a limiter and its fleet: `Limiter.overrides`."""

    __slots__ = ("_ruling",)

    def __init__(self, ruling: Ruling) -> None:
        self._ruling = ruling

    async def set(self, limit: Limit, key: str, rate: AnyRate, *, seconds: float | None = None) -> Override:
        """Give *key* another rate: in force here when it comes back, and soon in every process that listens.

        What the key has used is carried over as the limit's ``on_change`` says. All limits of that name have the rate,
        such as those of plans and of other hours.

        Args:
            limit: Of which limit; its algorithm and everything else stay.
            key: Whose rate it is.
            rate: The rate, as for `Limit`.
            seconds: For how long, from 0.001 to 31,622,400. Default: until it is dropped.

        Raises:
            StoreOverloadedError: There is no room: 10,000 bans and overrides are in force at most.
            StoreError: The store could not do it, or nobody knows whether it did: call again.
            InvalidInputError: An argument is refused; the rate, too, where it does not go with the limit.
        """
        _required(limit)
        made = replace(limit, rate=rate)
        text = "; ".join(str(each) for each in made.rates) or str(made.plan.capacity)
        replace(limit, rate=text)  # others read it
        edit = override_edit(checked_key(key), limit.name, life_us=_life_us(seconds), rate=text)
        ((_, entry),) = await self._ruling.changes.write([edit])
        return override_of(entry)

    async def drop(self, limit: Limit, key: str) -> bool:
        """Have *key* judged by the limit's own rate again.

        Returns:
            Whether there was an override.

        Raises:
            StoreError: The store could not do it, or nobody knows whether it did: call again.
            InvalidInputError: An argument is refused.
        """
        _required(limit)
        ((is_changed, _),) = await self._ruling.changes.write([Edit(override_name(checked_key(key), limit.name))])
        return is_changed

    def find(self, limit: Limit, key: str) -> Override | None:
        """Return the override of *key* that is in force in this process, as far as it knows.

        Raises:
            InvalidInputError: An argument is refused.
        """
        _required(limit)
        entry = self._ruling.overrides.override(checked_key(key), limit.name)
        return next(iter(_readable([entry], override_of)), None) if entry is not None else None

    def limit_for(self, limit: Limit, key: str) -> Limit:
        """Return the limit by which *key* is judged in this process: *limit*, or what an override makes of it.

        Raises:
            InvalidInputError: An argument is refused.
        """
        return self._ruling.overrides.limit_for(_required(limit), checked_key(key))

    async def in_force(self, *, most: int = SHOWN) -> tuple[Override, ...]:
        """Return the overrides that are in force, read anew, those that end first before the others.

        Args:
            most: How many at most, from 1 to 10,000.

        Raises:
            StoreError: The store does not answer.
            InvalidInputError: An argument is refused.
        """
        return await _in_force(self._ruling, OVERRIDE, override_of, most)


class BlockingBans:
    """The bans of a `BlockingLimiter`: the verbs of `Bans`, which block."""

    __slots__ = ("_bans", "_run")

    def __init__(self, bans: Bans, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._bans = bans
        self._run = run

    def add(
        self, keys: Keys, *, seconds: float | None = None, reason: str = "", limit: Limit | None = None
    ) -> tuple[Ban, ...]:
        """Ban a key, or several at once; see `Bans.add`."""
        banned: tuple[Ban, ...] = self._run(self._bans.add(keys, seconds=seconds, reason=reason, limit=limit))
        return banned

    def lift(self, keys: Keys, *, limit: Limit | None = None) -> int:
        """Lift the ban of a key, or of several; see `Bans.lift`."""
        lifted: int = self._run(self._bans.lift(keys, limit=limit))
        return lifted

    def find(self, key: str, *, limit: Limit | None = None) -> Ban | None:
        """Return the ban of *key* that is in force in this process; see `Bans.find`."""
        return self._bans.find(key, limit=limit)

    def in_force(self, *, most: int = SHOWN) -> tuple[Ban, ...]:
        """Return the bans that are in force; see `Bans.in_force`."""
        bans: tuple[Ban, ...] = self._run(self._bans.in_force(most=most))
        return bans


class BlockingRateOverrides:
    """The overrides of a `BlockingLimiter`: the verbs of `RateOverrides`, which block."""

    __slots__ = ("_overrides", "_run")

    def __init__(self, overrides: RateOverrides, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._overrides = overrides
        self._run = run

    def set(self, limit: Limit, key: str, rate: AnyRate, *, seconds: float | None = None) -> Override:
        """Give *key* another rate; see `RateOverrides.set`."""
        override: Override = self._run(self._overrides.set(limit, key, rate, seconds=seconds))
        return override

    def drop(self, limit: Limit, key: str) -> bool:
        """Have *key* judged by the limit's own rate again; see `RateOverrides.drop`."""
        dropped: bool = self._run(self._overrides.drop(limit, key))
        return dropped

    def find(self, limit: Limit, key: str) -> Override | None:
        """Return the override of *key* that is in force in this process; see `RateOverrides.find`."""
        return self._overrides.find(limit, key)

    def limit_for(self, limit: Limit, key: str) -> Limit:
        """Return the limit by which *key* is judged in this process; see `RateOverrides.limit_for`."""
        return self._overrides.limit_for(limit, key)

    def in_force(self, *, most: int = SHOWN) -> tuple[Override, ...]:
        """Return the overrides that are in force; see `RateOverrides.in_force`."""
        overrides: tuple[Override, ...] = self._run(self._overrides.in_force(most=most))
        return overrides


async def _in_force(ruling: Ruling, kind: str, read: Callable[[Entry], Ruled], most: int) -> tuple[Ruled, ...]:
    """Return what is in force of a kind, read anew, those that end first before the others."""
    _check_most(most)
    await ruling.changes.refresh()
    entries = sorted(ruling.overrides.entries(kind), key=_by_end)
    told: list[Ruled] = []
    for first in range(0, len(entries), READ_AT_ONCE):
        told += _readable(entries[first : first + READ_AT_ONCE], read)
        if len(told) >= most:
            break
        await asyncio.sleep(0)
    return tuple(told[:most])


def _by_end(entry: Entry) -> tuple[bool, int, str]:
    return entry.until_us == ENDLESS, entry.until_us, entry.name.split(":", 2)[-1]


def _readable(entries: Sequence[Entry], read: Callable[[Entry], Result]) -> list[Result]:
    """Return what entries tell; what only a newer version can read is in force, but cannot be told."""
    told = []
    for entry in entries:
        with suppress(ValueError, KeyError, TypeError):
            told.append(read(entry))
    return told


def _checked_keys(keys: object) -> list[str]:
    if isinstance(keys, str):
        return [checked_key(keys, "keys")]
    if not isinstance(keys, list | tuple) or not 1 <= len(keys) <= KEYS_AT_ONCE_MAX:
        found = f"{len(keys):,} of them" if isinstance(keys, list | tuple) else shape_of(keys)
        raise InvalidInputError("keys", found, f"a key, or a list of 1 to {KEYS_AT_ONCE_MAX:,}")
    return list(dict.fromkeys(checked_key(key, f"keys[{at}]") for at, key in enumerate(keys)))


def _required(limit: object) -> Limit:
    if type(limit) is not Limit:
        raise InvalidInputError("limit", shape_of(limit), "a Limit")
    return limit


def _name_of(limit: object) -> str | None:
    return None if limit is None else _required(limit).name


def _life_us(seconds: float | None) -> int:
    if seconds is None:
        return 0
    return round(checked_seconds(seconds, "seconds", at_least=BAN_SECONDS_MIN, at_most=BAN_SECONDS_MAX) * 1_000_000)


def _check_most(most: object) -> None:
    if type(most) is not int or not 1 <= most <= ENTRIES_MAX:
        raise InvalidInputError("most", shape_of(most), f"a whole number from 1 to {ENTRIES_MAX:,}")
