"""Settings that are read again while a process runs: flags come into force, the rest is named."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from sluicegate import Features
from sluicegate.config import LiveSettings, features_of, load_settings, parts
from tests.recording import RecordingLogger

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-7d21-0123456789"


def live_settings(bare: Path, text: str) -> tuple[LiveSettings, RecordingLogger, Path]:
    """Return the settings of a file, which may change."""
    path = bare / "settings.toml"
    path.write_text(text, "utf-8")
    logger = RecordingLogger()
    return (
        LiveSettings(load_settings("test", file=path), lambda: load_settings("test", file=path), logger),
        logger,
        path,
    )


def test_a_flag_that_changed_comes_into_force(bare: Path) -> None:
    """And is told; another look finds nothing new."""
    live, logger, path = live_settings(bare, "")
    assert features_of(live.current) == Features()
    path.write_text("[flags]\nleases = false\nreload = false\n", "utf-8")
    assert live.reread()
    assert features_of(live.current) == Features(leases=False)
    assert not live.current.flags.reload
    assert not live.reread()
    told = [event for event in logger.events if event[1] == "flags.switched"]
    assert len(told) == 1
    assert told[0][2]["flags"] == "deny_cache, coalescing, carrying on; leases, reload, changes off"


def test_what_needs_a_restart_is_named_and_stays(bare: Path) -> None:
    """Each time, until there was one; no value is told, for it may be a secret."""
    live, logger, path = live_settings(bare, "")
    path.write_text(f'[redis]\nkey_secret = "{CANARY}"\n[pool]\ndeadline_ms = 99\n[flags]\nleases = false\n', "utf-8")
    assert live.reread()
    assert live.current.pool.deadline_ms != 99
    assert not live.reread()
    told = [event[2]["settings"] for event in logger.events if event[1] == "settings.need_restart"]
    assert told == ["redis.key_secret, pool.deadline_ms"] * 2
    assert CANARY not in repr(logger.events)


@pytest.mark.parametrize("broken", ["[flags]\nleases = 'perhaps'\n", "[flag]\nleases = false\n", "not toml ["])
def test_settings_that_are_refused_change_nothing(bare: Path, broken: str) -> None:
    """Whatever is wrong with them is told, and the next good ones count."""
    live, logger, path = live_settings(bare, "")
    path.write_text(broken, "utf-8")
    assert not live.reread()
    assert [event[1] for event in logger.events] == ["settings.refused"]
    path.unlink()
    assert not live.reread()
    assert features_of(live.current) == Features()
    path.write_text("[flags]\nleases = false\n", "utf-8")
    assert live.reread()


async def test_flags_hold_in_memory_too(bare: Path) -> None:
    """What a process says of its features is what its settings say, wherever state is kept."""
    app = parts(load_settings("test", flags={"deny_cache": False, "coalescing": False}))
    assert app.limiter.features == Features(deny_cache=False, coalescing=False)
    assert app.limiter.statistics().features == app.limiter.features
    await app.aclose()


def test_each_feature_has_a_flag_of_its_name(bare: Path) -> None:
    """So that none can be forgotten."""
    flags = load_settings("test").flags.model_dump()
    assert {feature.name for feature in fields(Features)} < set(flags)
