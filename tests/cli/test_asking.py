"""Asking for decisions from a shell: what is printed, and the exit code that a script acts on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import redis

from sluicegate.ratelimit.rules import load_rules
from tests.cli.command import RULES, run, run_here, serving
from tests.servers import RedisServer, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Serving


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return an access log of one line."""
    path = tmp_path / "access.log"
    path.write_text('192.0.2.1 - - [24/Nov/2025:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"\n', "utf-8")
    return path


def test_a_service_is_asked(capsys: pytest.CaptureFixture[str], served: Serving) -> None:
    """Allowed is 0, denied 1, and a line says what is left and when to come back."""
    answers = [run_here(capsys, "acquire", "api", "shell", "--cost", "6", "--url", served.url) for _ in range(2)]
    assert [answer.code for answer in answers] == [0, 1]
    assert answers[0].out.startswith("allowed  api for shell, cost 6: 4 remaining, all restored in ")
    assert answers[1].out.startswith("denied  api for shell, cost 6: 4 remaining, come back in ")
    peek = run_here(capsys, "peek", "api", "shell", "--cost", "11", "--url", served.url)
    assert (peek.code, peek.out) == (1, "denied  api for shell, cost 11: 4 remaining, and this cost never fits\n")
    resets = [run_here(capsys, "reset", "api", "shell", "--url", served.url) for _ in range(2)]
    assert [reset.out for reset in resets] == ["forgotten\n", "there was nothing to forget\n"]


def test_json_is_one_object(served: Serving) -> None:
    """With --json the decision is printed as the service gives it, and the exit code is the same."""
    answer = run("acquire", "api", "json", "--cost", "11", "--url", served.url, "--json")
    assert answer.code == 1
    assert json.loads(answer.out)["never"] is True
    assert json.loads(run("reset", "api", "json", "--url", served.url, "--json").out) == {"reset": False}


def test_a_shadow_denial_passes_and_says_so(served: Serving) -> None:
    """A limit on trial ends with 0, and the line says what it would have done."""
    answers = [run("acquire", "trial", "\x1b[31mred", "--url", served.url, "--json") for _ in range(2)]
    assert [answer.code for answer in answers] == [2, 2]
    answers = [run("acquire", "trial", "red", SLUICEGATE_URL=served.url) for _ in range(2)]
    assert [answer.code for answer in answers] == [0, 0]
    assert "on trial: it would have been denied" in answers[1].out


def test_redis_is_asked_directly(capsys: pytest.CaptureFixture[str], redis_url: str, rules_file: Path) -> None:
    """With --redis and --rules no service is needed, and processes share their state."""
    options = ("--redis", redis_url, "--rules", str(rules_file), "--json")
    answers = [run_here(capsys, "acquire", "api", "k", "--cost", "6", *options) for _ in range(2)]
    assert [answer.code for answer in answers] == [0, 1]
    assert json.loads(answers[1].out)["source"] == "redis"
    assert json.loads(run_here(capsys, "peek", "api", "k", *options).out)["remaining"] == 4
    assert json.loads(run_here(capsys, "reset", "api", "k", *options).out) == {"reset": True}


def test_redis_is_asked_as_the_settings_say(
    capsys: pytest.CaptureFixture[str], rules_file: Path, tmp_path: Path
) -> None:
    """Whoever changes something by hand is who the service is, and means the keys that it means."""
    (tmp_path / "password").write_text("right\n", "utf-8")
    with RedisServer() as server:
        server.command("CONFIG", "SET", "requirepass", "right")
        own = {
            "SLUICEGATE_REDIS__URL": server.url,
            "SLUICEGATE_REDIS__PASSWORD_FILE": str(tmp_path / "password"),
            "SLUICEGATE_REDIS__KEY_PREFIX": "own",
            "SLUICEGATE_REDIS__HASH_TAGS": "4",
            "SLUICEGATE_RULES": str(rules_file),
        }
        assert run_here(capsys, "acquire", "api", "k", "--cost", "6", **own).code == 0
        assert run_here(capsys, "ban", "someone", "--seconds", "60", **own).code == 0
        assert run_here(capsys, "acquire", "api", "someone", "--redis", server.url, **own).out.endswith("(banned)\n")
        with redis.Redis(port=server.port, password="right") as plain:
            keys: Any = plain.keys("*")
            assert [key for key in keys if not key.startswith(b"own:1:")] == []
            assert [key for key in keys if key.startswith(b"own:1:{") and key.endswith(b"api:k")]


