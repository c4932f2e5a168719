"""Running scripts and commands on a real server: loaded once, compared, never repeated, each reply its caller's."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate.database import Script, ScriptCall, connect
from sluicegate.utils import (
    ConfigurationError,
    LimiterClosedError,
    ScriptError,
    StoreError,
    StoreUnavailableError,
)
from tests.database.calling import (
    COUNT,
    DEADLINE_US,
    KEY,
    LOOK,
    blocked,
    calls_of,
    connected,
    connection_id,
    count,
    counted,
    forget_driver,
    until,
)
from tests.servers import RedisServer, free_port
from tests.timing import GRACE_S, lag_watched, timed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import redis

    from sluicegate.database import Argument
    from sluicegate.database.standalone import StandaloneClient
    from tests.faults_proxy import FaultProxy

WRONG_SHA1 = Script("wrong", "redis.call('INCR', KEYS[1]) return 1", "0" * 40)
FAILING = Script.of("failing", "error('boom')")
ECHO = Script.of("echo", "return {KEYS[1], ARGV[1], ARGV[2]}")


async def run(client: StandaloneClient, script: Script, *args: Argument, read_only: bool = False) -> Any:
    """Run a script on the counted key."""
    return await client.run(script, [KEY], args, read_only=read_only, deadline_us=DEADLINE_US)


def call_of(script: Script, *, key: bytes = KEY, read_only: bool = False) -> ScriptCall:
    """Return one of several calls."""
    return ScriptCall(script, [key], [], read_only, DEADLINE_US)


def numbers_or_kinds(replies: Sequence[object]) -> list[object]:
    """Return replies, with the kind of each error in its place."""
    return [type(reply) if isinstance(reply, StoreError) else reply for reply in replies]


async def test_a_script_runs_with_its_keys_and_arguments(client: StandaloneClient) -> None:
    """Text, bytes and whole numbers arrive as what they are, and the reply is the script's."""
    assert await run(client, ECHO, "zwölf", 12) == [KEY, "zwölf".encode(), b"12"]
    assert await run(client, ECHO, b"\x00\xff\r\n", -(2**63)) == [KEY, b"\x00\xff\r\n", b"-9223372036854775808"]
    assert await run(client, ECHO, b"x" * 2_000_000, "") == [KEY, b"x" * 2_000_000, b""]


