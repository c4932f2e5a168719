"""What is said of servers: of every master, where it is worst, and what mends each of the usual faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from sluicegate import NullLogger, StoreUnavailableError
from sluicegate.config import Finding, diagnose, load_settings, parts
from sluicegate.config.examining import LOOKS
from sluicegate.config.mending import USUAL, advice_for
from sluicegate.database import least_acl
from tests.fleets import PREFIX, Certificates, started_when_asked_for
from tests.servers import RedisServer, free_port, speaks_tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.fleets import Fleet

LOOKED_AT = ["version", "user", "acl", "tls", "eviction", "clock", "script", "latency"]
CANARY = "canary-zq7v-0123456789"


@pytest.fixture(scope="module")
def fleets() -> Iterator[Mapping[str, Fleet]]:
    """Topologies by their names, started when they are first asked for."""
    with started_when_asked_for() as started:
        yield started


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Run a server of the test's own, for its users and settings change."""
    with RedisServer() as server:
        yield server


async def found_at(url: str, *, gone: Path | None = None, **redis_settings: Any) -> dict[str, Finding]:
    """Return the findings of a process with these settings, by name; none shows the password.

    Args:
        url: Where the server is.
        gone: A file that is there when the settings are read, and not any more when it is needed.
        redis_settings: What else they say of it.
    """
    if gone is not None:
        gone.write_text("there", "utf-8")
    settings = load_settings(
        "test", redis={"url": url, **redis_settings}, pool={"deadline_ms": 2_000, "connect_timeout_ms": 1_000}
    )
    app = parts(settings, logger=NullLogger())
    if gone is not None:
        gone.unlink()
    findings = await diagnose(app)
    assert CANARY not in str(findings)
    return {finding.name: finding for finding in findings}


@pytest.mark.slow
async def test_on_a_cluster_every_master_is_looked_at(fleets: Mapping[str, Fleet]) -> None:
    """What is wrong with two of three is told, with one that it is wrong with; what is alike is told once."""
    fleet = fleets["cluster"]
    fine = await found_at(fleet.url)
    assert list(fine) == ["store", "flags", "connection", "fingerprint", *LOOKED_AT]
    assert fine["version"].found.endswith("; on all 3 masters")
    assert (fine["eviction"].state, fine["eviction"].found) == ("ok", "noeviction; on all 3 masters")
    masters = fleet.masters()
    clients: list[Any] = [fleet.client_of(master) for master in masters]
    for client in clients[1:]:
        client.config_set("maxmemory", 100_000_000)
        client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        told = (await found_at(fleet.url))["eviction"]
    finally:
        for client in clients[1:]:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
    assert (told.state, "allkeys-lru" in told.found, "warning on 2 of 3 masters" in told.found) == (
        "warning",
        True,
        True,
    )
    assert told.node in {f"127.0.0.1:{master.port}" for master in masters[1:]}
    latency = (await found_at(fleet.url))["latency"].found
    assert latency.endswith(("the worst of 3 masters", "on all 3 masters")), latency


@pytest.mark.slow
async def test_behind_sentinels_the_master_is_looked_at(fleets: Mapping[str, Fleet]) -> None:
    """Not the sentinels, which know nothing of what is asked."""
    found = await found_at(fleets["sentinel"].url)
    assert found["connection"].found == f"127.0.0.1:{fleets['sentinel'].masters()[0].port}"
    assert [found[name].state for name in ("version", "eviction", "clock", "latency")] == ["ok"] * 4


@pytest.mark.parametrize(
    ("url", "state", "told"),
    [
        ("REDISS://127.0.0.1:1", "ok", "on"),
        ("Redis://127.0.0.1:1", "warning", "off"),
        ("UNIX:///s", "ok", "not needed"),
    ],
)
async def test_whether_others_can_read_is_told_however_the_scheme_is_written(url: str, state: str, told: str) -> None:
    """In capitals, too."""

    async def ask(*_: object, **__: object) -> None:
        pytest.fail("nobody has to be asked")

    seen = await LOOKS["tls"](load_settings("test", redis={"url": url}), ask)
    assert (seen.state, seen.found.startswith(told)) == (state, True)


@pytest.mark.parametrize("url", ["embedded://", "EMBEDDED://"])
async def test_an_embedded_server_needs_no_user_of_its_own(url: str) -> None:
    """Nobody else can reach it."""
    found = await found_at(url)
    assert [name for name, each in found.items() if each.state != "ok" or each.advice] == []


async def test_the_fingerprint_is_told_whether_it_agrees_or_not(server: RedisServer) -> None:
    """Where it does not, the rest is looked at all the same; nothing is written for the fleet."""
    assert (await found_at(server.url))["fingerprint"].found.startswith("none yet")
    assert server.command("DBSIZE") == b":0"
    server.command("SET", "sg:1:fingerprint", "tags=0 secret=none")
    assert (await found_at(server.url))["fingerprint"].found == "tags=0 secret=none, as the fleet has it"
    server.command("SET", "sg:1:fingerprint", "tags=4 secret=none")
    found = await found_at(server.url)
    assert (found["fingerprint"].state, "new-generation" in found["fingerprint"].advice) == ("wrong", True)
    assert list(found)[-len(LOOKED_AT) :] == LOOKED_AT


def make_user(server: RedisServer, *more: str) -> dict[str, str]:
    """Make the least user, with more rules, and return its credentials."""
    _, name, *rules = least_acl(PREFIX).replace("PASSWORD", CANARY).split()
    assert server.command("ACL", "SETUSER", name, "reset", *rules, *more) == b"+OK"
    return {"username": name, "password": CANARY}


