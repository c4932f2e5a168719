"""No secret appears anywhere: planted in every setting that is one, looked for in everything that is put out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from sluicegate.config import load_settings
from tests.cli.command import run, run_here, serving
from tests.servers import RedisServer

from .sources import FIELDS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
CANARY = "canary-zq7v-0123456789"
RULES = "version: 1\nlimits:\n  api: {rate: 3/hour, key: client_address}\n"
SECRETS = [field.path for field in FIELDS if field.is_secret]


@pytest.fixture
def rules_in(tmp_path: Path) -> Path:
    """Return a file of rules."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES, "utf-8")
    return path


def variables(port: int) -> dict[str, str]:
    """Return the variables that plant a canary in every secret."""
    planted = {f"SLUICEGATE_{'__'.join(path).upper()}": f"{CANARY}-{path[-1]}" for path in SECRETS}
    planted["SLUICEGATE_REDIS__URL"] = f"redis://someone:{CANARY}-url@127.0.0.1:{port}/0"
    return planted


def test_there_are_secrets_to_look_for() -> None:
    """The list is not empty by mistake."""
    assert {path[-1] for path in SECRETS} == {"url", "password", "key_secret", "secret", "admin_token", "alerts_url"}


@pytest.mark.parametrize("password", [f"{CANARY}-password", "another"])
def test_nothing_that_is_put_out_has_a_secret(tmp_path: Path, password: str) -> None:
    """Commands, errors, the log of a service and all that it answers, with the right password and with a wrong one."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES, "utf-8")
    told: list[str] = []
    with RedisServer(options=("--user", "someone", "on", f">{password}", "~*", "&*", "+@all")) as server:
        planted = variables(server.port) | {"SLUICEGATE_REDIS__USERNAME": "someone"}
        commands = [
            ("config", "show"),
            ("config", "show", "--json"),
            ("config", "check"),
            ("config", "check", "--env", "production"),
            ("doctor",),
            ("doctor", "--json"),
            ("config", "init"),
            ("config", "schema"),
            ("config", "redis-acl"),
            ("config", "new-generation"),
            ("ban", "someone", "--seconds", "60", "--rules", str(rules)),
            ("bans", "--json", "--rules", str(rules)),
            ("unban", "someone", "--rules", str(rules)),
            ("override", "api", "someone", "5/hour", "--rules", str(rules)),
            ("overrides", "--rules", str(rules)),
            ("drop-override", "api", "someone", "--rules", str(rules)),
            ("peek", "api", "someone", "--rules", str(rules)),
            ("reset", "api", "someone", "--rules", str(rules)),
            ("acquire", "api", "someone", "--rules", str(rules)),
            ("acquire", "nope", "someone", "--rules", str(rules)),
        ]
        for command in commands:
            ran = run(*command, **planted)
            told += [ran.out, ran.err]
        broken = run("config", "check", **planted, SLUICEGATE_POOL__DEADLINE_MS="x", SLUICEGATE_REDIS__PASWORD=CANARY)
        assert broken.code == 2
        told += [broken.out, broken.err]
        path = tmp_path / "settings.toml"
        groups: dict[str, list[str]] = {}
        for name, value in planted.items():
            group, field = name.removeprefix("SLUICEGATE_").lower().split("__")
            groups.setdefault(group, []).append(f"{field} = {json.dumps(value)}")
        path.write_text("\n".join(f"[{group}]\n" + "\n".join(lines) for group, lines in groups.items()), "utf-8")
        with serving(rules, "--config", str(path), "--env", "staging", "--drain-delay", "0") as service:
            for address in (
                "/livez",
                "/readyz",
                "/healthz",
                "/v1/bans",
                "/v1/overrides",
                "/v1/limits",
                "/docs",
                "/openapi.json",
                "/nowhere",
            ):
                told.append(httpx.get(f"{service.url}{address}", timeout=10).text)
            answer = httpx.post(f"{service.url}/v1/acquire", json={"limit": "api", "key": "k"}, timeout=10)
            told.append(f"{answer.headers} {answer.text}")
            service.terminate()
            assert service.ended() == 0
        told += service.log
    settings = load_settings("test", redis={"url": f"redis://:{CANARY}@127.0.0.1"}, server={"admin_token": CANARY})
    told += [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())]
    assert sum(map(len, told)) > 10_000
    assert CANARY not in "\n".join(told)


MISPLACED = {
    "a slash in the password": {"REDIS__URL": f"redis://u:pa/{CANARY}@h"},
    "a question mark in the password": {"REDIS__URL": f"redis://u:pa?{CANARY}@h"},
    "a number sign in the password": {"REDIS__URL": f"redis://u:pa#{CANARY}@h"},
    "no scheme": {"REDIS__URL": f"someone:{CANARY}@h:6379"},
    "half a scheme": {"REDIS__URL": f"redis:/:{CANARY}@h"},
    "another scheme": {"REDIS__URL": f"htp://:{CANARY}@h"},
    "what looks like more than it is": {"REDIS__URL": f"redis://:{CANARY}\u2100@h"},
    "half an address": {"REDIS__URL": f"rediss://:{CANARY}@[::1"},
    "no port": {"REDIS__URL": f"redis://:{CANARY}@h:abc"},
    "a port that there is none of": {"REDIS__URL": f"redis://:{CANARY}@h:99999"},
    "no service": {"REDIS__URL": f"redis+sentinel://:{CANARY}@h:1"},
    "another database of a Cluster": {"REDIS__URL": f"redis+cluster://:{CANARY}@a:1/3"},
    "a directory that is none": {"REDIS__URL": f"embedded://:{CANARY}@h"},
    "a group as a text": {"REDIS": f'"redis://:{CANARY}@h"'},
    "a group that is no JSON": {"REDIS": f"redis://:{CANARY}@h"},
    "a user at the service": {"URL": f"http://u:{CANARY}@127.0.0.1:1"},
    "a token for the service": {"URL": f"http://127.0.0.1:1/?token={CANARY}"},
    "a name that is none": {"REDIS": json.dumps({f"redis://:{CANARY}@h": 1})},
}


@pytest.mark.parametrize("name", MISPLACED)
def test_a_secret_in_the_wrong_place_is_refused_and_not_shown(
    name: str, rules_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By every command that reads settings, in one line and with the exit code of what is refused."""
    variables = {f"SLUICEGATE_{key}": value for key, value in MISPLACED[name].items()}
    for command in (
        ("config", "show", "--json"),
        ("config", "check"),
        ("config", "check", "--json", "--env", "production"),
        ("config", "redis-acl"),
        ("doctor",),
        ("acquire", "api", "someone", "--rules", str(rules_in)),
        ("ban", "someone", "--rules", str(rules_in)),
        ("serve", "--rules", str(rules_in)),
    ):
        ran = run_here(capsys, *command, **variables)
        assert ran.code == 2, (command, ran)
        assert CANARY not in ran.out + ran.err
        assert len((ran.out + ran.err).splitlines()) == 1, ran


def test_an_option_with_a_secret_in_the_wrong_place_is_refused_alike(
    rules_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever command takes it."""
    for command in (
        ("acquire", "api", "someone", "--url", f"http://u:{CANARY}@127.0.0.1:1"),
        ("bans", "--url", f"http://u:{CANARY}@127.0.0.1:1"),
        ("acquire", "api", "someone", "--rules", str(rules_in), "--redis", f"redis://u:pa/{CANARY}@h"),
        ("doctor", "--redis", f"someone:{CANARY}@h"),
        ("serve", "--rules", str(rules_in), "--redis", f"rediss://:{CANARY}@[::1"),
        ("config", "redis-acl", "--redis", f"redis://:{CANARY}@h:abc"),
    ):
        ran = run_here(capsys, *command)
        assert (ran.code, CANARY in ran.out + ran.err) == (2, False), (command, ran)
