"""What all counters of windows share: rolling into the current window, and counting in it.

``fixed_window`` aligns its windows to the epoch, ``calendar_quota`` to a calendar; both count the same way.
"""

from __future__ import annotations

__all__ = ["State", "decide_in", "refund_in"]

State = tuple[int, int, int]  # start_us, used, unused


def decide_in(
    state: State, now_us: int, cost: int, count: int, limit: int, start_us: int, end_us: int
) -> tuple[State, int, int, int, int]:
    """Grant up to *count* requests of *cost* units within the window from *start_us* to *end_us*."""
    used = _used(state, limit, start_us)
    remaining = max(0, limit - used)
    granted = count
    if cost > 0:
        granted = min(count, remaining // cost)
    elif used > limit:
        granted = 0
    used += granted * cost
    remaining -= granted * cost

    retry_after_us = 0
    if granted < count:
        retry_after_us = -1 if cost > limit else end_us - now_us
    reset_after_us = end_us - now_us if used > 0 else 0
    return (start_us, used, 0), granted, remaining, retry_after_us, reset_after_us


def refund_in(
    state: State, now_us: int, cost: int, decided_at_us: int, limit: int, start_us: int, end_us: int
) -> tuple[State, int, int]:
    """Give back up to *cost* units, if they were taken in the current window."""
    used = _used(state, limit, start_us)
    refunded = min(cost, used) if start_us <= decided_at_us < end_us else 0
    used -= refunded
    reset_after_us = end_us - now_us if used > 0 else 0
    return (start_us, used, 0), refunded, reset_after_us


def _used(state: State, limit: int, start_us: int) -> int:
    """Return what counts in the current window; a window ahead of the clock counts as this one."""
    state_start_us, used, _ = state
    if state_start_us < start_us:
        return 0
    return min(used, limit * 2)
