"""Variables, files of them and directories of secrets: what is ours is read or refused, the rest left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluicegate import ConfigurationError
from sluicegate.config import DevelopmentSettings, StagingSettings, load_settings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

CANARY = "canary-zq7v-0123456789"


def refused(**values: object) -> str:
    """Return the one line with which settings are refused."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings("test", **values)  # type: ignore[arg-type] # whatever a test says
    assert len(caught.value.problems) == 1, caught.value
    assert CANARY not in str(caught.value)
    return str(caught.value)


def plain(secret: SecretStr | None) -> str:
    """Return what a secret is."""
    assert secret is not None
    return secret.get_secret_value()


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("REDIS", f'"redis://:{CANARY}@h"', "redis (set by the variable SLUICEGATE_REDIS)"),
        ("REDIS", f"redis://:{CANARY}@h", "redis (set by the variable SLUICEGATE_REDIS)"),
        ("REDIS", f'["{CANARY}"]', "redis (set by the variable SLUICEGATE_REDIS)"),
        ("REDIS", f'{{"url": "{CANARY}"}}', "redis.url (set by the variable SLUICEGATE_REDIS)"),
        ("REDIS__URL", f"redis://u:pa/{CANARY}@h", "redis.url (set by the variable SLUICEGATE_REDIS__URL)"),
        ("REDIS__URL", f"redis://u:pa?{CANARY}@h", "redis.url (set by the variable SLUICEGATE_REDIS__URL)"),
        ("REDIS__URL", f"someone:{CANARY}@h:6379", "redis.url (set by the variable SLUICEGATE_REDIS__URL)"),
        ("REDIS__URL", f"redis:/:{CANARY}@h", "redis.url (set by the variable SLUICEGATE_REDIS__URL)"),
        ("REDIS__URL", f"redis://:{CANARY}\u2100@h", "redis.url (set by the variable SLUICEGATE_REDIS__URL)"),
        ("REDIS__URL", "rediss://[::1", "redis.url (set by the variable SLUICEGATE_REDIS__URL)"),
        ("REDIS__URL", "", "redis.url (set by the variable SLUICEGATE_REDIS__URL)"),
        (
            "SERVER__ADMIN_TOKEN",
            f"{CANARY}\n",
            "server.admin_token (set by the variable SLUICEGATE_SERVER__ADMIN_TOKEN)",
        ),
        ("URL", f"http://u:{CANARY}@127.0.0.1:1", "url (set by the variable SLUICEGATE_URL)"),
        ("URL", f"http://h/?token={CANARY}", "url (set by the variable SLUICEGATE_URL)"),
        ("URL", CANARY, "url (set by the variable SLUICEGATE_URL)"),
        ("POOL", "[" * 100_000, "settings"),
        ("RULES", f"https://u:{CANARY}@h/rules.yaml", "rules (set by the variable SLUICEGATE_RULES)"),
        ("CONFIG", f"redis://:{CANARY}@h", "SLUICEGATE_CONFIG"),
        ("SECRETS_DIR", f"redis://:{CANARY}@h", "SLUICEGATE_SECRETS_DIR"),
        ("WAIVERS", f"redis://:{CANARY}@h", "waivers (set by the variable SLUICEGATE_WAIVERS)"),
        ("REDIS__KEY_PREFIX", f"redis://:{CANARY}@h", "redis.key_prefix (set by the variable"),
        ("MONITORING__LOG_LEVEL", f"redis://:{CANARY}@h", "monitoring.log_level (set by the variable"),
    ],
)
def test_a_variable_with_a_secret_in_the_wrong_place_is_named_and_not_shown(
    name: str, value: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, with what is accepted."""
    monkeypatch.setenv(f"SLUICEGATE_{name}", value)
    assert refused().startswith(f"{place}: found " if place.endswith(")") or " " not in place else place)


def test_a_text_is_taken_for_a_number_or_a_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a variable has nothing else."""
    monkeypatch.setenv("SLUICEGATE_SERVER__PORT", "7")
    monkeypatch.setenv("SLUICEGATE_FLAGS__LEASES", "0")
    settings = load_settings()
    assert (settings.server.port, settings.flags.leases) == (7, False)


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ("A=1\n\nSLUICEGATE_POOL__DEADLINE_MS 9\n", 3),
        (f"SLUICEGATE_REDIS__PASSWORD='{CANARY}\n", 1),
        (f'A=1\nexport SLUICEGATE_REDIS__PASSWORD="{CANARY}\nB=2\n', 2),
        ("sluicegate_pool__deadline_ms\n", 1),
        (f"OTHERS='\nSLUICEGATE_REDIS__PASSWORD='{CANARY}'\n", 1),
    ],
)
def test_a_line_of_ours_that_is_malformed_is_refused_by_its_number(lines: str, number: int, bare: Path) -> None:
    """It would be lost, and what was meant by it with it."""
    (bare / ".env").write_text(lines, "utf-8")
    assert refused().startswith(f".env:{number}: found a line that cannot be read")


