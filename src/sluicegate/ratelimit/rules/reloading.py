"""Rules that are in force, and those that take their place when the file changes: whole and at once, or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sluicegate.ratelimit.rules.loading import AS_USUAL, RULES_FILE_BYTES_MAX, inspect_rules
from sluicegate.ratelimit.rules.taking_over import taken_over
from sluicegate.utils import ConfigurationError, InvalidInputError, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sluicegate.monitoring import Logger
    from sluicegate.ratelimit.limit import Limit
    from sluicegate.ratelimit.rules.doubting import Doubt
    from sluicegate.ratelimit.rules.fallback import Fallback
    from sluicegate.ratelimit.rules.model import Rule, Rules
    from sluicegate.ratelimit.rules.rolling import Rollout
    from sluicegate.utils import Clock

__all__ = ["LiveRules", "RulesState"]

WAKING_MS = 1_000  # how long the end of the watch may take to be noticed
SETTLING_S = 0.05  # a file that is just being written is read when it has been left alone for so long
PROBLEMS_TOLD_MAX = 20  # in a health answer; the log has all


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesState:
    """Whether the rules in force are those of the file.

    Attributes:
        stale: Whether the file was refused, so that older rules are in force.
        since_us: Since when it is so, in microseconds since the epoch.
        problems: What is wrong with the file.
    """

    stale: bool
    since_us: int
    problems: tuple[str, ...] = ()


class LiveRules:
    """The rules that are in force; whoever decides takes them from here once for each request.

    Args:
        rules: Those that are in force at first.
        clock: Tells since when they are in force.
        logger: Told of each change, and of each file that is refused.
        path: The file that they are of; without one they stay.
        fallback: What answers in the store's place where a rule of the file does not say it. Default: as for `Limit`.

    Attributes:
        current: The rules; replaced as a whole.
        named: Their limits, by name; one that differs from plan to plan as it is without a plan, or else in the first.
        state: Whether they are those of the file.
    """

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        logger: Logger,
        *,
        path: Path | None = None,
        fallback: Fallback = AS_USUAL,
    ) -> None:
        self._fallback = fallback
        self._path = path
        self._clock = clock
        self._logger = logger
        self._checks: list[Callable[[Rules], object]] = []
        self._content = self._read()
        self._lock = asyncio.Lock()
        self._doubted: frozenset[tuple[str, str]] = frozenset()
        self._take(rules)
        self._tell_rollouts({})

    @classmethod
    def of_file(cls, path: str | Path, clock: Clock, logger: Logger, *, fallback: Fallback = AS_USUAL) -> LiveRules:
        """Return the rules of a file; the arguments are those of the class.

        Raises:
            ConfigurationError: The file is refused; its `problems` name every reason.
        """
        rules, doubts = inspect_rules(path, fallback=fallback)
        live = cls(rules, clock, logger, path=Path(path), fallback=fallback)
        live._tell_doubts(doubts)
        return live

    @property
    def limits(self) -> tuple[Rule, ...]:
        """The rules, in the file's order."""
        return self.current.limits

    def matching(self, descriptors: Mapping[str, str]) -> list[tuple[Limit, str] | tuple[Limit, str, int]]:
        """Return the limits that cover a request; see `Rules.matching`."""
        return self.current.matching(descriptors, self._clock)

    def find(self, name: str, plan: str = "") -> Rule | None:
        """Return the rule of that name as it is in a plan, or without one where the file does not name it."""
        return self.current.named(plan).get(name)

    def limits_for(self, rule: Rule, key: str) -> tuple[Limit, ...]:
        """Return what has to be asked now for a key: what is in force, and what runs beside it; see `Rule`."""
        return rule.limits_for(key, self._clock.now_us())

    def recall(self, name: str, tag: int) -> Limit | None:
        """Return the limit of that name and tag, in whatever plan; ``None`` when there is none any more."""
        limits = (limit for rule in self.current.all for limit in rule.limits)
        return next((limit for limit in limits if limit.name == name and limit.plan.tag == tag), None)

    def check(self, check: Callable[[Rules], object]) -> None:
        """Have *check* look at rules before they come into force; what it raises refuses them.

        Args:
            check: Called at once with the rules in force, and later, in another thread, with those that would follow.
        """
        check(self.current)
        self._checks.append(check)

    async def reload(self, *, if_changed: bool = False) -> bool:
        """Read the file anew, and put its rules in force if nothing is wrong with them.

        Args:
            if_changed: Whether to do nothing when the file is as it was.

        Returns:
            Whether its rules are in force now.
        """
        path = self._path
        if path is None:
            return True
        async with self._lock:
            content = await in_thread(self._read)
            if if_changed and content == self._content:
                return not self.state.stale
            self._content = content
            try:
                rules, doubts = await in_thread(self._loaded, path)
            except (ConfigurationError, InvalidInputError) as error:
                self._refuse(error.problems if isinstance(error, ConfigurationError) else [error])
                return False
            before = {limit for rule in self.current.all for limit in rule.limits}
            changed = {limit.name for rule in rules.all for limit in rule.limits if limit not in before}
            gone = self.named.keys() - {rule.limit.name for rule in rules.all}
            rolled_out = self.current.rollouts
            self._take(rules)
            self._logger.info("rules.reloaded", limits=len(self.named), changed=len(changed), gone=len(gone))
            self._tell_rollouts(rolled_out)
            self._tell_doubts(doubts)
            return True

    async def watch(self) -> None:
        """Reload whenever the file changes, until cancelled.

        The directory is watched, not the file, for editors and orchestrators put another file in its place.

        Raises:
            ConfigurationError: The extra ``reload`` is not installed.
        """
        if self._path is None:
            return
        try:
            from watchfiles import awatch  # noqa: PLC0415 - needs the extra
        except ImportError:
            problem = InvalidInputError("reload", "no package watchfiles", "pip install 'sluicegate[reload]'")
            raise ConfigurationError([problem]) from None
        settling_ms = round(SETTLING_S * 1_000)
        changes = awatch(self._path.parent, recursive=False, debounce=settling_ms, rust_timeout=WAKING_MS)
        async for _ in changes:  # of whatever there: the file may be a link to one of the others
            await self.reload(if_changed=True)

    def _read(self) -> bytes | None:
        if self._path is None:
            return None
        try:
            with self._path.open("rb") as file:
                return file.read(RULES_FILE_BYTES_MAX + 1)
        except (OSError, ValueError):
            return None  # why, the loader says

    def _loaded(self, path: Path) -> tuple[Rules, tuple[Doubt, ...]]:
        """Return the rules of the file, which everybody here can use; in a thread, for long files take a while."""
        rules, doubts = inspect_rules(path, fallback=self._fallback)
        rules = taken_over(rules, self.current, self._clock.now_us())
        for check in self._checks:
            check(rules)
        return rules, doubts

    def _take(self, rules: Rules) -> None:
        named: dict[str, Limit] = {}
        for rule in rules.all:
            named.setdefault(rule.limit.name, rule.limit)
        self.named: Mapping[str, Limit] = named
        self.current = rules
        self.state = RulesState(stale=False, since_us=self._clock.now_us())

    def _tell_rollouts(self, before: Mapping[tuple[str, str], Rollout]) -> None:
        """Log which roll-outs began, went on to another share of the keys or another limit, or ended."""
        after = self.current.rollouts
        for at in dict.fromkeys((*before, *after)):
            was, now = before.get(at), after.get(at)
            if was != now:
                plan, name = at
                fields = {"limit": name, **({"plan": plan} if plan else {})}
                becomes = "none" if now is None else str(now.becomes)
                self._logger.info(
                    "rules.rollout", **fields, before=was and was.percent, percent=now and now.percent, becomes=becomes
                )

    def _tell_doubts(self, doubts: Sequence[Doubt]) -> None:
        """Log what is legal but surely wrong, each thing once while it stays in the file."""
        about = {(doubt.where.rpartition(": ")[2], doubt.found): doubt for doubt in doubts}  # lines move
        for at in [at for at in about if at not in self._doubted]:
            doubt = about[at]
            self._logger.warning("rules.doubtful", where=doubt.where, found=doubt.found, advice=doubt.advice)
        self._doubted = frozenset(about)

    def _refuse(self, problems: Sequence[InvalidInputError]) -> None:
        since_us = self.state.since_us if self.state.stale else self._clock.now_us()
        told = tuple(str(problem) for problem in problems)
        self.state = RulesState(stale=True, since_us=since_us, problems=told[:PROBLEMS_TOLD_MAX])
        for problem in told:
            self._logger.error("rules.refused", problem=problem, still="the last good rules")
