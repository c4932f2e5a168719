"""The visitors of a site: connections that are kept open, on each of which a request follows an answer."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import uvloop
from benchmarks.latencies import curve, figures_of, folded, merged
from benchmarks.workload import next_key_of

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH = b"content-length:"


class Visitor(asyncio.Protocol):
    """One connection.

    Args:
        next_key: Gives the key of the next request.
        latencies_ns: Where each latency is noted.
        statuses: Where each status is noted.
        over: Called when the time is up and the last answer was read.
    """

    def __init__(
        self,
        next_key: Callable[[], str],
        latencies_ns: list[int],
        statuses: list[bytes],
        over: Callable[[], None],
    ) -> None:
        self._next_key, self._latencies_ns, self._statuses, self._over = next_key, latencies_ns, statuses, over
        self._got = b""
        self._sent_ns = self._end_ns = 0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = transport

    def start(self, end_ns: int) -> None:
        """Ask again and again until *end_ns*."""
        self._end_ns = end_ns
        self._sent_ns = perf_counter_ns()
        self._ask()

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def _ask(self) -> None:
        self._transport.write(b"GET /%s HTTP/1.1\r\nhost: a\r\n\r\n" % self._next_key().encode("ascii"))

    def data_received(self, data: bytes) -> None:
        """Take note of an answer when it is whole, and ask again."""
        self._got = got = self._got + data
        head_end = got.find(b"\r\n\r\n")
        if head_end < 0 or len(got) < head_end + 4 + _length_in(got[:head_end]):
            return
        now_ns = perf_counter_ns()
        self._latencies_ns.append(now_ns - self._sent_ns)
        self._statuses.append(got[9:12])
        self._got, self._sent_ns = b"", now_ns
        if now_ns < self._end_ns:
            self._ask()
        else:
            self._over()


def _length_in(head: bytes) -> int:
    found = head.lower().find(_LENGTH)
    return int(head[found + len(_LENGTH) :].split(b"\r\n", 1)[0])


class Visitors:
    """All connections to one site.

    Args:
        settings: ``site``, the port, and the fields of a `Load`.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._port, self._callers = settings["site"], settings["callers"]
        self._warm_up_seconds, self._settle_seconds = settings["warm_up_seconds"], settings["settle_seconds"]
        self._next_key = next_key_of(settings["keys"], settings["spread"])
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def touch(self) -> dict[str, Any]:
        """Ask for a while, so that no round has the first of anything."""
        return self.warm_up()

    def warm_up(self) -> dict[str, Any]:
        """Ask for a moment."""
        self.measure(self._warm_up_seconds)
        return {}

    def admission(self, **_details: Any) -> dict[str, Any]:
        """Say nothing: what is admitted is asked of the limiter itself elsewhere."""
        return {}

    def merge(self, histograms: list[str]) -> dict[str, Any]:
        """Return the percentiles and the curve of several histograms together."""
        total = merged(histograms)
        return figures_of(total) | {"curve": curve(total)}

    def measure(self, seconds: float) -> dict[str, Any]:
        """Ask for *seconds*, and return what came of it."""
        return self._runner.run(self._measured(seconds))

    def settle(self) -> dict[str, Any]:
        """Leave the site alone for a while."""
        time.sleep(self._settle_seconds)
        return {}

    async def _measured(self, seconds: float) -> dict[str, Any]:
        latencies_ns: list[int] = []
        statuses: list[bytes] = []
        loop = asyncio.get_running_loop()
        left, over = [self._callers], asyncio.Event()

        def ended() -> None:
            left[0] -= 1
            if not left[0]:
                over.set()

        visitors = []
        for _ in range(self._callers):
            _, visitor = await loop.create_connection(
                lambda: Visitor(self._next_key, latencies_ns, statuses, ended), "127.0.0.1", self._port
            )
            visitors.append(visitor)
        start_ns = perf_counter_ns()
        for visitor in visitors:
            visitor.start(start_ns + round(seconds * 1e9))
        await asyncio.wait_for(over.wait(), seconds + 10)
        spent_ns = perf_counter_ns() - start_ns
        for visitor in visitors:
            visitor.close()
        passed = statuses.count(b"200")
        return {
            "decisions": passed,
            "refused": len(statuses) - passed,
            "seconds": spent_ns / 1e9,
            **figures_of(folded(latencies_ns)),
        }


def main() -> None:
    """Do what the lines say until there are no more."""
    visitors = Visitors(json.loads(sys.argv[1]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        verb = order.pop("do")
        print(json.dumps(getattr(visitors, verb)(**order)), flush=True)


if __name__ == "__main__":
    main()
