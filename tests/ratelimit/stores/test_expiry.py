"""The order of expiry: the nearest to no state comes first, no step looks at all keys, and nothing piles up."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from sluicegate.ratelimit.stores.expiry import BUCKET_SHIFT, ExpiryOrder, Name

GRAIN_US = 1 << BUCKET_SHIFT
START_US = 1_700_000_000_000_000


class Keys:
    """Keys with their expiry, and an order of them that counts how often it looks at one."""

    def __init__(self) -> None:
        self.expires_us: dict[str, int] = {}
        self.order = ExpiryOrder()
        self.looks = 0

    def add(self, name: str, expires_us: int) -> None:
        """Put down a new key."""
        self.expires_us[name] = expires_us
        self.order.add(("", name), expires_us)

    def pop(self) -> str | None:
        """Take out the one that expires first."""
        return self._gone(self.order.pop(self._look))

    def sweep(self, now_us: int, most: int = 1) -> list[str]:
        """Look at up to so many that are due, put those back that live on, and return those that have expired."""
        expired = []
        for name in self.order.take_due(now_us, most):
            expires_us = self._look(name)
            if expires_us is not None and expires_us > now_us:
                self.order.add(name, expires_us)
            else:
                expired.append(name[1])
                self._gone(name)
        return expired

    @property
    def size(self) -> int:
        """How much the order itself keeps: its entries and its buckets."""
        return sum(len(bucket) // 2 for bucket in self.order._buckets.values()) + len(self.order._order)

    def _look(self, name: Name) -> int | None:
        self.looks += 1
        return self.expires_us.get(name[1])

    def _gone(self, name: Name | None) -> str | None:
        if name is None:
            return None
        self.expires_us.pop(name[1], None)
        return name[1]


def test_keys_come_out_in_the_order_of_their_expiry() -> None:
    """To the grain of a bucket, in whatever order they were put down."""
    keys, draw = Keys(), Random(1)
    for number in range(2_000):
        keys.add(f"key{number}", START_US + draw.randrange(3_600_000_000))
    due = dict(keys.expires_us)
    out = [due[name] for name in iter(keys.pop, None)]
    assert len(out) == 2_000
    assert all(later_us > sooner_us - GRAIN_US for sooner_us, later_us in pairwise(out))
    assert keys.size == 0


def test_a_key_whose_state_has_grown_moves_back() -> None:
    """Not the time at which it was put down counts, but that at which its state will be gone."""
    keys = Keys()
    for number in range(10):
        keys.add(f"key{number}", START_US + number * GRAIN_US)
    keys.expires_us["key0"] = START_US + 100 * GRAIN_US
    assert [keys.pop() for _ in range(11)] == [*(f"key{number}" for number in range(1, 10)), "key0", None]


def test_a_key_that_is_gone_is_passed_over() -> None:
    """Who was forgotten in another way is not handed out."""
    keys = Keys()
    for number in range(3):
        keys.add(f"key{number}", START_US + number)
    del keys.expires_us["key1"]
    assert sorted(filter(None, [keys.pop() for _ in range(3)])) == ["key0", "key2"]


def test_only_what_has_expired_is_taken_out_as_expired() -> None:
    """A bucket counts as past when all of it is; a key in it that lives on is put back."""
    keys = Keys()
    keys.add("old", START_US)
    keys.add("grown", START_US)
    keys.expires_us["grown"] = START_US + 50 * GRAIN_US
    keys.add("young", START_US + 20 * GRAIN_US)
    assert keys.sweep(START_US, 3) == []
    assert keys.sweep(START_US + 10 * GRAIN_US, 3) == ["old"]
    assert keys.sweep(START_US + 10 * GRAIN_US, 3) == []
    assert (keys.pop(), keys.pop()) == ("young", "grown")


def test_a_sweep_looks_at_as_many_keys_as_it_is_told() -> None:
    """However many keys there are, and however many of them live on, it costs no more."""
    for size in (100, 1_000, 100_000):
        keys = Keys()
        for number in range(size):
            keys.add(f"key{number}", START_US + number)
            keys.expires_us[f"key{number}"] += 3_600_000_000
        keys.looks = 0
        keys.sweep(START_US + 1_000_000_000, 25)
        assert keys.looks == 25


def test_sweeps_come_to_an_end() -> None:
    """Slice by slice all that is due is taken out, and no more."""
    keys = Keys()
    for number in range(1_000):
        keys.add(f"key{number}", START_US + number * 1_000)
    keys.add("young", START_US + 100 * GRAIN_US)
    expired: list[str] = []
    while swept := keys.sweep(START_US + 50 * GRAIN_US, 7):
        assert len(swept) <= 7
        expired += swept
    assert len(expired) == len(set(expired)) == 1_000
    assert (keys.pop(), keys.pop()) == ("young", None)
    assert keys.size == 0


def test_looks_do_not_grow_with_the_keys() -> None:
    """While keys come, grow and go for long, each coming and each growing costs two looks at most."""
    for size in (100, 10_000):
        keys, draw = Keys(), Random(size)
        for number in range(size):
            keys.add(f"key{number}", START_US + draw.randrange(3_600_000_000))
        keys.looks = grown = 0
        for number in range(20_000):
            name = f"key{draw.randrange(size)}"
            if name in keys.expires_us:
                keys.expires_us[name] += draw.randrange(60_000_000)
                grown += 1
            gone = keys.pop()
            assert gone is not None
            keys.add(gone, START_US + 3_600_000_000 + number * 180_000)
        assert keys.looks <= 20_000 + grown + size


def test_nothing_piles_up_while_keys_grow() -> None:
    """An order of a few keys stays as small as it is, however often they are put further back."""
    keys, draw = Keys(), Random(2)
    for number in range(50):
        keys.add(f"key{number}", START_US + number)
    most = 0
    for now_us in range(START_US, START_US + 50_000 * 100_000, 100_000):
        keys.expires_us[f"key{draw.randrange(50)}"] = now_us + draw.randrange(60_000_000)
        for gone in keys.sweep(now_us):
            keys.add(gone, now_us + 1_000_000)
        most = max(most, keys.size)
    assert most <= 2 * 50 + 2
