r"""Lines of JSON objects, as nginx writes them with a ``log_format`` of its user's making.

nginx escapes bytes as ``\xNN`` unless told ``escape=json``, which is not JSON; such lines are mended.
Numbers are taken as they are written: as a float, a time would lose its microseconds.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sluicegate.replay.fields import described, plan_of
from sluicegate.replay.request import LoggedRequest
from sluicegate.replay.timestamps import remembering, time_us

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["json_parser"]

_PLANS_MAX = 64  # sets of names; a log has a handful, and a hostile one must not fill the memory
_NAMES_MAX = 200  # a log's object has some twenty fields
_TEXT_LENGTH_MAX = 8192  # as long as servers let a header be
_BYTE = re.compile(r"\\x([0-9A-Fa-f]{2})")


def json_parser(
    address_of: Callable[[str], str], columns: Mapping[str, str]
) -> Callable[[str, int], LoggedRequest | None]:
    """Return what reads a line with one JSON object; it returns ``None`` for a line that is none."""
    at_us_of = remembering(time_us)
    plans: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refused).decode

    def parse(line: str, number: int) -> LoggedRequest | None:
        found = _object_of(line, decode)
        if found is None:
            return None
        names = tuple(found)
        plan = plans.get(names)
        if plan is None:
            if len(plans) >= _PLANS_MAX:
                plans.clear()
            plan = plans[names] = list(plan_of(names, columns).items())
        fields = {}
        for thing, name in plan:
            value = found.get(name)
            if isinstance(value, str) and value not in ("", "-") and len(value) <= _TEXT_LENGTH_MAX:
                fields[thing] = value
        request = described(fields, at_us_of, address_of)
        return None if request is None else LoggedRequest(request[0], number, request[1])

    return parse


def _object_of(line: str, decode: Callable[[str], object]) -> dict[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        found = decode(line)
    except (ValueError, RecursionError):
        if "\\x" not in line:
            return None
        try:
            found = decode(_BYTE.sub(r"\\u00\1", line))
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) and len(found) <= _NAMES_MAX else None


def _refused(constant: str) -> object:
    raise ValueError(constant)
