"""What a user on the server has to be allowed, and no more than that."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sluicegate.database.addresses import address_of
from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ACL_COMMANDS", "SENTINEL_CHANNELS", "least_acl", "needed_calls", "needless_calls", "sentinel_acl"]

ACL_COMMANDS: Final = (
    *("evalsha", "evalsha_ro", "script|load", "info"),  # by the client
    *("get", "mget", "set", "psetex", "del", "pttl", "pexpire", "time"),  # by the scripts, as are those below
    *("hdel", "hget", "hmget", "hset", "xadd", "xread"),  # for what a whole fleet is told
    *("zadd", "zcard", "zcount", "zrange", "zrangebyscore", "zrank", "zrem", "zremrangebyscore", "zrevrange", "zscore"),
)
SENTINEL_CHANNELS: Final = ("+failover-state-send-slaveof-noone",)
CLUSTER_COMMANDS: Final = ("cluster|slots", "asking")
CALLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("asking", "cluster|slots", "info", "time"), ""),
        **dict.fromkeys(("client|setname", "script|load", "select"), "0"),
        **dict.fromkeys(("evalsha", "evalsha_ro"), "0 1 {key}"),
        "xread": "streams {key} 0",
    }
)
"""What stands behind a command that is called; behind most of them it is the key."""

NEEDLESS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "flushall": "flushall",
        "config|set": "config set maxmemory 0",
        "acl|setuser": "acl setuser x",
        "shutdown": "shutdown",
        "replicaof": "replicaof no one",
        "keys": "keys *",
        "eval": "eval 0 0",
    }
)


def least_acl(prefix: str, *, user: str = "sluicegate", on_cluster: bool = False, url: str = "") -> str:
    """Return the line of an ACL file that allows what is needed for keys of *prefix*.

    Args:
        prefix: What all keys begin with.
        user: The user's name.
        on_cluster: Whether the server is one of a Cluster.
        url: How clients reach it. What its options need is allowed, too: another database than 0, a name of the client.

    Put the password in place of ``PASSWORD``, or its SHA-256 behind a number sign in place of ``>PASSWORD``.

    Raises:
        InvalidInputError: The user's name can stand in no such line, or the URL cannot be read.
    """
    user = _checked_user(user)
    allowed = " ".join(f"+{command}" for command in _commands(on_cluster=on_cluster, url=url))
    return f"user {user} on >PASSWORD resetkeys ~{prefix}:* resetchannels -@all {allowed}"


def sentinel_acl(*, user: str = "sluicegate") -> str:
    """Return the line of an ACL file of a sentinel: who the master is may be asked, and who is about to be it is heard.

    Args:
        user: The user's name, which a URL gives as ``sentinel_username``.

    The password is put in as in `least_acl`, and the name is refused alike.
    """
    channels = " ".join(f"&{name}" for name in SENTINEL_CHANNELS)
    allowed = "+sentinel|get-master-addr-by-name +subscribe"
    return f"user {_checked_user(user)} on >PASSWORD resetkeys resetchannels {channels} -@all {allowed}"


def needed_calls(prefix: str, *, on_cluster: bool = False, url: str = "") -> dict[str, str]:
    """Return a call of each command that is needed, as words that a server can be asked about, by its name in ACLs.

    The arguments are those of `least_acl`.
    """
    key = f"{prefix}:acl"
    names = _commands(on_cluster=on_cluster, url=url)
    return {name: " ".join((*name.split("|"), CALLS.get(name, "{key}").format(key=key))) for name in names}


def needless_calls(prefix: str) -> dict[str, str]:
    """Return calls that nobody needs who decides about keys of *prefix*, and that do harm in wrong hands."""
    other = f"{prefix}-not:key"
    return {**NEEDLESS, "keys of others": f"get {other}"}


def _commands(*, on_cluster: bool, url: str) -> tuple[str, ...]:
    return (*ACL_COMMANDS, *(CLUSTER_COMMANDS if on_cluster else ()), *_needed_by(url))


def _checked_user(user: str) -> str:
    """Return the name of a user, which in a line of words must be one of them."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}", user):
        accepted = "1 to 128 letters, digits, _ . : @ or -, of which the first is a letter or digit"
        raise InvalidInputError("user", shape_of(user), accepted)
    return user


def _needed_by(url: str) -> Iterator[str]:
    if not url:
        return
    address = address_of(url)
    if address.database:
        yield "select"
    if "client_name" in address.options:
        yield "client|setname"
