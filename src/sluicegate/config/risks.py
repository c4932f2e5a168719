"""What settings contradict each other, and what is legal but not fit for production, with how to mend or waive it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sluicegate.config.files import found_in
from sluicegate.database import address_of
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sluicegate.config.environments import Settings
    from sluicegate.database import Address

__all__ = ["WAIVERS", "Contradiction", "Risk", "contradictions", "risks_of"]


@dataclass(frozen=True, slots=True)
class Risk:
    """What production refuses unless it is waived.

    Attributes:
        name: Its name, for `Settings.waivers`.
        where: The setting that it is about.
        found: What is risky.
        mend: What to do about it.
        beside: The other settings that make it risky.
    """

    name: str
    where: str
    found: str
    mend: str
    beside: tuple[str, ...] = ()

    @property
    def concerns(self) -> tuple[str, ...]:
        """All settings that it depends on."""
        return (self.where, *self.beside)

    def problem(self, where: str) -> InvalidInputError:
        """Return it as what is wrong with the settings at *where*."""
        return InvalidInputError(where, self.found, f"{self.mend}; or waive it: waivers = ['{self.name}']")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What cannot be meant.

    Attributes:
        concerns: The settings that contradict each other, the one to mend first.
        found: What they say.
        accepted: What they might say.
    """

    concerns: tuple[str, ...]
    found: str
    accepted: str

    def problem(self, where: str) -> InvalidInputError:
        """Return it as what is wrong with the settings at *where*."""
        return InvalidInputError(where, self.found, self.accepted)


def risks_of(settings: Settings) -> list[Risk]:
    """Return all that is risky, waived or not."""
    return list(_risks(settings))


def _risks(settings: Settings) -> Iterator[Risk]:
    redis, server = settings.redis, settings.server
    if redis.url is None and server.workers > 1:
        found = f"state in the memory of each of {server.workers} workers, which multiplies every limit"
        mend = "a Redis that they share, or embedded://"
        yield Risk("memory_with_workers", "redis.url", found, mend, ("server.workers",))
    if redis.url is not None:
        address = address_of(redis.url.get_secret_value())
        if not address.is_local:
            has_password = redis.password is not None or redis.password_file is not None or address.has_password
            yield from _risks_on_the_way(address, has_password=has_password)
    if server.admin_enabled and server.admin_token is None:
        found, mend = "an admin page that anybody can open", "a token of 16 characters or more"
        yield Risk("admin_without_authentication", "server.admin_token", found, mend, ("server.admin_enabled",))
    elif server.admin_token is None and not _is_loopback(server.host):
        found = "bans and overrides that whoever reaches the service can make"
        mend = "a token of 16 characters or more, or a host that is this machine alone"
        yield Risk("admin_without_authentication", "server.admin_token", found, mend, ("server.host",))
    if settings.monitoring.log_keys and settings.monitoring.log_level == "debug":
        found = "keys in a log at the level of debug, which tell who asked for what"
        mend = "log_keys = false, or a log level above debug"
        yield Risk("keys_in_logs", "monitoring.log_keys", found, mend, ("monitoring.log_level",))
    if settings.distributed.leader_duties and settings.distributed.coordinator != "etcd":
        found = f"duties of a leader on the coordinator {settings.distributed.coordinator}, which cannot fence"
        mend = "coordinator = etcd, or no leader_duties"
        yield Risk("unfenced_leader", "distributed.coordinator", found, mend, ("distributed.leader_duties",))


def _risks_on_the_way(address: Address, *, has_password: bool) -> Iterator[Risk]:
    if not has_password:
        found, mend = "a server that is asked without a password", "a password, or a file with one"
        beside = ("redis.url", "redis.password_file")
        yield Risk("redis_without_authentication", "redis.password", found, mend, beside)
    if not address.has_tls:
        found = f"{address.scheme}://, which anybody on the way can read and change"
        yield Risk("redis_without_tls", "redis.url", found, "a URL that begins with rediss")
    elif not address.is_verified:
        found = "TLS with whoever answers, for certificates or their names are not checked"
        mend = "ssl_cert_reqs and ssl_check_hostname left out; redis.tls_ca_file trusts an authority of your own"
        yield Risk("redis_tls_unchecked", "redis.url", found, mend)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