async def test_the_server_says_what_the_user_may_do(server: RedisServer) -> None:
    """Even the least user is told so; what it lacks is wrong, and what it has more a warning."""
    least = (await found_at(server.url, **make_user(server)))["acl"]
    assert (least.state, least.found) == ("ok", "may do all that is needed, and no harm")
    lacking = (await found_at(server.url, **make_user(server, "-zadd", "-pexpire")))["acl"]
    assert (lacking.state, lacking.found) == ("wrong", "may not pexpire, zadd, which are needed")
    assert "redis-acl" in lacking.advice
    more = (await found_at(server.url, **make_user(server, "+flushall", "+config|set", "~other:*", "~sg-not:*")))["acl"]
    assert (more.state, more.found) == ("warning", "may do what is not needed: flushall, config|set, keys of others")
    scripts = (await found_at(server.url, **make_user(server, "-script")))["acl"]
    assert (scripts.state, scripts.found.startswith("may not run scripts")) == ("wrong", True)
    keys = (await found_at(server.url, **make_user(server, "resetkeys", "~other:*")))["acl"]
    assert (keys.state, "get" in keys.found) == ("wrong", True)


async def test_every_needed_command_is_asked_about(server: RedisServer) -> None:
    """Whichever is taken away, it is named."""
    for command in least_acl(PREFIX).split():
        if not command.startswith("+") or command in {"+evalsha_ro", "+script|load", "+info"}:
            continue  # without them nothing can be asked
        found = await found_at(server.url, **make_user(server, f"-{command[1:]}"))
        assert f"may not {command[1:]}, which is needed" in found["acl"].found, command


@pytest.mark.parametrize(
    ("fault", "mend"),
    [
        ("no password", "the server asks for a password"),
        ("wrong password", "no such user with that password"),
        ("missing file", "redis.password_file"),
        ("no such name", "cannot resolve the name"),
        ("nobody there", "nothing listens there"),
        ("no socket", "the socket of a unix:// URL"),
        ("no cluster", "it is no Cluster"),
        ("no sentinel", "it is no sentinel"),
    ],
)
async def test_each_fault_has_what_mends_it(server: RedisServer, tmp_path: Path, fault: str, mend: str) -> None:
    """Not one line for all of them."""
    more: dict[str, Any] = {}
    url = server.url
    if "password" in fault:
        server.command("CONFIG", "SET", "requirepass", "right")
        more = {"password": CANARY} if fault.startswith("wrong") else {}
    if fault == "missing file":
        more = {"password_file": tmp_path / "none", "gone": tmp_path / "none"}
    url = {
        "no such name": "redis://no-such-host.invalid:6379",
        "nobody there": f"redis://127.0.0.1:{free_port()}",
        "no socket": f"unix://{tmp_path}/none.sock",
        "no cluster": server.url.replace("redis://", "redis+cluster://"),
        "no sentinel": f"redis+sentinel://127.0.0.1:{server.port}/service",
    }.get(fault, url)
    connection = (await found_at(url, **more))["connection"]
    assert connection.state == "wrong"
    assert mend in connection.advice, connection


@pytest.mark.parametrize(
    ("fault", "mend"),
    [
        ("untrusted", "who vouches for the server's certificate: redis.tls_ca_file"),
        ("no certificate of ours", "redis.tls_cert_file"),  # the reason is lost where the server was quicker to close
        ("junk", "a certificate or key cannot be used"),
        ("key of another", "a certificate or key cannot be used"),
        ("missing", "a file is not there"),
        ("plain", "one with TLS takes rediss://"),
    ],
)
async def test_each_fault_of_a_certificate_has_what_mends_it(tmp_path: Path, fault: str, mend: str) -> None:
    """Whom we do not trust, who does not trust us, and what is no certificate at all."""
    if not speaks_tls():
        pytest.skip("the server was built without TLS")
    (tmp_path / "other").mkdir()
    own, other = Certificates(tmp_path), Certificates(tmp_path / "other")
    (tmp_path / "junk").write_text("junk", "utf-8")
    ours = {"tls_cert_file": own.cert, "tls_key_file": own.key}
    more: dict[str, Any] = {
        "untrusted": {},
        "no certificate of ours": {"tls_ca_file": own.ca},
        "junk": {"tls_ca_file": tmp_path / "junk"},
        "key of another": {"tls_ca_file": own.ca, **ours, "tls_key_file": other.key},
        "missing": {"tls_ca_file": tmp_path / "missing", "gone": tmp_path / "missing"},
        "plain": {},
    }[fault]
    port = free_port()
    with RedisServer(options=tuple(own.options(port))):
        url = f"redis://127.0.0.1:{port}" if fault == "plain" else f"rediss://127.0.0.1:{port}"
        connection = (await found_at(url, **more))["connection"]
    assert connection.state == "wrong"
    assert mend in connection.advice, connection


def test_what_nobody_knows_has_the_usual_advice() -> None:
    """A message of a server to come is still told with a place to begin."""
    assert advice_for(StoreUnavailableError("connect", "something new")) == USUAL


async def test_no_message_ends_within_a_word(server: RedisServer) -> None:
    """A long one is cut where a word ends, and says that it was."""
    server.command("CONFIG", "SET", "requirepass", "right")
    told = (await found_at(server.url))["connection"].found
    with redis.Redis(port=server.port) as plain, pytest.raises(redis.RedisError) as raised:
        plain.execute_command("HELLO", "3")
    assert told.endswith(" …")
    assert set(told.split()[2:-1]) <= set(str(raised.value).split()) | {"AuthenticationError:"}
