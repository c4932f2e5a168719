"""How settings are found, what cannot be read, what production refuses, and how long it all takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import ConfigurationError
from sluicegate.config import DevelopmentSettings, ProductionSettings, load_settings, read_settings
from sluicegate.config.risks import WAIVERS

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-zq7v-0123456789"
SAFE = f"rediss://user:{CANARY}@127.0.0.1"
LOADING_SECONDS_MAX = 0.15
LOADING_TRIES = 8  # of which the quickest counts: the machine is shared


def problems_of(environment: str | None = None, **values: Any) -> list[str]:
    """Return what is wrong, a line each; nothing where the settings are taken."""
    told = ""
    try:
        load_settings(environment, **values)
    except ConfigurationError as error:
        told = f"{error}\n{error!r}"
    assert CANARY not in told
    return told.splitlines()[:-1]


def test_development_is_what_is_meant_where_nobody_says() -> None:
    """Without a word of any source the settings are a developer's."""
    settings = load_settings()
    assert type(settings) is DevelopmentSettings
    assert (settings.redis.url, settings.monitoring.log_level) == (None, "debug")


def test_the_variable_chooses_and_the_argument_overrules_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """SLUICEGATE_ENV says which environment it is, unless the caller does."""
    monkeypatch.setenv("SLUICEGATE_ENV", "production")
    assert type(load_settings()) is ProductionSettings
    assert type(load_settings("development")) is DevelopmentSettings


