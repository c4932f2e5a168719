"""What a reader must know of the machine to judge the figures; nothing that would tell which machine it was."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

__all__ = ["machine_facts"]


def machine_facts(redis_version: str, packages: dict[str, dict[str, str]]) -> dict[str, object]:
    """Return the facts, with the packages of each contender."""
    return {
        "sluicegate": version("sluicegate"),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "redis": redis_version,
        "packages": packages,
    }
