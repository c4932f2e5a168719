"""The Python twins under the names and the flat arguments of the Lua ones, so that both can be asked the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluicegate.ratelimit.algorithms import (
    calendar_quota,
    carrying,
    concurrency,
    exact,
    fixed_window,
    gcra,
    sliding_window_counter,
    sliding_window_log,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["answer_of"]

_COUNTERS: dict[str, tuple[Any, Callable[..., Any], bool]] = {  # the twin, its rule, whether it keeps a third number
    "gcra": (gcra, gcra.Rule, True),
    "fixed_window": (fixed_window, fixed_window.Rule, False),
    "calendar_quota": (calendar_quota, calendar_quota.Rule, False),
    "sliding_window_counter": (sliding_window_counter, sliding_window_counter.Rule, True),
}


def answer_of(function: str, args: tuple[int, ...]) -> tuple[int, ...]:
    """Call *function* of the Python twins as its Lua twin would be called, and return all that it returns."""
    algorithm, _, verb = function.rpartition("_")
    if algorithm in _COUNTERS and verb in ("decide", "refund"):
        return _counter_answer(algorithm, verb, args)
    if function == "calendar_quota_covers":
        now_us, edge_0_us, edge_3_us = args
        covers = calendar_quota.covers(now_us, calendar_quota.Rule(1, edge_0_us, edge_0_us, edge_0_us, edge_3_us))
        return (int(covers),)
    if function.startswith("carrying_"):
        return _carried(function.removeprefix("carrying_"), args)
    plain: dict[str, Callable[..., Any]] = {
        "exact_muldiv": lambda a, b, m: (exact.share_below(a, b, m), a * b - exact.share_below(a, b, m) * m),
        "exact_time_of": exact.time_of,
        "exact_units_within": exact.units_within,
        "exact_share_of": exact.share_of,
        "exact_share_below": exact.share_below,
        "sliding_window_log_decide": sliding_window_log.decide,
        "concurrency_decide": concurrency.decide,
    }
    answer = plain[function](*args)
    return answer if isinstance(answer, tuple) else (answer,)


def _counter_answer(algorithm: str, verb: str, args: tuple[int, ...]) -> tuple[int, ...]:
    twin, rule, has_third = _COUNTERS[algorithm]
    kept = 3 if has_third else 2
    state, args = (args[:kept] if has_third else (*args[:kept], 0)), args[kept:]
    if verb == "decide":
        now_us, cost, count, *numbers = args
        after, *answers = twin.decide(state, now_us, cost, count, rule(*numbers))
    else:
        now_us, cost, decided_at_us, *numbers = args
        reset_at_us = numbers.pop(0) if algorithm == "gcra" else 0
        after, *answers = twin.refund(state, now_us, cost, decided_at_us, reset_at_us, rule(*numbers))
    return (*after, *answers)


def _carried(function: str, args: tuple[int, ...]) -> tuple[int, ...]:
    if function in ("units_of", "nearest"):
        return (getattr(carrying, function)(*args),)
    first, second, *rest = args
    third = rest.pop(0) if function in ("gcra_carried", "sliding_carried") else 0
    now_us, new_at_us, way, *numbers = rest
    old: Any
    new: Any
    match function:
        case "gcra_carried":
            old, new = gcra.Rule(*numbers[:6]), gcra.Rule(*numbers[6:])
        case "calendar_quota_carried":
            new = calendar_quota.Rule(*numbers[1:])
            old = (numbers[0], carrying.calendar_length_of(new))
        case _:
            old, new = (sliding_window_counter.Rule(*numbers[at : at + 2]) for at in (0, 2))
    state, until_us = getattr(carrying, function)((first, second, third), now_us, new_at_us, way, old, new)
    return (*state, until_us)
