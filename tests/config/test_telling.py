"""What is shown of settings: a file to begin with, the effective values, a schema."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate.config import ENVIRONMENTS, commented_file, effective, load_settings, read_settings, schema, shown_url

from .sources import ENVIRONMENT_NAMES, FIELDS

if TYPE_CHECKING:
    from pathlib import Path


BESIDE: dict[str, dict[str, Any]] = {
    "redis.username": {"redis": {"url": "rediss://h", "password": "p"}},
    "redis.url": {"redis": {"password": "p"}},
    "redis.password": {"redis": {"url": "rediss://h"}},
    "redis.password_file": {"redis": {"url": "rediss://h"}},
    "redis.tls_ca_file": {"redis": {"url": "rediss://:p@h"}},
    "redis.tls_cert_file": {"redis": {"url": "rediss://:p@h", "tls_key_file": "k"}},
    "redis.tls_key_file": {"redis": {"url": "rediss://:p@h", "tls_cert_file": "c"}},
    "redis.hash_tags": {"redis": {"url": "rediss+cluster://:p@h"}},
    "server.tls_cert_file": {"server": {"tls_key_file": "k"}},
    "server.tls_key_file": {"server": {"tls_cert_file": "c"}},
}
"""What some settings need beside them."""


@pytest.mark.parametrize("environment", ENVIRONMENT_NAMES)
def test_the_commented_file_says_what_is_usual(environment: str, bare: Path) -> None:
    """As it is it changes nothing, and says itself for which environment it is."""
    text = commented_file(environment)
    assert tomllib.loads(text) == {"environment": environment} | {name: {} for name in text_groups()}
    (bare / "as-is.toml").write_text(text, "utf-8")
    settings = load_settings(file="as-is.toml")
    assert (settings.environment, settings) == (environment, load_settings(environment))


@pytest.mark.parametrize("environment", ENVIRONMENT_NAMES)
def test_each_line_of_the_commented_file_is_taken_without_its_sign(environment: str, bare: Path) -> None:
    """What is usual changes nothing; where nothing is, the example is accepted, with what it needs beside it."""
    lines = commented_file(environment).splitlines()
    file, group = bare / "one.toml", ""
    usual = {row.path: row.value for row in effective(read_settings(environment))}
    tried = []
    for number, line in enumerate(lines):
        group = line[1:-1] + "." if line.startswith("[") else group
        name, is_setting, _ = line.removeprefix("# ").partition(" = ")
        if not is_setting or not line.startswith("# ") or not name.isidentifier():
            continue
        file.write_text("\n".join([*lines[:number], line.removeprefix("# "), *lines[number + 1 :]]), "utf-8")
        path = group + name
        found = {row.path: row.value for row in effective(read_settings(file=file, **BESIDE.get(path, {})))}
        assert (found[path] == usual[path]) == (usual[path] is not None), path
        tried.append(path)
    assert sorted(tried) == sorted(".".join(field.path) for field in FIELDS)


def text_groups() -> list[str]:
    """Return the names of the groups."""
    return sorted({field.path[0] for field in FIELDS if len(field.path) > 1})


def test_every_setting_stands_in_the_commented_file_with_its_meaning() -> None:
    """So that nobody has to look for a list elsewhere."""
    text = commented_file("production")
    for field in FIELDS:
        assert f"# {field.path[-1]} = " in text
        assert field.found.description


def test_the_effective_settings_name_their_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what nobody set they say that it is as usual."""
    monkeypatch.setenv("SLUICEGATE_POOL__DEADLINE_MS", "9")
    rows = {
        row.path: row
        for row in effective(read_settings("test", redis={"url": "redis://u:secret@h:1/2?client_name=secret"}))
    }
    assert rows["pool.deadline_ms"].value == 9
    assert "SLUICEGATE_POOL__DEADLINE_MS" in rows["pool.deadline_ms"].origin
    assert rows["redis.url"].value == "redis://u:…@h:1/2?…"
    assert rows["pool.connect_timeout_ms"].origin == "what is usual in the environment"
    assert len(rows) == len(FIELDS)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis://:p@h", "redis://…@h"),
        ("rediss+cluster://u:p@a:1,b:2", "rediss+cluster://u:…@a:1,b:2"),
        ("unix://u:p@/some/path?db=1", "unix://u:…@/some/path?…"),
        ("p@ss", "a URL that cannot be read"),
        ("redis://u:p#w@h", "a URL that cannot be read"),
        ("redis://u:pa/s3cretX@h", "a URL that cannot be read"),
        ("redis://:p@h\u2100", "a URL that cannot be read"),
        ("rediss://[::1", "a URL that cannot be read"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, shown: str) -> None:
    """Neither the password nor options, and of what cannot be read nothing."""
    assert shown_url(url) == shown


@pytest.mark.parametrize("environment", ENVIRONMENT_NAMES)
def test_the_schema_knows_every_setting(environment: str) -> None:
    """With its meaning, for editors."""
    told = schema(environment)
    assert set(told["properties"]) == {"environment", *ENVIRONMENTS[environment].model_fields}
    assert told["properties"]["environment"]["const"] == environment
    assert told["additionalProperties"] is False
    assert "milliseconds" in str(told["$defs"]["PoolSettings"]["properties"]["deadline_ms"]["description"])
