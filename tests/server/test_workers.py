"""Several workers behind one address count together, outlive each other, and end with who watches them."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.cli.command import Serving, run, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow
WORKERS = 3
SECONDS_MAX = 15.0
RULES = """\
version: 1
limits:
  api: {rate: 30/hour, algorithm: fixed_window, key: client_address}
"""


@pytest.fixture
def served(tmp_path: Path, redis_url: str) -> Iterator[Serving]:
    """Serve with several workers on one Redis."""
    rules, settings = tmp_path / "rules.yaml", tmp_path / "settings.toml"
    rules.write_text(RULES, "utf-8")
    settings.write_text(
        f'[redis]\nurl = "{redis_url}"\n[server]\nworkers = {WORKERS}\ndrain_delay_ms = 0\n'
        "[pool]\ndeadline_ms = 2000\n",
        "utf-8",
    )
    with serving(rules, "--config", str(settings)) as service:
        yield service


def workers_of(service: Serving) -> list[int]:
    """Return the process ids of the workers."""
    own = service.process.pid
    return [int(text) for text in Path(f"/proc/{own}/task/{own}/children").read_text("ascii").split()]


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait a bounded time."""
    deadline = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Say whether a process runs: one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def acquired(service: Serving) -> httpx.Response:
    """Ask over a connection of its own, so that any of the workers may answer."""
    return httpx.post(f"{service.url}/v1/acquire", json={"limit": "api", "key": "k"}, timeout=10)


def test_workers_count_together_and_take_each_others_ids(served: Serving) -> None:
    """30 an hour are 30 of all of them, and what one has decided another can refund."""
    assert len(workers_of(served)) == WORKERS
    answers = [acquired(served) for _ in range(31)]
    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    for answer in answers[:12]:
        refund = httpx.post(f"{served.url}/v1/refund", json={"id": answer.json()["id"]}, timeout=10)
        assert refund.json() == {"refunded": 1}
    served.terminate()
    assert served.ended() == 0


def test_a_worker_that_dies_is_replaced(served: Serving) -> None:
    """The others go on, and the log tells of it."""
    before = workers_of(served)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(workers_of(served)) == WORKERS and before[0] not in workers_of(served))
    for _ in range(10):
        assert acquired(served).status_code == 200
    served.terminate()
    assert served.ended() == 0
    assert any("worker.died" in line for line in served.log)


def test_all_end_when_they_are_told_to(served: Serving) -> None:
    """Nobody is left, and the exit is a good one."""
    before = workers_of(served)
    served.process.send_signal(signal.SIGINT)
    assert served.ended() == 0
    assert not any(is_alive(pid) for pid in before)


def test_no_worker_outlives_who_watches_it(served: Serving) -> None:
    """Not even when that one is killed."""
    before = workers_of(served)
    served.process.kill()
    served.process.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in before))
    assert len(before) == WORKERS


def test_workers_that_cannot_start_end_it_with_a_reason(tmp_path: Path, redis_url: str) -> None:
    """What a restart does not mend is not restarted for ever."""
    rules, settings = tmp_path / "rules.yaml", tmp_path / "settings.toml"
    rules.write_text(RULES, "utf-8")
    settings.write_text(
        f'[redis]\nurl = "{redis_url}"\n[server]\nport = 0\nworkers = 8\nsecret = "{"s" * 16}"\n', "utf-8"
    )
    ended = run("serve", "--rules", str(rules), "--config", str(settings), PYTHONPATH=broken(tmp_path))
    assert ended.code == 2
    assert "server.workers: found workers that died" in ended.err


def broken(folder: Path) -> str:
    """Return a path on which forked processes of the service cannot serve."""
    (folder / "sitecustomize.py").write_text(
        "import os\nos.register_at_fork(after_in_child=lambda: os._exit(9))\n", "utf-8"
    )
    return f"{folder}:{Path(__file__).parents[2] / 'src'}"


@pytest.mark.parametrize("url", ["embedded://", "EMBEDDED://"])
def test_workers_share_an_embedded_server(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing installed beside the service they count together, and the server ends with them.

    It needs a directory that all of them find, wherever the machine has those, and however the URL is written.
    """
    rules, settings = tmp_path / "rules.yaml", tmp_path / "settings.toml"
    rules.write_text(RULES, "utf-8")
    settings.write_text(
        f'[redis]\nurl = "{url}"\n[server]\nworkers = 8\ndrain_delay_ms = 0\n[pool]\ndeadline_ms = 2000\n',
        "utf-8",
    )
    with tempfile.TemporaryDirectory(prefix="50% of #?", ignore_cleanup_errors=True) as odd:
        monkeypatch.setenv("TMPDIR", odd)
        with serving(rules, "--config", str(settings), "--env", "production") as service:
            answers = [acquired(service) for _ in range(31)]
            assert [answer.status_code for answer in answers] == [200] * 30 + [429]
            assert {answer.json()["source"] for answer in answers[:30]} == {"redis"}
            service.terminate()
            assert service.ended() == 0
