r"""Lines as Apache and nginx write them by default: ``common``, and ``combined`` with its two more fields.

    192.0.2.7 - alice [17/May/2015:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 23 "https://e.example/" "curl/8"

One expression per format, possessive wherever a field may be long, so that no line makes it go back
over what it has read. Quotes within a field come escaped, as ``\"`` or ``\x22``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sluicegate.replay.fields import request_line_of
from sluicegate.replay.request import LoggedRequest
from sluicegate.replay.timestamps import CLF_TIME, clf_time_us, remembering

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["combined_parser", "common_parser"]

_QUOTED = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
# A virtual host may stand first (Apache's vhost_combined), with a port that an IPv6 address must not be
# taken for; a user's name may have spaces.
_COMMON = (
    r"(?:([^ :]+|\[[^ ]+\]):[0-9]{1,5} )?([^ ]+) [^ ]+ ([^\"]*?) \[("
    + CLF_TIME
    + r")\] "
    + _QUOTED
    + r" ([0-9]{3}) (?:[0-9]+|-)"
)
# Behind the user agent a site may append fields of its own.
_COMBINED = _COMMON + f" {_QUOTED} {_QUOTED}(?: .*)?"
_ESCAPED = re.compile(r"\\(?:([\"\\])|x22)")


def combined_parser(address_of: Callable[[str], str]) -> Callable[[str, int], LoggedRequest | None]:
    """Return what reads a line of the combined format; it returns ``None`` for a line that is none."""
    fullmatch = re.compile(_COMBINED).fullmatch
    at_us_of = remembering(clf_time_us)

    def parse(line: str, number: int) -> LoggedRequest | None:
        match = fullmatch(line)
        if match is None:
            return None
        host, address, user, time, request, status, referer, user_agent = match.groups()
        at_us = at_us_of(time)
        if at_us is None:
            return None
        descriptors = _descriptors(host, address_of(address), user, request, status)
        descriptors["header:referer"] = _plain(referer)
        descriptors["user_agent"] = _plain(user_agent)
        return LoggedRequest(at_us, number, descriptors)

    return parse


def common_parser(address_of: Callable[[str], str]) -> Callable[[str, int], LoggedRequest | None]:
    """Return what reads a line of the common format; it returns ``None`` for a line that is none."""
    fullmatch = re.compile(_COMMON).fullmatch
    at_us_of = remembering(clf_time_us)

    def parse(line: str, number: int) -> LoggedRequest | None:
        match = fullmatch(line)
        if match is None:
            return None
        host, address, user, time, request, status = match.groups()
        at_us = at_us_of(time)
        if at_us is None:
            return None
        return LoggedRequest(at_us, number, _descriptors(host, address_of(address), user, request, status))

    return parse


def _descriptors(host: str | None, address: str, user: str, request: str, status: str) -> dict[str, str]:
    method, path = request_line_of(request)
    return {
        "client_address": address,
        "method": method,
        "path": path,
        "status": status,
        "user": "" if user == "-" else user,
        "host": host or "",
    }


def _plain(text: str) -> str:
    if text == "-":
        return ""
    return _ESCAPED.sub(lambda match: match[1] or '"', text) if "\\" in text else text
