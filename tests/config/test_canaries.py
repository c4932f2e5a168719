"""No secret appears anywhere: planted in every setting that is one, looked for in everything that is put out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from sluicegate.config import load_settings
from tests.cli.command import run, serving
from tests.servers import RedisServer

from .sources import FIELDS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
CANARY = "canary-zq7v-0123456789"
RULES = "version: 1\nlimits:\n  api: {rate: 3/hour, key: client_address}\n"
SECRETS = [field.path for field in FIELDS if field.is_secret]


def variables(port: int) -> dict[str, str]:
    """Return the variables that plant a canary in every secret."""
    planted = {f"SLUICEGATE_{'__'.join(path).upper()}": f"{CANARY}-{path[-1]}" for path in SECRETS}
    planted["SLUICEGATE_REDIS__URL"] = f"redis://someone:{CANARY}-url@127.0.0.1:{port}/0"
    return planted


def test_there_are_secrets_to_look_for() -> None:
    """The list is not empty by mistake."""
    assert {path[-1] for path in SECRETS} == {"url", "password", "key_secret", "secret", "admin_token"}


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
            for address in ("/readyz", "/healthz", "/v1/limits", "/docs", "/openapi.json", "/nowhere"):
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
