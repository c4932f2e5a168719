"""`sluicegate doctor` says of a server what an operator has to know, and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import Limiter
from sluicegate.database import least_acl
from tests.servers import RedisServer, free_port

from .command import run, run_here

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

CANARY = "canary-zq7v-0123456789"


def examined(*arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """Return the findings by their names."""
    ran = run("doctor", "--json", *arguments)
    assert ran.code == code, ran.err
    assert CANARY not in ran.out + ran.err
    return {finding["name"]: finding for finding in json.loads(ran.out)["findings"]}


def test_a_server_that_is_fit_is_told_so(redis_url: str, redis_client: redis.Redis) -> None:
    """Each look has its finding; what is risky has an advice."""
    redis_client.script_flush()
    found = examined("--redis", redis_url)
    looked_at = ["version", "user", "acl", "tls", "eviction", "clock", "script", "latency"]
    names = ["store", "flags", "connection", "fingerprint", *looked_at]
    assert list(found) == names
    version: Any = redis_client.info("server")
    assert version["redis_version"] in found["version"]["found"] or "Valkey" in found["version"]["found"]
    assert {name for name in names if found[name]["state"] == "warning"} == {"user", "acl", "tls"}
    assert all(found[name]["advice"] for name in ("user", "acl", "tls"))
    assert "not loaded yet" in found["script"]["found"]


async def test_it_sees_that_a_limiter_has_loaded_the_script(redis_url: str) -> None:
    """The digest is that of the script that is shipped."""
    from sluicegate import Limit

    async with Limiter.connect(redis_url, deadline=2) as limiter:
        await limiter.acquire(Limit("api", "5/minute"), "someone")
    assert examined("--redis", redis_url)["script"]["found"].endswith(", loaded")


@pytest.fixture
def full() -> Iterator[RedisServer]:
    """Run a server that forgets keys when its memory is full, and that asks for a password."""
    options = (
        "--maxmemory",
        "50mb",
        "--maxmemory-policy",
        "allkeys-lru",
        "--user",
        "someone",
        "on",
        f">{CANARY}",
        "~*",
        "&*",
        "+@all",
    )
    with RedisServer(options=options) as server:
        yield server


def test_a_server_that_forgets_is_warned_of(full: RedisServer) -> None:
    """And a user of its own is as it should be."""
    found = examined("--redis", f"redis://someone:{CANARY}@127.0.0.1:{full.port}")
    assert found["eviction"]["state"] == "warning"
    assert "allkeys-lru" in found["eviction"]["found"]
    assert found["user"] == {"name": "user", "state": "ok", "found": "someone", "advice": "", "node": ""}
    assert found["store"]["found"] == f"redis://someone:…@127.0.0.1:{full.port}"


def test_wrong_credentials_are_a_finding(full: RedisServer) -> None:
    """With exit code 2, and without the password."""
    found = examined("--redis", f"redis://someone:{CANARY}x@127.0.0.1:{full.port}", code=2)
    assert found["connection"]["state"] == "wrong"


def test_a_server_that_is_away_is_a_finding() -> None:
    """With exit code 2, and what to do."""
    found = examined("--redis", f"redis://127.0.0.1:{free_port()}", code=2)
    assert (found["connection"]["state"], bool(found["connection"]["advice"])) == ("wrong", True)


def test_a_fleet_that_disagrees_is_a_finding_and_a_new_generation_mends_it(
    redis_url: str, redis_client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that is named does what is said of it."""
    redis_client.set("sg:1:fingerprint", "tags=4 secret=none")
    found = examined("--redis", redis_url, code=2)
    assert "new-generation" in found["fingerprint"]["advice"]
    ran = run_here(capsys, "config", "new-generation", "--redis", redis_url)
    assert (ran.code, "stop those that run" in ran.out, "at their next start" in ran.out) == (0, True, True)
    assert examined("--redis", redis_url)["fingerprint"]["state"] == "ok"