@pytest.mark.parametrize(("name", "content"), [("s.toml", 'environment = "{}"\n'), ("s.yaml", "environment: {}\n")])
def test_a_file_says_for_which_environment_it_is(
    name: str, content: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the variable says another one nothing starts, for one of them is laxer; an argument overrules both."""
    (bare / name).write_text(content.format("production"), "utf-8")
    assert type(load_settings(file=name)) is ProductionSettings
    monkeypatch.setenv("SLUICEGATE_ENV", "development")
    (problem,) = problems_of(file=name)
    assert problem.startswith("SLUICEGATE_ENV: found 'development'; accepted: production")
    assert type(load_settings("development", file=name)) is DevelopmentSettings
    monkeypatch.setenv("SLUICEGATE_ENV", "production")
    assert type(load_settings(file=name)) is ProductionSettings
    (bare / name).write_text(content.format("prod"), "utf-8")
    assert problems_of(file=name)[0].startswith(f"environment ({name}): found 'prod'")


def test_only_a_file_says_it_under_that_name(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable, or a line of .env, that looks like it is refused."""
    monkeypatch.setenv("SLUICEGATE_ENVIRONMENT", "production")
    assert problems_of()[0].startswith("SLUICEGATE_ENVIRONMENT")
    monkeypatch.delenv("SLUICEGATE_ENVIRONMENT")
    (bare / ".env").write_text("SLUICEGATE_ENVIRONMENT=production\n", "utf-8")
    assert problems_of()[0].upper().startswith("SLUICEGATE_ENVIRONMENT")


@pytest.mark.parametrize("given", [True, False])
def test_an_environment_that_is_not_known_is_refused(given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says who named it, and which there are."""
    monkeypatch.setenv("SLUICEGATE_ENV", "prod")
    (problem,) = problems_of("prod" if given else None)
    assert problem.startswith("environment" if given else "SLUICEGATE_ENV")
    assert "'prod'" in problem
    assert "production" in problem


def test_a_group_may_stand_in_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON, and an error then names that variable."""
    monkeypatch.setenv("SLUICEGATE_POOL", '{"deadline_ms": 9}')
    loaded = read_settings()
    assert loaded.settings.pool.deadline_ms == 9
    assert loaded.origin(("pool", "deadline_ms")).endswith("the variable SLUICEGATE_POOL")
    monkeypatch.setenv("SLUICEGATE_POOL", f'{{"deadline_ms": "{CANARY}')
    assert len(problems_of()) == 1
    monkeypatch.setenv("SLUICEGATE_POOL", "7")
    assert "SLUICEGATE_POOL" in problems_of()[0]


def test_variables_of_others_are_none_of_ours(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .env that several programs share is no error."""
    (bare / ".env").write_text("PATH_TO_X=1\nDATABASE_URL=x\nSLUICEGATE_POOL__DEADLINE_MS=8\n", "utf-8")
    monkeypatch.setenv("SLUICEGATES_X", "1")
    assert load_settings().pool.deadline_ms == 8


def test_an_env_file_that_is_named_is_read_in_place_of_the_usual(bare: Path) -> None:
    """And has to be there."""
    (bare / ".env").write_text("SLUICEGATE_POOL__DEADLINE_MS=8\n", "utf-8")
    (bare / "other.env").write_text("SLUICEGATE_POOL__DEADLINE_MS=9\n", "utf-8")
    assert load_settings(env_file="other.env").pool.deadline_ms == 9
    assert "env_file" in problems_of(env_file="missing.env")[0]


def test_the_file_and_the_secrets_may_be_named_by_variables(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a container needs no arguments."""
    (bare / "s.toml").write_text("[pool]\ndeadline_ms = 9\n", "utf-8")
    (bare / "secrets").mkdir()
    (bare / "secrets" / "redis__url").write_text(SAFE, "utf-8")
    monkeypatch.setenv("SLUICEGATE_CONFIG", "s.toml")
    monkeypatch.setenv("SLUICEGATE_SECRETS_DIR", "secrets")
    settings = load_settings()
    assert settings.pool.deadline_ms == 9
    assert settings.redis.url is not None
    monkeypatch.setenv("SLUICEGATE_CONFIG", "gone.toml")
    assert "SLUICEGATE_CONFIG" in problems_of()[0]
    monkeypatch.delenv("SLUICEGATE_CONFIG")
    monkeypatch.setenv("SLUICEGATE_SECRETS_DIR", "s.toml")
    assert "SLUICEGATE_SECRETS_DIR" in problems_of()[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.toml", b"[pool\n"),
        ("a.toml", b"deadline = \n"),
        ("a.toml", b"\xff\xfe\x00"),
        ("a.toml", f'[redis]\npassword = "{CANARY}\n'.encode()),
        ("a.yaml", b"pool: [\n"),
        ("a.yaml", b"\xff\xfe\xfa"),
        ("a.yaml", b"- one\n- two\n"),
        ("a.yaml", b"just words"),
        ("a.yaml", f'redis:\n  password: "{CANARY}\n'.encode()),
        ("a.yaml", f"redis: {{password: {CANARY}: x}}\n".encode()),
        ("a.yaml", b"pool: !!python/object/apply:os.system [true]\n"),
        ("a.ini", b"[pool]\n"),
        ("a.toml", b"#" * 1_000_001),
        ("a.toml", b'pool = "x"\n'),
        ("a.yaml", b"pool: 7\n"),
        ("a.yaml", b"? {}\n: 1\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_not_quoted(name: str, content: bytes, bare: Path) -> None:
    """The line of an error may hold a password, so only its place is told."""
    (bare / name).write_bytes(content)
    problems = problems_of(file=name)
    assert problems
    assert name in problems[0] or "ends in" in problems[0]


def test_an_empty_file_says_nothing(bare: Path) -> None:
    """It is as if there were none."""
    for name in ("a.toml", "a.yaml"):
        (bare / name).write_bytes(b"")
        assert load_settings(file=name) == load_settings()


def test_everything_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody mends one line to meet the next."""
    monkeypatch.setenv("SLUICEGATE_POOL__DEADLINE_MS", "0")
    monkeypatch.setenv("SLUICEGATE_SERVR__PORT", "1")
    problems = problems_of(server={"port": -1, "hots": "x"}, waivers=7)
    assert len(problems) == 5


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "//h",
            "htp://h",
            "h:6379",
            "redis:/h",
            "redis://h:abc",
            "redis://h:99999",
            "redis://h/x",
            "rediss://[::1",
        ),
        *("redis+sentinel://h:1", "redis+cluster://a:1/3", "redis://a:1,b:2", "unix://", "unix://h/x", "embedded://x"),
        *("redis://h?nonsense=1", "redis://h?ssl_cert_reqs=none", "rediss://h?ssl_check_hostname=perhaps"),
        "redis://" + "h" * 4_096,
    ],
)
def test_a_url_that_nothing_can_be_made_of_is_refused_at_once(url: str) -> None:
    """Not at the first request, and whether or not the package that connects is installed."""
    (problem,) = problems_of(redis={"url": url})
    assert problem.startswith("redis.url (set by an argument): found ")
    assert "; accepted: " in problem


RISKY: dict[str, dict[str, Any]] = {
    "memory_with_workers": {"server": {"workers": 2}},
    "redis_without_authentication": {"redis": {"url": "rediss://127.0.0.1"}},
    "redis_without_tls": {"redis": {"url": f"redis://:{CANARY}@127.0.0.1"}},
    "redis_tls_unchecked": {"redis": {"url": f"rediss://:{CANARY}@127.0.0.1?ssl_check_hostname=false"}},
    "admin_without_authentication": {"server": {"admin_enabled": True}},
    "keys_in_logs": {"monitoring": {"log_keys": True, "log_level": "debug"}},
    "unfenced_leader": {"distributed": {"leader_duties": ["cleaning"], "coordinator": "redis"}},
}


@pytest.mark.parametrize("name", WAIVERS)
def test_production_refuses_what_is_risky_unless_it_is_waived_by_name(name: str) -> None:
    """The refusal says how to mend it, or how to waive it; elsewhere it is only told."""
    (problem,) = problems_of("production", **RISKY[name])
    assert f"waivers = ['{name}']" in problem
    assert problems_of("production", waivers=[name], **RISKY[name]) == []
    others = [each for each in WAIVERS if each != name]
    assert len(problems_of("production", waivers=others, **RISKY[name])) == 1
    for environment in ("development", "test", "staging"):
        loaded = read_settings(environment, **RISKY[name])
        assert name in [risk.name for risk in loaded.risks]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gate.example"])
def test_a_service_that_others_reach_needs_a_token_in_production(host: str) -> None:
    """Else any of them could ban keys, or lift what is banned."""
    (problem,) = problems_of("production", server={"host": host})
    assert "server.admin_token (server.host is set by an argument): found bans and overrides that whoever" in problem


@pytest.mark.parametrize(
    "values",
    [
        {"redis": {"url": SAFE}},
        {"redis": {"url": "rediss://127.0.0.1", "password": CANARY}},
        {"redis": {"url": "rediss+cluster://127.0.0.1", "password_file": "somewhere"}},
        {"redis": {"url": f"rediss://127.0.0.1?password={CANARY}"}},
        {"redis": {"url": "unix:///some/socket"}},
        {"redis": {"url": "embedded://"}, "server": {"workers": 4}},
        {"server": {"admin_enabled": True, "admin_token": CANARY}},
        {"server": {"host": "0.0.0.0", "admin_token": CANARY}},
        *[{"server": {"host": host}} for host in ("localhost", "127.0.0.2", "::1")],
        {"monitoring": {"log_keys": True, "log_level": "info"}},
        {"distributed": {"leader_duties": ["cleaning"], "coordinator": "etcd"}},
        {},
    ],
)
def test_production_takes_what_is_sound(values: dict[str, Any]) -> None:
    """Nothing has to be waived."""
    assert problems_of("production", **values) == []


@pytest.mark.parametrize(
    "values",
    [
        {"redis": {"url": SAFE, "password": CANARY, "password_file": "x"}},
        {"redis": {"url": SAFE, "tls_cert_file": "x"}},
        {"redis": {"url": SAFE, "tls_key_file": "x"}},
        {"redis": {"url": "redis://127.0.0.1", "tls_ca_file": "x"}},
        {"redis": {"password": CANARY}},
        {"redis": {"username": "someone"}},
        {"waivers": ["redis_without_tsl"]},
    ],
)
@pytest.mark.parametrize("environment", ["development", "production"])
def test_settings_that_contradict_each_other_are_refused_everywhere(environment: str, values: dict[str, Any]) -> None:
    """Neither of the two can be meant."""
    assert problems_of(environment, **values)


def test_settings_cannot_be_changed() -> None:
    """What was checked is what is in force."""
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.pool.deadline_ms = 1
    with pytest.raises(ValueError, match="frozen"):
        settings.pool = settings.pool


def test_loading_takes_little_time(bare: Path) -> None:
    """In a process that has only the library: the import of all that settings need, and the reading; nothing waits."""
    (bare / "s.toml").write_text("[pool]\ndeadline_ms = 9\n", "utf-8")
    program = (
        "import time, sluicegate; start = time.process_time()\n"
        "from sluicegate.config import load_settings; load_settings('production', file='s.toml')\n"
        "print(time.process_time() - start)"
    )
    untraced = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    took = LOADING_SECONDS_MAX
    for _ in range(LOADING_TRIES):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=untraced)
        took = min(took, float(done.stdout))
    start = time.perf_counter()
    load_settings("production", file="s.toml")
    print(f"loading: {took * 1000:.0f} ms with the imports, {(time.perf_counter() - start) * 1000:.1f} ms without")
    assert took < LOADING_SECONDS_MAX
