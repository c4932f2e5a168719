"""Changes in Redis: a version, the entries, and a stream that wakes who waits for the next version.

A version is a number that only grows, the epoch in which it counts, a random word, and the signal that went with it.
Who knows a version is told what has changed since; but all, where the epoch is another (somebody has emptied the
server), or the server's history is (another server has taken over, and may have lost some).
"""

from __future__ import annotations

import asyncio
import secrets
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

from sluicegate.database import load_bundle
from sluicegate.ratelimit.stores.change_log import Edit, Entry, News, room_for
from sluicegate.utils import StoreOverloadedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate.database import Argument, Keyspace, Script
    from sluicegate.utils import Clock

__all__ = ["RedisChanges", "changes_scripts"]

DEADLINE_US = 1_000_000  # no request waits for it
WAIT_MS = 5_000  # then it looks whether the version still is what it was: a signal can be lost with a server
FAMILIAR_US = 20_000_000  # who has not looked for longer is told all: what was dropped is told for a minute
_HEAD = 4  # before the entries in an answer
_OF_EACH = 5  # in the answer to a change: four numbers and the payload
_DIGITS = 16  # of a number below 2^53
_READ_AT_ONCE = 250  # a millisecond or two of the event loop, on which decisions wait
_NUMBERS = 4  # before the payload of an entry: its version, its end, until when it is known, how often in a row


class Server(Protocol):
    """Where the scripts run."""

    async def call(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], *, read_only: bool, deadline_us: int
    ) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run a script."""
        ...

    async def execute(self, *command: Argument, deadline_us: int) -> Any:  # noqa: ANN401 - whatever it replies
        """Send a command."""
        ...


def changes_scripts() -> tuple[Script, Script]:
    """Return the scripts that write and read changes, verified against their manifests."""
    root = resources.files("sluicegate.ratelimit")
    return (
        load_bundle("write changes", root, "stores/script/changes_write.json"),
        load_bundle("read changes", root, "stores/script/changes_read.json"),
    )


class RedisChanges:
    """The changes of one deployment; see `ChangeLog`.

    Args:
        server: Where they are kept.
        keyspace: Names the keys.
        clock: Measures how long entries last here; only its monotonic time is read.
        scripts: What writes and reads; only tests put in others.
    """

    def __init__(
        self, server: Server, keyspace: Keyspace, clock: Clock, *, scripts: tuple[Script, Script] | None = None
    ) -> None:
        self._server = server
        self._clock = clock
        self._write, self._read = scripts or changes_scripts()
        names = [keyspace.changes(part) for part in ("version", "signal", "entries", "order", "swept")]
        self._version_key, self._signal_key, self._entries_key, self._order_key, self._swept_key = names
        self.after_fork()

    def after_fork(self) -> None:
        """Know nothing; see `ChangeLog`."""
        self._version = ""
        self._history = ""
        self._asked_us = self._heard_us = 0
        self._has_written = False  # since it heard: more is known here than the version says

    async def write(self, edits: Sequence[Edit]) -> list[tuple[bool, Entry]]:
        """Make changes, all or none; see `ChangeLog`."""
        most, pause_us = room_for(edits)
        args: list[Argument] = [secrets.token_hex(8), most, pause_us // 1_000]
        for name, payload, life_us, escalation in edits:
            factor, most_us, forget_us = escalation or ("", 0, 0)
            args += (name, payload, life_us, str(factor), most_us, forget_us)
        keys = (self._version_key, self._signal_key, self._entries_key, self._order_key, self._swept_key)
        self._has_written = True
        asked_us = self._clock.monotonic_us()
        raw = await self._server.call(self._write, keys, args, read_only=False, deadline_us=DEADLINE_US)
        answered_us = self._clock.monotonic_us()
        if not raw[0]:
            raise StoreOverloadedError("write changes", f"{most:,} are in force")
        now_us, told = int(raw[1]), raw[2:]
        written = []
        for at, edit in enumerate(edits):
            *numbers, payload = told[at * _OF_EACH : (at + 1) * _OF_EACH]
            is_changed, until_us, kept_us, times = map(int, numbers)
            entry = Entry.at(
                (edit.name, payload.decode("utf-8", "replace")),
                (times, until_us, kept_us),
                now_us=now_us,
                asked_us=asked_us,
                answered_us=answered_us,
            )
            written.append((bool(is_changed), entry))
        return written

    async def read(self, *, whole: bool = False) -> News | None:
        """Return what has changed since what was heard last; see `ChangeLog`."""
        asked_us = self._clock.monotonic_us()
        is_familiar = not whole and asked_us - self._heard_us < FAMILIAR_US
        args = (self._version, self._history if is_familiar else "", int(self._has_written))
        keys = (self._version_key, self._entries_key, self._order_key)
        raw = await self._server.call(self._read, keys, args, read_only=True, deadline_us=DEADLINE_US)
        answered_us = self._clock.monotonic_us()
        if len(raw) == 1:
            self._heard_us = asked_us
            return None
        now_us = int(raw[1])
        entries = []
        for at, (name, value) in enumerate(zip(raw[_HEAD::2], raw[_HEAD + 1 :: 2], strict=True)):
            if at % _READ_AT_ONCE == _READ_AT_ONCE - 1:
                await asyncio.sleep(0)
            *numbers, payload = value.split(b" ", _NUMBERS)
            if len(numbers) != _NUMBERS or not all(number.isdigit() and len(number) <= _DIGITS for number in numbers):
                continue  # no change can have written it; the next one of its name makes it whole
            _, until_us, kept_us, times = map(int, numbers)
            entries.append(
                Entry.at(
                    (name.decode("utf-8", "replace"), payload.decode("utf-8", "replace")),
                    (times, until_us, kept_us),
                    now_us=now_us,
                    asked_us=asked_us,
                    answered_us=answered_us,
                )
            )
        self._asked_us = asked_us
        mark = (raw[0].decode("ascii", "replace"), raw[2].decode("ascii", "replace"))
        return News(entries, is_whole=bool(raw[3]), mark=mark)

    def heard(self, news: News) -> None:
        """Note which version is known; see `ChangeLog`."""
        self._version, self._history = news.mark
        self._has_written = False
        self._heard_us = self._asked_us

    async def wait(self) -> None:
        """Come back at the next signal, or after some seconds; see `ChangeLog`."""
        last = self._version.rpartition(":")[2] or "0"
        await self._server.execute(
            *("XREAD", "BLOCK", WAIT_MS, "STREAMS", self._signal_key, last), deadline_us=WAIT_MS * 1_000 + DEADLINE_US
        )
