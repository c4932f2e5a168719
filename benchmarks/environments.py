"""An environment for each contender, made once from hashed requirements and kept until these change.

They cannot share one: limits and throttled-py want an older redis-py than Sluicegate.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "packages_in", "python_for"]

ROOT = Path(__file__).resolve().parent.parent
_REQUIREMENTS = ROOT / "benchmarks" / "requirements"
_CACHE = ROOT / ".cache" / "benchmarks"
# redis-py by hand, one call each or gathered, has Sluicegate's redis-py.
_ENVIRONMENT_OF = {"bare": "sluicegate", "redispy": "sluicegate", "microbatch": "sluicegate", "ceiling": "sluicegate"}


def python_for(contender: str) -> Path:
    """Return the interpreter of *contender*'s environment, which is made if it is not there."""
    name = _ENVIRONMENT_OF.get(contender, contender)
    requirements = _REQUIREMENTS / f"{name}.txt"
    fingerprint = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = _CACHE / f"{name}-{fingerprint}"
    python = home / "bin" / "python"
    if (home / "made").exists():
        return python
    print(f"making the environment of {name} ...", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*install, "--require-hashes", "-r", str(requirements)], check=True)
    (home / "made").touch()
    return python


def packages_in(contender: str) -> dict[str, str]:
    """Return what is installed beside *contender*, by name and version."""
    listing = subprocess.run(
        [str(python_for(contender)), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
    )
    return {
        row["name"]: row["version"] for row in json.loads(listing.stdout) if row["name"] not in ("pip", "setuptools")
    }
