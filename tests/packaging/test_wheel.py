"""The wheel as users get it: built, put into an empty environment without anything else, and asked to decide."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "sluicegate"
NOT_SHIPPED = {".pyc", ".pyo"}

DECIDING = """
import asyncio, importlib.util, sys
from sluicegate import BlockingLimiter, Limit, Limiter

async def decide():
    async with Limiter() as limiter:
        return [(await limiter.acquire(Limit("api", "2/minute"), "user:1")).allowed for _ in range(3)]

assert asyncio.run(decide()) == [True, True, False]
with BlockingLimiter() as limiter:
    assert limiter.acquire(Limit("api", "2/minute"), "user:1").allowed
for extra in ("redis", "hiredis", "yaml", "typer", "rich", "fastapi", "uvicorn", "structlog"):
    assert importlib.util.find_spec(extra) is None, f"{extra} is there: the environment is not empty"
print(sys.modules["sluicegate"].__file__)
"""

REACHING = """
import asyncio
from sluicegate import Limiter, SluicegateError

async def connect():
    try:
        async with Limiter.connect("redis://127.0.0.1:1"):
            pass
    except SluicegateError as error:
        print(error)

asyncio.run(connect())
"""

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the checkout, with nothing of it on the path, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout with what is installed already."""
    folder = tmp_path_factory.mktemp("wheel")
    building = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    run(sys.executable, *building, "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("sluicegate-*-py3-none-any.whl")
    return built


@pytest.fixture(scope="module")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an empty environment that holds the wheel alone."""
    folder = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-index", wheel, cwd=folder)  # dependencies would be an error
    return python


def test_the_wheel_alone_decides(bare_python: Path, tmp_path: Path) -> None:
    """Without any dependency the installed wheel imports, and both limiters decide in memory."""
    imported = run(bare_python, "-W", "error", "-c", DECIDING, cwd=tmp_path).strip()
    assert Path(imported).is_relative_to(bare_python.parent.parent)


def test_the_wheel_alone_says_what_redis_needs(bare_python: Path, tmp_path: Path) -> None:
    """Without the extra, connecting names it instead of failing on an import."""
    assert "sluicegate[redis]" in run(bare_python, "-c", REACHING, cwd=tmp_path)


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Scripts, their manifest, `py.typed` and the licence travel in the wheel, and nothing of the tests does."""
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())
    files = (path for path in SOURCE.rglob("*") if path.is_file() and path.suffix not in NOT_SHIPPED)
    expected = {f"sluicegate/{path.relative_to(SOURCE)}" for path in files}
    assert {"sluicegate/py.typed", "sluicegate/ratelimit/stores/script/manifest.json"} <= expected
    assert {name for name in shipped if name.startswith("sluicegate/")} == expected
    outside = {name.partition("/")[2] for name in shipped if not name.startswith("sluicegate/")}
    assert outside == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