@pytest.mark.parametrize(
    ("own", "user"), [({}, "ops:opspw@"), ({"SLUICEGATE_REDIS__URL": "redis://:there@127.0.0.2:1"}, "")]
)
def test_another_redis_than_that_of_the_settings_is_not_told_their_password(
    capsys: pytest.CaptureFixture[str], rules_file: Path, own: dict[str, str], user: str
) -> None:
    """Whoever names it, or says who connects there, would send the password of production to whoever listens there."""
    own = own | {"SLUICEGATE_REDIS__USERNAME": "prod", "SLUICEGATE_REDIS__PASSWORD": "prod-secret"}
    own["SLUICEGATE_RULES"] = str(rules_file)
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "ops", "on", ">opspw", "~*", "&*", "+@all")
        named = ("--redis", f"redis://{user}127.0.0.1:{server.port}")
        assert run_here(capsys, "acquire", "api", "k", *named, **own).out.startswith("allowed")
        assert run_here(capsys, "ban", "someone", "--seconds", "60", *named, **own).code == 0
        findings = json.loads(run_here(capsys, "doctor", "--json", *named, **own).out)["findings"]
        assert {each["name"]: each["state"] for each in findings}["connection"] == "ok"
        with serving(rules_file, *named, "--drain-delay", "0", **own) as service:
            assert run_here(capsys, "peek", "api", "k", "--url", service.url, "--json").code == 0
        with redis.Redis(port=server.port) as plain:
            assert plain.acl_log() == []  # whom it does not know it writes down
        if not user:
            server.command("CONFIG", "SET", "requirepass", "right")
            findings = json.loads(run_here(capsys, "doctor", "--json", *named, **own).out)["findings"]
            (advice,) = [each["advice"] for each in findings if each["name"] == "connection"]
            assert advice.endswith("(not for other hosts in --redis)")


def test_the_password_for_a_redis_that_only_the_option_names_may_be_a_setting(
    capsys: pytest.CaptureFixture[str], rules_file: Path
) -> None:
    """So that it stands in no list of processes."""
    with RedisServer() as server:
        server.command("CONFIG", "SET", "requirepass", "right")
        own = {"SLUICEGATE_REDIS__PASSWORD": "right"}
        named = ("--redis", server.url, "--rules", str(rules_file))
        assert run_here(capsys, "acquire", "api", "k", *named, **own).out.startswith("allowed")
        assert run_here(capsys, "ban", "someone", *named[:2], "--seconds", "60", **own).code == 0
        assert run_here(capsys, "acquire", "api", "someone", *named, **own).out.endswith("(banned)\n")


def test_the_settings_may_stand_in_a_file(
    capsys: pytest.CaptureFixture[str], rules_file: Path, tmp_path: Path, redis_url: str, log: Path
) -> None:
    """Each command that takes something from the settings takes it from the file and the environment that it names."""
    file = tmp_path / "settings.toml"
    file.write_text(f'rules = "{rules_file}"\n[redis]\nurl = "{redis_url}"\nkey_prefix = "own"\n', "utf-8")
    named = ("--config", str(file))
    assert run_here(capsys, "acquire", "api", "k", "--cost", "6", *named).out.startswith("allowed")
    assert run_here(capsys, "peek", "api", "k", *named).out.startswith("allowed  api for k, cost 1: 4 remaining")
    assert run_here(capsys, "override", "api", "k", "7/hour", *named).out.startswith("k has 7/hour of api")
    assert run_here(capsys, "overrides", *named).out.startswith("k has 7/hour of api")
    assert run_here(capsys, "drop-override", "api", "k", *named).out == "dropped\n"
    assert run_here(capsys, "ban", "k", *named).out.startswith("k is banned")
    assert run_here(capsys, "bans", *named).out.startswith("k is banned")
    assert run_here(capsys, "unban", "k", *named).out == "lifted 1\n"
    assert run_here(capsys, "reset", "api", "k", *named).out == "forgotten\n"
    assert run_here(capsys, "replay", str(log), *named, "--json").code == 0
    commands = [["acquire", "api", "k"], ["peek", "api", "k"], ["reset", "api", "k"], ["ban", "k"], ["unban", "k"]]
    commands += [["bans"], ["override", "api", "k", "7/hour"], ["drop-override", "api", "k"], ["overrides"]]
    for command in [*commands, ["replay", str(log)]]:
        strict = run_here(capsys, *command, *named, "--env", "production")
        assert (strict.code, "redis_without_tls" in strict.err) == (2, True), command