WAIVERS: Final = (
    "memory_with_workers",
    "redis_without_authentication",
    "redis_without_tls",
    "redis_tls_unchecked",
    "admin_without_authentication",
    "keys_in_logs",
    "unfenced_leader",
)


SAID_BY_THE_URL: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {  # it would overrule the setting, or trust more than that
        "tls_ca_file": frozenset({"ssl_ca_certs", "ssl_ca_data", "ssl_ca_path"}),
        "tls_cert_file": frozenset({"ssl_certfile"}),
        "tls_key_file": frozenset({"ssl_keyfile"}),
    }
)


def contradictions(settings: Settings) -> list[Contradiction]:
    """Return what cannot be meant, in whatever environment."""
    return list(_contradictions(settings))


def _contradictions(settings: Settings) -> Iterator[Contradiction]:
    for name in settings.waivers:
        if name not in WAIVERS:
            nearest = get_close_matches(name, WAIVERS, n=1, cutoff=0.6)
            accepted = ", ".join(WAIVERS) + (f" (did you mean {nearest[0]}?)" if nearest else "")
            yield Contradiction(("waivers",), found_in(name), accepted)
    yield from _halves("server", settings.server.tls_cert_file, settings.server.tls_key_file)
    server = settings.server
    if server.grpc_port and server.grpc_port == server.port:
        found, accepted = str(server.grpc_port), "another port than server.port, or 0 for a free one"
        yield Contradiction(("server.grpc_port", "server.port"), found, accepted)
    least_ms, most_ms = settings.resilience.reconnect_min_ms, settings.resilience.reconnect_max_ms
    if least_ms > most_ms:
        accepted = f"reconnect_min_ms or more, which is {least_ms}"
        concerns = ("resilience.reconnect_max_ms", "resilience.reconnect_min_ms")
        yield Contradiction(concerns, str(most_ms), accepted)
    in_flight, connections = settings.batching.in_flight_max, settings.pool.connections_max
    if in_flight is not None and in_flight >= connections:
        accepted = f"at most {connections - 1}, one less than pool.connections_max, or more connections"
        yield Contradiction(("batching.in_flight_max", "pool.connections_max"), str(in_flight), accepted)
    yield from _redis_contradictions(settings)


def _redis_contradictions(settings: Settings) -> Iterator[Contradiction]:
    redis = settings.redis
    if redis.password is not None and redis.password_file is not None:
        concerns = ("redis.password_file", "redis.password")
        yield Contradiction(concerns, "a password beside it", "redis.password or a file, not both")
    yield from _halves("redis", redis.tls_cert_file, redis.tls_key_file)
    if redis.url is None:
        for name in ("username", "password", "password_file", "tls_ca_file", "tls_cert_file", "tls_key_file"):
            if getattr(redis, name) is not None:
                yield Contradiction((f"redis.{name}", "redis.url"), "no server that it is for", "redis.url beside it")
        return
    address = address_of(redis.url.get_secret_value())
    if redis.hash_tags == 0 and address.kind == "cluster":
        found = "0 on a Cluster, where no server decides about all keys"
        yield Contradiction(("redis.hash_tags", "redis.url"), found, "1 or more")
    for name, options in SAID_BY_THE_URL.items():
        said = sorted(options & address.options)
        if said and getattr(redis, name) is not None:
            found = f"a file beside {', '.join(said)} in redis.url"
            yield Contradiction((f"redis.{name}", "redis.url"), found, f"redis.{name} or what the URL says, not both")
    tls_files = [name for name in ("tls_ca_file", "tls_cert_file", "tls_key_file") if getattr(redis, name) is not None]
    if tls_files and not address.has_tls:
        beside = (f"redis.{name}" for name in tls_files)
        yield Contradiction(
            ("redis.url", *beside), f"{address.scheme}:// beside files for TLS", "a URL that begins with rediss"
        )


def _halves(group: str, certificate: object, key: object) -> Iterator[Contradiction]:
    if (certificate is None) != (key is None):
        concerns = (f"{group}.tls_cert_file", f"{group}.tls_key_file")
        found = "a certificate without its key" if key is None else "a key without its certificate"
        yield Contradiction(concerns if key is None else concerns[::-1], found, "both or none")
