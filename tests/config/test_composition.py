"""The object graph: built from settings alone, each part replaceable, started and closed in order."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis

import sluicegate
from sluicegate import Limit, Limiter, NullLogger
from sluicegate.config import blocking_limiter, load_settings, parts
from sluicegate.config.composition import client_of
from sluicegate.testing import ManualClock
from tests.recording import RecordingLogger
from tests.servers import RedisServer

if TYPE_CHECKING:
    from pathlib import Path

API = Limit("api", "3/hour")


async def test_without_a_server_state_is_in_memory(bare: Path) -> None:
    """And rules are those of the file that the settings name."""
    (bare / "rules.toml").write_text('version = 1\n[limits.api]\nrate = "3/hour"\nkey = "client_address"\n', "utf-8")
    async with sluicegate.open(load_settings("test", rules="rules.toml")) as app:
        assert (app.client, app.limiter.engine.store.source) == (None, "memory")
        assert app.rules is not None
        assert [rule.limit.name for rule in app.rules.limits] == ["api"]
        assert (await app.limiter.acquire(API, "someone")).remaining == 2


async def test_with_a_server_state_is_there_and_everything_is_closed_at_the_end() -> None:
    """Two processes built from the same settings count together; afterwards no connection is left."""
    with RedisServer() as server:
        settings = load_settings(
            "test",
            redis={"url": server.url, "key_prefix": "own", "hash_tags": 4, "key_secret": "s"},
            pool={"deadline_ms": 2_000},
        )
        async with sluicegate.open(settings) as one, sluicegate.open(settings) as other:
            await one.limiter.acquire(API, "someone")
            assert (await other.limiter.acquire(API, "someone")).remaining == 1
        with redis.Redis(port=server.port) as plain:
            keys: Any = plain.keys("*")
            assert sorted(key[:7] for key in keys) == [b"own:1:f", b"own:1:{"]
            for _ in range(200):  # the server hears of it a moment later
                clients: Any = plain.client_list()
                if len(clients) == 1:
                    break
                await asyncio.sleep(0.01)
            assert len(clients) == 1


async def test_a_server_that_is_away_is_told_and_does_not_keep_it_from_starting() -> None:
    """The process runs degraded, as a limiter does."""
    logger = RecordingLogger()
    settings = load_settings("test", redis={"url": "redis://127.0.0.1:1"}, pool={"connect_timeout_ms": 100})
    async with sluicegate.open(settings, logger=logger) as app:
        assert (await app.limiter.acquire(API, "someone")).degraded
    assert "store.away" in [event for _, event, _ in logger.events]


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_structlog_writes_as_the_settings_say(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """From the level on, in the format; a developer's debugging is not told in production."""
    monitoring = {"logger": "structlog", "log_level": "warning", "log_format": log_format}
    app = parts(load_settings("test", monitoring=monitoring))
    app.logger.info("quiet")
    app.logger.warning("loud", source="memory")
    await app.aclose()
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "loud" if log_format == "json" else line.endswith(" loud source=memory")


async def test_what_is_risky_is_told_at_the_start() -> None:
    """With its name, by which production would have it waived."""
    logger = RecordingLogger()
    async with sluicegate.open(load_settings("staging", server={"admin_enabled": True}), logger=logger):
        pass
    risks = [fields["name"] for _, event, fields in logger.events if event == "settings.risk"]
    assert risks == ["admin_without_authentication"]


async def test_what_the_environment_does_by_itself_is_not_told_at_each_start() -> None:
    """A developer's log has keys in it; where production is told to have them, it is told what it does."""
    told = []
    for environment, values in (("development", {}), ("staging", {"log_level": "debug", "log_keys": True})):
        logger = RecordingLogger()
        async with sluicegate.open(load_settings(environment, monitoring=values), logger=logger):
            pass
        told.append([fields["name"] for fields in logger.named("settings.risk")])
    assert told == [[], ["keys_in_logs"]]