def test_what_answers_for_a_redis_that_is_away_is_as_the_settings_say(
    capsys: pytest.CaptureFixture[str], rules_file: Path
) -> None:
    """Where the rule does not say it; the exit code says that nobody has counted."""
    options = ("--redis", f"redis://127.0.0.1:{free_port()}", "--rules", str(rules_file), "--json")
    for fallback, allowed in (("open", True), ("closed", False)):
        own = {"SLUICEGATE_POOL__CONNECT_TIMEOUT_MS": "50", "SLUICEGATE_FALLBACK__ON_FAILURE": fallback}
        answer = run_here(capsys, "acquire", "api", "k", *options, **own)
        assert (answer.code, json.loads(answer.out)["allowed"]) == (3, allowed)


def test_a_rule_says_what_a_request_takes_and_what_it_becomes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, redis_url: str
) -> None:
    """Without --cost it is the rule's, of a service and of Redis alike; each key has the limit in force for it."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "version: 1\nlimits:\n  dear: {rate: 10/hour, key: user, cost: 4, rollout: {rate: 7/hour, percent: 50}}\n"
    )
    rollout = load_rules(rules).limits[0].rollout
    assert rollout is not None
    inside, outside = (next(key for key in "abcdefgh" if rollout.includes(key) is side) for side in (True, False))
    direct = ("--redis", redis_url, "--rules", str(rules))
    with serving(rules, *direct[:2], "--drain-delay", "0") as service:
        for key, left in ((inside, 3), (outside, 6)):
            for options in (("--url", service.url), direct):
                shown = run_here(capsys, "acquire", "dear", key, *options, "--json")
                assert (json.loads(shown.out)["cost"], json.loads(shown.out)["remaining"]) == (4, left)
                assert json.loads(run_here(capsys, "peek", "dear", key, *options, "--json").out)["cost"] == 4
                assert run_here(capsys, "acquire", "dear", key, "--cost", "0", *options).out.startswith("allowed")
                assert run_here(capsys, "reset", "dear", key, *options).out == "forgotten\n"


@pytest.mark.parametrize(
    ("verb", "limit", "word"),
    [("acquire", "api", "allowed"), ("peek", "api", "allowed"), ("acquire", "strict", "denied")],
)
def test_an_answer_that_nobody_counted_ends_with_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: str, limit: str, word: str
) -> None:
    """With the store away the limit's on_failure is printed, and the exit code says that nobody has counted."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"{RULES}  strict: {{rate: 1/hour, key: user, critical: true}}\n")
    away = ("--redis", f"redis://127.0.0.1:{free_port()}", "--rules", str(rules))
    shown = run_here(capsys, verb, limit, "k", *away)
    assert (shown.code, shown.err) == (3, "")
    assert shown.out.startswith(f"{word}  {limit} for k, cost 1: what remains is not known")
    assert "(degraded: the store did not answer)" in shown.out


