"""Every setting makes a difference, or is said not to: in its meaning, at the start, and by the commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sluicegate
from sluicegate.config import UNUSED, load_settings, unused_of
from tests.cli.command import run_here
from tests.recording import RecordingLogger

from .sources import FIELDS, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(sluicegate.__file__).parent
# Here a setting is declared, judged beside others, shown, or found to be missing: none of which makes a difference.
DECLARING = ("groups.py", "environments.py", "risks.py", "telling.py", "unused.py", "named_files.py")
SAID = "Not used by this version."


def texts() -> Iterator[str]:
    """Return the text of each module in which a setting may make a difference."""
    for path in SOURCE.rglob("*.py"):
        if path.parent.name != "config" or path.name not in DECLARING:
            yield path.read_text("utf-8")


@pytest.mark.parametrize("setting", FIELDS, ids=lambda setting: ".".join(setting.path))
def test_a_setting_is_used_or_said_not_to_be(setting: Setting) -> None:
    """What is used, code asks for by its name; what is not, says so where its meaning stands."""
    name = ".".join(setting.path)
    asked = re.compile(rf"\b\w+\.{setting.path[-1]}\b")
    is_flag = setting.path[0] == "flags"  # all of them are handed over at once
    is_used = is_flag or any(asked.search(text) for text in texts())
    assert is_used != (name in UNUSED)
    assert (SAID in (setting.found.description or "")) == (name in UNUSED)


async def test_what_makes_no_difference_is_told_at_the_start() -> None:
    """By its name, if it is set at all."""
    for server, told in (({}, []), ({"grpc_port": 9_000}, [{"settings": "server.grpc_port"}])):
        logger = RecordingLogger()
        async with sluicegate.open(load_settings("test", server=server), logger=logger):
            pass
        assert logger.named("settings.unused") == told


def test_what_makes_no_difference_is_told_by_the_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The settings are valid all the same."""
    path = tmp_path / "settings.toml"
    path.write_text("[distributed]\nheartbeat_ms = 500\n[monitoring]\nslo_latency_ms = 5\n", "utf-8")
    ran = run_here(capsys, "config", "check", "--config", str(path), "--env", "test")
    assert ran.code == 0
    assert [line.split()[1] for line in ran.out.splitlines() if line.startswith("unused ")] == [
        "monitoring.slo_latency_ms",
        "distributed.heartbeat_ms",
    ]
    assert unused_of(load_settings("test")) == []


def test_two_doors_at_one_port_are_refused() -> None:
    """Unless both take any that is free."""
    with pytest.raises(sluicegate.ConfigurationError, match=r"server\.grpc_port .*another port than server\.port"):
        load_settings("test", server={"port": 9_000, "grpc_port": 9_000})
    assert load_settings("test", server={"port": 0, "grpc_port": 0}).server.grpc_port == 0
