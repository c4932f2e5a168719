"""Wakes an event loop more finely than its own timers, which know no less than a millisecond, and without spinning."""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

__all__ = ["ticking"]

_EVENT_BYTES = 8


class _Time(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("ns", ctypes.c_long)]


class _Timer(ctypes.Structure):
    _fields_ = [("interval", _Time), ("first", _Time)]


@contextmanager
def ticking(loop: asyncio.AbstractEventLoop, interval_ns: int, tick: Callable[[], None]) -> Iterator[None]:
    """Have *loop* call *tick* every *interval_ns* by a timer of the kernel (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if timer < 0:
        raise OSError(ctypes.get_errno(), "there is no timer to be had")
    try:
        seconds, ns = divmod(interval_ns, 1_000_000_000)
        setting = _Timer(_Time(seconds, ns), _Time(seconds, ns))
        libc.timerfd_settime(timer, 0, ctypes.byref(setting), None)

        def woken() -> None:
            try:
                os.read(timer, _EVENT_BYTES)
            except BlockingIOError:
                return
            tick()

        loop.add_reader(timer, woken)
        try:
            yield
        finally:
            loop.remove_reader(timer)
    finally:
        os.close(timer)
