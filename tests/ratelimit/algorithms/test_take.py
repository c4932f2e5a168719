"""The shortest path of gcra beside the whole of it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sluicegate.ratelimit.algorithms import gcra
from sluicegate.ratelimit.algorithms.gcra import Rule

NOW_US = 1_700_000_000_000_000


@given(
    ahead_us=st.integers(-50, 400) | st.integers(-(10**12), 10**12),
    cost=st.integers(0, 12),
    burst=st.integers(1, 10),
    interval_us=st.integers(1, 40),
)
@example(ahead_us=0, cost=10, burst=10, interval_us=7)
@example(ahead_us=1, cost=10, burst=10, interval_us=7)
@example(ahead_us=70, cost=0, burst=10, interval_us=7)
@example(ahead_us=71, cost=0, burst=10, interval_us=7)
def test_what_it_grants_is_what_the_whole_grants(ahead_us: int, cost: int, burst: int, interval_us: int) -> None:
    """It answers as `decide` does where a request is granted, and gives up on denials and on times too far ahead."""
    rule = Rule(burst, interval_us, 0, 1, burst * interval_us, 0)
    paid_us = NOW_US + ahead_us
    (after_us, rem, debt_us), granted, remaining, _, reset_after_us = gcra.decide(
        (paid_us, 0, 0), NOW_US, cost, 1, rule
    )
    taken = gcra.take(paid_us, NOW_US, cost, (interval_us, burst * interval_us))
    if granted and paid_us <= NOW_US + burst * interval_us:
        assert (rem, debt_us) == (0, 0)
        assert taken == (after_us, remaining, reset_after_us)
    else:
        assert taken is None
