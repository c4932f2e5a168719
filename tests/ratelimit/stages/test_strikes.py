"""Denials are counted exactly within their time, by key, and in bounded memory."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from sluicegate import BanRule, Limit
from sluicegate.ratelimit.stages.strikes import Strikes
from sluicegate.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator


def limit_of(after: int = 3, name: str = "api") -> Limit:
    """Return a limit that bans."""
    return Limit(name, "1/hour", ban=BanRule(after=after, within=60, duration=600))


def denials_of(strikes: Strikes) -> Iterator[int]:
    """Return how many denials are remembered of each key under each limit."""
    return (len(denied_us) for of_key in strikes._by_key.values() for denied_us in of_key.values())


@pytest.mark.parametrize("after", [1, 2, 7, 50])
def test_it_counts_as_a_list_of_times_would(after: int) -> None:
    """Over random denials the one too many is the one that a naive list finds."""
    clock, draw = ManualClock(), random.Random(after)
    strikes, limit = Strikes(clock), limit_of(after)
    naive: list[int] = []
    for _ in range(2_000):
        clock.advance_us(draw.choice([0, 1, 1_000_000, 60_000_000 // after, 60_000_000]))
        naive = [at for at in naive if at >= clock.monotonic_us() - 60_000_000] + [clock.monotonic_us()]
        is_out = len(naive) >= after
        assert strikes.are_out(limit, "key") == is_out
        naive = [] if is_out else naive


def test_keys_and_limits_are_counted_apart() -> None:
    """What one key does under one limit is no matter to others."""
    strikes = Strikes(ManualClock())
    for limit in (limit_of(), limit_of(name="other")):
        for key in ("a", "b"):
            assert [strikes.are_out(limit, key) for _ in range(4)] == [False, False, True, False]


def test_the_keys_are_bounded() -> None:
    """Who was denied longest ago is forgotten first."""
    strikes, limit = Strikes(ManualClock(), keys_max=3), limit_of()
    for key in "abca":
        assert not strikes.are_out(limit, key)
    assert not strikes.are_out(limit, "d")  # and b is forgotten
    assert [strikes.are_out(limit, key) for key in "acbb"] == [True, False, False, False]


def test_the_denials_are_bounded() -> None:
    """Keys with many denials make room for others, and the sum is kept."""
    strikes, limit = Strikes(ManualClock(), denials_max=100), limit_of(1_000)
    for number in range(500):
        strikes.are_out(limit, f"key{number % 7}")
        assert strikes._denials == sum(denials_of(strikes)) <= 100


def test_what_is_old_is_no_burden() -> None:
    """Denials that count no more leave the sum when their key is met."""
    clock = ManualClock()
    strikes, limit = Strikes(clock), limit_of(100)
    for _ in range(50):
        strikes.are_out(limit, "key")
    clock.advance(61)
    strikes.are_out(limit, "key")
    assert strikes._denials == 1


def test_what_is_forgotten_begins_anew() -> None:
    """Under one limit, or under all of them, and of no other key; nothing is left of it."""
    strikes, limit, other = Strikes(ManualClock()), limit_of(), limit_of(name="other")
    for key in ("a", "b"):
        for each in (limit, limit, other, other):
            assert not strikes.are_out(each, key)
    strikes.forget("api", "a")
    strikes.forget("", "nobody")
    assert [strikes.are_out(limit, "a"), strikes.are_out(other, "a"), strikes.are_out(limit, "b")] == [
        False,
        True,
        True,
    ]
    strikes.forget("", "a")
    assert [strikes.are_out(limit, "a") for _ in range(3)] == [False, False, True]
    strikes.forget("", "b")
    assert (strikes._by_key, strikes._denials, strikes._counts) == ({}, 0, 0)


def test_a_key_under_many_limits_is_many_counts() -> None:
    """Names of limits are as many as somebody makes, and are bounded with the keys."""
    strikes = Strikes(ManualClock(), keys_max=10)
    for number in range(100):
        strikes.are_out(limit_of(name=f"limit{number}"), f"key{number // 7}")
        assert strikes._counts == len(list(denials_of(strikes))) <= 10


def test_threads_count_together() -> None:
    """Of eight threads exactly one finds the denial too many, time and again."""
    strikes, limit = Strikes(ManualClock()), limit_of(100)
    out: list[bool] = []

    def deny() -> None:
        out.extend(strikes.are_out(limit, "key") for _ in range(1_000))

    threads = [threading.Thread(target=deny) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert out.count(True) == 80
