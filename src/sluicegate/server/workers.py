"""Several processes behind one address: started by one that only watches, restarted when they die, ended with it.

The one that watches holds the listening socket and no limiter, event loop or thread, so what its children are forked
from is always the same. A child that is told to end finishes what is in flight; a child that loses the one that watches
ends as if it had been told.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sluicegate.utils import ConfigurationError, InvalidInputError, SluicegateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sluicegate.monitoring import Logger

    Work = Callable[[int, int], None]

__all__ = ["Crew"]

ENDING = (signal.SIGTERM, signal.SIGINT)
PASSED_ON = (*ENDING, signal.SIGHUP)
SHORT_LIFE_S = 2.0  # who dies sooner than this after its start has not served
SHORT_LIVES_MAX = 5  # in a row, of all together: then something is wrong that a restart does not mend
LOOK_PAUSE_S = 0.01  # between two looks while they start
RESTART_PAUSE_S = 0.5  # so that a crew that dies at once does not take the machine with it
FAILED = 70  # as a command that failed by itself


@dataclass(slots=True)
class Crew:
    """The processes that serve.

    Args:
        size: How many.
        work: What each does, given the pipe on which it says that it serves, and the one that ends with who watches.
        logger: Told of those that died.
    """

    size: int
    work: Work
    logger: Logger
    _started_s: dict[int, float] = field(default_factory=dict)
    _ending: bool = False
    _short_lives: int = 0
    _has_served: bool = False

    def run(self, on_serving: Callable[[], None]) -> None:
        """Start all, say when they serve, and come back when they have ended.

        Args:
            on_serving: Called once when each of them serves.

        Raises:
            ConfigurationError: They keep dying as soon as they are started.
        """
        serving, say = os.pipe()
        alive, watched = os.pipe()
        with self._signals_passed_on():
            for _ in range(self.size):
                self._start(say, alive, (serving, watched))
            waiting = self.size
            os.set_blocking(serving, False)
            while self._started_s:
                if waiting and (told := _read(serving)):
                    waiting -= told
                    if waiting <= 0:
                        waiting, self._has_served = 0, True
                        on_serving()
                self._bury(say, alive, (serving, watched), patient=waiting == 0)
        for pipe in (serving, say, alive, watched):
            os.close(pipe)
        if self._short_lives >= SHORT_LIVES_MAX:
            found = f"workers that died {self._short_lives} times within {SHORT_LIFE_S:g} s of their start"
            raise ConfigurationError(
                [InvalidInputError("server.workers", found, "workers that live; the log says more")]
            )

    def _start(self, say: int, alive: int, not_theirs: tuple[int, ...]) -> None:
        pid = os.fork()
        if pid:
            self._started_s[pid] = time.monotonic()
            return
        code = FAILED
        try:
            for pipe in not_theirs:
                os.close(pipe)
            for number in PASSED_ON:
                signal.signal(number, signal.SIG_DFL)
            os.setpgid(0, 0)  # else a terminal's Ctrl-C would come twice, which means that nobody wants to wait
            self.work(say, alive)
            code = 0
        except SluicegateError as error:
            sys.stderr.write(f"error: {error}\n")
        except BaseException:  # noqa: BLE001 - a forked process must not go on as the one that it came from
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _bury(self, say: int, alive: int, not_theirs: tuple[int, ...], *, patient: bool) -> None:
        """Wait for one to end, or a moment while they start, and put others in its place unless all are to end."""
        dead = 0
        pid, status = os.waitpid(-1, 0 if patient else os.WNOHANG)
        while pid:  # all that have ended by now, so that none seems to have lived for as long as the others were buried
            dead += self._is_missed(pid, status)
            pid, status = os.waitpid(-1, os.WNOHANG) if self._started_s else (0, 0)
        if self._short_lives >= SHORT_LIVES_MAX and not self._ending:
            self._pass_on(signal.SIGTERM)
        time.sleep(RESTART_PAUSE_S if dead else LOOK_PAUSE_S)
        for _ in range(dead if not self._ending else 0):
            self._start(say, alive, not_theirs)

    def _is_missed(self, pid: int, status: int) -> bool:
        """Note that one has ended; say whether it should not have."""
        started_s = self._started_s.pop(pid, None)
        if started_s is None or self._ending:
            return False
        lived_s = time.monotonic() - started_s
        # Before all have served once, however long that takes, none that dies has lived.
        self._short_lives = self._short_lives + 1 if lived_s < SHORT_LIFE_S or not self._has_served else 0
        self.logger.error("worker.died", pid=pid, status=os.waitstatus_to_exitcode(status), lived_s=round(lived_s, 3))
        return True

    def _pass_on(self, number: int) -> None:
        if number in ENDING:
            self._ending = True
        for pid in list(self._started_s):
            os.kill(pid, number)

    @contextmanager
    def _signals_passed_on(self) -> Iterator[None]:
        before = {number: signal.signal(number, lambda number, _: self._pass_on(number)) for number in PASSED_ON}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _read(pipe: int) -> int:
    try:
        return len(os.read(pipe, 1_024))
    except BlockingIOError:
        return 0
