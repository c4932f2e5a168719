"""Room for changes: an attack that fills it keeps nobody from banning, and what is lifted is room again at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sluicegate import StoreOverloadedError
from sluicegate.ratelimit.stores.change_log import ENTRIES_MAX, FOR_HANDS, Edit, Escalation
from sluicegate.ratelimit.stores.memory_changes import MemoryChanges
from tests.conformance.rig import HandClock, manual_changes
from tests.ratelimit.test_idle import commands

if TYPE_CHECKING:
    import redis

    from sluicegate.ratelimit.stores.redis import RedisStore
    from sluicegate.ratelimit.stores.redis_changes import RedisChanges

    Log = MemoryChanges | RedisChanges

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
RULE = Escalation(2.0, 10 * HOUR_US, HOUR_US)
AT_ONCE = 1_000


@pytest.fixture(params=["memory", "redis"])
def either(request: pytest.FixtureRequest, clock: HandClock, store: RedisStore) -> Log:
    """Either of the logs."""
    return MemoryChanges(clock) if request.param == "memory" else manual_changes(store, clock)


def by_hand(name: str, life_us: int = HOUR_US) -> Edit:
    """Return a ban that somebody decided on."""
    return Edit(f"ban::{name}", "{}", life_us)


def by_rule(name: str, life_us: int = HOUR_US) -> Edit:
    """Return a ban that came by a rule."""
    return Edit(f"ban::{name}", "{}", life_us, RULE)


async def fill(log: Log, edits: list[Edit]) -> None:
    """Make all the changes, as many at once as one call takes."""
    for first in range(0, len(edits), AT_ONCE):
        await log.write(edits[first : first + AT_ONCE])


async def test_what_rules_ban_leaves_room_for_what_is_banned_by_hand(either: Log) -> None:
    """Who attacks under thousands of keys fills nine tenths of it; by hand the rest may be filled."""
    await fill(either, [by_rule(f"attacker{number}") for number in range(ENTRIES_MAX - FOR_HANDS)])
    with pytest.raises(StoreOverloadedError, match="9,000 are in force"):
        await either.write([by_rule("one more")])
    await fill(either, [by_hand(f"hand{number}") for number in range(FOR_HANDS)])
    with pytest.raises(StoreOverloadedError, match="10,000 are in force"):
        await either.write([by_hand("one more")])


async def test_what_is_lifted_needs_no_room(either: Log) -> None:
    """Where all is full, also what is not banned may be named among what is lifted."""
    await fill(either, [by_hand(f"key{number}") for number in range(ENTRIES_MAX)])
    written = await either.write([Edit("ban::nobody"), Edit("ban::key1"), Edit("ban:api:key1")])
    assert [is_changed for is_changed, _ in written] == [False, True, False]


async def test_what_was_lifted_is_room_at_once(either: Log) -> None:
    """A list that was wrong makes room for the right one, whoever has heard of its end."""
    await fill(either, [by_hand(f"wrong{number}") for number in range(ENTRIES_MAX)])
    await fill(either, [Edit(f"ban::wrong{number}") for number in range(ENTRIES_MAX)])
    await fill(either, [by_hand(f"right{number}") for number in range(ENTRIES_MAX)])
    with pytest.raises(StoreOverloadedError):
        await either.write([by_hand("one more")])


@pytest.mark.parametrize("is_refused", [False, True])
async def test_who_has_not_heard_of_what_was_lifted_is_told_all(
    store: RedisStore, clock: HandClock, *, is_refused: bool
) -> None:
    """What told of it has made room for others, or for nobody, for there was not enough of it."""
    log, other = manual_changes(store, clock), manual_changes(store, clock)
    await fill(log, [by_hand(f"key{number}") for number in range(ENTRIES_MAX)])
    news = await other.read()
    assert news is not None
    other.heard(news)
    await log.write([Edit("ban::key1"), Edit("ban::key2")])
    if is_refused:
        with pytest.raises(StoreOverloadedError):
            await log.write([by_hand(f"new{number}") for number in range(3)])
    else:
        await log.write([by_hand("new0")])
    news = await other.read()
    assert news is not None
    told = {entry.name for entry in news.entries}
    assert (news.is_whole, len(told)) == (True, ENTRIES_MAX - 2 + (not is_refused))
    assert not told & {"ban::key1", "ban::key2"}


async def test_what_comes_again_while_room_is_made_for_others_still_escalates(either: Log, clock: HandClock) -> None:
    """A ban that is over and counts goes to make room, but not from under the next one of its key."""
    await either.write([by_rule("again", SECOND_US)])
    await either.write([by_rule("gone", SECOND_US)])
    await fill(either, [by_rule(f"key{number}") for number in range(ENTRIES_MAX - FOR_HANDS - 2)])
    clock.advance_us(SECOND_US)
    ((_, again), (_, new)) = await either.write([by_rule("again", SECOND_US), by_rule("new", SECOND_US)])
    assert (again.times, new.times) == (2, 1)
    with pytest.raises(StoreOverloadedError):
        await either.write([by_rule("gone", SECOND_US), by_rule("other", SECOND_US)])


async def test_a_full_server_is_not_searched_for_each_ban_by_rule(
    store: RedisStore, clock: HandClock, redis_client: redis.Redis
) -> None:
    """Whether there is room again is looked for once a second, whatever number of keys is attacked with."""
    log = manual_changes(store, clock)
    await fill(log, [by_rule(f"key{number}") for number in range(ENTRIES_MAX - FOR_HANDS)])
    redis_client.config_resetstat()
    for number in range(50):
        with pytest.raises(StoreOverloadedError):
            await log.write([by_rule(f"more{number}")])
    assert 0 < commands(redis_client)["cmdstat_hmget"] <= 5 * ENTRIES_MAX // 500


def test_a_full_memory_is_not_searched_for_each_ban_by_rule() -> None:
    """As on a server; what is over makes room when a second has passed, and by hand at once."""
    clock = HandClock(None)
    log = MemoryChanges(clock)
    log.write_now([by_rule(f"key{number}", 2 * SECOND_US) for number in range(ENTRIES_MAX - FOR_HANDS)])
    clock.advance_us(2 * SECOND_US - 1)
    with pytest.raises(StoreOverloadedError):
        log.write_now([by_rule("more")])
    clock.advance_us(1)
    with pytest.raises(StoreOverloadedError):
        log.write_now([by_rule("more")])
    clock.advance_us(SECOND_US - 1)
    log.write_now([by_rule("more")])
