"""What can be set, in groups: each field with its unit in its name, its bounds, its meaning and its default.

A group is frozen, takes nothing that it does not know, and shows no input in its errors, for that may be a secret.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretBytes,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import NoDecode

from sluicegate.database import address_of
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = [
    "NAME_LENGTH_MAX",
    "TEXT_LENGTH_MAX",
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
    "as_meant",
]


TEXT_LENGTH_MAX: Final = 4_096  # the longest name that a file can have; URLs and passwords are shorter
URL: Final = re.compile("[A-Za-z][A-Za-z0-9+.-]+:/")  # no file, and maybe with a password; a drive has one letter
NAME_LENGTH_MAX: Final = 64
NAMES_MAX: Final = 64


class Group(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(
        defer_build=True,  # with the environment that needs them
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: object, info: ValidationInfo) -> object:
        return as_meant(cls.model_fields[info.field_name or ""], value)


def as_meant(found: FieldInfo, value: object) -> object:
    """Refuse what Python would take for something else: a truth for a number, or the reverse, and any text for a file.

    Raises:
        ValueError: It is that.
    """
    kinds = (found.annotation, *get_args(found.annotation))
    is_truth = isinstance(value, bool)
    if is_truth and bool not in kinds and (int in kinds or float in kinds):
        raise ValueError
    if bool in kinds and isinstance(value, int | float) and not is_truth:
        raise ValueError
    if Path in kinds and value is not None:
        text = str(value) if isinstance(value, str | Path) else ""
        if not 0 < len(text) <= TEXT_LENGTH_MAX or "\0" in text or URL.match(text):
            raise ValueError
    return value


def _listed(value: object) -> object:
    """Take a list as it is, and a text as one whose items are set apart by commas."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


Name = Annotated[str, Field(pattern=rf"^[A-Za-z0-9_.-]{{1,{NAME_LENGTH_MAX}}}$")]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_listed), Field(max_length=NAMES_MAX)]


class RedisSettings(Group):
    """Where state is kept, and how that is reached."""

    url: SecretStr | None = Field(default=None, max_length=TEXT_LENGTH_MAX)
    """redis://, rediss:// or unix:// for one server; redis+sentinel:// and redis+cluster:// (rediss+ for TLS) for
    several; embedded:// for one of this machine's own. Without it state is kept in the memory of the process."""

    username: str | None = Field(default=None, min_length=1, max_length=256)
    """The ACL user; the one in the URL, if there is one, is overruled."""

    password: SecretStr | None = Field(default=None, min_length=1, max_length=TEXT_LENGTH_MAX)
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

    key_secret: SecretStr | None = Field(default=None, min_length=1, max_length=64)
    """Keys the digests of long keys; the same in the whole fleet, up to 64 bytes."""

    hash_tags: int | None = Field(default=None, ge=0, le=16_384)
    """Into how many groups keys are put on a Cluster, each on one server: best as many as there are masters. Fewer make
    larger calls, more can use more servers. 0 puts no tag into keys, which is right for a single server. Default: 3 on
    a Cluster, else 0."""

    @field_validator("url")
    @classmethod
    def _url_is_read(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            address_of(value.get_secret_value())
        return value


class PoolSettings(Group):
    """The connections to each server, and the time that is allowed."""

    connect_timeout_ms: int = Field(default=2_000, ge=10, le=60_000)
    """Time for a connection, in milliseconds."""

    deadline_ms: float = Field(default=50, ge=1, le=10_000, allow_inf_nan=False)
    """Time until every verb has an answer, in milliseconds; later the limit's on_failure answers."""

    connections_max: int = Field(default=8, ge=2, le=64)
    """The most connections to each server; decisions travel in batches, so a few do for many thousands a second, and
    who finds all in use waits for one until its deadline. Listening for changes keeps one of them."""


class MemorySettings(Group):
    """State in the memory of the process, where there is no Redis."""

    keys_max: int = Field(default=100_000, ge=1, le=100_000_000)
    """The most keys to remember."""


class BatchingSettings(Group):
    """How requests are gathered for the server."""

    requests_max: int = Field(default=64, ge=1, le=1_000)
    """The most units of work in one script call."""

    in_flight_max: int | None = Field(default=None, ge=1, le=16)
    """The most batches under way at once, each on a connection of its own. Default: 2; 1 on a Cluster, where one
    already keeps several servers busy."""

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

    prometheus_enabled: bool = False
    """Whether the service tells its metrics to Prometheus. Not used by this version."""

    prometheus_path: str = Field(default="/metrics", pattern=r"^/[A-Za-z0-9_./-]{0,127}$")
    """Where it does. Not used by this version."""

    opentelemetry_url: str | None = Field(default=None, pattern=r"^https?://[A-Za-z0-9_.:/\[\]-]{1,1024}$")
    """Where traces and metrics are sent to, by OTLP over HTTP. Not used by this version."""

    opentelemetry_interval_ms: int = Field(default=10_000, ge=100, le=600_000)
    """How often metrics are sent there, in milliseconds. Not used by this version."""

    alerts_url: SecretStr | None = Field(default=None, min_length=8, max_length=TEXT_LENGTH_MAX)
    """Where alerts are posted to; whoever knows such an address may post. Not used by this version."""

    alerts_repeat_ms: int = Field(default=300_000, ge=1_000, le=86_400_000)
    """How long the same alert is not repeated, in milliseconds. Not used by this version."""

    slo_availability_ratio: float = Field(default=0.999, ge=0.5, le=0.999_999)
    """The share of decisions that are to be made by who should make them. Not used by this version."""

    slo_latency_ms: float = Field(default=10, ge=0.01, le=10_000)
    """The time within which 95 of 100 decisions are to be made, in milliseconds. Not used by this version."""

    slo_window_days: int = Field(default=30, ge=1, le=90)
    """The days over which both are judged. Not used by this version."""


class DistributedSettings(Group):
    """The process as one of several."""

    instance_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    """What this process is called. Default: drawn at random at each start. Not used by this version."""

    instances: int | None = Field(default=None, ge=1, le=10_000)
    """How many processes share the limits, where nobody agrees on it. Not used by this version."""

    heartbeat_ms: int = Field(default=1_000, ge=100, le=60_000)
    """How often an instance says that it lives, in milliseconds. Not used by this version."""

    coordinator: Literal["none", "redis", "etcd"] = "none"
    """What instances agree by. Not used by this version."""

    leader_duties: Names = ()
    """What only the leader among the instances does. Not used by this version."""


class ServerSettings(Group):
    """The service."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    """The address to listen on; the default is this machine alone."""

    port: int = Field(default=8_000, ge=0, le=65_535)
    """The port; 0 takes a free one."""

    grpc_port: int | None = Field(default=None, ge=0, le=65_535)
    """The port for gRPC; 0 takes a free one. Default: none is served. Not used by this version."""

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
    """Whether the admin page is served. Not used by this version."""

    admin_token: SecretStr | None = Field(default=None, min_length=16, max_length=4_096)
    """What whoever opens the admin page has to know, or bans keys and gives them other rates over HTTP."""

    @field_validator("admin_token")
    @classmethod
    def _token_fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        token = value.get_secret_value() if value is not None else ""
        if not token.isprintable() or token != token.strip():
            found = "a value with a line break, another control character, or a space at an end"
            raise InvalidInputError("server.admin_token", found, "what can stand in a header of HTTP")
        return value


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
