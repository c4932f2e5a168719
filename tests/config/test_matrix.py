"""Each setting by each source in each environment: taken, refused with its place, and never shown when it is secret."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretBytes, SecretStr

from sluicegate import ConfigurationError
from sluicegate.config import ENVIRONMENTS, effective, read_settings
from sluicegate.config.risks import WAIVERS

from .sources import CANARY, ENVIRONMENT_NAMES, FIELDS, SOURCES, Setting, names_of, say

if TYPE_CHECKING:
    from pathlib import Path

    from sluicegate.config import Settings

WAIVED = ",".join(WAIVERS)
BESIDE: dict[str, dict[str, Any]] = {  # what a setting needs beside it
    "redis.username": {"url": "rediss://127.0.0.1"},
    "redis.password": {"url": "rediss://127.0.0.1"},
    "redis.password_file": {"url": "rediss://127.0.0.1"},
    "redis.tls_ca_file": {"url": "rediss://127.0.0.1"},
    "redis.tls_cert_file": {"url": "rediss://127.0.0.1", "tls_key_file": "key"},
    "server.tls_cert_file": {"tls_key_file": "key"},
    "server.tls_key_file": {"tls_cert_file": "cert"},
    "resilience.reconnect_min_ms": {"reconnect_max_ms": "600000"},
    "redis.tls_key_file": {"url": "rediss://127.0.0.1", "tls_cert_file": "cert"},
}


def at(settings: Settings, path: tuple[str, ...]) -> Any:
    """Return the plain value at *path*."""
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    if isinstance(value, SecretBytes):
        return value.get_secret_value().decode()
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, int | float) else str(value)


def heard(source: str, setting: Setting, value: Any, where: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Have *source* say it, with what has to stand beside it; return the arguments."""
    name = ".".join(setting.path)
    for other, beside in BESIDE.get(name, {}).items():
        monkeypatch.setenv(f"SLUICEGATE_{setting.path[0].upper()}__{other.upper()}", beside)
    if name != "waivers":
        monkeypatch.setenv("SLUICEGATE_WAIVERS", WAIVED)
    return say(source, setting.path, value, where, monkeypatch)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("setting", FIELDS, ids=lambda setting: ".".join(setting.path))
def test_each_source_sets_each_field_in_each_environment(
    setting: Setting, source: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value is in force, its source is told, and all else stays as usual there."""
    arguments = heard(source, setting, setting.good(), bare, monkeypatch)
    for environment in ENVIRONMENT_NAMES:
        loaded = read_settings(environment, **arguments)
        assert at(loaded.settings, setting.path) == setting.good()
        assert names_of(source, setting.path) in loaded.origin(setting.path)
        usual = ENVIRONMENTS[environment].model_construct()
        said = {
            setting.path,
            ("waivers",),
            *((setting.path[0], other) for other in BESIDE.get(".".join(setting.path), {})),
        }
        for other in FIELDS:
            if other.path not in said:
                assert at(loaded.settings, other.path) == at(usual, other.path), other.path
        shown = repr([effective(loaded), loaded.settings, loaded]) + str(loaded.settings)
        assert CANARY not in shown


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("setting", "value"),
    [(setting, value) for setting in FIELDS for value in setting.wrong()],
    ids=lambda value: ".".join(value.path) if isinstance(value, Setting) else str(value)[:20],
)
def test_each_source_is_told_of_what_no_field_takes(
    setting: Setting, value: Any, source: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong type and each bound: the message names the path, the source, and what is accepted."""
    arguments = heard(source, setting, value, bare, monkeypatch)
    for environment in ENVIRONMENT_NAMES:
        with pytest.raises(ConfigurationError) as caught:
            read_settings(environment, **arguments)
        problems = [each for each in caught.value.problems if each.where.startswith(".".join(setting.path))]
        assert len(problems) == 1, caught.value
        assert names_of(source, setting.path) in problems[0].where
        assert problems[0].accepted
        if setting.is_secret:
            assert problems[0].found == "a value that is not shown"
            assert str(value) not in str(caught.value)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        (("redis", "urll"), "url"),
        (("pool", "deadline_s"), "deadline_ms"),
        (("server", "prot"), "port"),
        (("reddis", "url"), "redis"),
        (("rule",), "rules"),
    ],
    ids=".".join,
)
def test_a_name_that_is_not_known_is_refused_with_the_nearest(
    path: tuple[str, ...], nearest: str, source: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is said, and what was said is not shown: it may be a secret under a wrong name."""
    arguments = say(source, path, CANARY, bare, monkeypatch)
    for environment in ENVIRONMENT_NAMES:
        with pytest.raises(ConfigurationError) as caught:
            read_settings(environment, **arguments)
        assert f"did you mean {nearest}" in str(caught.value).lower()
        assert CANARY not in str(caught.value)
        assert CANARY not in repr(caught.value)


@pytest.mark.parametrize(("first", "second"), [pair for pair in pairwise(SOURCES) if pair != ("toml", "yaml")])
def test_the_sources_overrule_each_other_in_their_order(
    first: str, second: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that set a field the earlier is heard; in a group each field is taken from the first that has it."""
    arguments = say(second, ("pool", "connect_timeout_ms"), 111, bare, monkeypatch)
    arguments |= say(first, ("pool", "connect_timeout_ms"), 222, bare, monkeypatch)
    arguments |= say("variable" if first == "argument" else "argument", ("pool", "deadline_ms"), 7, bare, monkeypatch)
    loaded = read_settings("test", **arguments)
    assert (loaded.settings.pool.connect_timeout_ms, loaded.settings.pool.deadline_ms) == (222, 7)
    assert names_of(first, ("pool", "connect_timeout_ms")) in loaded.origin(("pool", "connect_timeout_ms"))
