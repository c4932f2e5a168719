"""A rate that becomes another: with the file, and where a rule says how, from hour to hour and from plan to plan."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from tests.recording import RecordingLogger

from sluicegate import ConfigurationError, Limit, Limiter
from sluicegate.ratelimit.rules import LiveRules, ProvidedLimits, Rules, load_rules, parse_rules
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOON_S = 1_700_049_600.0
LIMITS = "version: 1\nlimits:\n"
WAYS = {"keep": (40, 20), "proportional": (80, 8), "additive": (140, 0), "reset": (200, 20)}


class Changing:
    """A file of rules that changes under a limiter."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock(NOON_S)
        self.write("rate: 100/day")
        self.live = LiveRules.of_file(path, self.clock, RecordingLogger())

    def write(self, fields: str) -> None:
        """Give the rule other fields."""
        self.path.write_text(f"{LIMITS}  api: {{key: user, {fields}}}\n", "utf-8")

    async def become(self, fields: str) -> Limit:
        """Put other fields in force; return the limit."""
        self.write(fields)
        assert await self.live.reload()
        return self.live.named["api"]


@pytest.fixture
def changing(tmp_path: Path) -> Changing:
    """Return a file of rules."""
    return Changing(tmp_path / "rules.yaml")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("algorithm", ["gcra", "fixed_window", "sliding_window_counter", "calendar_quota"])
async def test_a_reload_carries_over_as_the_rule_says(changing: Changing, way: str, algorithm: str) -> None:
    """What remained of a hundred, for both a larger and a smaller rate."""
    async with Limiter(clock=changing.clock) as limiter:
        for at, limit in enumerate((200, 20)):
            old = await changing.become(f"rate: 100/day, algorithm: {algorithm}")
            await limiter.reset(old, "ann")
            await limiter.acquire(old, "ann", 60)
            new = await changing.become(f"rate: {limit}/day, algorithm: {algorithm}, on_change: {way}")
            assert (await limiter.peek(new, "ann")).remaining == WAYS[way][at]


async def test_what_remains_is_kept_where_nothing_is_said(changing: Changing) -> None:
    """Through several changes, and back."""
    async with Limiter(clock=changing.clock) as limiter:
        await limiter.acquire(changing.live.named["api"], "ann", 60)
        for rate, left in (("200/day", 40), ("20/day", 20), ("300/day", 20), ("100/day", 20)):
            limit = await changing.become(f"rate: {rate}")
            assert (await limiter.acquire(limit, "ann", 0)).remaining == left
            assert (await limiter.acquire(limit, f"who came in the days of {rate}", 1)).remaining == int(rate[:-4]) - 1


async def test_a_rule_that_stays_is_the_very_same(changing: Changing) -> None:
    """Also after a change that it has been through; only a change of rate makes another of it."""
    first = changing.live.named["api"]
    assert await changing.become("rate: 100/day, match: {path: /a}") is first
    changed = await changing.become("rate: 200/day")
    assert changed.before is first
    assert await changing.become("rate: 200/day, match: {path: /b}") is changed
    trial = await changing.become("rate: 200/day, shadow: true")
    assert trial.plan.was == changed.plan.was
    other = await changing.become("rate: 200/day, algorithm: fixed_window")
    assert other.before is None
    assert not other.plan.marks


async def test_a_limit_on_trial_is_no_change_of_rate(changing: Changing) -> None:
    """States go on saying nothing of their rule."""
    limit = await changing.become("rate: 100/day, shadow: true")
    assert not limit.plan.marks


def parsed(text: str) -> Rules:
    """Return the rules of a text."""
    return parse_rules(LIMITS + text)


def test_who_says_nothing_needs_no_mark() -> None:
    """The limits of a file that was never another write states that say nothing of them, at the least cost."""
    rules = parsed(
        "  api: {rate: 100/day, key: user}\n  log: {rate: 9/day, key: user, algorithm: sliding_window_log}\n"
    )
    assert not any(rule.limit.plan.marks for rule in rules.limits)


async def test_another_rate_at_other_hours_is_carried_over() -> None:
    """Evening comes with what was left of the day."""
    rules = parsed(
        "  api: {rate: 100/day, key: user, on_change: keep, schedule: [{from: '20:00', to: '06:00', rate: 1000/day}]}\n"
    )
    clock = ManualClock(NOON_S)
    async with Limiter(clock=clock) as limiter:
        ((limit, key),) = rules.matching({"user": "ann"}, clock)
        await limiter.acquire(limit, key, 100)
        clock.advance(8 * 3600)  # a third of a day
        ((limit, key),) = rules.matching({"user": "ann"}, clock)
        assert limit.rates[0].limit == 1000
        assert (await limiter.acquire(limit, key, 0)).remaining == 33
        clock.advance(12 * 3600)
        ((limit, key),) = rules.matching({"user": "ann"}, clock)
        assert (await limiter.acquire(limit, key, 0)).remaining == 100


