"""Which field of a log means what: the names that servers and their users give, and a mapping on top.

JSON lines and CSV share this: both have named fields, and both are read by a plan that is made once
for each set of names.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sluicegate.ratelimit.rules import checked_descriptor
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["REQUEST", "TIME", "checked_columns", "described", "path_of", "plan_of", "request_line_of"]

TIME = "time"
REQUEST = "request"  # the whole request line, 'GET / HTTP/1.1'
_SPECIAL = (TIME, REQUEST)
_HEADER_FIELD_PREFIXES = ("http_", "header:")  # nginx's variables, and our own name

# The first name that a log has is taken.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        TIME: ("time", "timestamp", "@timestamp", "ts", "time_iso8601", "msec", "time_local", "datetime", "date"),
        REQUEST: ("request", "request_line"),
        "client_address": ("client_address", "remote_addr", "client_ip", "remote_ip", "client", "ip", "remote_host"),
        "method": ("method", "request_method", "http_method", "verb"),
        "path": ("path", "request_uri", "uri", "url"),
        "route": ("route",),
        "status": ("status", "status_code", "response_code"),
        "user": ("user", "remote_user", "username"),
        "user_agent": ("user_agent", "http_user_agent", "useragent", "agent"),
        "host": ("host", "http_host", "server_name"),
        "tenant": ("tenant", "tenant_id"),
    }
)


def checked_columns(columns: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping from what rules call a thing to what the log calls it, if it is one.

    Raises:
        InvalidInputError: It names something that is no descriptor, nor ``time`` or ``request``.
    """
    checked = {}
    for name, column in columns.items():
        try:
            known = name if name in _SPECIAL else checked_descriptor(name)
        except InvalidInputError as error:
            raise InvalidInputError("columns", error.found, f"{error.accepted}, {TIME} or {REQUEST}") from None
        if not isinstance(column, str) or not column:
            raise InvalidInputError(f"columns {known}", shape_of(column), "the name or number of a column")
        checked[known] = column
    return checked


def plan_of(names: Iterable[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Return which of the log's fields *names* gives each thing that rules know.

    Args:
        names: The log's fields.
        columns: What the user said, which wins over the usual names.
    """
    spellings: dict[str, str] = {}
    for name in names:
        spellings.setdefault(name.lower(), name)
    plan = {}
    for thing, usual in _NAMES.items():
        found = next((spellings[name] for name in usual if name in spellings), None)
        if found is not None:
            plan[thing] = found
    for spelling, name in spellings.items():
        for prefix in _HEADER_FIELD_PREFIXES:
            if spelling.startswith(prefix) and len(spelling) > len(prefix):
                header = spelling.removeprefix(prefix).replace("_", "-")
                plan.setdefault(f"header:{header}", name)
    plan.update(columns)
    return plan


def described(
    fields: dict[str, str], at_us_of: Callable[[str], int | None], address_of: Callable[[str], str]
) -> tuple[int, dict[str, str]] | None:
    """Turn the things found in one line into its time and descriptors; ``None`` when it has no time or nothing else."""
    at_us = at_us_of(fields.pop(TIME, ""))
    if at_us is None:
        return None
    request = fields.pop(REQUEST, "")
    if request:
        method, path = request_line_of(request)
        fields.setdefault("method", method)
        fields.setdefault("path", path)
    if not fields:
        return None
    if "path" in fields:
        fields["path"] = path_of(fields["path"])
    if "client_address" in fields:
        fields["client_address"] = address_of(fields["client_address"])
    return at_us, fields


def request_line_of(request: str) -> tuple[str, str]:
    """Return method and path of a request line; both empty when it is none, such as a TLS handshake."""
    method, _, rest = request.partition(" ")
    target, _, protocol = rest.rpartition(" ")
    if not target and protocol.startswith("/"):
        target = protocol  # HTTP/0.9 has no third word
    if not target or not (method.isascii() and method.isalpha()):
        return "", ""
    return method, path_of(target)


def path_of(target: str) -> str:
    """Return the path within a request's target: without its query, and without scheme and host."""
    if "?" in target:
        target = target.partition("?")[0]
    if not target.startswith("/") and "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target
