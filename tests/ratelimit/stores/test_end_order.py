"""The exact order of ends: whoever moves or leaves, the rest stays in order, in blocks of bounded size."""

from __future__ import annotations

import time
from itertools import pairwise
from random import Random

import pytest

from sluicegate.ratelimit.stores.expiry import BLOCK_MAX, EndOrder


def walked(order: EndOrder, steps: int, seed: int, names: int, spread: int) -> dict[str, int]:
    """Put, move and remove names at random, as a plain dictionary does beside; return that."""
    draw, plain = Random(seed), {}
    for number in range(steps):
        name = f"name{draw.randrange(names)}"
        if draw.random() < 0.4:
            assert order.remove(name) == (plain.pop(name, None) is not None)
        else:
            plain[name] = draw.randrange(spread) + number
            order.put(name, plain[name])
        assert len(order) == len(plain)
    return plain


def drained(order: EndOrder) -> list[str]:
    """Take everything out, in order."""
    out: list[str] = []
    while (last_us := order.last_us(-1)) >= 0:
        name = order.pop_ended(last_us)
        assert name is not None
        out.append(name)
    return out


@pytest.mark.parametrize(("names", "spread"), [(5, 3), (300, 10**6), (20_000, 50), (20_000, 10**9)])
def test_names_come_out_in_the_order_of_their_ends(names: int, spread: int) -> None:
    """However they came, moved and left, the first to end is the first out, and equal ends go by name."""
    order = EndOrder()
    plain = walked(order, 30_000, names, names, spread)
    assert drained(order) == [name for _, name in sorted((end_us, name) for name, end_us in plain.items())]
    assert len(order) == 0


def test_only_who_has_ended_comes_out() -> None:
    """An end is over from its own microsecond on."""
    order = EndOrder()
    order.put("a", 10)
    order.put("b", 20)
    assert [order.pop_ended(9), order.pop_ended(10), order.pop_ended(19)] == [None, "a", None]
    assert ("a" in order, "b" in order, order.last_us(0)) == (False, True, 20)


@pytest.mark.parametrize("names", [10, 5_000])
def test_who_ends_later_is_counted(names: int) -> None:
    """At any instant, between the ends and beyond both sides of them."""
    order = EndOrder()
    plain = walked(order, 10_000, 7, names, 1_000)
    for now_us in (-1, 0, *range(0, 12_000, 500), 10**6):
        assert order.count_after(now_us) == sum(end_us > now_us for end_us in plain.values())


def test_who_stands_too_far_ahead_is_brought_back() -> None:
    """The others stay where they are, and the order is right afterwards."""
    order = EndOrder()
    plain = walked(order, 10_000, 3, 3_000, 10_000)
    order.bring_back(9_000)
    expected = sorted((min(end_us, 9_000), name) for name, end_us in plain.items())
    assert drained(order) == [name for _, name in expected]


def test_blocks_stay_few_and_small() -> None:
    """Whatever comes and goes, no block is too large, and no two neighbours are small."""
    order, draw = EndOrder(), Random(5)
    for number in range(60_000):
        order.put(f"name{number}", number)
        if number % 256:
            order.remove(f"name{draw.randrange(number + 1)}")
        if number % 100 == 0:
            sizes = [len(block) for block in order._blocks]
            assert max(sizes) <= BLOCK_MAX
            assert min(map(sum, pairwise(sizes)), default=BLOCK_MAX) > BLOCK_MAX // 2


def test_a_move_takes_as_long_among_many_as_among_few() -> None:
    """Among a hundred thousand names the median move takes a few microseconds, as it does among a hundred."""

    def microseconds(names: int) -> float:
        order, took = EndOrder(), []
        for number in range(names):
            order.put(f"name{number}", number)
        for number in range(2_000):
            before = time.perf_counter_ns()
            order.put(f"name{number % names}", names + number)
            took.append((time.perf_counter_ns() - before) / 1_000)
        return sorted(took)[len(took) // 2]

    few, many = microseconds(100), microseconds(100_000)
    print(f"\n{few:.2f} us among 100, {many:.2f} us among 100,000")
    assert many <= 5 * few + 5
