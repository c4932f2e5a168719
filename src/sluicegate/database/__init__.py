"""The only place that speaks to Redis: clients, scripts, names and the gathering of calls into batches."""

from sluicegate.database.batcher import BATCH_MAX, IN_FLIGHT_MAX, QUEUE_MAX, Batcher
from sluicegate.database.client import Argument, Identity, RedisClient, ScriptCall
from sluicegate.database.keyspace import Keyspace
from sluicegate.database.scripts import Script, load_bundle

__all__ = [
    "BATCH_MAX",
    "IN_FLIGHT_MAX",
    "QUEUE_MAX",
    "Argument",
    "Batcher",
    "Identity",
    "Keyspace",
    "RedisClient",
    "Script",
    "ScriptCall",
    "connect",
    "load_bundle",
]


def connect(url: str, *, connect_timeout: float = 2.0) -> RedisClient:
    """Return a client for the server at *url*; nothing is sent before it is used.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        connect_timeout: Seconds allowed for a connection, from 0.01 to 60.

    Raises:
        InvalidInputError: The URL cannot be read.
        ConfigurationError: The extra ``redis`` is not installed.
    """
    from sluicegate.utils import ConfigurationError, InvalidInputError  # noqa: PLC0415 - only on this path

    try:
        from sluicegate.database.standalone import StandaloneClient  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        problem = InvalidInputError("redis", f"no package {error.name}", "pip install 'sluicegate[redis]'")
        raise ConfigurationError([problem]) from None
    return StandaloneClient(url, connect_timeout=connect_timeout)
