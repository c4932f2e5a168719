"""What a running service takes over from its files: rules when they change or on SIGHUP, and flags on SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from typing import TYPE_CHECKING

from sluicegate.config import features_of
from sluicegate.utils import ConfigurationError, in_thread

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from sluicegate.config import App, LiveSettings
    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.rules import LiveRules

__all__ = ["Reloading"]


class Reloading:
    """Puts in force what the files of a service say now.

    Args:
        app: What serves; it has rules.
        settings: Reads the settings anew; without it they stay.
    """

    def __init__(self, app: App, settings: LiveSettings | None) -> None:
        assert app.rules is not None
        self._app = app
        self._rules: LiveRules = app.rules
        self._settings = settings
        self._one_at_a_time = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Watch the rules where that is on, and hear SIGHUP, for as long as the context lasts."""
        loop = asyncio.get_running_loop()
        self._watch(on=self._app.settings.flags.reload)
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGHUP"):
            yield
            return
        loop.add_signal_handler(signal.SIGHUP, lambda: self._begin(self._reload()))
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _reload(self) -> None:
        async with self._one_at_a_time:
            if self._settings is not None and await in_thread(self._settings.reread):
                current = self._settings.current
                self._app.limiter.switch(features_of(current))
                self._watch(on=current.flags.reload)
        await self._rules.reload()

    def _watch(self, *, on: bool) -> None:
        is_on = self._watching is not None and not self._watching.done()
        if on and not is_on:
            self._watching = self._begin(_watch(self._rules, self._app.logger))
        elif is_on and not on and self._watching is not None:
            self._watching.cancel()


async def _watch(rules: LiveRules, logger: Logger) -> None:
    try:
        await rules.watch()
    except ConfigurationError as error:
        logger.warning("rules.unwatched", error=str(error), instead="SIGHUP reloads them")
    except OSError as error:
        logger.warning("rules.unwatched", error=error.strerror or str(error), instead="SIGHUP reloads them")
