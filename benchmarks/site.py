"""A site behind the ASGI middleware as a contestant: uvicorn in one process, its visitors in another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.probe import Probe

if TYPE_CHECKING:
    from benchmarks.contestants import LineProcess

__all__ = ["Site"]

_TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


class Site:
    """A server and its visitors; a context manager that ends both.

    Args:
        server: The process of the server.
        visitors: The process that asks it.
        port: The port of Redis.
    """

    def __init__(self, server: LineProcess, visitors: LineProcess, port: int) -> None:
        self._server, self._visitors = server, visitors
        self._probe = Probe(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._visitors.end()
        self._server.end()
        self._probe.close()

    def ask(self, verb: str, **details: Any) -> dict[str, Any]:
        """Do what a worker does, as far as this can; the CPU is the server's."""
        if verb == "measure":
            self._asked("warm_up")
            before, cpu_us = self._probe.figures(), self._server_cpu_us()
            sample = self._asked("measure", **details)
            user_us, system_us = self._server_cpu_us()
            after = self._probe.figures()
            self._asked("settle")
            return sample | {
                "cpu_us": user_us + system_us - sum(cpu_us),
                "system_us": system_us - cpu_us[1],
                "switches": 0,
                "keys_remembered": 0,
                **after.since(before),
            }
        return self._asked(verb, **details)

    def _asked(self, verb: str, **details: Any) -> dict[str, Any]:
        self._visitors.tell(verb, **details)
        return self._visitors.hear()

    def _server_cpu_us(self) -> tuple[float, float]:
        fields = Path(f"/proc/{self._server.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return int(fields[11]) * _TICK_US, int(fields[12]) * _TICK_US
