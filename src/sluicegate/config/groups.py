"""What can be set, in groups: each field with its unit in its name, its bounds, its meaning and its default.

A group is frozen, takes nothing that it does not know, and shows no input in its errors, for that may be a secret.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretBytes, SecretStr
from pydantic_settings import NoDecode

__all__ = [
    "BatchingSettings",
    "DenyCacheSettings",
    "DistributedSettings",
    "FallbackSettings",
    "FlagSettings",
    "Group",
    "LeaseSettings",
    "MemorySettings",
    "MonitoringSettings",
    "Names",
    "PoolSettings",
    "RedisSettings",
    "ResilienceSettings",
    "ServerSettings",
]


class Group(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


def _listed(value: object) -> object:
    """Take a list as it is, and a text as one whose items are set apart by commas."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class RedisSettings(Group):
    """Where state is kept, and how that is reached."""

    url: SecretStr | None = None
    """redis://, rediss:// or unix:// for one server; redis+sentinel:// and redis+cluster:// (rediss+ for TLS) for
    several; embedded:// for one of this machine's own. Without it state is kept in the memory of the process."""

    username: str | None = Field(default=None, min_length=1, max_length=256)
    """The ACL user; the one in the URL, if there is one, is overruled."""

    password: SecretStr | None = None
    """The password; the one in the URL, if there is one, is overruled."""

    password_file: Path | None = None
    """A file whose first line is the password, read again for each new connection, so that it can be changed."""

    tls_ca_file: Path | None = None
    """The certificates that vouch for the server's. Default: the system's."""

    tls_cert_file: Path | None = None
    """The client's own certificate, where the server asks for one."""

    tls_key_file: Path | None = None
    """The key of that certificate."""

    key_prefix: str = Field(default="sg", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    """What all keys on the server begin with."""

    key_secret: SecretStr | None = Field(default=None, max_length=64)
    """Keys the digests of long keys; the same in the whole fleet, up to 64 bytes."""

    hash_tags: int | None = Field(default=None, ge=0, le=16_384)
    """Into how many groups keys are put on a Cluster, each on one server: best as many as there are masters. Fewer make
    larger calls, more can use more servers. 0 puts no tag into keys, which is right for a single server. Default: 3 on
    a Cluster, else 0."""


class PoolSettings(Group):
    """The connections to each server, and the time that is allowed."""

    connect_timeout_ms: int = Field(default=2_000, ge=10, le=60_000)
    """Time for a connection, in milliseconds."""

    deadline_ms: float = Field(default=50, ge=1, le=10_000)
    """Time until every verb has an answer, in milliseconds; later the limit's on_failure answers."""

    connections_max: int = Field(default=8, ge=1, le=64)
    """The most connections to each server; decisions travel in batches, so a few do for many thousands a second."""


class MemorySettings(Group):
    """State in the memory of the process, where there is no Redis."""

    keys_max: int = Field(default=100_000, ge=1, le=100_000_000)
    """The most keys to remember."""


class BatchingSettings(Group):
    """How requests are gathered for the server."""

    requests_max: int = Field(default=64, ge=1, le=1_000)
    """The most units of work in one script call."""

    in_flight_max: int | None = Field(default=None, ge=1, le=16)
    """The most batches under way at once. Default: 2; 1 on a Cluster, where one already keeps several servers busy."""

    queue_max: int = Field(default=20_000, ge=1, le=1_000_000)
    """The most requests that wait; one more is answered by the limit's on_failure."""


class DenyCacheSettings(Group):
    """Denials that are remembered in the process."""

    duration_ms: int = Field(default=1_000, ge=0, le=60_000)
    """How long a denial is believed at most, in milliseconds; 0 asks the server each time."""


class LeaseSettings(Group):
    """Units that are taken ahead for limits with mode: leased."""

    keys_max: int = Field(default=10_000, ge=1, le=1_000_000)
    """The most keys that have a lease at once."""


class FallbackSettings(Group):
    """What answers when the server cannot, where a rule does not say it; closed denies, open allows."""

    on_failure: Literal["open", "closed"] = "open"
    """For limits that are not marked critical."""

    on_failure_critical: Literal["open", "closed"] = "closed"
    """For limits that are."""


class ResilienceSettings(Group):
    """How soon a server that could not be reached is tried again; until then the fallback answers at once."""

    reconnect_min_ms: int = Field(default=50, ge=1, le=60_000)
    """The pause after a first failure, in milliseconds; twice as long after each further one, less up to half by
    chance."""

    reconnect_max_ms: int = Field(default=1_000, ge=1, le=600_000)
    """The most that the pause grows to, in milliseconds."""

    refused_pause_ms: int = Field(default=30_000, ge=1, le=3_600_000)
    """The pause after user or password were refused, in milliseconds: no account is locked and no audit log flooded."""


class MonitoringSettings(Group):
    """What operators see."""

    logger: Literal["standard", "structlog"] = "standard"
    """Which library writes the log."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on events are written."""

    log_format: Literal["text", "json"] = "json"
    """How the service writes its log."""

    log_keys: bool = False
    """Whether events may name keys, which tell who is limited."""


class DistributedSettings(Group):
    """The process as one of several."""

    instance_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    """What this process is called. Default: drawn at random at each start."""

    coordinator: Literal["none", "redis", "etcd"] = "none"
    """What instances agree by."""

    leader_duties: Names = ()
    """What only the leader among the instances does."""


class ServerSettings(Group):
    """The service."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    """The address to listen on; the default is this machine alone."""

    port: int = Field(default=8_000, ge=0, le=65_535)
    """The port; 0 takes a free one."""

    workers: int = Field(default=1, ge=1, le=256)
    """How many processes serve the same address."""

    drain_delay_ms: int = Field(default=1_000, ge=0, le=600_000)
    """How long the service says that it is not ready before it closes the door, in milliseconds."""

    grace_ms: int = Field(default=10_000, ge=0, le=600_000)
    """How long requests in flight have to finish, in milliseconds."""

    secret: SecretBytes | None = Field(default=None, min_length=16, max_length=4_096)
    """Signs ids that leave the service; the same for all processes. Default: drawn at random at each start."""

    tls_cert_file: Path | None = None
    """The service's certificate, and those that vouch for it; with it the service speaks HTTPS alone."""

    tls_key_file: Path | None = None
    """The key of that certificate."""

    admin_enabled: bool = False
    """Whether the admin page is served."""

    admin_token: SecretStr | None = Field(default=None, min_length=16, max_length=4_096)
    """What whoever opens the admin page has to know, or bans keys and gives them other rates over HTTP."""


class FlagSettings(Group):
    """Advanced features; what is switched off is done the plain way."""

    leases: bool = True
    """Whether limits with mode: leased take units ahead; else they are strict."""

    deny_cache: bool = True
    """Whether denials are remembered."""

    coalescing: bool = True
    """Whether requests that are alike travel once."""

    carrying: bool = True
    """Whether states say which rule they are of, to be carried over; off while a version runs that cannot read it."""

    reload: bool = True
    """Whether the file of rules is watched."""

    changes: bool = False
    """Whether bans and overrides that other processes make are in force here within a second: with Redis that takes a
    connection, and a command every few seconds. In memory there are no others."""