async def test_another_plan_is_carried_over() -> None:
    """Who pays for more goes on with what was left, and who gives it up keeps no more than the smaller limit."""
    rules = parsed(
        "  api: {rate: 100/day, key: user, on_change: proportional}\n"
        "plans: {pro: {limits: {api: {rate: 1000/day, on_change: additive}}}}\n"
    )
    clock = ManualClock(NOON_S)
    async with Limiter(clock=clock) as limiter:

        async def ask(plan: str, cost: int) -> int | None:
            ((limit, key),) = rules.matching({"user": "ann", "plan": plan}, clock)
            return (await limiter.acquire(limit, key, cost)).remaining

        assert await ask("", 60) == 40
        assert await ask("pro", 1) == 939
        assert await ask("", 0) == 100  # back again is kept
        assert await ask("", 30) == 70
        assert await ask("pro", 0) == 70


async def test_a_limit_that_the_application_knows_is_carried_over() -> None:
    """A customer who is given more goes on with what was left."""

    class Customers:
        rate = "100/day"

        async def limit(self, name: str, _descriptors: Mapping[str, str]) -> Limit:
            """Return what the customer has."""
            return Limit(name, self.rate, on_change="additive")

    rules = parsed("  api: {rate: 10/day, key: user, provided: user}\n")
    customers, clock = Customers(), ManualClock(NOON_S)
    provided = ProvidedLimits(customers, fresh_s=1, stale_s=0, clock=clock)
    fallback = rules.limits[0].limit
    async with Limiter(clock=clock) as limiter:
        await provided.learn(fallback, "ann", {"user": "ann"})
        limit, _ = provided.known(fallback, "ann", {"user": "ann"})
        assert (await limiter.acquire(limit, "ann", 60)).remaining == 40
        customers.rate = "200/day"
        await provided.learn(fallback, "ann", {"user": "ann"})
        limit, _ = provided.known(fallback, "ann", {"user": "ann"})
        assert (await limiter.acquire(limit, "ann", 1)).remaining == 139


def test_a_way_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """With those that there are, and where it stands; and so is one for entries that stay what they are."""
    path = tmp_path / "rules.yaml"
    path.write_text(LIMITS + "  api: {rate: 1/s, key: user, on_change: addditive}\n", "utf-8")
    with pytest.raises(ConfigurationError, match=r"rules.yaml:3:42: limits.api.on_change: .*did you mean 'additive'"):
        load_rules(path)
    path.write_text(LIMITS + "  api: {rate: 1/s, key: user, algorithm: sliding_window_log, on_change: keep}\n", "utf-8")
    with pytest.raises(ConfigurationError, match=r"limits.api.on_change: found algorithm sliding_window_log"):
        load_rules(path)


async def test_states_that_say_nothing_are_taken_for_old_ones_for_a_minute(changing: Changing) -> None:
    """Later they are those of processes that were started with the new file, which know of no change."""
    old = changing.live.named["api"]
    new = await changing.become("rate: 1000/day")
    fresh = Limit("api", "1000/day")
    async with Limiter(clock=changing.clock) as limiter:
        await limiter.acquire(old, "live", 60)
        await limiter.acquire(old, "idle", 60)
        assert (await limiter.acquire(new, "live")).remaining == 39
        changing.clock.advance(60)
        await limiter.acquire(fresh, "later", 100)
        assert (await limiter.acquire(new, "later", 0)).remaining == 900
        assert (await limiter.acquire(new, "idle", 0)).remaining == 400  # as it stands: sixty percent are used
        assert (await limiter.acquire(new, "live", 0)).remaining == 39


async def test_hours_that_change_too_are_no_change_of_a_rate(changing: Changing) -> None:
    """Of a rate at other hours nobody knows what was before it; at the same hours it follows the one of those hours."""
    night = "schedule: [{{from: '20:00', to: '{0}', rate: {1}/day}}]"
    first = await changing.become(f"rate: 100/day, {night.format('06:00', 10)}")
    assert not first.plan.marks
    await changing.become(f"rate: 100/day, {night.format('06:00', 5)}")
    rule = changing.live.find("api")
    assert rule is not None
    by_day, by_night = rule.limits
    assert not by_day.plan.marks
    assert by_night.before is not None
    assert by_night.before.rates[0].limit == 10
    await changing.become(f"rate: 200/day, {night.format('07:00', 6)}")
    rule = changing.live.find("api")
    assert rule is not None
    assert [limit.before for limit in rule.limits] == [None, None]


def test_copies_know_what_the_limit_knows() -> None:
    """In another process, and where a ban is left out."""
    old = Limit("api", "100/day")
    for limit in (
        Limit("api", "200/day").changed_from(old),
        Limit("api", "200/day").changed_from(old, at=NOON_S),
        Limit("api", "200/day").changed_from(Limit("api", "100/day", on_change="keep")),
        old.changed_from(old),
        Limit("api", "200/day", on_change="reset"),
    ):
        for copy in (pickle.loads(pickle.dumps(limit)), limit.without_ban()):
            assert copy == limit
            assert (copy.before, copy.plan.was, copy.plan.marks) == (limit.before, limit.plan.was, limit.plan.marks)
