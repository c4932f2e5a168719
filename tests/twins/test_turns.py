"""Many requests of one key in one entry: what is answered for all, and in turn, is what each alone would have got."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from .bundle import joined, shipped_sources
from .calling import Calls, Connection
from .rates import WALKED, random_limits
from .turns import Threefold, in_its_turn, walked_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluicegate import Limit
    from tests.servers import RedisServer

    from .turns import Asked

WORLDS = 12
STEPS_A_WORLD = 30
TOLD_FOR_ALL = tuple(walked for walked in WALKED if walked != "gcra_fractional")


@pytest.fixture
def calls(redis_server: RedisServer) -> Iterator[Calls]:
    """The script, by virtual time, on an empty server."""
    with Connection(redis_server.port) as connection:
        connection.command("FLUSHALL")
        yield Calls(connection, joined(shipped_sources()))
        connection.command("FLUSHALL")


def answers_of(calls: Calls, walked: str) -> Iterator[Asked]:
    """Walk through some worlds of an algorithm."""
    random = Random(f"turns {walked}")
    for world in range(WORLDS):
        three = Threefold(calls, random, now_us=1_800_000_000_000_000 + random.randrange(10**13))
        yield from walked_answers(three, random_limits(random, walked, world), STEPS_A_WORLD)


def tells_for_all(limit: Limit) -> bool:
    """Say whether the one answer for many requests tells what each of them would have got.

    Of gcra it takes one rate, whose interval is whole microseconds: the resets of several are no single line.
    """
    plan = limit.plan
    return plan.algorithm.family != "gcra" or (len(plan.rules) == 1 and plan.rules[0][3] == 1)


@pytest.mark.parametrize("walked", WALKED)
def test_in_turn_answers_as_many_entries_in_one_call_do(calls: Calls, walked: str) -> None:
    """An entry that is answered in turn is answered what as many entries are, whatever the key holds."""
    for asked in answers_of(calls, walked):
        assert asked.in_turn == asked.separate


@pytest.mark.parametrize("walked", WALKED)
def test_all_three_ways_leave_the_same_state(calls: Calls, walked: str) -> None:
    """What a key holds afterwards does not tell how the requests were gathered."""
    for asked in answers_of(calls, walked):
        assert len(set(asked.states)) == 1, asked


@pytest.mark.parametrize("walked", WALKED)
def test_as_many_are_granted_together_as_one_by_one(calls: Calls, walked: str) -> None:
    """One answer for many requests grants as many of them as would have passed one by one, under every limit."""
    for asked in answers_of(calls, walked):
        granted, remaining, retry_after_us, reset_after_us = asked.together
        assert granted == sum(answer[0] for answer in asked.separate) or granted < 0
        assert (remaining, retry_after_us, reset_after_us) == asked.separate[-1][1:]


@pytest.mark.parametrize("walked", TOLD_FOR_ALL)
def test_the_answer_for_all_tells_each_what_it_would_have_got(calls: Calls, walked: str) -> None:
    """From one answer for many requests follows each one's own, with debt, odd values and shadows in the mix."""
    for asked in answers_of(calls, walked):
        if tells_for_all(asked.limit):
            assert [in_its_turn(asked, turn) for turn in range(asked.count)] == asked.separate, asked


@pytest.mark.parametrize("walked", WALKED)
def test_a_key_of_another_type_is_everybodys_error(calls: Calls, walked: str) -> None:
    """Each of many requests is told that the key holds another type, which stays there."""
    three = Threefold(calls, Random(0))
    for limit in random_limits(Random(0), walked, 0):
        three.put_list(limit, "list")
        asked = three.ask(limit, "list", 1, 3)
        assert asked.in_turn == asked.separate == [(-1, 0, 0, 0)] * 3
        assert asked.together == (-1, 0, 0, 0)
        assert None not in asked.states