def test_memory_needs_no_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no server to look at; which features are on is told all the same, as the settings do."""
    ran = run_here(capsys, "doctor")
    assert (ran.code, "memory" in ran.out) == (0, True)
    assert "leases, deny_cache, coalescing, carrying, reload on; changes off" in " ".join(ran.out.split())
    shown = json.loads(run_here(capsys, "config", "show", "--json").out)["settings"]
    assert {name: row["value"] for name, row in shown.items() if name.startswith("flags.")}["flags.leases"] is True
    assert run_here(capsys, "config", "new-generation").code == 2


def test_the_table_says_what_to_do(redis_url: str) -> None:
    """In words, for people."""
    ran = run("doctor", "--redis", redis_url)
    assert ran.code == 0
    assert "what to do" in ran.out
    assert "redis-acl" in ran.out


@pytest.mark.parametrize(("url", "own"), [("redis://h/1", False), ("redis+cluster://h", True)])
def test_the_least_that_a_user_needs_is_printed(url: str, own: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """As a line of an ACL file, with what a Cluster needs besides where there is one."""
    ran = run_here(capsys, "config", "redis-acl", "--redis", url, "--user", "gate")
    assert ran.out.startswith("user gate on >PASSWORD resetkeys ~sg:* resetchannels -@all +evalsha ")
    assert ("+cluster|slots" in ran.out) == own
    assert ("+select" in ran.out) != own


def test_what_is_to_be_done_with_the_line_is_said_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, so that a file that is made of the output has the line alone."""
    for options in ((), ("--for-sentinels",)):
        ran = run_here(capsys, "config", "redis-acl", *options)
        assert (ran.out.count("\n"), ran.out.startswith("user sluicegate on >PASSWORD ")) == (1, True)
        assert "SHA-256" in ran.err
        assert "ACL LOAD" in ran.err


@pytest.mark.parametrize("options", [(), ("--for-sentinels",)])
@pytest.mark.parametrize("user", ["", "a b", "a\nuser b", "-x", "ä", "x" * 129])
def test_a_name_that_would_break_the_line_is_refused(
    user: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed that a server would misread."""
    ran = run_here(capsys, "config", "redis-acl", f"--user={user}", *options)
    assert (ran.code, ran.out) == (2, "")
    assert "error: user: found" in ran.err


@pytest.mark.parametrize("url", ["nonsense", "redis://h/x", "redis+cluster://", "embedded://", "EMBEDDED://"])
def test_an_address_that_has_no_users_has_no_line(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with a URL is said, and an embedded server is its process's own."""
    ran = run_here(capsys, "config", "redis-acl", "--redis", url)
    assert (ran.code, ran.out, "error: redis" in ran.err) == (2, "", True)


def test_the_help_of_redis_acl_says_what_the_address_is_for() -> None:
    """It is not looked at."""
    told = " ".join(run("config", "redis-acl", "--help", COLUMNS="200").out.split())
    assert "How clients reach the server" in told
    assert "to look at" not in told


def test_sentinels_have_a_line_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """It allows to ask who is master, and to hear who is about to be."""
    ran = run_here(capsys, "config", "redis-acl", "--for-sentinels", "--user", "gate")
    assert ran.out.endswith(
        " resetchannels &+failover-state-send-slaveof-noone -@all +sentinel|get-master-addr-by-name +subscribe\n"
    )


def test_a_user_with_the_least_is_examined_as_far_as_it_may(redis_url: str, redis_client: redis.Redis) -> None:
    """What it may not ask is said, and is no reason to fail."""
    words = least_acl("sg").replace("PASSWORD", CANARY).split()[1:]
    redis_client.execute_command("ACL", "SETUSER", *words)
    try:
        found = examined("--redis", redis_url.replace("redis://", f"redis://{words[0]}:{CANARY}@"))
    finally:
        redis_client.execute_command("ACL", "DELUSER", words[0])
    assert found["connection"]["state"] == "ok"
    assert (found["acl"]["state"], found["latency"]["state"]) == ("ok", "ok")
    assert "not allowed to ask" in found["script"]["found"]
