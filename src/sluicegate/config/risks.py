"""What settings contradict each other, and what is legal but not fit for production, with how to mend or waive it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sluicegate.utils import InvalidInputError, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluicegate.config.environments import Settings

__all__ = ["WAIVERS", "Risk", "contradictions", "risks_of"]

LOCAL_SCHEMES: Final = frozenset({"unix", "embedded"})
TLS_SCHEME: Final = "rediss"


@dataclass(frozen=True, slots=True)
class Risk:
    """What production refuses unless it is waived.

    Attributes:
        name: Its name, for `Settings.waivers`.
        where: The setting that it is about.
        found: What is risky.
        mend: What to do about it.
    """

    name: str
    where: str
    found: str
    mend: str

    def as_problem(self) -> InvalidInputError:
        """Return it as what is wrong with the settings."""
        return InvalidInputError(self.where, self.found, f"{self.mend}; or waive it: waivers = ['{self.name}']")


def risks_of(settings: Settings) -> list[Risk]:
    """Return all that is risky, waived or not."""
    return list(_risks(settings))


def _risks(settings: Settings) -> Iterator[Risk]:
    redis, server = settings.redis, settings.server
    scheme = _scheme(settings)
    if redis.url is None and server.workers > 1:
        found = f"state in the memory of each of {server.workers} workers, which multiplies every limit"
        yield Risk("memory_with_workers", "redis.url", found, "a Redis that they share, or embedded://")
    if redis.url is not None and scheme not in LOCAL_SCHEMES:
        if (
            redis.password is None
            and redis.password_file is None
            and not urlsplit(redis.url.get_secret_value()).password
        ):
            found = "a server that is asked without a password"
            yield Risk("redis_without_authentication", "redis.password", found, "a password, or a file with one")
        if not scheme.startswith(TLS_SCHEME):
            found = f"{scheme}://, which anybody on the way can read and change"
            yield Risk("redis_without_tls", "redis.url", found, "a URL that begins with rediss")
    if server.admin_enabled and server.admin_token is None:
        found = "an admin page that anybody can open"
        yield Risk("admin_without_authentication", "server.admin_token", found, "a token of 16 characters or more")
    if settings.monitoring.log_keys and settings.monitoring.log_level == "debug":
        found = "keys in a log at the level of debug, which tell who asked for what"
        yield Risk("keys_in_logs", "monitoring.log_keys", found, "log_keys = false, or a log level above debug")
    if settings.distributed.leader_duties and settings.distributed.coordinator != "etcd":
        found = f"duties of a leader on the coordinator {settings.distributed.coordinator}, which cannot fence"
        yield Risk("unfenced_leader", "distributed.coordinator", found, "coordinator = etcd, or no leader_duties")


WAIVERS: Final = (
    "memory_with_workers",
    "redis_without_authentication",
    "redis_without_tls",
    "admin_without_authentication",
    "keys_in_logs",
    "unfenced_leader",
)


def contradictions(settings: Settings) -> list[InvalidInputError]:
    """Return what cannot be meant, in whatever environment."""
    return list(_contradictions(settings))


def _contradictions(settings: Settings) -> Iterator[InvalidInputError]:
    for name in settings.waivers:
        if name not in WAIVERS:
            nearest = get_close_matches(name, WAIVERS, n=1, cutoff=0.6)
            accepted = ", ".join(WAIVERS) + (f" (did you mean {nearest[0]}?)" if nearest else "")
            yield InvalidInputError("waivers", shape_of(name), accepted)
    if (settings.server.tls_cert_file is None) != (settings.server.tls_key_file is None):
        yield InvalidInputError("server.tls_cert_file", "a certificate without its key, or the reverse", "both or none")
    least_ms, most_ms = settings.resilience.reconnect_min_ms, settings.resilience.reconnect_max_ms
    if least_ms > most_ms:
        accepted = f"reconnect_min_ms or more, which is {least_ms}"
        yield InvalidInputError("resilience.reconnect_max_ms", str(most_ms), accepted)
    yield from _redis_contradictions(settings)


def _redis_contradictions(settings: Settings) -> Iterator[InvalidInputError]:
    redis = settings.redis
    if redis.password is not None and redis.password_file is not None:
        yield InvalidInputError("redis.password_file", "a password beside it", "redis.password or a file, not both")
    if (redis.tls_cert_file is None) != (redis.tls_key_file is None):
        yield InvalidInputError("redis.tls_cert_file", "a certificate without its key, or the reverse", "both or none")
    if redis.url is None:
        for name in ("username", "password", "password_file", "tls_ca_file", "tls_cert_file"):
            if getattr(redis, name) is not None:
                yield InvalidInputError(f"redis.{name}", "no server that it is for", "redis.url beside it")
        return
    if redis.hash_tags == 0 and _scheme(settings).endswith("+cluster"):
        yield InvalidInputError(
            "redis.hash_tags", "0 on a Cluster, where no server decides about all keys", "1 or more"
        )
    tls_file = redis.tls_ca_file or redis.tls_cert_file
    if tls_file is not None and not _scheme(settings).startswith(TLS_SCHEME):
        yield InvalidInputError(
            "redis.url", f"{_scheme(settings)}:// beside files for TLS", "a URL that begins with rediss"
        )


def _scheme(settings: Settings) -> str:
    url = settings.redis.url
    return url.get_secret_value().partition("://")[0].lower() if url is not None else ""
