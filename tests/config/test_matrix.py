"""Each setting by each source in each environment: taken, refused with its place, and never shown when it is secret."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretBytes, SecretStr

from sluicegate import ConfigurationError
from sluicegate.config import ENVIRONMENTS, effective, read_settings
from sluicegate.config.risks import WAIVERS

from .sources import CANARY, ENVIRONMENT_NAMES, FIELDS, SOURCES, Setting, names_of, say, say_all

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


def test_there_is_something_wrong_to_say_of_each_field_by_each_source() -> None:
    """None is left out by mistake."""
    assert [setting.path for setting in FIELDS for source in SOURCES if len(setting.wrong_by(source)) < 2] == []


@pytest.mark.parametrize(
    ("setting", "source", "value"),
    [(setting, source, value) for setting in FIELDS for source in SOURCES for value in setting.wrong_by(source)],
    ids=lambda value: ".".join(value.path) if isinstance(value, Setting) else str(value)[:20],
)
def test_each_source_is_told_of_what_no_field_takes(
    setting: Setting, source: str, value: Any, bare: Path, monkeypatch: pytest.MonkeyPatch
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
        assert CANARY not in f"{caught.value}{caught.value!r}"
        if setting.is_secret and setting.path != ("redis", "url"):
            assert problems[0].found == "a value that is not shown"
            assert len(str(value)) < 9 or str(value) not in str(caught.value)


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


RACE = {"resilience.reconnect_min_ms": 100, "resilience.reconnect_max_ms": 50}
CONTRADICTING: dict[str, tuple[str, dict[str, Any]]] = {  # which setting is told, and what is said
    "a waiver that there is none of": ("waivers", {"waivers": ["redis_without_tsl"]}),
    "a certificate alone": ("server.tls_cert_file", {"server.tls_cert_file": "x"}),
    "a key alone": ("server.tls_key_file", {"server.tls_key_file": "x"}),
    "more batches than connections": (
        "batching.in_flight_max",
        {"batching.in_flight_max": 2, "pool.connections_max": 2},
    ),
    "a pause that shrinks": ("resilience.reconnect_max_ms", RACE),
    "two passwords": (
        "redis.password_file",
        {"redis.url": "rediss://h", "redis.password": CANARY, "redis.password_file": "x"},
    ),
    "half a client": ("redis.tls_key_file", {"redis.url": "rediss://:p@h", "redis.tls_key_file": "x"}),
    "a user of nothing": ("redis.username", {"redis.username": "someone"}),
    "a password of nothing": ("redis.password", {"redis.password": CANARY}),
    "no groups on a Cluster": ("redis.hash_tags", {"redis.url": "rediss+cluster://:p@h", "redis.hash_tags": 0}),
    "an authority twice": (
        "redis.tls_ca_file",
        {"redis.url": "rediss://:p@h?ssl_ca_certs=y", "redis.tls_ca_file": "x"},
    ),
    "TLS files without TLS": ("redis.url", {"redis.url": "unix:///s", "redis.tls_ca_file": "x"}),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", CONTRADICTING)
def test_each_source_is_told_of_what_contradicts_itself(
    name: str, source: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every environment, by the setting that is to be mended and who set it; and beside what is wrong elsewhere."""
    where, said = CONTRADICTING[name]
    by_path = {tuple(each.split(".")): value for each, value in said.items()}
    wrong = {("pool", "connect_timeout_ms"): 0}
    for more in ({}, wrong):
        arguments = say_all(source, {**by_path, **more}, bare, monkeypatch)
        for environment in ENVIRONMENT_NAMES:
            with pytest.raises(ConfigurationError) as caught:
                read_settings(environment, **arguments)
            assert CANARY not in str(caught.value)
            places = [each.where for each in caught.value.problems]
            told = [place for place in places if place.startswith(f"{where} (set by ")]
            assert len(told) == 1, caught.value
            assert names_of(source, tuple(where.split("."))) in told[0]
            assert len(places) == 1 + len(more), caught.value


@pytest.mark.parametrize("source", SOURCES)
def test_what_production_refuses_is_told_with_its_source(
    source: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another setting is the reason, and beside what is wrong elsewhere, unless that may be the reason."""
    said = {("redis", "url"): "redis://:p@h", ("server", "admin_enabled"): True, ("pool", "deadline_ms"): -1}
    arguments = say_all(source, said, bare, monkeypatch)
    with pytest.raises(ConfigurationError) as caught:
        read_settings("production", **arguments)
    places = [each.where for each in caught.value.problems]
    assert [place.partition(" ")[0] for place in places] == ["pool.deadline_ms", "redis.url", "server.admin_token"]
    assert names_of(source, ("redis", "url")) in places[1]
    assert places[2].startswith("server.admin_token (server.admin_enabled is set by ")
    assert names_of(source, ("server", "admin_enabled")) in places[2]
    said[("server", "admin_enabled")] = "perhaps"
    said[("redis", "url")] = "//"
    with pytest.raises(ConfigurationError) as caught:
        read_settings("production", **say_all(source, said, bare, monkeypatch))
    assert len(caught.value.problems) == 3
