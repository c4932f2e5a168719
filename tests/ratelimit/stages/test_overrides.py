"""What the stage knows is bounded, goes when it is over, and is the same for whoever reads it meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from sluicegate import Decision, Limit
from sluicegate.ratelimit.ban_rule import BanRule
from sluicegate.ratelimit.bans import BAN, OVERRIDE, ban_edit, override_edit, rule_edit
from sluicegate.ratelimit.stages import overrides as stage
from sluicegate.ratelimit.stages.overrides import Overrides
from sluicegate.ratelimit.stores.memory_changes import MemoryChanges
from sluicegate.testing import ManualClock
from tests.recording import RecordingLogger

if TYPE_CHECKING:
    from sluicegate.ratelimit.stores.change_log import Edit, Entry

API = Limit("api", "5/minute")
SECOND_US = 1_000_000


class Known:
    """A stage that is told what a log of its own keeps."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_000.0)
        self.log = MemoryChanges(self.clock)
        self.logger = RecordingLogger()
        self.stage = Overrides(self.clock, self.logger)

    def tell(self, *edits: Edit, is_whole: bool = False) -> list[Entry]:
        """Write, and tell the stage."""
        entries = [entry for _, entry in self.log.write_now(edits)]
        names = {entry.name for entry in entries} if is_whole else None
        self.stage.told_of_bans([each for each in entries if each.name.startswith(BAN)], names)
        self.stage.told_of_overrides([each for each in entries if each.name.startswith(OVERRIDE)], names)
        return entries


@pytest.fixture
def known() -> Known:
    """A stage that knows nothing yet."""
    return Known()


def test_who_is_not_named_has_the_limit_as_it_is(known: Known) -> None:
    """Where nothing is in force there is nothing to look at; where something is, others have the very same limit."""
    assert known.stage.known == {}
    known.tell(ban_edit("key", None, life_us=0, reason=""), override_edit("mine", "other", life_us=0, rate="1/s"))
    assert known.stage.judge(API, "friend", 1) is API
    assert known.stage.judge(API, "mine", 1) is API
    assert isinstance(known.stage.judge(API, "key", 1), Decision)


def test_the_same_override_is_the_same_limit_each_time(known: Known) -> None:
    """So what is known of it by the object stays known; limits without end do not fill the memory."""
    known.tell(override_edit("key", "api", life_us=0, rate="7/minute"))
    assert known.stage.judge(API, "key", 1) is known.stage.judge(API, "key", 1)
    for _ in range(stage.MADE_MAX + 10):
        assert known.stage.judge(Limit("api", "5/minute"), "key", 1) == Limit("api", "7/minute")
    assert len(known.stage._made) <= stage.MADE_MAX


def test_all_that_is_told_replaces_all_that_was_known(known: Known) -> None:
    """What is not among it is no more, but for bans of which the fleet has not heard yet."""
    known.tell(*(ban_edit(key, None, life_us=0, reason="") for key in "abc"))
    rule = BanRule(after=1, within=1, duration=60)
    ((_, own),) = known.log.write_now([rule_edit("own", "api", rule)])
    known.stage.note(own)
    (kept,) = known.tell(ban_edit("b", None, life_us=0, reason="again"), is_whole=True)
    assert {key: list(of_key.bans.values()) for key, of_key in known.stage.known.items()} == {"b": [kept], "own": [own]}
    known.tell(rule_edit("own", "api", rule))
    known.tell(is_whole=True)
    assert known.stage.known == {}


def test_what_is_over_is_forgotten_in_time(known: Known) -> None:
    """It is swept when news comes, so that nobody pays for a look at it; what still counts for the next ban stays."""
    rule = BanRule(after=1, within=1, duration=1, forget_after=60)
    known.tell(ban_edit("short", None, life_us=SECOND_US, reason=""), rule_edit("rule", "api", rule))
    known.tell(override_edit("short", "api", life_us=SECOND_US, rate="7/minute"))
    known.clock.advance(10)
    known.tell(ban_edit("new", None, life_us=SECOND_US, reason=""))
    assert list(known.stage.known) == ["rule", "new"]
    assert known.stage.judge(API, "rule", 1) is API
    assert known.stage.keys_in_force() == 1
    last = known.stage.last_ban("rule", "api")
    assert last is not None
    assert last.times == 1
    known.clock.advance(51)
    known.tell(ban_edit("newer", None, life_us=SECOND_US, reason=""))
    assert list(known.stage.known) == ["newer"]
    assert known.stage.entries(OVERRIDE) == []


def test_thousands_that_are_over_go_little_by_little(known: Known) -> None:
    """Each piece of news takes some of them out, so that none has to wait for all."""
    keys = [f"key{number}" for number in range(1_000)]
    known.tell(*(ban_edit(key, None, life_us=SECOND_US, reason="") for key in keys))
    known.clock.advance(10)
    left = []
    for _ in range(5):
        known.tell(ban_edit("new", None, life_us=0, reason=""))
        left.append(len(known.stage.known))
    assert left == [501, 1, 1, 1, 1]  # two looks each time: one for bans, one for overrides


def test_what_only_a_newer_version_can_read_is_in_force_as_far_as_it_goes(known: Known) -> None:
    """A ban's key and limit are its name, whatever else it says; a name of another shape is no ban."""
    (entry,) = known.tell(ban_edit("key", None, life_us=0, reason=""))
    for payload in ("{}", "no JSON", "[]"):
        known.stage.told_of_bans([entry._replace(payload=payload), entry._replace(name="ban")])
        assert isinstance(known.stage.judge(API, "key", 1), Decision)
    known.stage.told_of_overrides([entry._replace(name="override:api:mine", payload='{"key":7}')])
    assert known.stage.judge(API, "mine", 1) is API
    assert len(known.logger.named("override.unusable")) == 1


def test_there_is_an_end_to_what_it_notes_itself(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the table is full a ban that the fleet has not heard of has to wait for that."""
    monkeypatch.setattr(stage, "ENTRIES_MAX", 3)
    for key in "abcd":
        ((_, entry),) = known.log.write_now([ban_edit(key, None, life_us=0, reason="")])
        known.stage.note(entry)
    assert list(known.stage.known) == ["a", "b", "c"]


def test_readers_never_see_half_of_it(known: Known) -> None:
    """While one thread is told anew again and again, a key that is banned all the while is banned for all others."""
    edits = [ban_edit(f"key{number}", None, life_us=0, reason="") for number in range(50)]
    known.tell(*edits)
    wrong: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            wrong.extend(number for number in range(50) if known.stage.judge(API, f"key{number}", 1) is API)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        known.tell(*edits, is_whole=True)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_who_waits_under_an_override_is_not_who_is_denied(known: Known) -> None:
    """A limit and the same without its rule for bans stay two under another rate, whichever is asked first."""
    banning = Limit("api", "5/minute", ban=BanRule(after=3, within=60, duration=600))
    known.tell(override_edit("key", "api", life_us=0, rate="1/minute"))
    for limits in ((banning, banning.without_ban()), (banning.without_ban(), banning)):
        for limit in limits:
            ruled = known.stage.judge(limit, "key", 1)
            assert isinstance(ruled, Limit)
            assert (str(ruled), ruled.ban) == ("api (1/minute gcra)", limit.ban)
