"""A file of settings: bounded in size and depth, each name once, and never quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import ConfigurationError
from sluicegate.config import load_settings

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-zq7v-0123456789"


def refused(path: Path, content: str | bytes) -> str:
    """Return the one line with which settings in a file are refused."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file=path)
    assert len(caught.value.problems) == 1
    told = str(caught.value)
    assert CANARY not in told
    assert str(path) in told
    assert len(told) < 400
    return told


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.yaml", "[" * 5_000),
        ("s.yaml", "a: " + "[" * 5_000 + "]" * 5_000),
        ("s.yaml", "pool: " + "{x: " * 9 + "1" + "}" * 9),
        ("s.yaml", "- " * 5_000),
        ("s.toml", "a = " + "[" * 5_000),
        ("s.toml", "a = " + "[" * 5_000 + "]" * 5_000),
        ("s.toml", "pool = " + "{x = " * 9 + "1" + "}" * 9),
        ("s.toml", "a" + ".a" * 20 + " = 1"),
        ("s.toml", "a" + ".a" * 40_000 + " = 1"),
        ("s.toml", "a = " + "1" * 5_000),
    ],
    ids=range(10),
)
def test_what_is_nested_too_deeply_is_refused_in_one_line(name: str, content: str, tmp_path: Path) -> None:
    """No stack is exhausted, and nothing takes the square of its length."""
    assert "found" in refused(tmp_path / name, content)


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        ("pool: {}\npool: {}\n", 2, "a name that stands there twice"),
        (f"redis:\n  password: a\n  password: {CANARY}\n", 3, "a name that stands there twice"),
        ("a: &x 1\nb: *x\n", 1, "an anchor, alias or tag"),
        ("a: !!str 1\n", 1, "an anchor, alias or tag"),
        ("pool:\n  ? [a]\n  : 1\n", 2, "a name that is no text"),
        ("\n- one\n", 1, "no mapping at the top"),
        (f"redis:\n  password: {CANARY}: x\n", 2, "what cannot be read"),
        ("pool: {" + ", ".join(f"a{n}: 1" for n in range(6_000)) + "}", 1, "more than 8 levels or 10,000 values"),
    ],
)
def test_yaml_that_is_ambiguous_is_refused_by_its_line(content: str, line: int, found: str, tmp_path: Path) -> None:
    """Nothing is overruled by a later line of the same file."""
    assert refused(tmp_path / "s.yaml", content).startswith(f"{tmp_path / 's.yaml'}:{line}: found {found}")


def test_toml_that_cannot_be_read_is_refused_by_its_line(tmp_path: Path) -> None:
    """Also where it ends too soon."""
    path = tmp_path / "s.toml"
    assert refused(path, f'[redis]\n\npassword = "{CANARY}\n').startswith(f"{path}:3: ")
    assert refused(path, f"[redis]\npassword = '{CANARY}'\npassword = 'x'\n").startswith(f"{path}:3: ")
    assert refused(path, '[redis]\npassword = """\n').startswith(f"{path}:3: ")


@pytest.mark.parametrize("name", ["s.toml", "s.yaml"])
def test_what_is_no_text_is_refused_by_name(name: str, tmp_path: Path) -> None:
    """And so is what nobody may read, or what is too long."""
    path = tmp_path / name
    assert "no UTF-8" in refused(path, b"\xff\xfe\xfa")
    assert "at most 131,072 bytes" in refused(path, b"#" * 131_073)


@pytest.mark.parametrize(
    ("name", "content"), [("s.toml", "[pool]\ndeadline_ms = 9\n"), ("s.yaml", "pool:\n  deadline_ms: 9\n")]
)
def test_a_byte_order_mark_is_taken(name: str, content: str, tmp_path: Path) -> None:
    """As some editors write it."""
    (tmp_path / name).write_text(content, "utf-8-sig")
    assert load_settings(file=tmp_path / name).pool.deadline_ms == 9


@pytest.mark.parametrize(
    ("written", "value"),
    [("yes", True), ("12:30", "12:30"), ("2026-01-01", "2026-01-01"), ("'7'", "7"), ("99999-01-99", "99999-01-99")],
)
def test_yaml_values_are_what_they_look_like(written: str, value: Any, tmp_path: Path) -> None:
    """No time of day becomes a number, and no date another kind of thing."""
    path = tmp_path / "s.yaml"
    is_truth = isinstance(value, bool)
    path.write_text(f"server: {{admin_enabled: {written}}}" if is_truth else f"server: {{host: {written}}}", "utf-8")
    server = load_settings("test", file=path).server
    assert (server.admin_enabled if is_truth else server.host) == value


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("pool:\n", "nothing"),
        ("pool: [1]\n", "a list"),
        ("pool: true\n", "true"),
        ("pool: {deadline_ms: {a: 1}}\n", "a mapping"),
        ("server: {port: true}\n", "true"),
        ("server: {host: 7}\n", "7"),
        ("flags: {leases: 1}\n", "1"),
        ("pool: {deadline_ms: .nan}\n", "nan"),
    ],
)
def test_what_was_found_is_told_in_the_words_of_a_file(content: str, found: str, tmp_path: Path) -> None:
    """Python's own names for things say nothing to who writes settings."""
    assert f": found {found}; accepted: " in refused(tmp_path / "s.yaml", content)


def test_a_secret_where_a_name_or_a_group_belongs_is_not_shown(tmp_path: Path) -> None:
    """However it comes there."""
    path = tmp_path / "s.yaml"
    for content in (
        f"redis: redis://:{CANARY}@h\n",
        f"redis: [redis://:{CANARY}@h]\n",
        f"redis: {{'redis://:{CANARY}@h': }}\n",
        f"'redis://:{CANARY}@h': 1\n",
        f"server: {CANARY}\n",
    ):
        assert "(set by " in refused(path, content)