@pytest.mark.parametrize(
    ("level", "keys", "told"), [("debug", True, ["a"]), ("debug", False, [None]), ("info", True, [])]
)
async def test_denials_are_told_at_the_level_of_debug(level: str, keys: bool, told: list[str | None]) -> None:
    """By name only where keys may stand in the log; in programs that await, and in those that do not."""
    settings = load_settings("test", monitoring={"log_level": level, "log_keys": keys})
    one, other = RecordingLogger(), RecordingLogger()
    limit = Limit("api", "1/hour")
    async with sluicegate.open(settings, logger=one) as app:
        for _ in range(2):
            await app.limiter.acquire(limit, "a")
    with blocking_limiter(settings, logger=other) as limiter:
        for _ in range(2):
            limiter.acquire(limit, "a")
    for logger in (one, other):
        assert [fields.get("key") for fields in logger.named("decision.denied")] == told


async def test_every_part_can_be_brought_along() -> None:
    """One's own clock, logger and client are taken in place of those that the settings describe."""
    clock, logger = ManualClock(), NullLogger()
    async with sluicegate.open(load_settings("test"), clock=clock, logger=logger) as app:
        assert (app.clock, app.logger) == (clock, logger)
        for _ in range(3):
            assert await app.limiter.acquire(API, "someone")
        denied = await app.limiter.acquire(API, "someone")
        clock.advance(denied.retry_after)
        assert await app.limiter.acquire(API, "someone")


async def test_a_client_of_ones_own_is_asked_and_closed() -> None:
    """Whatever the settings say of a server."""
    asked: list[str] = []

    class Own:
        async def start(self) -> None:
            asked.append("start")

        async def execute(self, *command: object, deadline_us: int) -> None:
            asked.append(f"{command[0]}")

        async def aclose(self) -> None:
            asked.append("aclose")

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    async with sluicegate.open(load_settings("test"), client=Own()) as app:  # type: ignore[arg-type] # a part of one
        assert app.limiter.engine.store.source == "redis"
    assert asked == ["start", "SET", "aclose"]


async def test_what_answers_for_a_server_that_is_away_is_a_setting(bare: Path) -> None:
    """For limits of the rules that do not say it themselves."""
    (bare / "rules.yaml").write_text(
        "version: 1\nlimits:\n  api: {rate: 3/hour, key: tenant}\n  pay: {rate: 3/hour, key: tenant, critical: true}\n",
        "utf-8",
    )
    settings = load_settings(
        "test",
        rules="rules.yaml",
        redis={"url": "redis://127.0.0.1:1"},
        pool={"connect_timeout_ms": 100},
        fallback={"on_failure": "closed", "on_failure_critical": "open"},
    )
    async with sluicegate.open(settings, logger=RecordingLogger()) as app:
        assert app.rules is not None
        limits = app.rules.named
        answers = {name: (await app.limiter.acquire(limits[name], "t")).allowed for name in ("api", "pay")}
    assert answers == {"api": False, "pay": True}


async def test_how_a_server_is_reached_is_a_setting() -> None:
    """The most connections and the pauses are those of the settings, in the unit that their names say."""
    settings = load_settings(
        "test",
        redis={"url": "redis://127.0.0.1:1"},
        pool={"connect_timeout_ms": 100, "connections_max": 3},
        resilience={"reconnect_min_ms": 20, "reconnect_max_ms": 30, "refused_pause_ms": 40},
    )
    client: Any = client_of(settings)
    access = client._access
    await client.aclose()
    assert (access.connect_timeout, access.connections_max) == (0.1, 3)
    assert (access.reconnect_pause_min, access.reconnect_pause_max, access.refused_pause) == (0.02, 0.03, 0.04)


async def test_a_graph_is_built_without_any_io() -> None:
    """What nobody started holds no connection, no task and no thread."""
    app = parts(load_settings("test", redis={"url": "redis://127.0.0.1:1"}))
    assert isinstance(app.limiter, Limiter)
    await app.aclose()


async def test_an_error_inside_closes_all_the_same() -> None:
    """Whoever uses it may fail."""
    with pytest.raises(ZeroDivisionError):
        async with sluicegate.open(load_settings("test")) as app:
            raise ZeroDivisionError
    assert app.limiter.engine.closed


def test_the_library_is_imported_without_what_settings_need() -> None:
    """Nothing is built or read at import, and who needs no settings needs no pydantic."""
    program = "import sys, sluicegate; print(sorted({'pydantic', 'pydantic_settings', 'redis'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"
