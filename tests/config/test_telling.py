"""What is shown of settings: a file to begin with, the effective values, a schema."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from sluicegate.config import ENVIRONMENTS, commented_file, effective, load_settings, read_settings, schema, shown_url

from .sources import ENVIRONMENT_NAMES, FIELDS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("environment", ENVIRONMENT_NAMES)
def test_the_commented_file_says_what_is_usual(environment: str, bare: Path) -> None:
    """As it is it changes nothing; with every line uncommented that has a value it still changes nothing."""
    text = commented_file(environment)
    assert tomllib.loads(text) == {name: {} for name in text_groups()}
    (bare / "as-is.toml").write_text(text, "utf-8")
    usual = load_settings(environment)
    assert load_settings(environment, file="as-is.toml") == usual
    names = tuple(path[-1] for path in (field.path for field in FIELDS))
    lines = []
    for line in text.splitlines():
        plain = line.removeprefix("# ")
        is_setting = line.startswith("# ") and plain.partition(" = ")[0] in names and " = " in plain
        lines.append(plain if is_setting and not plain.endswith('""') else line)
    (bare / "all.toml").write_text("\n".join(lines), "utf-8")
    said = tomllib.loads("\n".join(lines))
    assert sum(len(group) if isinstance(group, dict) else 1 for group in said.values()) > len(FIELDS) // 2
    assert load_settings(environment, file="all.toml") == usual


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
    rows = {row.path: row for row in effective(read_settings("test", redis={"url": "redis://u:secret@h:1/2?x=secret"}))}
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
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, shown: str) -> None:
    """Neither the password nor options, and of what cannot be read nothing."""
    assert shown_url(url) == shown


@pytest.mark.parametrize("environment", ENVIRONMENT_NAMES)
def test_the_schema_knows_every_setting(environment: str) -> None:
    """With its meaning, for editors."""
    told = schema(environment)
    assert set(told["properties"]) == set(ENVIRONMENTS[environment].model_fields)
    assert told["additionalProperties"] is False
    assert "milliseconds" in str(told["$defs"]["PoolSettings"]["properties"]["deadline_ms"]["description"])
