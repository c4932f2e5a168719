"""What a command prints never changes what its exit code means: other encodings, closed pipes, full disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fcntl import ioctl
from pathlib import Path
from termios import FIONREAD
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import ROOT, environment, run
from tests.servers import free_port

if TYPE_CHECKING:
    from tests.cli.command import Serving

SECONDS_MAX = 20.0
LOG = "".join(
    f'192.0.2.{i % 2} - - [24/Nov/2025:10:00:{i:02d} +0000] "GET /{i} HTTP/1.1" 200 1 "-" "caf\u00e9"\n'
    for i in range(40)
)


@pytest.fixture
def rules_path(tmp_path: Path) -> Path:
    """Rules with a name and keys that ASCII does not have."""
    path = tmp_path / "rules.yaml"
    path.write_text("version: 1\nlimits:\n  caf\u00e9: {rate: 1/hour, key: user_agent}\n", "utf-8")
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log in which everybody drinks coffee."""
    path = tmp_path / "access.log"
    path.write_text(LOG, "utf-8")
    return path


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_decision_is_told_in_any_encoding(served: Serving, encoding: str) -> None:
    """A key that the terminal cannot show is escaped, in JSON as JSON has it, and the exit code is the decision's."""
    key = f"\u6771\u4eac {encoding}"
    shown = [
        run("acquire", "api", key, "--cost", "6", "--url", served.url, PYTHONIOENCODING=encoding) for _ in range(2)
    ]
    assert [each.code for each in shown] == [0, 1]
    assert "\\u6771\\u4eac" in shown[0].out
    as_json = run("peek", "api", key, "--url", served.url, "--json", PYTHONIOENCODING=encoding)
    assert (as_json.code, as_json.err) == (0, "")
    assert json.loads(as_json.out)["key"] == key


def test_tables_are_told_in_any_encoding(rules_path: Path, log: Path) -> None:
    """Tables of rules and of a replay are drawn with what the encoding has, and the rest is escaped."""
    for arguments in (["rules", "check", str(rules_path)], ["replay", str(log), "--rules", str(rules_path)]):
        shown = run(*arguments, PYTHONIOENCODING="ascii")
        assert (shown.code, shown.err) == (0, "")
        assert "caf\\xe9" in shown.out
        assert shown.out.isascii()
    assert "\\u258" not in shown.out, "bars are drawn, not escaped"


def piped(*arguments: str, read: int) -> tuple[int, bytes]:
    """Run a command whose reader leaves after *read* bytes; return its exit code and what it complained of."""
    with subprocess.Popen(
        [sys.executable, "-m", "sluicegate.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**environment(), "PYTHONUNBUFFERED": ""},  # unbuffered, Python loses the rest without a word
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        if read:
            process.stdout.read(read)
        process.stdout.close()
        complaint = process.stderr.read()
        return process.wait(60), complaint


@pytest.mark.slow
@pytest.mark.parametrize("read", [0, 1])
def test_a_reader_that_leaves_ends_the_command_quietly(
    served: Serving, rules_path: Path, log: Path, tmp_path: Path, read: int
) -> None:
    """Into a closed pipe every command ends with 141, which means nothing else, and says nothing."""
    many = tmp_path / "many.yaml"
    lines = (f"  r{at}: {{rate: 1/s, key: [user, header:x-{at}]}}\n" for at in range(900))
    many.write_text("version: 1\nlimits:\n" + "".join(lines))
    commands = [["rules", "check", str(many)], ["rules", "check", str(many), "--json"]]
    if read == 0:
        commands += [
            ["acquire", "api", "piped", "--url", served.url],
            ["acquire", "api", "piped", "--url", served.url, "--json"],
            ["replay", str(log), "--rules", str(rules_path)],
            ["reset", "api", "piped", "--url", served.url],
            ["--help"],
            ["--version"],
        ]
    for command in commands:
        assert piped(*command, read=read) == (141, b""), command


def test_an_output_that_cannot_be_written_is_no_denial(served: Serving) -> None:
    """A full disk ends with 70 and one line."""
    with Path("/dev/full").open("w") as full:
        for more in ([], ["--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "sluicegate.cli", "peek", "api", "full", "--url", served.url, *more],
                stdout=full,
                stderr=subprocess.PIPE,
                cwd=ROOT,
                env=environment(),
                timeout=60,
                check=False,
            )
            assert (done.returncode, done.stderr.count(b"\n")) == (70, 1)
            assert b"No space left on device" in done.stderr


def test_without_an_output_the_exit_code_still_tells(served: Serving) -> None:
    """A command whose standard output is closed from the start decides and ends as always."""
    command = f"{sys.executable} -m sluicegate.cli acquire api closed --cost 6 --url {served.url} >&-"
    codes = [subprocess.run(command, shell=True, cwd=ROOT, env=environment(), check=False).returncode for _ in range(2)]
    assert codes == [0, 1]


def test_an_interrupted_command_ends_with_130(rules_path: Path) -> None:
    """Ctrl-C while a log is waited for ends with 130 and no traceback."""
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "sluicegate.cli", "replay", "-", "--rules", str(rules_path)],
        stdin=reading,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one line; who runs the tests may be deaf to it
    ) as process:
        os.write(writing, LOG.encode())
        deadline = time.monotonic() + SECONDS_MAX
        while int.from_bytes(ioctl(reading, FIONREAD, bytes(4)), sys.byteorder):  # it reads when the pipe is empty
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.close(reading)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        os.close(writing)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_a_fault_of_the_command_is_no_denial() -> None:
    """What nobody foresaw ends with 70 and a traceback, not with the code of a denial."""
    broken = "import sluicegate.cli.asking as asking; asking._source = None\nfrom sluicegate.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", broken, "acquire", "api", "k", "--url", f"http://127.0.0.1:{free_port()}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == 70
    assert "Traceback" in done.stderr