def test_a_line_of_others_may_be_malformed(
    bare: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody is told of it, for it is none of our business; quotes, comments and what they refer to are read."""
    (bare / ".env").write_text(
        f"OTHERS 'x\nHOST=h\nexport SLUICEGATE_SERVER__HOST=${{HOST}} # a name\nSLUICEGATE_REDIS__URL='redis://:{CANARY}@h'\n",
        "utf-8-sig",
    )
    settings = load_settings("test")
    assert (settings.server.host, plain(settings.redis.url)) == ("h", f"redis://:{CANARY}@h")
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_what_says_how_settings_are_read_is_not_looked_for_in_a_file(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that names the environment would seem to hold; it may stand there for others, if the variable says it."""
    (bare / ".env").write_text("SLUICEGATE_ENV=production\n", "utf-8")
    assert refused().startswith("SLUICEGATE_ENV in .env")
    monkeypatch.setenv("SLUICEGATE_ENV", "production")
    assert load_settings().environment == "production"


def test_a_file_of_variables_or_a_secret_that_is_no_text_is_named(bare: Path) -> None:
    """And so is one that is far too long."""
    (bare / ".env").write_bytes(b"SLUICEGATE_REDIS__PASSWORD=\xff\xfe")
    assert refused().startswith(".env: found bytes that are no UTF-8")
    (bare / ".env").write_bytes(b"#" * 262_145)
    assert refused().startswith(".env: found a longer file")
    (bare / ".env").unlink()
    (bare / "secrets").mkdir()
    secret = bare / "secrets" / "redis__password"
    secret.write_bytes(b"\xff\xfe")
    assert refused(secrets_dir=secret.parent).startswith(f"{secret}: found bytes that are no UTF-8")
    secret.write_bytes(b"x" * 65_537)
    assert refused(secrets_dir=secret.parent).startswith(f"{secret}: found a longer file")


def test_secrets_of_others_may_lie_in_the_same_directory(bare: Path) -> None:
    """Docker puts all of a service's there; what is nearly one of ours is refused, in the form of such files."""
    folder = bare / "secrets"
    folder.mkdir()
    (folder / "db_password").write_bytes(b"\xff\xfe")
    (folder / "redis_password").write_text("x", "utf-8")
    (folder / "ca.pem").write_text("x", "utf-8")
    (folder / "..data").mkdir()
    (folder / "REDIS__URL").write_text(f"rediss://:{CANARY}@h\n", "utf-8")
    loaded = read_settings("test", secrets_dir=folder)
    assert plain(loaded.settings.redis.url) == f"rediss://:{CANARY}@h"
    assert loaded.settings.origin("redis.url") == "set by the secret file redis__url"
    (folder / "redis__pasword").write_text(CANARY, "utf-8")
    told = refused(secrets_dir=folder)
    assert told.startswith("redis.pasword (set by the secret file redis__pasword): found a name that is not known")
    assert told.endswith("(did you mean password?)")
    (folder / "redis__pasword").unlink()
    (folder / "reddis__url").write_text(CANARY, "utf-8")
    told = refused(secrets_dir=folder)
    assert told.startswith("the secret file reddis__url: found a name that is not known; accepted: a file called as")
    assert "SLUICEGATE" not in told
    assert told.endswith("(did you mean redis?)")


def test_a_directory_of_a_thousand_files_is_another(bare: Path) -> None:
    """Secrets are few."""
    folder = bare / "secrets"
    folder.mkdir()
    for number in range(1_001):
        (folder / f"{number}").touch()
    assert "1,001 files" in refused(secrets_dir=folder)


def test_a_file_that_is_not_there_is_told_by_who_named_it(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller, the command line, or a variable."""
    assert "--config" in refused(file="nowhere.toml")
    assert "--config" in refused(file="no\0where.toml")
    assert "text of 305 characters, which is no file" in refused(file="x" * 300 + ".toml")
    monkeypatch.setenv("SLUICEGATE_CONFIG", "nowhere.toml")
    assert refused().startswith("SLUICEGATE_CONFIG: found 'nowhere.toml', which is no file")


def test_an_environment_may_be_named_by_its_class(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the same sources; whatever it is told of what is wrong shows no secret."""
    (bare / "secrets").mkdir()
    (bare / "secrets" / "server__port").write_text("7", "utf-8")
    assert StagingSettings(_secrets_dir=bare / "secrets").server.port == 7  # type: ignore[call-arg] # pydantic-settings'
    monkeypatch.setenv("SLUICEGATE_REDIS__URL", f"redis://u:pa/{CANARY}@h")
    with pytest.raises(ValueError, match=r"redis\.url") as caught:
        StagingSettings()
    assert CANARY not in f"{caught.value}{caught.value!r}"


def test_settings_know_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which makes them no other settings."""
    monkeypatch.setenv("SLUICEGATE_POOL__DEADLINE_MS", "9")
    settings = load_settings("test", server={"port": 1})
    assert settings.origin("pool.deadline_ms") == "set by the variable SLUICEGATE_POOL__DEADLINE_MS"
    assert settings.origin("server.port") == "set by an argument"
    assert settings.origin("server.host") == "what is usual in the environment"
    assert settings == load_settings("test", server={"port": 1}, pool={"deadline_ms": 9})


@pytest.mark.parametrize("name", ["sluicegate_env", "Sluicegate_Env", "SLUICEGATE_ENV"])
def test_what_says_how_settings_are_read_may_be_spelled_like_the_others(
    name: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In capitals or not; else a process would run by laxer rules than it was told, and nobody would notice."""
    monkeypatch.setenv(name, "production")
    assert load_settings().environment == "production"
    (bare / "s.toml").write_text("pool.deadline_ms = 9\n", "utf-8")
    (bare / "secrets").mkdir()
    (bare / "secrets" / "redis__url").write_text("rediss://:p@h", "utf-8")
    monkeypatch.setenv(name.lower().replace("env", "config"), "s.toml")
    monkeypatch.setenv(name.lower().replace("env", "secrets_dir"), "secrets")
    (bare / ".env").write_text("SLUICEGATE_ENV=production\n", "utf-8")  # which says the same
    settings = load_settings()
    assert (settings.pool.deadline_ms, plain(settings.redis.url)) == (9, "rediss://:p@h")


def test_variables_that_differ_only_in_their_spelling_must_not_contradict_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody could tell which of them was meant, and one may be laxer; an empty one says nothing."""
    monkeypatch.setenv("SLUICEGATE_ENV", "development")
    monkeypatch.setenv("sluicegate_env", "production")
    with pytest.raises(ConfigurationError, match=r"SLUICEGATE_ENV: found variables .* only in their spelling"):
        load_settings()
    monkeypatch.setenv("SLUICEGATE_ENV", "")
    assert load_settings().environment == "production"


KUBERNETES = {
    "SERVICE_HOST": "10.0.171.239",
    "SERVICE_PORT": "8000",
    "SERVICE_PORT_HTTP": "8000",
    "SERVICE_PORT_ADMIN_API": "9000",
    "PORT": "tcp://10.0.171.239:8000",
    "PORT_8000_TCP": "tcp://10.0.171.239:8000",
    "PORT_8000_TCP_PROTO": "tcp",
    "PORT_8000_TCP_PORT": "8000",
    "PORT_8000_TCP_ADDR": "10.0.171.239",
    "PORT_53_UDP": "udp://[fd00::7]:53",
    "PORT_53_UDP_PROTO": "udp",
    "PORT_53_UDP_PORT": "53",
    "PORT_53_UDP_ADDR": "fd00::7",
}


@pytest.mark.parametrize("service", ["SLUICEGATE", "SLUICEGATE_REDIS", "SLUICEGATE_GATE_2"])
def test_what_kubernetes_tells_of_a_service_of_our_name_is_left_alone(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pod of its namespace has these variables, whether it wants them or not; no setting is among them."""
    for name, value in KUBERNETES.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert load_settings() == DevelopmentSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICE_HOST", "gate.example.com"),
        ("SERVICE_HOSTS", "10.0.171.239"),
        ("SERVICE_PORT", "http"),
        ("SERVICE_PORT_", "8000"),
        ("PORT", "8000"),
        ("PORT", "http://10.0.171.239:8000"),
        ("SERVER_PORT", "8000"),
        ("PORT_8000_TCP", "8000"),
        ("PORT_8000_TCP_PROTO", "http"),
        ("PORT_8000_TCP_PORTS", "8000"),
        ("PORT_8000_TCP_ADDR", "gate"),
        ("PORT_HTTP_TCP_ADDR", "10.0.171.239"),
    ],
)
def test_what_only_looks_like_it_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For it is more likely a setting with a slip of the pen in it."""
    monkeypatch.setenv(f"SLUICEGATE_{name}", value)
    assert refused().startswith(f"SLUICEGATE_{name}: found a name that is not known")


def test_only_the_environment_has_what_kubernetes_tells(bare: Path) -> None:
    """In a file somebody wrote it, and meant something."""
    (bare / ".env").write_text("SLUICEGATE_PORT=tcp://10.0.171.239:8000\n", "utf-8")
    assert refused().startswith("SLUICEGATE_PORT: found a name that is not known")
