"""The only place that speaks to Redis: clients, scripts, names and the gathering of calls into batches."""

from sluicegate.database.access import Access
from sluicegate.database.acl import least_acl, needed_calls, needless_calls, sentinel_acl
from sluicegate.database.addresses import Address, address_of
from sluicegate.database.batcher import BATCH_MAX, IN_FLIGHT_MAX, QUEUE_MAX, Batcher
from sluicegate.database.client import Argument, Ask, DividedSlot, Identity, RedisClient, ScriptCall
from sluicegate.database.credentials import Credentials, FilePassword, Password, Tls
from sluicegate.database.keyspace import Keyspace
from sluicegate.database.scripts import Script, load_bundle

__all__ = [
    "BATCH_MAX",
    "IN_FLIGHT_MAX",
    "QUEUE_MAX",
    "Access",
    "Address",
    "Argument",
    "Ask",
    "Batcher",
    "Credentials",
    "DividedSlot",
    "FilePassword",
    "Identity",
    "Keyspace",
    "Password",
    "RedisClient",
    "Script",
    "ScriptCall",
    "Tls",
    "address_of",
    "connect",
    "least_acl",
    "load_bundle",
    "needed_calls",
    "needless_calls",
    "sentinel_acl",
    "tags_for",
]

CLUSTER_TAGS = 3  # one for each master of the least Cluster: more use more servers, and each is a call of its own


def connect(url: str, access: Access | None = None) -> RedisClient:
    """Return a client for the servers at *url*; nothing is sent before it is used.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` for one server; ``redis+sentinel://host:port,…/service`` for the
            master that sentinels watch; ``redis+cluster://host:port,…`` for a Cluster; ``rediss+…`` with TLS;
            ``embedded://`` for a server of this process and those that it forks, ``embedded:///path`` for one that all
            processes share which name the directory.
        access: How they are reached. Default: as is usual; see `Access`.

    Raises:
        InvalidInputError: The URL cannot be read.
        ConfigurationError: The extra ``redis`` is not installed.
    """
    from sluicegate.utils import ConfigurationError, InvalidInputError  # noqa: PLC0415 - only here

    address = address_of(url)
    try:
        from sluicegate.database.cluster import ClusterDirectory  # noqa: PLC0415 - needs the extra
        from sluicegate.database.routing import RoutedClient  # noqa: PLC0415 - as above
        from sluicegate.database.sentinel import SentinelDirectory  # noqa: PLC0415 - as above
        from sluicegate.database.standalone import StandaloneClient  # noqa: PLC0415 - as above
    except ImportError as error:
        problem = InvalidInputError("redis", f"no package {error.name}", "pip install 'sluicegate[redis]'")
        raise ConfigurationError([problem]) from None
    access = access or Access()
    if address.kind == "embedded":
        from sluicegate.database.embedded import EmbeddedClient  # noqa: PLC0415 - as above

        return EmbeddedClient(address.folder or None, access)
    if address.kind in {"single", "socket"}:
        return StandaloneClient(url, access)
    kind = SentinelDirectory if address.kind == "sentinel" else ClusterDirectory
    return RoutedClient(kind(address, access), connect_timeout_s=access.connect_timeout)


def tags_for(url: object) -> int:
    """Return how many hash tags the keys at *url* are spread over where nobody says it: 0 but on a Cluster.

    There each tag is a group that lies on one server and goes in one call. More of them spread the keys over more
    servers, fewer make larger calls.
    """
    return CLUSTER_TAGS if isinstance(url, str) and url.partition("://")[0].lower().endswith("+cluster") else 0
