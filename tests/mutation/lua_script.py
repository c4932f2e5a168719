"""Asks mutants of the script around the twins, on a real server, what the script itself has answered before."""

from __future__ import annotations

from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Self

from tests.servers import RedisServer
from tests.twins.bundle import joined, shipped_sources
from tests.twins.calling import BULK, Connection, ScriptStuckError

from .lua_mutants import mutants_of
from .mutant import Tally
from .script_stories import stories

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .lua_mutants import LuaMutant
    from .script_stories import Story

__all__ = ["SCRIPT", "LuaScript", "script_tallies"]

WORKERS = 2

STUCK_SECONDS = 5.0  # no bulk takes a tenth of a second
_SOURCES = shipped_sources()
_CLOCK = "stores/script/server_time.lua"  # tests put another file in its place
SCRIPT = {path: text for path, text in _SOURCES.items() if path.startswith("stores/script/") and path != _CLOCK}


def script_tallies() -> list[Tally]:
    """Judge every mutant of the script around the twins, in several processes, each with a server of its own."""
    with get_context("spawn").Pool(WORKERS) as pool:
        shares = pool.map(_share, range(WORKERS))
    return [
        Tally(path, sum(one.mutants for one in own), tuple(sorted(mutant for one in own for mutant in one.alive)))
        for path, own in zip(SCRIPT, zip(*shares, strict=True), strict=True)
    ]


def _share(worker: int) -> list[Tally]:
    with LuaScript() as script:
        return [script.tally(path, mutants_of(path, text)[worker::WORKERS]) for path, text in SCRIPT.items()]


class LuaScript:
    """A server of its own, on which mutants of the script replay the stories; a context manager."""

    def __init__(self) -> None:
        self._server = RedisServer()
        self._connection: Connection | None = None
        self._stories: list[Story] = []

    def __enter__(self) -> Self:
        self._start()
        assert self._connection is not None
        self._stories = stories(self._connection, joined(_SOURCES))
        if not self.is_alive("", ""):
            raise AssertionError("the script itself does not tell the same stories twice")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def tally(self, path: str, mutants: Sequence[LuaMutant]) -> Tally:
        """Judge *mutants* of one file."""
        alive = [mutant for mutant, text in mutants if self.is_alive(path, text)]
        return Tally(path, len(mutants), tuple(alive))

    def is_alive(self, path: str, text: str) -> bool:
        """Say whether the script, with *text* in the place of the file at *path*, answers all as before."""
        sources = {**_SOURCES, path: text} if path else _SOURCES
        assert self._connection is not None
        self._connection.send([("SCRIPT", "LOAD", joined(sources))])
        try:
            sha1 = self._connection.read()
            return not isinstance(sha1, Exception) and self._are_retold(sha1)
        except ScriptStuckError:  # it may have written, so it cannot be stopped without its server
            self._stop()
            self._start()
            return False

    def _are_retold(self, sha1: bytes) -> bool:
        for at, story in enumerate(self._stories):
            if not self._is_retold(story, sha1):
                self._stories.insert(0, self._stories.pop(at))  # what killed one mostly kills the next one of its line
                return False
        return True

    def _is_retold(self, story: Story, sha1: bytes) -> bool:
        assert self._connection is not None
        self._connection.command("FLUSHALL")
        for first in range(0, len(story), BULK):
            bulk = story[first : first + BULK]
            commands = [(words[0], sha1, *words[2:]) if words[0] == "EVALSHA" else words for words, _ in bulk]
            self._connection.send(commands)
            replies = [self._connection.read() for _ in bulk]
            if any(_plain(found) != _plain(expected) for found, (_, expected) in zip(replies, bulk, strict=True)):
                return False
        return True

    def _start(self) -> None:
        self._server = RedisServer()
        self._server.start()
        self._connection = Connection(self._server.port, seconds_max=STUCK_SECONDS)

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.__exit__()
        self._server.kill()


def _plain(reply: Any) -> Any:
    return str(reply).split()[0] if isinstance(reply, Exception) else reply
