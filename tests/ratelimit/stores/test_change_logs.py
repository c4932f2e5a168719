"""Both logs of changes keep the same rules: who writes what, when it ends, and how much there may be."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from sluicegate import StoreOverloadedError
from sluicegate.ratelimit.stores.change_log import ENTRIES_MAX, Edit, Entry, Escalation, News
from sluicegate.ratelimit.stores.memory_changes import MemoryChanges, escalated_us
from tests.conformance.rig import CLOCK_KEY, HandClock, manual_changes

if TYPE_CHECKING:
    import redis

    from sluicegate.ratelimit.stores.redis import RedisStore
    from sluicegate.ratelimit.stores.redis_changes import RedisChanges

SECOND_US = 1_000_000
LONGER = Escalation(2.0, 10 * SECOND_US, 60 * SECOND_US)
NAMES = ("sg:1:{changes}:version", "sg:1:{changes}:signal", "sg:1:{changes}:entries", "sg:1:{changes}:order")


@pytest.fixture
def log(store: RedisStore, clock: HandClock) -> RedisChanges:
    """The log on the server."""
    return manual_changes(store, clock)


@pytest.fixture
def other(store: RedisStore, clock: HandClock) -> RedisChanges:
    """The same log, as another process sees it."""
    return manual_changes(store, clock)


@pytest.fixture(params=["memory", "redis"])
def either(request: pytest.FixtureRequest, clock: HandClock, log: RedisChanges) -> MemoryChanges | RedisChanges:
    """Either of the logs."""
    return MemoryChanges(clock) if request.param == "memory" else log


async def heard(log: MemoryChanges | RedisChanges, *, whole: bool = False) -> News | None:
    """Read, and take in what was told."""
    news = await log.read(whole=whole)
    if news is not None:
        log.heard(news)
    return news


def names(entries: Any) -> list[str]:
    """Return which entries they are."""
    return sorted(entry.name for entry in entries)


async def test_an_entry_is_as_it_was_written(either: MemoryChanges | RedisChanges, clock: HandClock) -> None:
    """It has its payload and its end by both clocks; one without an end is known for a century."""
    edits = [Edit("ban::a", "{}", 5 * SECOND_US), Edit("ban::b", "payload", 0)]
    written = await either.write(edits)
    now_us, monotonic_us = clock.now_us(), clock.monotonic_us()
    (changed_a, a), (changed_b, b) = written
    assert (changed_a, changed_b) == (True, True)
    assert a == Entry(
        "ban::a", "{}", 0, now_us + 5 * SECOND_US, *[monotonic_us + 5 * SECOND_US] * 3, now_us - monotonic_us
    )
    assert (b.until_us, b.payload, b.ends_us > monotonic_us + 99 * 366 * 86_400 * SECOND_US) == (0, "payload", True)
    news = await heard(either, whole=True)
    assert news is not None
    assert (news.is_whole, sorted(news.entries)) == (True, sorted([a, b]))


async def test_the_servers_clock_says_when_an_entry_ends(
    log: RedisChanges, other: RedisChanges, clock: HandClock, redis_client: redis.Redis
) -> None:
    """A process whose clock is an hour behind keeps it for as long as any other."""
    redis_client.set(CLOCK_KEY, clock.now_us() + 3_600 * SECOND_US, ex=3600)
    await log.write([Edit("ban::a", "{}", 5 * SECOND_US)])
    redis_client.set(CLOCK_KEY, clock.now_us() + 3_602 * SECOND_US, ex=3600)
    news = await heard(other)
    assert news is not None
    (entry,) = news.entries
    assert entry.until_us == clock.now_us() + 3_605 * SECOND_US
    assert entry.ends_us == entry.told_us == clock.monotonic_us() + 3 * SECOND_US


async def test_dropping_says_whether_there_was_something(either: MemoryChanges | RedisChanges) -> None:
    """What is not there cannot be dropped, and what is over is not there when its time has come."""
    await either.write([Edit("ban::a", "{}", SECOND_US)])
    told = [(await either.write([Edit("ban::a")]))[0] for _ in range(2)]
    assert [(is_changed, entry.payload) for is_changed, entry in told] == [(True, ""), (False, "")]


async def test_several_changes_of_one_entry_are_made_in_their_order(either: MemoryChanges | RedisChanges) -> None:
    """The last of them counts."""
    edits = [Edit("ban::a", "first", SECOND_US), Edit("ban::a"), Edit("ban::a", "last", SECOND_US), Edit("ban::a")]
    assert [is_changed for is_changed, _ in await either.write(edits)] == [True] * 4
    assert [is_changed for is_changed, _ in await either.write(edits[:1])] == [True]


async def test_what_escalates_is_left_alone_while_it_is_in_force(
    either: MemoryChanges | RedisChanges, clock: HandClock
) -> None:
    """Then it is longer each time, up to the longest, until it is forgotten."""
    edit = Edit("ban::a", "{}", 2 * SECOND_US, LONGER)
    lasted = []
    for _ in range(4):
        for expected in (True, False):
            ((is_changed, entry),) = await either.write([edit])
            assert is_changed == expected
        lasted.append((entry.times, entry.ends_us - clock.monotonic_us()))
        clock.advance_us(entry.ends_us - clock.monotonic_us())
    assert lasted == [(1, 2_000_000), (2, 4_000_000), (3, 8_000_000), (4, 10_000_000)]
    clock.advance_us(LONGER.forget_us)
    ((_, entry),) = await either.write([edit])
    assert entry.times == 1


async def test_both_logs_say_the_same_of_anything(clock: HandClock, log: RedisChanges) -> None:
    """Hundreds of random changes at random times are answered alike by the twins."""
    draw = random.Random(5)
    memory = MemoryChanges(clock)
    for _ in range(300):
        edits = [
            Edit(
                f"ban::{draw.randrange(6)}",
                draw.choice(["", "x", "ü" * 3]),
                draw.choice([0, 1, SECOND_US, 7 * SECOND_US]),
                draw.choice([None, LONGER, Escalation(1.5, 3 * SECOND_US, SECOND_US)]),
            )
            for _ in range(draw.randrange(1, 5))
        ]
        edits = [edit if edit.escalation is None else edit._replace(life_us=edit.life_us or 1) for edit in edits]
        told = [[(is_changed, entry[:6]) for is_changed, entry in await each.write(edits)] for each in (log, memory)]
        assert told[0] == told[1]
        clock.advance_us(draw.choice([0, 1, SECOND_US // 2, 3 * SECOND_US]))


async def test_who_reads_again_is_told_only_what_has_changed(log: RedisChanges, other: RedisChanges) -> None:
    """What was dropped is told as well; where nothing was changed there is nothing to tell."""
    await log.write([Edit(f"ban::{number}", "{}", SECOND_US) for number in range(10)])
    first = await heard(other)
    assert first is not None
    assert (first.is_whole, len(first.entries)) == (True, 10)
    assert await heard(other) is None
    await log.write([Edit("ban::3"), Edit("ban::new", "{}", SECOND_US)])
    await log.write([Edit("ban::4", "other", SECOND_US)])
    second = await heard(other)
    assert second is not None
    assert second.is_whole is False
    assert {entry.name: entry.payload for entry in second.entries} == {
        "ban::3": "",
        "ban::4": "other",
        "ban::new": "{}",
    }


async def test_who_was_told_and_did_not_hear_is_told_again(log: RedisChanges, other: RedisChanges) -> None:
    """Whoever is cancelled while it takes in what it was told misses nothing."""
    await log.write([Edit("ban::a", "{}", 0)])
    told = [await other.read() for _ in range(2)]
    assert all(news is not None and news.is_whole and names(news.entries) == ["ban::a"] for news in told)
    await heard(other)
    await log.write([Edit("ban::b", "{}", 0)])
    told = [await other.read(), await heard(other)]
    assert all(news is not None and names(news.entries) == ["ban::b"] for news in told)
    assert await heard(other) is None


async def test_who_has_not_looked_for_long_is_told_all(
    log: RedisChanges, other: RedisChanges, clock: HandClock
) -> None:
    """What was dropped is not told for ever."""
    await log.write([Edit("ban::a", "{}", 0), Edit("ban::b", "{}", 0)])
    await heard(other)
    await log.write([Edit("ban::a")])
    clock.advance_us(20 * SECOND_US)
    news = await heard(other)
    assert news is not None
    assert (news.is_whole, {entry.name: entry.payload for entry in news.entries}) == (
        True,
        {"ban::a": "", "ban::b": "{}"},
    )


async def test_another_history_is_told_whole(
    log: RedisChanges, other: RedisChanges, redis_client: redis.Redis, clock: HandClock
) -> None:
    """An emptied server, one that has taken over, and numbers that have caught up again all lead to it."""
    await log.write([Edit("ban::a", "{}", 0)])
    await heard(other)
    now = redis_client.get(CLOCK_KEY)
    redis_client.flushall()
    redis_client.set(CLOCK_KEY, now, ex=3600)  # type: ignore[arg-type]  # what was there
    emptied = await heard(other)
    assert emptied is not None
    assert (emptied.is_whole, list(emptied.entries)) == (True, [])
    await log.write([Edit("ban::b", "{}", 0)])
    again = await heard(other)
    assert again is not None
    assert (again.is_whole, names(again.entries)) == (True, ["ban::b"])
    other._history = "0" * 40
    await log.write([Edit("ban::c", "{}", 0)])
    elsewhere = await heard(other)
    assert elsewhere is not None
    assert (elsewhere.is_whole, names(elsewhere.entries)) == (True, ["ban::b", "ban::c"])


async def test_a_change_that_was_lost_is_not_taken_for_the_next(
    log: RedisChanges, other: RedisChanges, redis_client: redis.Redis
) -> None:
    """Two changes of one number are told apart by their random words."""
    await log.write([Edit("ban::a", "{}", 0)])
    before = {name: redis_client.dump(name) for name in NAMES}
    await log.write([Edit("ban::lost", "{}", 0)])
    await heard(other)
    for name, value in before.items():
        redis_client.restore(name, 3_600_000, value, replace=True)  # type: ignore[arg-type]  # bytes
    await log.write([Edit("ban::other", "{}", 0)])
    other._history = "0" * 40  # as it is when another server has taken over
    news = await heard(other)
    assert news is not None
    assert (news.is_whole, names(news.entries)) == (True, ["ban::a", "ban::other"])


async def test_who_wrote_hears_that_it_was_lost(log: RedisChanges, redis_client: redis.Redis, clock: HandClock) -> None:
    """Also where the server is again as it was when it was heard last."""
    await heard(log)
    await log.write([Edit("ban::lost", "{}", 0)])
    for name in NAMES:
        redis_client.delete(name)
    news = await heard(log)
    assert news is not None
    assert (news.is_whole, list(news.entries)) == (True, [])
    assert await heard(log) is None


async def test_everything_on_the_server_expires(log: RedisChanges, redis_client: redis.Redis) -> None:
    """With the last entry, an hour at least; entries without an end after a century, which each change renews."""
    await log.write([Edit("ban::a", "{}", 5 * SECOND_US)])
    assert {name: 3_590_000 < redis_client.pttl(name) <= 3_600_000 for name in NAMES} == dict.fromkeys(NAMES, True)
    await log.write([Edit("ban::b", "{}", 0)])
    await log.write([Edit("ban::a")])
    assert all(redis_client.pttl(name) > 99 * 366 * 86_400_000 for name in NAMES)


async def test_there_are_ten_thousand_at_most(either: MemoryChanges | RedisChanges, clock: HandClock) -> None:
    """One more is refused and nothing of its call is done; what is over makes room, also where it still counts."""
    for first in range(0, ENTRIES_MAX, 1_000):
        lives = (LONGER if first == 0 else None, 2 * SECOND_US if first == 0 else 0)
        await either.write([Edit(f"ban::{first + at}", "{}", lives[1], lives[0]) for at in range(1_000)])
    with pytest.raises(StoreOverloadedError, match="10,000 are in force"):
        await either.write([Edit("ban::5000", "changed", 0), Edit("ban::one more", "{}", 0)])
    ((is_changed, _),) = await either.write([Edit("ban::5000", "again", 0)])
    news = await heard(either, whole=True)
    assert news is not None
    assert (is_changed, len(news.entries)) == (True, ENTRIES_MAX)
    assert [entry.payload for entry in news.entries if entry.name == "ban::5000"] == ["again"]
    clock.advance_us(2 * SECOND_US)
    assert all(
        is_changed for is_changed, _ in await either.write([Edit(f"ban::new{at}", "{}", 0) for at in range(1_000)])
    )
    with pytest.raises(StoreOverloadedError):
        await either.write([Edit("ban::one more", "{}", 0)])


async def test_what_is_over_goes_by_itself(log: RedisChanges, redis_client: redis.Redis, clock: HandClock) -> None:
    """Each 256th change takes it out, so that short bans do not pile up."""
    await log.write([Edit(f"ban::{number}", "{}", SECOND_US) for number in range(100)])
    clock.advance_us(SECOND_US)
    for _ in range(255):
        await log.write([Edit("ban::lasting", "{}", 0)])
    assert redis_client.hlen(NAMES[2]) == redis_client.zcard(NAMES[3]) == 1


async def test_values_that_nobody_can_have_written_are_no_entries(log: RedisChanges, redis_client: redis.Redis) -> None:
    """A poisoned entry is overwritten like one that is not there, and does not keep others from being told."""
    await log.write([Edit("ban::a", "{}", 0)])
    redis_client.hset(NAMES[2], "ban::a", "1 x nonsense")
    ((is_changed, _),) = await log.write([Edit("ban::a", "{}", 0)])
    assert is_changed
    redis_client.hset(NAMES[2], "ban::b", "")
    redis_client.hset(NAMES[2], "ban::d", f"{'9' * 5_000} 0 1 0 {{}}")
    redis_client.zadd(NAMES[3], {"ban::b": 1, "ban::d": 1})
    await log.write([Edit("ban::c", "{}", 0)])
    news = await heard(log, whole=True)
    assert news is not None
    assert names(news.entries) == ["ban::a", "ban::c"]


@pytest.mark.parametrize(
    ("factor", "times", "lasts"), [(2.0, 5, 160), (1.0, 50, 10), (100.0, 10**9, 1_000), (1.01, 3, 10)]
)
def test_a_length_escalates_in_whole_microseconds(factor: float, times: int, lasts: int) -> None:
    """It ends at the longest, or where rounding lets it grow no more, however often it came."""
    assert escalated_us(10, times, factor, 1_000) == lasts


async def test_a_clock_that_is_set_back_prolongs_no_ban_by_rule_beyond_the_longest(
    either: MemoryChanges | RedisChanges, clock: HandClock, redis_client: redis.Redis
) -> None:
    """The next one begins now, where the one before would end later than any may; memory knows no such clock."""
    edit = Edit("ban::a", "{}", 2 * SECOND_US, LONGER)
    await either.write([edit])
    redis_client.set(CLOCK_KEY, clock.now_us() - 3_600 * SECOND_US, ex=3600)
    ((is_changed, entry),) = await either.write([edit])
    ahead_us = entry.ends_us - clock.monotonic_us()
    assert (is_changed, entry.times, ahead_us) in {(True, 2, 4 * SECOND_US), (False, 1, 2 * SECOND_US)}
    await either.write([Edit("ban::hand", "{}", 3_600 * SECOND_US)])
    ((is_changed, entry),) = await either.write([edit._replace(name="ban::hand")])
    assert (is_changed, entry.times) == (False, 0)


async def test_a_clock_that_is_set_back_prolongs_nothing_in_memory() -> None:
    """Ends are by the monotonic clock, and told by the one that people read."""
    clock = SteppingClock()
    log = MemoryChanges(clock)
    edit = Edit("ban::a", "{}", 2 * SECOND_US, LONGER)
    log.write_now([edit])
    clock.stepped_us = -3_600 * SECOND_US
    clock.passed_us = 2 * SECOND_US
    ((is_changed, entry),) = log.write_now([edit])
    assert (is_changed, entry.times, entry.ends_us, entry.until_us) == (
        True,
        2,
        6 * SECOND_US,
        clock.now_us() + 4 * SECOND_US,
    )


class SteppingClock:
    """A clock whose time is set while its monotonic one goes on."""

    def __init__(self) -> None:
        self.passed_us = self.stepped_us = 0

    def monotonic_us(self) -> int:
        """Return what has passed."""
        return self.passed_us

    def now_us(self) -> int:
        """Return what people read."""
        return 1_700_000_000 * SECOND_US + self.passed_us + self.stepped_us
