"""`sluicegate config` writes, checks and shows settings, and `serve` takes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .command import run, run_here, serving

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-zq7v-0123456789"


def test_a_file_is_written_once_and_taken(tmp_path: Path) -> None:
    """Init writes what check finds valid for what it was written for, and never over a file that is there."""
    path = tmp_path / "settings.toml"
    assert run("config", "init", "production", "--output", str(path)).code == 0
    assert run("config", "check", "--config", str(path)).out.startswith("valid for production")
    lax = run("config", "check", "--config", str(path), SLUICEGATE_ENV="development")
    assert (lax.code, "SLUICEGATE_ENV: found 'development'" in lax.err) == (2, True)
    before = path.read_text("utf-8")
    again = run("config", "init", "test", "--output", str(path))
    assert (again.code, path.read_text("utf-8")) == (2, before)
    assert "a file that is new" in again.err


def test_all_problems_are_told_with_their_sources(tmp_path: Path) -> None:
    """A line each, in words and as JSON, with exit code 2; what production refuses is told beside what is wrong."""
    path = tmp_path / "settings.toml"
    path.write_text(f'[pool]\ndeadline_ms = 0\n[redis]\nurl = "redis://:{CANARY}@127.0.0.1"\n', "utf-8")
    ran = run("config", "check", "--config", str(path), "--env", "production", SLUICEGATE_SERVER__PORT="x")
    assert ran.code == 2
    lines = ran.err.splitlines()
    assert len(lines) == 3
    assert f"pool.deadline_ms (set by {path})" in lines[0]
    assert "the variable SLUICEGATE_SERVER__PORT" in lines[1]
    assert f"redis.url (set by {path}): found redis://, which anybody" in lines[2]
    told = run(
        "config", "check", "--config", str(path), "--env", "production", "--json", SLUICEGATE_POOL__DEADLINE_MS="9"
    )
    places = [each["where"] for each in json.loads(told.out)["problems"]]
    assert (told.code, places) == (2, [f"redis.url (set by {path})"])
    assert CANARY not in ran.err + told.out


def test_what_is_risky_is_told_outside_production() -> None:
    """So that nobody learns of it on the day of the release."""
    ran = run("config", "check", SLUICEGATE_REDIS__URL="redis://127.0.0.1")
    assert ran.code == 0
    assert "redis_without_tls" in ran.out
    risks = json.loads(run("config", "check", "--json", SLUICEGATE_REDIS__URL="redis://127.0.0.1").out)["risks"]
    assert [risk["name"] for risk in risks][:2] == ["redis_without_authentication", "redis_without_tls"]


def test_check_looks_at_all_that_keeps_a_process_from_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files, with who named them, and rules, with their lines; in words and as JSON."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("version: 1\nlimits: {api: {rate: often, key: tenant}}\n", "utf-8")
    variables = {
        "SLUICEGATE_RULES": str(rules),
        "SLUICEGATE_REDIS__URL": "rediss://127.0.0.1",
        "SLUICEGATE_REDIS__PASSWORD_FILE": str(tmp_path / "gone"),
    }
    ran = run_here(capsys, "config", "check", **variables)
    assert ran.code == 2
    first, second = ran.err.splitlines()
    assert "redis.password_file (set by the variable SLUICEGATE_REDIS__PASSWORD_FILE): found " in first
    assert f"rules (set by the variable SLUICEGATE_RULES): {rules}:2:" in second
    told = json.loads(run_here(capsys, "config", "check", "--json", **variables).out)
    assert (told["valid"], len(told["problems"])) == (False, 2)
    shown = run_here(capsys, "config", "show", **variables)
    assert shown.code == 0, "who wants to see settings need not have their files"
    serve = run_here(capsys, "serve", **variables)
    assert (serve.code, "redis.password_file (set by" in serve.err) == (2, True)


def test_effective_settings_are_shown_without_secrets() -> None:
    """Each with its value and who set it."""
    variables = {"SLUICEGATE_REDIS__URL": f"redis://u:{CANARY}@127.0.0.1", "SLUICEGATE_SERVER__ADMIN_TOKEN": CANARY}
    shown = run("config", "show", **variables)
    told = json.loads(run("config", "show", "--json", **variables).out)
    assert CANARY not in shown.out + json.dumps(told)
    assert told["environment"] == "development"
    assert told["settings"]["redis.url"] == {
        "value": "redis://u:…@127.0.0.1",
        "origin": "set by the variable SLUICEGATE_REDIS__URL",
    }
    assert told["settings"]["server.admin_token"]["value"] == "(set, not shown)"
    assert "redis.url" in shown.out


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON document, for editors."""
    assert "redis" in json.loads(run_here(capsys, "config", "schema").out)["properties"]


@pytest.mark.parametrize("command", [("init", "prod"), ("schema", "prod"), ("check", "--env", "prod")])
def test_an_environment_that_is_not_known_is_refused(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """With those that there are."""
    ran = run_here(capsys, "config", *command)
    assert ran.code == 2
    assert "production" in ran.err


def test_the_service_takes_its_settings_from_a_file(rules_file: Path, tmp_path: Path, redis_url: str) -> None:
    """Options overrule it."""
    path = tmp_path / "settings.toml"
    path.write_text(f'[redis]\nurl = "{redis_url}"\n[server]\ndrain_delay_ms = 0\n', "utf-8")
    with serving(rules_file, "--config", str(path)) as service:
        assert service.greeting["store"] == "redis"
        service.terminate()
        assert service.ended() == 0


def test_production_does_not_start_with_what_it_refuses(rules_file: Path) -> None:
    """Before anything listens."""
    ran = run("serve", "--rules", str(rules_file), "--env", "production", "--redis", "redis://127.0.0.1:1")
    assert ran.code == 2
    assert "waivers = ['redis_without_tls']" in ran.err
