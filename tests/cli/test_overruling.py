"""Bans and overrides from a shell: through a service and in Redis itself, in words and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.cli.command import run_here
from tests.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.cli.command import Serving


def check_all(captured: pytest.CaptureFixture[str], *options: str, rules: tuple[str, ...] = ()) -> None:
    """Check every command, asked of what *options* say, with *rules* where a limit is named."""

    def told(*arguments: str) -> str:
        ran = run_here(captured, *arguments, *options, *(rules if "api" in arguments else ()))
        assert (ran.code, ran.err) == (0, "")
        return ran.out

    def told_json(*arguments: str) -> Any:
        return json.loads(told(*arguments, "--json"))

    assert told("bans") == "none\n"
    banned = told("ban", "user:1", "user:2", "--seconds", "600", "--reason", "abuse")
    assert banned.splitlines()[0].startswith("user:1 is banned under every limit until 20")
    assert banned.splitlines()[1].endswith("Z: abuse")
    assert told("ban", "ü", "--limit", "api") == "ü is banned under api until it is ended\n"
    listed = told_json("bans")["bans"]
    assert [(each["key"], each["limit"], each["reason"]) for each in listed] == [
        ("user:1", None, "abuse"),
        ("user:2", None, "abuse"),
        ("ü", "api", ""),
    ]
    assert told("unban", "user:1", "user:2", "nobody") == "lifted 2\n"
    assert told_json("unban", "ü", "--limit", "api") == {"lifted": 1}
    assert told("override", "api", "user:3", "20/hour") == "user:3 has 20/hour of api until it is ended\n"
    assert told_json("overrides")["overrides"] == [{"limit": "api", "key": "user:3", "rate": "20/hour", "until": None}]
    assert told("peek", "api", "user:3") == "allowed  api for user:3, cost 1: 20 remaining\n"
    assert told("drop-override", "api", "user:3") == "dropped\n"
    assert told("drop-override", "api", "user:3") == "there was no override\n"


def test_a_service_is_told(capsys: pytest.CaptureFixture[str], served: Serving) -> None:
    """All commands go through the service that the URL names."""
    check_all(capsys, "--url", served.url)


def test_redis_is_told_directly(capsys: pytest.CaptureFixture[str], redis_url: str, rules_file: Path) -> None:
    """All commands go to Redis itself; the file of rules is looked at where a limit is named."""
    check_all(capsys, "--redis", redis_url, rules=("--rules", str(rules_file)))


def test_a_banned_key_is_told_so(capsys: pytest.CaptureFixture[str], redis_url: str, rules_file: Path) -> None:
    """An acquire ends with 1, and the line says that it is a ban and when it ends."""
    options = ("--redis", redis_url)
    limits = ("--rules", str(rules_file))
    run_here(capsys, "ban", "user:1", "--seconds", "600", *options)
    denied = run_here(capsys, "acquire", "api", "user:1", *options, *limits)
    assert (denied.code, "come back in 59" in denied.out, denied.out.endswith("(banned)\n")) == (1, True, True)
    run_here(capsys, "ban", "user:1", *options)
    denied = run_here(capsys, "acquire", "api", "user:1", *options, *limits)
    assert denied.out == "denied  api for user:1, cost 1: 0 remaining, until the ban is lifted  (banned)\n"


def test_what_is_wrong_is_refused(capsys: pytest.CaptureFixture[str], served: Serving, redis_url: str) -> None:
    """Exit code 2 and one line, whoever is asked; 3 where nobody answers."""
    for options in (("--url", served.url), ("--redis", redis_url)):
        for arguments, line in (
            (("ban", "a", "--seconds", "0"), "error: seconds: found 0.0; accepted: a number of seconds from 0.001"),
            (("ban", ""), "error: keys[0]: found ''"),
        ):
            ran = run_here(capsys, *arguments, *options)
            assert ran.code == 2
            assert ran.err.startswith(line)
    ran = run_here(capsys, "override", "apix", "a", "1/s", "--url", served.url)
    assert (ran.code, ran.err.startswith("error: limit: found 'apix'")) == (2, True)
    assert run_here(capsys, "bans", "--url", f"http://127.0.0.1:{free_port()}").code == 3
    assert run_here(capsys, "bans", "--redis", f"redis://127.0.0.1:{free_port()}").code == 3
