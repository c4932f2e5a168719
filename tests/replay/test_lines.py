"""Lines of a log: plain, gzip and piped, and none that is too long for the memory."""

from __future__ import annotations

import gzip
import io
import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.replay.lines import LINE_LENGTH_MAX, opened
from sluicegate.utils import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path


def lines_of(content: bytes) -> list[str]:
    """Return all lines of *content*, with a look at their numbers."""
    found: list[str] = []
    with opened(io.BufferedReader(io.BytesIO(content))) as source:
        for block in source.blocks():
            assert block.first_number == len(found) + 1
            found += block.lines
    return found


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\n\n", ["", ""]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        ("grün\n".encode(), ["grün"]),
        (b"a\xffb\n", ["a\\xffb"]),
        (b"a\x00b\x0b\x0c\x1c\xc2\x85c\n", ["a\x00b\x0b\x0c\x1c\x85c"]),
    ],
)
def test_lines(content: bytes, lines: list[str]) -> None:
    """Lines end at line feeds and nowhere else; bytes that are not text are shown as escapes."""
    assert lines_of(content) == lines
    assert lines_of(gzip.compress(content)) == lines


@pytest.mark.parametrize(
    "length", [LINE_LENGTH_MAX - 1, LINE_LENGTH_MAX, LINE_LENGTH_MAX + 1, 300_000, 1_000_000, 3_000_000]
)
def test_a_long_line_is_empty_and_spoils_no_other(length: int) -> None:
    """A line that is too long is left out but counted, wherever it stands."""
    long = "x" * length
    kept = long if length <= LINE_LENGTH_MAX else ""
    content = f"first\n{long}\nlast\n".encode()
    assert lines_of(content) == ["first", kept, "last"]
    assert lines_of(long.encode()) == [kept]
    assert lines_of(f"{long}\n{long}\nlast".encode()) == [kept, kept, "last"]


@given(parts=st.lists(st.sampled_from([b"\n", b"a" * 70_000, b"b", b"c" * 200_000]), max_size=12))
def test_numbers_are_those_of_the_file(parts: list[bytes]) -> None:
    """Every line has its number, however long the lines are."""
    content = b"".join(parts)
    expected = content.decode().removesuffix("\n").split("\n") if content else []
    assert lines_of(content) == [line if len(line) <= LINE_LENGTH_MAX else "" for line in expected]


def test_a_bomb_takes_no_memory() -> None:
    """A gigabyte of one line, compressed to a megabyte, is one line that is too long."""
    bomb = gzip.compress(b"0" * 50_000_000, compresslevel=1) * 4
    assert lines_of(bomb) == [""]


@pytest.mark.parametrize("damage", ["cut", "noise", "tail"])
def test_broken_gzip_gives_what_could_be_read(tmp_path: Path, damage: str) -> None:
    """A gzip file that breaks off gives its lines up to there, and says why it ended."""
    plain = "".join(f"line {number} {os.urandom(8).hex()}\n" for number in range(100_000)).encode()
    packed = gzip.compress(plain)
    broken = {
        "cut": packed[: len(packed) // 2],
        "noise": packed[: len(packed) // 2] + b"\xff" * 1000,
        "tail": packed + b"and now for something else",
    }[damage]
    path = tmp_path / "log.gz"
    path.write_bytes(broken)
    with opened(path) as source:
        lines = [line for block in source.blocks() for line in block.lines]
        assert source.ended_early is not None
    assert lines[:1000] == plain.decode().split("\n")[:1000]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash is standard input, whose size nobody knows."""
    reading, writing = os.pipe()
    os.write(writing, b"a\nb\n")
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with opened("-") as source:
            assert source.size_bytes is None
            assert [line for block in source.blocks() for line in block.lines] == ["a", "b"]


def test_a_file_tells_how_far_it_is(tmp_path: Path) -> None:
    """A file has a size, and each block says how much of it was read."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n" * 400_000)
    with opened(path) as source:
        read = [block.bytes_read for block in source.blocks()]
    assert read == sorted(read)
    assert read[-1] == source.size_bytes == 800_000


def test_a_named_pipe(tmp_path: Path) -> None:
    """A named pipe is read like standard input."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writing = os.open(path, os.O_RDWR)
    os.write(writing, b"a\n")
    with opened(path) as source:
        os.close(writing)
        assert source.size_bytes is None
        assert [block.lines for block in source.blocks()] == [["a"]]


@pytest.mark.parametrize(("name", "found"), [("none", "No such file"), ("", "directory"), ("a\0", "null byte")])
def test_refuses_what_cannot_be_opened(tmp_path: Path, name: str, found: str) -> None:
    """A log that is not there, or is no file, is refused by name."""
    with pytest.raises(InvalidInputError, match=f"{found}.*a readable log file"), opened(tmp_path / name):
        pass
