"""Reads what clients send, bounded in size and depth, and refuses in one line what is not meant.

The shapes are few and flat, so they are checked by hand: each refusal names the place, what was found
there and what is accepted, which no generic validator does.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from unicodedata import normalize

from sluicegate.integrations import Problem
from sluicegate.utils import InvalidInputError, checked_cost, checked_key, shape_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from fastapi import Request

    from sluicegate.ratelimit import Limit
    from sluicegate.ratelimit.rules import LiveRules, Rule

__all__ = [
    "ALL_MAX",
    "ASKED",
    "BODY_BYTES_MAX",
    "MANY_MAX",
    "Asked",
    "BodyError",
    "read_asked",
    "read_list",
    "read_object",
    "read_rule",
]

ASKED: Final = ("limit", "key", "cost", "plan")
"""The members of a request for units."""

BODY_BYTES_MAX: Final = 1_048_576  # a thousand requests with keys of a kilobyte
BODY_SECONDS_MAX: Final = 10.0  # who sends a megabyte more slowly keeps a connection busy for nothing
ALL_MAX: Final = 32  # limits that one request may stand under
MANY_MAX: Final = 1000  # independent requests in one call; more would keep others waiting
_NAMES_SHOWN_MAX = 10  # a line that lists a thousand limits is none


class BodyError(Exception):
    """Raised when a body cannot be read at all.

    Attributes:
        problem: What to answer.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class Asked(NamedTuple):
    """One request for units.

    Attributes:
        limit: Of which limit.
        key: Whose.
        cost: How many.
        beside: What runs beside the limit, where it is being rolled out.
    """

    limit: Limit
    key: str
    cost: int
    beside: tuple[Limit, ...] = ()

    @property
    def members(self) -> list[tuple[Limit, str, int]]:
        """What `Limiter.acquire_all` is asked with."""
        return [(limit, self.key, self.cost) for limit in (self.limit, *self.beside)]


async def read_object(request: Request, *, names: Collection[str]) -> dict[str, Any]:
    """Return the request's body, which must be a JSON object with no other members than *names*.

    Raises:
        BodyError: It is too large, too slow, or not declared as JSON.
        InvalidInputError: It is not such an object.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A page of another origin cannot send this type without asking first.
    if media_type != "application/json":
        detail = f"content-type: found {shape_of(media_type)}; accepted: application/json"
        raise BodyError(Problem(status=415, title="Unsupported Media Type", detail=detail))
    return _checked_object(_parsed(await _content(request)), "body", names)


def read_asked(value: Mapping[str, Any], rules: LiveRules, where: str = "") -> Asked:
    """Return what a body, or an item of one, asks for.

    Args:
        value: An object that has been checked to have only known members.
        rules: Which limits there are.
        where: The item's place, with a dot at its end.

    Raises:
        InvalidInputError: A member is missing or refused.
    """
    rule = read_rule(value, rules, where)
    if "key" not in value:
        raise InvalidInputError(f"{where}key", "nothing", "text")
    key = checked_key(value["key"], f"{where}key")
    cost = value.get("cost", rule.cost)
    if type(cost) is float and cost.is_integer():
        cost = int(cost)  # JSON knows one kind of number: 1.0 is 1
    limit, *beside = rules.limits_for(rule, key)
    return Asked(limit, key, checked_cost(cost, f"{where}cost"), tuple(beside))


def read_rule(value: Mapping[str, Any], rules: LiveRules, where: str = "") -> Rule:
    """Return the rule that a body, or an item of one, names; the arguments are those of `read_asked`.

    Raises:
        InvalidInputError: It names none, or one that is not known.
    """
    plan = value.get("plan", "")
    if not isinstance(plan, str):
        raise InvalidInputError(f"{where}plan", shape_of(plan), "the name of a plan")
    if "limit" not in value:
        raise InvalidInputError(f"{where}limit", "nothing", _limit_accepted(rules, plan))
    named = value["limit"]
    # Names are normalised, so any spelling of one finds it.
    rule = rules.find(normalize("NFC", named), plan) if isinstance(named, str) else None
    if rule is None:
        raise InvalidInputError(f"{where}limit", shape_of(named), _limit_accepted(rules, plan))
    return rule


def read_list(body: Mapping[str, Any], rules: LiveRules, *, most: int) -> list[Asked]:
    """Return what each item of the body's ``requests`` asks for, 1 to *most* of them.

    Raises:
        InvalidInputError: There are none or too many, or one is refused.
    """
    items = body.get("requests")
    if not isinstance(items, list) or not 1 <= len(items) <= most:
        found = (
            f"{len(items):,} of them" if isinstance(items, list) else "nothing" if items is None else shape_of(items)
        )
        raise InvalidInputError("requests", found, f'a list of 1 to {most:,} of {{"limit", "key", "cost"}}')
    asked = []
    for at, item in enumerate(items):
        place = f"requests[{at}]"
        asked.append(read_asked(_checked_object(item, place, ASKED), rules, f"{place}."))
    return asked


async def _content(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and (len(declared) > 10 or int(declared) > BODY_BYTES_MAX):  # noqa: PLR2004 - digits of gigabytes
        raise _too_large()
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for part in request.stream():
                content += part
                if len(content) > BODY_BYTES_MAX:
                    raise _too_large()
    except TimeoutError:
        detail = f"body: found no end within {BODY_SECONDS_MAX:g} seconds; accepted: one that is sent at once"
        raise BodyError(Problem(status=408, title="Request Timeout", detail=detail)) from None
    return bytes(content)


def _too_large() -> BodyError:
    detail = f"body: found more than {BODY_BYTES_MAX:,} bytes; accepted: at most that many"
    return BodyError(Problem(status=413, title="Content Too Large", detail=detail))


def _parsed(content: bytes) -> Any:  # noqa: ANN401 - whatever JSON can say
    try:
        return json.loads(content, object_pairs_hook=_without_duplicates, parse_constant=_refused_constant)
    except InvalidInputError:
        raise
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            found = f"no JSON at line {error.lineno}, column {error.colno} ({error.msg})"
        else:
            found = "nesting too deep" if isinstance(error, RecursionError) else "bytes that are no JSON in UTF-8"
        raise InvalidInputError("body", found, "a JSON object") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        # Two readers of such a body could read two different requests.
        raise InvalidInputError("body", "a name that stands twice in an object", "each name once")
    return members


def _refused_constant(constant: str) -> Any:  # noqa: ANN401 - it never returns
    raise InvalidInputError("body", constant, "JSON, which knows no such number")


def _checked_object(value: object, where: str, names: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInputError(where, shape_of(value), f"an object with {', '.join(names)}")
    for name in value:
        if name not in names:
            place = "" if where == "body" else f"{where}."
            raise InvalidInputError(f"{place}{shape_of(name)}", "a name that is not known", ", ".join(names))
    return value


def _limit_accepted(rules: LiveRules, plan: str) -> str:
    names = list(rules.current.named(plan))
    shown = ", ".join(names[:_NAMES_SHOWN_MAX])
    more = f" and {len(names) - _NAMES_SHOWN_MAX} more (GET /v1/limits)" if len(names) > _NAMES_SHOWN_MAX else ""
    return f"the name of a limit: {shown}{more}" if names else "nothing, for the rules have no limits"
