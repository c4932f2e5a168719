"""The account of an open loop, on a clock that the tests move."""

from __future__ import annotations

import pytest
from benchmarks.arrivals import Account, Schedule

MS = 1_000_000


def an_account(count: int = 10, in_flight_max: int = 100) -> Account:
    """Return an account of *count* requests, one in a millisecond, from time 0."""
    return Account(schedule=Schedule(start_ns=0, per_second=1_000, count=count), in_flight_max=in_flight_max)


def test_requests_are_due_by_the_schedule() -> None:
    """The first is due at the start, and each further one an interval later."""
    schedule = Schedule(start_ns=5 * MS, per_second=1_000, count=3)
    due = [schedule.due(now) for now in (0, 5 * MS - 1, 5 * MS, 6 * MS - 1, 6 * MS, 7 * MS, 90 * MS)]
    assert due == [0, 0, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("per_second", [3_000, 15_000, 86_463.9])
def test_a_request_is_due_at_its_intended_start_and_not_before(per_second: float) -> None:
    """Rounding sends nobody too early or too late."""
    schedule = Schedule(start_ns=123_456_789, per_second=per_second, count=20_000)
    for number in range(0, 20_000, 997):
        intended = schedule.intended_ns(number)
        assert (schedule.due(intended - 1), schedule.due(intended)) == (number, number + 1)


def test_a_latency_counts_from_the_intended_start() -> None:
    """A driver that was held up for four milliseconds adds them to the latency."""
    account = an_account()
    [intended] = account.to_send(0)
    account.note(intended, 1 * MS, admitted=True)
    late = account.to_send(5 * MS)
    for each in late:
        account.note(each, 6 * MS, admitted=True)
    assert late == [1 * MS, 2 * MS, 3 * MS, 4 * MS, 5 * MS]
    assert account.latencies_ns == [1 * MS, 5 * MS, 4 * MS, 3 * MS, 2 * MS, 1 * MS]


def test_how_late_requests_were_sent_is_told() -> None:
    """The lag of a request is from its intended start to its being sent."""
    account = an_account(count=3)
    account.to_send(2 * MS)
    assert account.lag_p50_us == 1_000


def test_no_more_are_under_way_than_may_be() -> None:
    """With the bound reached the next waits for an answer, and its wait counts."""
    account = an_account(in_flight_max=2)
    first = account.to_send(5 * MS)
    assert (len(first), account.to_send(6 * MS)) == (2, [])
    account.note(first[0], 7 * MS, admitted=True)
    assert account.to_send(7 * MS) == [2 * MS]


def test_requests_that_were_never_sent_count_with_the_least_they_waited() -> None:
    """When time is up, each that was not sent has waited since its intended start."""
    account = an_account(count=4, in_flight_max=1)
    [intended] = account.to_send(3 * MS)
    account.note(intended, 3 * MS, admitted=True)
    assert account.close(10 * MS, []) == 3
    assert account.latencies_ns[1:] == [9 * MS, 8 * MS, 7 * MS]


def test_requests_that_were_never_answered_count_with_the_least_they_waited() -> None:
    """When time is up, each that is under way has waited since its intended start."""
    account = an_account(count=2)
    intended = account.to_send(1 * MS)
    assert account.close(10 * MS, intended) == 0
    assert account.latencies_ns == [10 * MS, 9 * MS]


def test_an_answer_after_time_was_up_is_not_counted_twice() -> None:
    """What was closed with the least it waited stays so."""
    account = an_account(count=1)
    [intended] = account.to_send(0)
    account.close(10 * MS, [intended])
    account.note(intended, 11 * MS, admitted=True)
    assert account.latencies_ns == [10 * MS]


def test_refusals_are_counted_apart() -> None:
    """An answer that is no admission is a refusal, with its latency."""
    account = an_account(count=1)
    [intended] = account.to_send(0)
    account.note(intended, MS, admitted=False)
    assert (account.refused, account.latencies_ns, account.done) == (1, [MS], True)