async def test_a_script_is_loaded_once_however_many_ask(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """Calls that meet an unknown script at once load it once, and then send only its name."""
    redis_client.script_flush()
    redis_client.config_resetstat()
    assert sorted(await asyncio.gather(*[count(client) for _ in range(7)])) == list(range(1, 8))
    assert calls_of(redis_client, "script|load") == 1
    assert calls_of(redis_client, "evalsha") == 7
    assert calls_of(redis_client, "eval") == 0


async def test_flushed_scripts_are_loaded_again(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """After a SCRIPT FLUSH the same calls go on, each counted once, and one load serves them all."""
    await count(client)
    redis_client.config_resetstat()
    redis_client.script_flush()
    assert sorted(await asyncio.gather(*[count(client) for _ in range(6)])) == list(range(2, 8))
    assert calls_of(redis_client, "script|load") == 1
    assert counted(redis_client) == 7


async def test_nothing_is_lost_or_repeated_while_scripts_are_flushed(
    client: StandaloneClient, redis_client: redis.Redis
) -> None:
    """Somebody flushes the scripts all the time: every call is answered, and counted exactly once."""
    replies: list[int] = []

    async def call() -> None:
        replies.extend([await count(client) for _ in range(60)])

    async def flush(done: asyncio.Event) -> None:
        async with connected(f"redis://127.0.0.1:{redis_client.connection_pool.connection_kwargs['port']}") as other:
            while not done.is_set():
                await other.execute("SCRIPT", "FLUSH")

    done = asyncio.Event()
    flushing = asyncio.create_task(flush(done))
    await asyncio.gather(*[call() for _ in range(5)])
    done.set()
    await flushing
    assert sorted(replies) == list(range(1, 301))
    assert counted(redis_client) == 300


async def test_scripts_that_are_never_kept_run_from_their_text(
    proxy: FaultProxy, redis_server: RedisServer, redis_client: redis.Redis
) -> None:
    """Where a loaded script is gone each time before it can be called, its text is sent, and counted once."""
    proxy.before_request = lambda data: redis_server.command("SCRIPT", "FLUSH") if b"EVALSHA" in data else None
    async with connected(proxy.url) as client:
        redis_client.config_resetstat()
        assert await count(client) == 1
        assert await run(client, LOOK, read_only=True) == 1
    assert [calls_of(redis_client, name) for name in ("evalsha", "eval", "evalsha_ro", "eval_ro")] == [2, 1, 2, 1]
    assert counted(redis_client) == 1


async def test_the_servers_sha1_is_compared(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """A script that the server calls otherwise than we do is refused before it first runs."""
    for _ in range(2):
        with pytest.raises(ScriptError, match="the server's SHA-1 is not that of the shipped script"):
            await run(client, WRONG_SHA1)
    assert counted(redis_client) == 0


async def test_a_script_that_cannot_be_compiled_is_refused(client: StandaloneClient) -> None:
    """The server's reason is told to everyone who asked."""
    broken = Script.of("broken", "this is no Lua")
    outcomes = await asyncio.gather(*[run(client, broken) for _ in range(3)], return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ScriptError}
    assert "compiling" in str(outcomes[0])


async def test_who_only_looks_cannot_write(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """A read-only run goes by EVALSHA_RO: it reads, and the server refuses any write in it."""
    redis_client.config_resetstat()
    assert await run(client, LOOK, read_only=True) == 0
    with pytest.raises(ScriptError, match="read-only"):
        await run(client, COUNT, read_only=True)
    assert calls_of(redis_client, "evalsha_ro") == 2
    assert counted(redis_client) == 0


async def test_a_failing_script_keeps_its_connection(client: StandaloneClient) -> None:
    """An error of the script is an answer: the connection is as good as before."""
    await count(client)
    before = await connection_id(client)
    with pytest.raises(ScriptError, match="boom"):
        await run(client, FAILING)
    assert await connection_id(client) == before


async def test_several_calls_are_answered_in_their_order(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """In one round trip each call has its own reply, and a failed one its own error, whatever stands beside it."""
    calls = [call_of(COUNT), call_of(FAILING), call_of(LOOK, read_only=True), call_of(COUNT, read_only=True)]
    replies = await client.run_many([*calls, call_of(COUNT)])
    assert numbers_or_kinds(replies) == [1, ScriptError, 1, ScriptError, 2]
    assert [str(reply).partition(":")[0] for reply in replies if isinstance(reply, StoreError)] == [
        "run failing",
        "run count",
    ]
    assert counted(redis_client) == 2


async def test_several_calls_survive_a_flush(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """Calls that met no script are run again, once each, for the server has said that they did nothing."""
    await client.run_many([call_of(COUNT), call_of(LOOK, read_only=True)])
    redis_client.script_flush()
    redis_client.config_resetstat()
    calls = [call_of(COUNT), call_of(LOOK, read_only=True), call_of(COUNT)]
    assert sorted(await client.run_many(calls)) == [2, 2, 3]
    assert counted(redis_client) == 3
    assert calls_of(redis_client, "script|load") == 2


async def test_several_calls_keep_their_places_when_some_are_run_again(client: StandaloneClient) -> None:
    """A call that fails when it is run again has its error in its place, and those behind it their replies."""
    calls = [call_of(COUNT), call_of(FAILING), call_of(COUNT)]
    await client.run_many(calls)
    await client.execute("SCRIPT", "FLUSH")
    replies = await client.run_many(calls)
    assert numbers_or_kinds(replies) == [3, ScriptError, 4]
    assert str(replies[1]).startswith("run failing: ")


async def test_no_calls_are_no_round_trip(redis_url: str) -> None:
    """An empty list is answered without a server."""
    async with connected(f"redis://127.0.0.1:{free_port()}") as client:
        assert await client.run_many([]) == []


async def test_a_cancelled_call_gives_up_its_connection_alone(
    client: StandaloneClient, redis_client: redis.Redis
) -> None:
    """The answer that comes for a cancelled call reaches nobody; the calls beside it get their own."""
    waiting = [asyncio.create_task(client.execute("BLPOP", f"list{number}", 5)) for number in range(6)]
    await until(lambda: blocked(redis_client) == 6)
    for task in waiting[::2]:
        task.cancel()
    await until(lambda: blocked(redis_client) == 3)
    for number in range(6):
        redis_client.lpush(f"list{number}", str(number))
        redis_client.pexpire(f"list{number}", 60_000)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert list(outcomes[1::2]) == [[b"list%d" % n, b"%d" % n] for n in (1, 3, 5)]
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::2])
    assert [redis_client.llen(f"list{number}") for number in range(6)] == [1, 0, 1, 0, 1, 0]


async def test_calls_that_are_cancelled_at_random_cross_no_answers(
    client: StandaloneClient, redis_client: redis.Redis
) -> None:
    """Of hundreds of calls half are cancelled at any instant: each other has its own reply, and all are usable."""
    draw = random.Random(5)

    async def ask(number: int) -> None:
        assert await client.execute("ECHO", str(number)) == b"%d" % number

    for first in range(0, 400, 8):
        tasks = [asyncio.create_task(ask(number)) for number in range(first, first + 8)]
        for task in draw.sample(tasks, 4):
            asyncio.get_running_loop().call_later(draw.uniform(0, 0.002), task.cancel)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
    assert await client.execute("ECHO", "last") == b"last"


async def test_cancelling_the_first_caller_leaves_the_load_to_the_others(
    proxy: FaultProxy, redis_client: redis.Redis
) -> None:
    """A script that many wait for is loaded though the one who began it has gone."""
    redis_client.script_flush()
    redis_client.config_resetstat()
    async with connected(proxy.url) as client:
        await client.execute("PING")
        proxy.delay_s = 0.05  # so that the load is seen while it is under way
        first = asyncio.create_task(count(client))
        others = [asyncio.create_task(count(client)) for _ in range(3)]
        await until(lambda: calls_of(redis_client, "script|load") == 1)
        first.cancel()
        proxy.delay_s = 0.0
        assert sorted(await asyncio.gather(*others)) == [1, 2, 3]
    assert first.cancelled()
    assert calls_of(redis_client, "script|load") == 1


async def test_the_identity_is_what_the_server_says(client: StandaloneClient, redis_client: redis.Redis) -> None:
    """Node, run and replication are those of INFO."""
    (identity,) = await client.identity()
    told: Any = {**redis_client.info("server"), **redis_client.info("replication")}  # type: ignore[dict-item] # dicts
    assert (identity.node, identity.run_id, identity.replication_id) == (
        client.nodes()[0],
        told["run_id"],
        told["master_replid"],
    )


@pytest.mark.parametrize("version", [b"6.2.14", b"x.0.00", b"......"])
async def test_a_server_that_is_too_old_is_refused(
    proxy: FaultProxy, redis_client: redis.Redis, version: bytes
) -> None:
    """A version before 7.0, or one that cannot be read, is refused at the start, and named."""
    told: Any = redis_client.info("server")
    real = told["redis_version"].encode()
    proxy.rewrite = (b"redis_version:" + real, b"redis_version:" + version.ljust(len(real))[: len(real)])
    async with connected(proxy.url) as client:
        with pytest.raises(ConfigurationError) as caught:
            await client.start()
    (problem,) = caught.value.problems
    assert (problem.where, problem.accepted) == ("redis version", "7.0 or newer, or Valkey")
    assert version.decode()[: len(real)] in problem.found


async def test_a_newer_major_version_is_accepted(proxy: FaultProxy, redis_client: redis.Redis) -> None:
    """Versions are compared as numbers, so 10 is newer than 7."""
    told: Any = redis_client.info("server")
    real = told["redis_version"].encode()
    proxy.rewrite = (b"redis_version:" + real, b"redis_version:" + b"10.0000"[: len(real)].ljust(len(real), b"0"))
    async with connected(proxy.url) as client:
        await client.start()
        assert (await client.identity())[0].run_id == told["run_id"]


async def test_a_start_waits_for_a_server_that_comes() -> None:
    """A server that starts meanwhile is found before the connect time-out is over."""
    port = free_port()
    async with connected(f"redis://127.0.0.1:{port}", connect_timeout=10) as client:
        starting = asyncio.create_task(client.start())
        await asyncio.sleep(0.1)
        assert not starting.done()
        with RedisServer(port=port):
            await asyncio.wait_for(starting, 10)
            assert await count(client) == 1


async def test_a_start_waits_while_the_server_loads_its_data(tmp_path: Path) -> None:
    """A server that answers LOADING is not refused: it is asked again until it is ready."""
    options = ["--dir", str(tmp_path), "--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"]
    with RedisServer(["--dir", str(tmp_path)]) as server:
        server.command("DEBUG", "POPULATE", "500")
        server.command("SAVE")
    server = RedisServer(options)
    ready = asyncio.create_task(asyncio.to_thread(server.start))
    try:
        async with connected(server.url, connect_timeout=10) as client:
            begun: list[str] = []
            while not begun:
                try:
                    await client.execute("PING")
                except StoreUnavailableError as error:
                    begun += [error.reason] if "loading" in error.reason else []
                await asyncio.sleep(0.005)
            await client.start()
            assert await client.execute("DBSIZE") == 500
    finally:
        await ready
        server.kill()


async def test_a_start_gives_up_at_the_connect_timeout() -> None:
    """Without a server the start ends with the reason, about when it was to end."""
    async with connected(f"redis://127.0.0.1:{free_port()}", connect_timeout=0.3) as client, lag_watched() as lag:
        with pytest.raises(StoreUnavailableError):
            (_, seconds) = await timed(client.start())
        error, seconds = await timed(asyncio.gather(client.start(), return_exceptions=True))
    assert isinstance(error[0], StoreUnavailableError)
    assert 0.2 <= seconds <= 0.3 + 2 * GRACE_S + lag.worst_s


def test_a_missing_hiredis_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the other half of the extra cannot be imported, the error says what to install."""
    forget_driver(monkeypatch)
    monkeypatch.setitem(sys.modules, "hiredis", None)
    with pytest.raises(ConfigurationError) as caught:
        connect("redis://127.0.0.1")
    (problem,) = caught.value.problems
    assert (problem.found, problem.accepted) == ("no package hiredis", "pip install 'sluicegate[redis]'")


async def test_a_closed_client_takes_no_calls(redis_url: str) -> None:
    """Every verb of a closed client says so."""
    async with connected(redis_url) as client:
        await client.aclose()
        with pytest.raises(LimiterClosedError):
            await client.run_many([call_of(COUNT)])
