"""Bans and overrides from a shell: made, listed and ended, by a running service or in Redis itself."""

from __future__ import annotations

import functools
import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.text import Text

from sluicegate.cli.asking import Json, Key, LimitName, PlanName, rule_named
from sluicegate.cli.defaults import admin_token, direct_limiter, rules_here, where_to_ask
from sluicegate.cli.exits import ALLOWED
from sluicegate.cli.output import printable
from sluicegate.cli.places import Where, placed
from sluicegate.cli.remote import Service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluicegate.ratelimit import Limit

__all__ = ["ban", "bans", "drop_override", "override", "overrides", "unban"]

Keys = Annotated[list[str], typer.Argument(metavar="KEY...", help="Whose, such as user:42; up to 1,000.")]
Seconds = Annotated[float | None, typer.Option(help="For how many seconds; default: until it is ended.")]
Reason = Annotated[str, typer.Option(help="Why, in a line that operators see.")]
UnderLimit = Annotated[str | None, typer.Option("--limit", help="Under this limit; default: under all of them.")]
Rate = Annotated[str, typer.Argument(metavar="RATE", help="The rate, such as 200/minute.")]


class Source(Protocol):
    """What keeps bans and overrides: a service, or Redis itself."""

    def ban(self, keys: list[str], seconds: float | None, reason: str, limit: str | None, plan: str) -> dict[str, Any]:
        """Ban keys."""
        ...

    def lift(self, keys: list[str], limit: str | None, plan: str) -> dict[str, Any]:
        """Lift the bans of keys."""
        ...

    def bans(self) -> dict[str, Any]:
        """List bans."""
        ...

    def override(self, limit: str, key: str, rate: str, seconds: float | None, plan: str) -> dict[str, Any]:
        """Give a key another rate."""
        ...

    def drop(self, limit: str, key: str, plan: str) -> dict[str, Any]:
        """Take another rate away."""
        ...

    def overrides(self) -> dict[str, Any]:
        """List overrides."""
        ...


@placed()
def ban(
    keys: Keys,
    seconds: Seconds = None,
    reason: Reason = "",
    limit: UnderLimit = None,
    plan: PlanName = "",
    *,
    where: Where,
    as_json: Json = False,
) -> int:
    """Ban keys: they are denied whatever their rate, in every process that listens within a second."""
    told = _source(where).ban(keys, seconds, reason, limit, plan)
    return _shown(told, map(_ban_line, told["bans"]), as_json=as_json)


@placed()
def unban(
    keys: Keys,
    limit: UnderLimit = None,
    plan: PlanName = "",
    *,
    where: Where,
    as_json: Json = False,
) -> int:
    """Lift the bans of keys: without --limit those under all limits and those under single ones."""
    told = _source(where).lift(keys, limit, plan)
    return _shown(told, [f"lifted {told['lifted']}"], as_json=as_json)


@placed(rules=False)
def bans(*, where: Where, as_json: Json = False) -> int:
    """List the bans that are in force, those that end first before the others."""
    told = _source(where).bans()
    return _shown(told, map(_ban_line, told["bans"]), as_json=as_json)


@placed()
def override(
    limit: LimitName,
    key: Key,
    rate: Rate,
    seconds: Seconds = None,
    plan: PlanName = "",
    *,
    where: Where,
    as_json: Json = False,
) -> int:
    """Give a key another rate of a limit; what it has used is carried over."""
    told = _source(where).override(limit, key, rate, seconds, plan)
    return _shown(told, [_override_line(told)], as_json=as_json)


@placed()
def drop_override(
    limit: LimitName,
    key: Key,
    plan: PlanName = "",
    *,
    where: Where,
    as_json: Json = False,
) -> int:
    """Have a key judged by the limit's own rate again."""
    told = _source(where).drop(limit, key, plan)
    return _shown(told, ["dropped" if told["dropped"] else "there was no override"], as_json=as_json)


@placed(rules=False)
def overrides(*, where: Where, as_json: Json = False) -> int:
    """List the overrides that are in force, those that end first before the others."""
    told = _source(where).overrides()
    return _shown(told, map(_override_line, told["overrides"]), as_json=as_json)


def _source(where: Where) -> Source:
    service, redis = where_to_ask(where)
    return Service(service, functools.partial(admin_token, where)) if redis is None else _Direct(where, redis)


class _Direct:
    """A limiter in this process, whose bans and overrides are in Redis."""

    def __init__(self, where: Where, redis: str) -> None:
        self._where = where
        self._redis = redis

    def ban(self, keys: list[str], seconds: float | None, reason: str, limit: str | None, plan: str) -> dict[str, Any]:
        named = None if limit is None else self._limit(limit, plan)
        with direct_limiter(self._where, self._redis) as limiter:
            banned = limiter.bans.add(keys, seconds=seconds, reason=reason, limit=named)
        return {"bans": [asdict(each) for each in banned]}

    def lift(self, keys: list[str], limit: str | None, plan: str) -> dict[str, Any]:
        named = None if limit is None else self._limit(limit, plan)
        with direct_limiter(self._where, self._redis) as limiter:
            return {"lifted": limiter.bans.lift(keys, limit=named)}

    def bans(self) -> dict[str, Any]:
        with direct_limiter(self._where, self._redis) as limiter:
            found = limiter.bans.in_force()
        return {"bans": [asdict(each) for each in found]}

    def override(self, limit: str, key: str, rate: str, seconds: float | None, plan: str) -> dict[str, Any]:
        named = self._limit(limit, plan)
        with direct_limiter(self._where, self._redis) as limiter:
            return asdict(limiter.overrides.set(named, key, rate, seconds=seconds))

    def drop(self, limit: str, key: str, plan: str) -> dict[str, Any]:
        named = self._limit(limit, plan)
        with direct_limiter(self._where, self._redis) as limiter:
            return {"dropped": limiter.overrides.drop(named, key)}

    def overrides(self) -> dict[str, Any]:
        with direct_limiter(self._where, self._redis) as limiter:
            found = limiter.overrides.in_force()
        return {"overrides": [asdict(each) for each in found]}

    def _limit(self, name: str, plan: str) -> Limit:
        return rule_named(rules_here(self._where), name, plan).limit


def _shown(told: dict[str, Any], lines: Iterable[str], *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
        return ALLOWED
    console = Console(soft_wrap=True, highlight=False)
    for line in [*lines] or ["none"]:
        console.print(Text(line))
    return ALLOWED


def _ban_line(banned: dict[str, Any]) -> str:
    under = f"under {printable(banned['limit'])}" if banned["limit"] else "under every limit"
    reason = f": {printable(banned['reason'])}" if banned["reason"] else ""
    times = f", {banned['times']} in a row" if banned["times"] > 1 else ""
    return f"{printable(banned['key'])} is banned {under} {_until(banned['until'])}{times}{reason}"


def _override_line(override: dict[str, Any]) -> str:
    rate, limit = override["rate"], printable(override["limit"])
    return f"{printable(override['key'])} has {rate} of {limit} {_until(override['until'])}"


def _until(until: float | None) -> str:
    if until is None:
        return "until it is ended"
    return f"until {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(until))}"
