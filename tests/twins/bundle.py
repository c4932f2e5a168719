"""The script as it ships, file by file, with the clock and the expiries of the tests in it."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

__all__ = ["joined", "shipped_sources"]

_TIME = "stores/script/server_time.lua"


def shipped_sources() -> dict[str, str]:
    """Return the text of each file of the bundle by its path, in the order of joining."""
    root = resources.files("sluicegate.ratelimit")
    paths = json.loads(root.joinpath("stores/script/manifest.json").read_text("utf-8"))
    return {path: root.joinpath(path).read_text("utf-8") for path in paths}


def joined(sources: dict[str, str]) -> str:
    """Join *sources* to one script whose time is the last key; see injected_time.lua."""
    injected = Path(__file__).with_name("injected_time.lua").read_text("utf-8")
    return "\n".join(injected if path == _TIME else text for path, text in sources.items())