def test_a_service_whose_store_is_away_is_told_as_such(capsys: pytest.CaptureFixture[str], rules_file: Path) -> None:
    """What a service answers without its store ends with 3 as well, allowed or not."""
    with serving(rules_file, "--redis", f"redis://127.0.0.1:{free_port()}") as service:
        shown = run_here(capsys, "acquire", "api", "k", "--url", service.url, "--json")
        reset = run_here(capsys, "reset", "api", "k", "--url", service.url)
    assert shown.code == 3
    assert '"allowed": true' in shown.out
    assert (reset.code, reset.out) == (3, "")


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["acquire", "api"], 2, "Missing argument 'KEY'"),
        (["acquire", "api", "k", "--cost", "x"], 2, "Invalid value for '--cost'"),
        (["acquire", "api", "k", "--cots", "1"], 2, "No such option"),
        (["acquier"], 2, "No such command 'acquier'"),
        (["acquire", "api", "k", "--url", "ftp://x"], 2, "--url: found a URL that begins with 'ftp'; accepted: a URL"),
        (["acquire", "api", "k", "--url", "http://[::1"], 2, "--url: found"),
        (["acquire", "api", "k", "--url", "http://u:s3cretX@127.0.0.1:1"], 2, "--url: found a URL with more in it"),
        (
            ["acquire", "api", "k", "--redis", "redis://127.0.0.1:1"],
            2,
            "--rules: found nothing; accepted: the file that defines the limits",
        ),
        (["acquire", "api", "k", "--redis", "redis://h:1", "--rules", "none.yaml"], 2, "none.yaml: found"),
        (
            ["reset", "nope", "k", "--redis", "redis://h:1", "--rules", "RULES"],
            2,
            "limit: found 'nope'; accepted: one of",
        ),
        (["acquire", "slots", "k", "--redis", "redis://h:1", "--rules", "RULES"], 2, "limit: found concurrency limit"),
        (
            ["acquire", "api", "k", "--redis", "http://h", "--rules", "RULES"],
            2,
            "redis.url (set by an argument): found",
        ),
        (["reset", "api", "k", "--redis", "redis://127.0.0.1:1", "--rules", "RULES"], 3, "connecting to 127.0.0.1:1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], rules_file: Path, arguments: list[str], code: int, line: str
) -> None:
    """A wrong argument ends with 2, an absent service with 3, and one line on standard error says why."""
    ended = run_here(capsys, *[str(rules_file) if argument == "RULES" else argument for argument in arguments])
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert line in ended.err


def test_an_absent_service_is_said() -> None:
    """Where nobody listens the exit code is 3, and the line says how to start a service."""
    ended = run("acquire", "api", "k", "--url", f"http://127.0.0.1:{free_port()}")
    assert ended.code == 3
    assert "sluicegate serve --rules FILE" in ended.err


def test_the_services_own_line_is_shown(capsys: pytest.CaptureFixture[str], served: Serving) -> None:
    """What the service refuses is told in its own words."""
    ended = run_here(capsys, "acquire", "apo", "k", "--url", served.url)
    assert (ended.code, ended.err) == (
        2,
        "error: limit: found 'apo'; accepted: the name of a limit: api, trial, slots\n",
    )


def test_without_a_terminal_nothing_is_coloured(served: Serving) -> None:
    """Output into a pipe carries no escape sequences."""
    answer = run("peek", "api", "plain", "--url", served.url, TERM="xterm-256color")
    assert "\x1b" not in answer.out
    coloured = run("peek", "api", "plain", "--url", served.url, TERM="xterm-256color", FORCE_COLOR="1")
    assert "\x1b" in coloured.out


def test_help_names_the_exit_codes() -> None:
    """The help of the command and of its parts tells the exit codes."""
    for arguments in (["--help"], ["acquire", "-h"], ["rules", "check", "--help"]):
        shown = run(*arguments)
        assert shown.code == 0
        assert "Exit codes: 0 allowed or done, 1 denied, 2 refused" in shown.out
    assert run("--version").out.startswith("sluicegate ")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing asked is no error to explain, but nothing was done either."""
    shown = run_here(capsys)
    assert (shown.code, shown.err) == (2, "")
    assert "Usage: sluicegate" in shown.out
