"""What a user on the server has to be allowed, and no more than that."""

from __future__ import annotations

from typing import Final

__all__ = ["ACL_COMMANDS", "least_acl"]

ACL_COMMANDS: Final = (
    *("evalsha", "evalsha_ro", "script|load", "info"),  # by the client
    *("get", "mget", "set", "psetex", "del", "pttl", "pexpire", "time"),  # by the scripts, as are those below
    *("hdel", "hget", "hmget", "hset", "xadd", "xread"),  # for what a whole fleet is told
    *("zadd", "zcard", "zcount", "zrange", "zrangebyscore", "zrank", "zrem", "zremrangebyscore", "zrevrange", "zscore"),
)
CLUSTER_COMMANDS: Final = ("cluster|slots", "asking")


def least_acl(prefix: str, *, user: str = "sluicegate", on_cluster: bool = False) -> str:
    """Return the line of an ACL file that allows what is needed for keys of *prefix*.

    Args:
        prefix: What all keys begin with.
        user: The user's name.
        on_cluster: Whether the server is one of a Cluster.

    Put the password in place of ``PASSWORD``, or its SHA-256 behind a number sign in place of ``>PASSWORD``.
    """
    commands = (*ACL_COMMANDS, *(CLUSTER_COMMANDS if on_cluster else ()))
    allowed = " ".join(f"+{command}" for command in commands)
    return f"user {user} on >PASSWORD resetkeys ~{prefix}:* resetchannels -@all {allowed}"
